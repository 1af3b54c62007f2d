package io.github.nf4j;

/// What an open [Device] is.
///
/// @param backend        the backend in use, never [Backend#AUTO]
/// @param ordinal        which GPU, or which of those that SIMT models; 0 on other host backends
/// @param threads        threads of a host backend
/// @param isa            instruction set in use on [Backend#CPU]
/// @param hostAccessible whether device memory is ordinary memory
/// @param totalMemory    bytes that this process may use
/// @param freeMemory     bytes that were free when asked
/// @param name           the name of the processor
public record DeviceInfo(Backend backend, int ordinal, int threads, Isa isa, boolean hostAccessible, long totalMemory,
        long freeMemory, String name) {
}
