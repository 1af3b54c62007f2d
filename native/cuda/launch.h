// How every kernel is started, on a device and on simt.
#pragma once

#include "core/backend.h"
#include "cuda/cuda.h"

#include <tuple>

namespace nf4j::cuda {

#if defined(__CUDACC__)
// device.cu
int32_t launch_on_device(nf4j_stream *stream, const char *name, int64_t blocks, int threads, int64_t shared_bytes,
                         const void *kernel, void **parameters);
#endif

// Queues kernel(arguments...) on `blocks` blocks of `threads` threads; no blocks, no launch.
template <typename... P, typename... A>
int32_t launch(nf4j_stream *stream, const char *name, int64_t blocks, int threads, int64_t shared_bytes,
               void (*kernel)(P...), const A &...arguments) {
    if (blocks == 0) return NF4J_OK;
    if (blocks > INT32_MAX)
        return fail(NF4J_UNSUPPORTED, "%s: %lld blocks are more than a grid has", name, static_cast<long long>(blocks));
    std::tuple<P...> parameters(arguments...);
#if defined(__CUDACC__)
    return std::apply(
        [&](auto &...parameter) {
            void *pointers[] = {static_cast<void *>(&parameter)...};
            return launch_on_device(stream, name, blocks, threads, shared_bytes, reinterpret_cast<const void *>(kernel),
                                    pointers);
        },
        parameters);
#else
    const auto run = [=] {
        const auto call = [&] { std::apply(kernel, parameters); };
        const auto body = [](const void *context) { (*static_cast<decltype(call) *>(context))(); };
        return simt::Engine::of_this_thread().run(
            {name, reinterpret_cast<const void *>(kernel), blocks, threads, shared_bytes, body, &call});
    };
    if (simt::Capture *capture = simt::Capture::of(stream)) {
        capture->add(name, run);
        return NF4J_OK;
    }
    return run();
#endif
}

}  // namespace nf4j::cuda
