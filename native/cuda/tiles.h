// Which kernel a product takes, with which tile: a table, of which the first line that fits is taken. `multiply` reads
// it, nf4j_explain prints it.
//
// A variant for other hardware or other shapes is one more line here and one more case of `multiply` in product.cu.
#pragma once

#include <cstdint>

namespace nf4j::cuda {

// A tile of c, the number of buffers that k runs through, and how many warps share the tile.
template <int M, int N, int Stages, int WarpsM, int WarpsN>
struct Tile {
    static constexpr int m = M;
    static constexpr int n = N;
    static constexpr int stages = Stages;
    static constexpr int warp_m = M / WarpsM;
    static constexpr int warp_n = N / WarpsN;
    static constexpr int warps_n = WarpsN;
    static constexpr int threads = WarpsM * WarpsN * 32;
};

constexpr int bf16_depth = 64;
constexpr int f32_depth = 16;

using Tile256 = Tile<256, 128, 3, 4, 2>;
using Tile128 = Tile<128, 128, 3, 2, 4>;
using Tile64 = Tile<64, 64, 3, 2, 2>;
using F32Tile = Tile<64, 64, 2, 8, 1>;

// Few rows: 4 warps side by side along n, and 4 others that take the other steps of k.
constexpr int few_rows_depth = 2 * bf16_depth;
template <int M>
using FewRowsTile = Tile<M, 256, 2, 1, 8>;
using FewRows8 = FewRowsTile<8>;
using FewRows16 = FewRowsTile<16>;
using FewRows32 = FewRowsTile<32>;
using FewRows64 = FewRowsTile<64>;

// One row of tiles of an NF4 weight, and up to 8 tokens: 16 warps share k, each with gemv_depth of it at a time. All of x
// is in shared memory.
using GemvTile = Tile<8, 16, 2, 1, 16>;
constexpr int gemv_depth = 4 * bf16_depth;
constexpr int64_t gemv_tokens_bytes = 64 * 1024;

// Tokens and features, which are columns of c, of a tile of product_hopper.cuh.
using Wgmma256 = Tile<256, 128, 4, 1, 8>;
using Wgmma128 = Tile<128, 128, 8, 1, 8>;

enum class Kernel { gemv, few_rows, wgmma_256, wgmma_128, tiles_256, tiles_128, tiles_64, converted_64, ffma };

// How the left factor stands in memory, and a dense right one; what can be done with one can be done with all that follow.
enum class Access {
    any,     // elements must be converted one by one
    rows,    // BF16, k along rows that 16-byte copies can fetch
    copied,  // and they can fetch the right factor
};

// The right factor; the same holds.
enum class Weight {
    dense,
    nf4,
    nf4_whole_tiles,  // its columns are a multiple of a tile's, so that no quantized block goes on in the next row
    nf4_row_scales,   // and its blocks are no smaller than a tile's row, which so has one scale
};

struct ProductShape {
    int64_t m;  // tokens
    int64_t n;
    int64_t k;
    bool bf16;  // the type of the activations, else F32
    Access access;
    Weight weight;
    bool across;            // the right factor is read along its rows: y = x * W^T, not dx = dy * W
    bool part_of_rows;      // of those of one call: the kernel may not follow from their number
    bool masked_adapter;    // there is an adapter whose sums are masked
    int64_t adapter_bytes;  // of the workspace: the adapter's parts (adapter_parts.cuh) come before the sums of splits
};

struct Variant {
    Kernel kernel;
    const char *name;
    const char *why;
    bool bf16;
    Access access;
    Weight weight;
    int least_capability;  // 10 * major + minor of the compute capability
    int most_capability;
    int64_t least_m;
    int64_t most_m;
    int64_t least_tiles;  // of c
    int tile_m;
    int tile_n;
    int depth;
    int stages;
    // Where c has fewer tiles than these, k is split; 0: never. All lines of few rows have the same, so that k is split
    // alike: the blocks of more than 8 tokens, of which only one fits, come in two rounds.
    int blocks_per_multiprocessor;
    int step_time = 0;  // of wgmma's tiles: 64 of k, in tenths of a microsecond on an H200
};

constexpr int64_t any_m = INT64_MAX;
constexpr int any_device = 80, newest_device = 999;
constexpr int hopper = 90;  // sm_90a's instructions are in no newer device
// With fewer tokens the weights' bytes are the limit. On an H200, 14336 x 4096 took 48 us for 64 tokens by few rows, and 40 for
// 128 by wgmma.
constexpr int64_t least_wgmma_m = 33;
constexpr int64_t enough_big_tiles = 64, enough_biggest_tiles = 96;

inline constexpr char biggest[] = "c has tiles of 256x128 for many multiprocessors, which have shared memory for them";
inline constexpr char gemv[] = "few tokens, whose shared memory has room for x: each code is read and decoded once";
inline constexpr char few_rows[] = "few tokens: each code is read once, and decoded in registers";

inline constexpr Variant variants[] = {
    {Kernel::gemv, "nf4_gemv", gemv, true, Access::rows, Weight::nf4_whole_tiles, 80, 80, 1, GemvTile::m, 0,
     GemvTile::m, GemvTile::n, gemv_depth, GemvTile::stages, 1},
    {Kernel::gemv, "nf4_gemv", gemv, true, Access::rows, Weight::nf4_whole_tiles, 90, 109, 1, GemvTile::m, 0,
     GemvTile::m, GemvTile::n, gemv_depth, GemvTile::stages, 1},
    {Kernel::few_rows, "nf4_few_rows", few_rows, true, Access::rows, Weight::nf4_whole_tiles, any_device, newest_device,
     1, 8, 0, FewRows8::m, FewRows8::n, few_rows_depth, FewRows8::stages, 2},
    {Kernel::few_rows, "nf4_few_rows", few_rows, true, Access::rows, Weight::nf4_whole_tiles, any_device, newest_device,
     9, 16, 0, FewRows16::m, FewRows16::n, few_rows_depth, FewRows16::stages, 2},
    {Kernel::few_rows, "nf4_few_rows", few_rows, true, Access::rows, Weight::nf4_whole_tiles, any_device, newest_device,
     17, 32, 0, FewRows32::m, FewRows32::n, few_rows_depth, FewRows32::stages, 2},
    {Kernel::wgmma_256, "wgmma_bf16", "many tokens on Hopper", true, Access::copied, Weight::nf4_row_scales, hopper,
     hopper, least_wgmma_m, any_m, 0, Wgmma256::m, Wgmma256::n, bf16_depth, Wgmma256::stages, 0, 10},
    {Kernel::wgmma_128, "wgmma_bf16", "many tokens on Hopper, of which tiles of 256 would leave more of it idle", true,
     Access::copied, Weight::nf4_row_scales, hopper, hopper, least_wgmma_m, any_m, 0, Wgmma128::m, Wgmma128::n,
     bf16_depth, Wgmma128::stages, 0, 7},
    {Kernel::few_rows, "nf4_few_rows", few_rows, true, Access::rows, Weight::nf4_whole_tiles, any_device, newest_device,
     33, 64, 0, FewRows64::m, FewRows64::n, few_rows_depth, FewRows64::stages, 2},
    {Kernel::tiles_256, "mma_bf16", biggest, true, Access::copied, Weight::dense, 80, 80, 1, any_m,
     enough_biggest_tiles, Tile256::m, Tile256::n, bf16_depth, Tile256::stages, 0},
    {Kernel::tiles_256, "mma_bf16", biggest, true, Access::copied, Weight::dense, 90, 109, 1, any_m,
     enough_biggest_tiles, Tile256::m, Tile256::n, bf16_depth, Tile256::stages, 0},
    {Kernel::tiles_128, "mma_bf16", "c has tiles of 128x128 for many multiprocessors", true, Access::copied,
     Weight::dense, any_device, newest_device, 1, any_m, enough_big_tiles, Tile128::m, Tile128::n, bf16_depth,
     Tile128::stages, 1},
    {Kernel::tiles_64, "mma_bf16", "c has too few tiles of 128x128", true, Access::copied, Weight::dense, any_device,
     newest_device, 1, any_m, 0, Tile64::m, Tile64::n, bf16_depth, Tile64::stages, 1},
    {Kernel::converted_64, "mma_bf16", "elements must be converted, or rows are not 16-byte aligned", true, Access::any,
     Weight::dense, any_device, newest_device, 1, any_m, 0, Tile64::m, Tile64::n, bf16_depth, Tile64::stages, 1},
    {Kernel::ffma, "ffma_f32", "F32 keeps its bits on FFMA alone", false, Access::any, Weight::dense, any_device,
     newest_device, 1, any_m, 0, F32Tile::m, F32Tile::n, f32_depth, F32Tile::stages, 0},
};

// What a device is to the choice: its own attributes, or those of the one that simt plays.
struct Traits {
    const char *name;
    int capability;  // 10 * major + minor
    int multiprocessors;
};

struct Choice {
    const Variant *variant;
    int64_t splits;  // of k, each a chain of its own; their sums are added in order
    int64_t blocks;  // splits * tiles; of persistent ones, one for each multiprocessor
    int64_t
        workspace_bytes;  // for the sums of the splits, which a second kernel adds; 0: there are none, or the block does
};

// The choice follows from the shape, the device and the workspace that is free, the split from the number of tiles that
// c has: a row's bits do not depend on the rows beside it as long as the variant's name and the split are the same. Few
// rows have one tile along m, so there the split follows from the shape of the weight, as it does with gemv.
Choice choose(const ProductShape &shape, const Traits &device, int64_t workspace_bytes);

}  // namespace nf4j::cuda
