// BF16 products that decode an NF4 weight into shared memory: x * W^T by its rows, dy * W by its columns.
#include "cuda/product_bf16.cuh"

namespace nf4j::cuda {

namespace {

template <class T, Load left>
int32_t launch_decoded(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    return p.main.right.k_contiguous ? launch_bf16<T, left, Load::nf4_rows>(stream, name, p, choice)
                                     : launch_bf16<T, left, Load::nf4_columns>(stream, name, p, choice);
}

}  // namespace

int32_t launch_nf4(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    switch (choice.variant->kernel) {
        case Kernel::tiles_256: return launch_decoded<Tile256, Load::rows>(stream, name, p, choice);
        case Kernel::tiles_128: return launch_decoded<Tile128, Load::rows>(stream, name, p, choice);
        case Kernel::tiles_64: return launch_decoded<Tile64, Load::rows>(stream, name, p, choice);
        default: return launch_decoded<Tile64, Load::elements>(stream, name, p, choice);
    }
}

}  // namespace nf4j::cuda
