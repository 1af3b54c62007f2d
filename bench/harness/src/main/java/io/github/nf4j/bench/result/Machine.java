package io.github.nf4j.bench.result;

/// What a run was measured on. Results are compared only between machines of one fingerprint.
///
/// @param fingerprint of everything here that changes speed and stays the same from run to run
/// @param isa         instruction set of the cpu backend
/// @param llcMb       last-level cache in MiB
/// @param governor    of the clock, null where the kernel shows none, as in virtual machines
/// @param virtual     whether a hypervisor is below, whose other guests nobody sees from here
public record Machine(String fingerprint, String cpu, int cores, String isa, long llcMb, long ramMb, String governor, boolean virtual,
        String os, String kernel, Jvm jvm) {
    public record Jvm(String vendor, String version, String flags) {
    }
}
