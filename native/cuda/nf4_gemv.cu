#include "cuda/nf4_gemv.cuh"

#include "cuda/launch.h"

namespace nf4j::cuda {

int32_t launch_gemv(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    const int team_shift = __builtin_ctzll(static_cast<unsigned long long>(choice.splits));
    return p.main.right.nf4.block_shift == 5
               ? launch(stream, name, choice.blocks, Gemv<2>::threads, Gemv<2>::shared_bytes(p.m, p.main.k),
                        nf4_gemv_kernel<2>, p, team_shift)
               : launch(stream, name, choice.blocks, Gemv<1>::threads, Gemv<1>::shared_bytes(p.m, p.main.k),
                        nf4_gemv_kernel<1>, p, team_shift);
}

}  // namespace nf4j::cuda
