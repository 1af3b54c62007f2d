// Compiled for sm_90a and for nothing else: no other device can reach this code.
#include "cuda/product_hopper.cuh"

#include "cuda/launch.h"

namespace nf4j::cuda {

namespace {

template <class T>
int32_t launch_tiles(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    const Operand &left = p.main.left;
    if (p.main.k > INT32_MAX || left.outer > INT32_MAX) {
        return fail(NF4J_UNSUPPORTED, "%s: [%lld, %lld] is more than a tensor copy can address", name,
                    static_cast<long long>(left.outer), static_cast<long long>(p.main.k));
    }
    TensorMap map, adapter_map;
    int32_t status = make_tensor_map(left.data, left.outer, p.main.k, left.ld, T::tokens, &map);
    if (status != NF4J_OK) return status;
    const AdapterParts adapter(p.adapter, p.m, p.n,
                               static_cast<char *>(stream->workspace) + SharedArena::bytes_of(p.workspace_used));
    adapter_map = map;
    if (adapter.depth > 0) {
        status = split_adapter(stream, name, p.adapter, p.m, p.n, adapter);
        if (status == NF4J_OK)
            status = make_tensor_map(adapter.tokens, p.m, adapter.depth, adapter.depth, T::tokens, &adapter_map);
        if (status != NF4J_OK) return status;
    }
    return launch(stream, name, choice.blocks, T::threads, HopperProduct<T>::shared_bytes, product_hopper_kernel<T>, p,
                  adapter, map, adapter_map);
}

template <class T>
int32_t launch_tiles_of(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    return p.main.right.k_contiguous ? launch_tiles<HopperTile<T, false>>(stream, name, p, choice)
                                     : launch_tiles<HopperTile<T, true>>(stream, name, p, choice);
}

}  // namespace

int32_t launch_wgmma(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    return choice.variant->kernel == Kernel::wgmma_256 ? launch_tiles_of<Wgmma256>(stream, name, p, choice)
                                                       : launch_tiles_of<Wgmma128>(stream, name, p, choice);
}

}  // namespace nf4j::cuda
