#include "cuda/tiles.h"

#include "cuda/cuda.h"

#include <algorithm>

namespace nf4j::cuda {

namespace {

constexpr int64_t least_split = 256;  // of k

int64_t tiles_of(const Variant &v, const ProductShape &s) { return ceil_div(s.m, v.tile_m) * ceil_div(s.n, v.tile_n); }

bool on_wgmma(const Variant &v) { return v.kernel == Kernel::wgmma_256 || v.kernel == Kernel::wgmma_128; }

bool fits(const Variant &v, const ProductShape &s, const Traits &device) {
    return v.bf16 == s.bf16 && v.access <= s.access && v.weight <= s.weight &&
           v.least_capability <= device.capability && device.capability <= v.most_capability && v.least_m <= s.m &&
           s.m <= v.most_m && tiles_of(v, s) >= v.least_tiles &&
           !(s.part_of_rows && (v.least_m > 1 || v.most_m != any_m)) &&
           !(on_wgmma(v) && (s.adapter_by_elements || s.k == 0));
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

// What the busiest multiprocessor has to do, in step_time. A tile of half as many tokens takes more than half the time, as
// its weights are decoded all the same: 0.7 of it on an H200.
int64_t time_of(const Variant &v, const ProductShape &s, const Traits &device) {
    return ceil_div(tiles_of(v, s), device.multiprocessors) * v.step_time;
}

}  // namespace

Choice choose(const ProductShape &s, const Traits &device, int64_t workspace_bytes) {
    const Variant *v = variants;
    while (!fits(*v, s, device)) v++;  // the last ones of each type fit everything
    if (v->kernel == Kernel::wgmma_256 && time_of(v[1], s, device) < time_of(v[0], s, device)) v++;
    const int64_t tiles = tiles_of(*v, s);
    if (on_wgmma(*v)) return {v, 1, std::min<int64_t>(tiles, device.multiprocessors), 0};
    const int64_t places = s.part_of_rows ? 0 : int64_t{v->blocks_per_multiprocessor} * device.multiprocessors;
    const int64_t split_bytes = s.m * s.n * 4;  // its sums
    const int64_t room = split_bytes > 0 ? workspace_bytes / split_bytes : 1;
    const int64_t splits = splits_for(tiles, ceil_div(s.k, v->depth), least_split / v->depth, places, room);
    return {v, splits, tiles * splits, splits > 1 ? splits * split_bytes : 0};
}

}  // namespace nf4j::cuda
