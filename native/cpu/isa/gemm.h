// The matrix product behind every family that multiplies: c = alpha * (left * right summed over k) + beta * c + bias.
//
// Blocked as in Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (TOMS 2008): a thread packs
// a block of the left factor into panels of tile_rows rows, then for one narrow panel of the right factor after the
// other packs - for NF4: decodes - it into L1 and runs the micro-kernel over all left panels. Sums stay in F32 in the
// thread's scratch memory until the epilogue writes them.
//
// Each sum is one chain of FMAs (or bf16 dot products, see tiles.h for AMX) over ascending k. So its bits depend neither
// on the tile it falls into, nor on the number of threads, nor on the rows beside it.
#pragma once

#include "core/philox.h"
#include "cpu/isa/simd.h"
#include "cpu/thread_pool.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

// How the 32-bit words of a panel hold elements.
enum class Words {
    f32,          // one element
    f32_of_bf16,  // one element, that of the right factor rounded to BF16
    bf16_pairs,   // elements k and k + 1, rounded to BF16
    bf16_parts,  // one element with all its bits; where there are tiles, split there into pairs of BF16 parts (tiles.h)
};

// The words for a product whose activations have this type.
Words words_for(int32_t dtype);
// The same for a product of factors that count with all bits of F32.
Words exact_words_for(int32_t dtype);

// One factor, seen as [outer, k]: outer are the rows of the left factor, the columns of the right one.
struct Operand {
    const void *data = nullptr;  // F32 or BF16, or:
    int32_t dtype = 0;
    const nf4j_nf4_weight *nf4 = nullptr;
    bool k_contiguous = true;  // element (o, k) at data[o * ld + k]; else at data[k * ld + o]
    int64_t ld = 0;
    int64_t outer = 0;
    // Not for pairs: elements are multiplied by these first, in F32. Dropout's row is what ld steps over, its column the
    // other.
    float scale = 1;
    const Dropout *dropout = nullptr;
};

struct Segment {
    Operand left;
    Operand right;
    int64_t k;
    Words words;
};

struct Product {
    Segment segments[2];  // summed one after the other into the same sums
    int count;
    const Dropout *dropout_after_first;  // what the sums of the first segment are multiplied by, or null
    float alpha;
    float beta;
    const nf4j_tensor *bias;  // [1, n] or null
    const nf4j_tensor *c;
};

// c = left * right, one segment.
Product product(const Segment &segment, const nf4j_tensor *c);

// A matrix as a factor whose outer index is its row (so k runs along the row), or its column.
Operand rows_of(const nf4j_tensor &matrix);
Operand columns_of(const nf4j_tensor &matrix);
Operand rows_of(const nf4j_nf4_weight &weight);
Operand columns_of(const nf4j_nf4_weight &weight);
// The same of a layer's weight [out, in]: rows for x * W^T, columns for dy * W.
Operand rows_of(const nf4j_linear &layer);
Operand columns_of(const nf4j_linear &layer);

// A panel [words of k][width] of elements (outer0 ..., k0 ... k0 + count - 1).
void pack(const Operand &operand, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel);

void multiply(ThreadPool &pool, const Product &product);

}  // namespace nf4j::cpu::NF4J_ISA_NAME
