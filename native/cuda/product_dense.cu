// BF16 products whose right factor is copied, or converted element by element; product_nf4.cu has those that decode it.
// Their kernels are most of the library for a compiler: two files, so that it works on both at once.
#include "cuda/product_bf16.cuh"

namespace nf4j::cuda {

namespace {

template <class T>
int32_t launch_copied(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    return p.main.right.k_contiguous ? launch_bf16<T, Load::rows, Load::rows>(stream, name, p, choice)
                                     : launch_bf16<T, Load::rows, Load::columns>(stream, name, p, choice);
}

}  // namespace

int32_t launch_dense(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    switch (choice.variant->kernel) {
        case Kernel::tiles_256: return launch_copied<Tile256>(stream, name, p, choice);
        case Kernel::tiles_128: return launch_copied<Tile128>(stream, name, p, choice);
        case Kernel::tiles_64: return launch_copied<Tile64>(stream, name, p, choice);
        default: return launch_bf16<Tile64, Load::elements, Load::elements>(stream, name, p, choice);
    }
}

}  // namespace nf4j::cuda
