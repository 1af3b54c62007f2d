#include "cuda/nf4_few_rows.cuh"

#include "cuda/launch.h"

namespace nf4j::cuda {

namespace {

template <class T>
int32_t launch_tile(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    return p.main.right.k_contiguous ? launch(stream, name, choice.blocks, T::threads, FewRows<T, false>::shared_bytes,
                                              nf4_few_rows_kernel<T, false>, p)
                                     : launch(stream, name, choice.blocks, T::threads, FewRows<T, true>::shared_bytes,
                                              nf4_few_rows_kernel<T, true>, p);
}

}  // namespace

int32_t launch_few_rows(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    switch (choice.variant->tile_m) {
        case FewRows8::m: return launch_tile<FewRows8>(stream, name, p, choice);
        case FewRows16::m: return launch_tile<FewRows16>(stream, name, p, choice);
        case FewRows32::m: return launch_tile<FewRows32>(stream, name, p, choice);
        default: return launch_tile<FewRows64>(stream, name, p, choice);
    }
}

}  // namespace nf4j::cuda
