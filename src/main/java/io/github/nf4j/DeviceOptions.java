package io.github.nf4j;

import java.util.Objects;

/// How to open a [Device].
///
/// @param backend where operations run
/// @param ordinal which GPU; SIMT models two, 0 of compute capability 8.0 and 1 of 9.0; 0 on other host backends
/// @param threads threads of a host backend; 0 takes the cores that this process may use, cgroup limits included
/// @param isa     instruction set of [Backend#CPU]; [Isa#AUTO] on the others
public record DeviceOptions(Backend backend, int ordinal, int threads, Isa isa) {
    public DeviceOptions {
        Objects.requireNonNull(backend, "backend");
        Objects.requireNonNull(isa, "isa");
    }

    /// `backend` with its defaults.
    public static DeviceOptions of(Backend backend) {
        return new DeviceOptions(backend, 0, 0, Isa.AUTO);
    }

    public DeviceOptions withOrdinal(int ordinal) {
        return new DeviceOptions(backend, ordinal, threads, isa);
    }

    public DeviceOptions withThreads(int threads) {
        return new DeviceOptions(backend, ordinal, threads, isa);
    }

    public DeviceOptions withIsa(Isa isa) {
        return new DeviceOptions(backend, ordinal, threads, isa);
    }
}
