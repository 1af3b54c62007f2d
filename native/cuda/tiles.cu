#include "cuda/tiles.h"

#include "cuda/cuda.h"

#include <algorithm>

namespace nf4j::cuda {

namespace {

constexpr int64_t least_split = 256;  // of k

// Of wgmma, whose blocks take k by pairs of steps: what a split cannot be shorter than, and in the units of step_time, what
// there is to do around the steps of a share of k, and for the kernel that adds the splits' sums, which go to memory, or
// L2, and back.
constexpr int64_t least_pairs = 4, most_splits_of_wgmma = 16, steps_around = 2, launch_time = 40,
                  bytes_in_time = 400'000;

int64_t tiles_of(const Variant &v, const ProductShape &s) { return ceil_div(s.m, v.tile_m) * ceil_div(s.n, v.tile_n); }

// Of one split.
int64_t sums_bytes(const ProductShape &s) { return s.m * s.n * 4; }

int64_t splits_that_fit(const ProductShape &s, int64_t workspace_bytes) {
    return s.m * s.n > 0 ? (workspace_bytes - s.adapter_bytes) / sums_bytes(s) : 1;
}

bool on_wgmma(const Variant &v) { return v.kernel == Kernel::wgmma_256 || v.kernel == Kernel::wgmma_128; }

bool fits(const Variant &v, const ProductShape &s, const Traits &device, int64_t workspace_bytes) {
    return v.bf16 == s.bf16 && v.access <= s.access && v.weight <= s.weight &&
           v.least_capability <= device.capability && device.capability <= v.most_capability && v.least_m <= s.m &&
           s.m <= v.most_m && tiles_of(v, s) >= v.least_tiles &&
           !(s.part_of_rows && (v.least_m > 1 || v.most_m != any_m)) &&
           !(v.kernel == Kernel::gemv &&
             (!s.across || s.masked_adapter || s.k == 0 || s.m * s.k * 2 > gemv_tokens_bytes)) &&
           !(on_wgmma(v) && (s.masked_adapter || s.adapter_bytes > workspace_bytes || s.k == 0));
}

// The fewest splits of `steps`, none shorter than `least_steps`, that keep four of five places for blocks busy to the
// end, or the best there are.
int64_t splits_for(int64_t tiles, int64_t steps, int64_t least_steps, int64_t places, int64_t most_splits) {
    if (tiles == 0 || tiles >= places) return 1;
    int64_t best = 1;
    double best_share = 0;
    for (int64_t splits = 1; splits <= std::min(steps / least_steps, most_splits); splits++) {
        const int64_t rounds = ceil_div(tiles * splits, places), longest = ceil_div(steps, splits);
        const double share = static_cast<double>(tiles * steps) / static_cast<double>(rounds * places * longest);
        if (share > best_share) {
            best = splits;
            best_share = share;
        }
        if (best_share >= 0.8) break;
    }
    return best;
}

// Of a product on wgmma, in the units of step_time: what the busiest multiprocessor has to do, and the sums of the splits.
int64_t time_of(const Variant &v, const ProductShape &s, const Traits &device, int64_t splits) {
    const int64_t pairs = ceil_div(ceil_div(s.k, 2 * v.depth), splits),
                  shares = ceil_div(tiles_of(v, s) * splits, device.multiprocessors);
    const int64_t adding = splits == 1 ? 0 : launch_time + 2 * splits * sums_bytes(s) / bytes_in_time;
    return shares * (2 * pairs + steps_around) * v.step_time + adding;
}

// Between tiles of 256 tokens and of 128, which take more than half the time, as their weights are decoded all the same;
// and between numbers of splits. Of choices alike the first: fewer splits, larger tiles.
Choice choose_wgmma(const Variant *biggest, const ProductShape &s, const Traits &device, int64_t workspace_bytes) {
    const int64_t most_splits =
        std::min({s.k / (2 * least_pairs * bf16_depth), splits_that_fit(s, workspace_bytes), most_splits_of_wgmma});
    const Variant *best = biggest;
    int64_t best_splits = 1;
    for (const Variant *v : {biggest, biggest + 1}) {
        for (int64_t splits = 1; splits <= std::max<int64_t>(most_splits, 1); splits++) {
            if (time_of(*v, s, device, splits) < time_of(*best, s, device, best_splits)) {
                best = v;
                best_splits = splits;
            }
        }
    }
    return {best, best_splits, std::min<int64_t>(tiles_of(*best, s) * best_splits, device.multiprocessors),
            best_splits > 1 ? best_splits * sums_bytes(s) : 0};
}

// Teams of warps share the k of a row of tiles. Of sizes that take as many steps, the largest.
Choice choose_gemv(const Variant &v, const ProductShape &s, const Traits &device) {
    constexpr int64_t warps = GemvTile::threads / 32;
    const int64_t bands = tiles_of(v, s);
    const auto teams = [&](int64_t team) { return warps / team; };  // of a block
    const auto steps = [&](int64_t team) {
        return ceil_div(bands, teams(team) * device.multiprocessors) * ceil_div(ceil_div(s.k, v.depth), team);
    };
    int64_t best = warps;
    for (int64_t team = warps / 2; team >= 1; team /= 2) {
        if (steps(team) < steps(best)) best = team;
    }
    return {&v, best, std::min<int64_t>(ceil_div(bands, teams(best)), device.multiprocessors), 0};
}

}  // namespace

Choice choose(const ProductShape &s, const Traits &device, int64_t workspace_bytes) {
    const Variant *v = variants;
    while (!fits(*v, s, device, workspace_bytes)) v++;  // the last ones of each type fit everything
    if (v->kernel == Kernel::gemv) return choose_gemv(*v, s, device);
    if (on_wgmma(*v)) return choose_wgmma(v, s, device, workspace_bytes);
    const int64_t tiles = tiles_of(*v, s);
    const int64_t places = s.part_of_rows ? 0 : int64_t{v->blocks_per_multiprocessor} * device.multiprocessors;
    const int64_t room = splits_that_fit(s, workspace_bytes);
    const int64_t splits = splits_for(tiles, ceil_div(s.k, v->depth), least_split / v->depth, places, room);
    return {v, splits, tiles * splits, splits > 1 ? splits * sums_bytes(s) : 0};
}

}  // namespace nf4j::cuda
