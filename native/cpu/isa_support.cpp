#include "cpu/isa_support.h"

#include "nf4j.h"

#if defined(__x86_64__)
#include <cpuid.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace nf4j::cpu {

const char *isa_name(int32_t isa) {
    switch (isa) {
        case NF4J_ISA_GENERIC: return "generic";
        case NF4J_ISA_AVX2: return "avx2";
        case NF4J_ISA_AVX512: return "avx512";
        case NF4J_ISA_AVX512_BF16: return "avx512_bf16";
        case NF4J_ISA_NEON: return "neon";
        case NF4J_ISA_AMX_BF16: return "amx_bf16";
        default: return nullptr;
    }
}

#if defined(__x86_64__)

namespace {

struct Features {
    uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_edx = 0, leaf7_1_eax = 0;
    uint32_t saved = 0;  // XCR0: the register states that the operating system saves

    Features() {
        uint32_t eax, ebx, ecx, edx;
        if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
            leaf1_ecx = ecx;
        }
        if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
            leaf7_ebx = ebx;
            leaf7_edx = edx;
            if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) {
                leaf7_1_eax = eax;
            }
        }
        if (leaf1_ecx & 1u << 27) {  // OSXSAVE: xgetbv may be used
            uint32_t high;
            __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
        }
    }
};

// Linux lets a process have the tiles' state when it asks for it, once: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
bool tiles_permitted() {
#if defined(__linux__)
    static const bool permitted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    return permitted;
#else
    return false;
#endif
}

}  // namespace

const char *isa_missing(int32_t isa) {
    // Bits of XCR0: SSE, AVX; and the three states of AVX-512; the configuration and the data of tiles.
    constexpr uint32_t ymm = 0x6, zmm = 0xe6, tiles = 0x60000;
    static const Features has;
    if (isa == NF4J_ISA_GENERIC) return nullptr;
    if (isa == NF4J_ISA_NEON) return "an ARM processor";
    if (!(has.leaf1_ecx & 1u << 28)) return "AVX in the processor";
    if ((has.saved & ymm) != ymm) return "AVX registers saved by the operating system";
    if (!(has.leaf7_ebx & 1u << 5)) return "AVX2 in the processor";
    if (!(has.leaf1_ecx & 1u << 12)) return "FMA in the processor";
    if (!(has.leaf1_ecx & 1u << 29)) return "F16C in the processor";
    if (isa == NF4J_ISA_AVX2) return nullptr;
    if (!(has.leaf7_ebx & 1u << 16)) return "AVX512F in the processor";
    if (!(has.leaf7_ebx & 1u << 17)) return "AVX512DQ in the processor";
    if (!(has.leaf7_ebx & 1u << 30)) return "AVX512BW in the processor";
    if (!(has.leaf7_ebx & 1u << 31)) return "AVX512VL in the processor";
    if ((has.saved & zmm) != zmm) return "AVX-512 registers saved by the operating system";
    if (isa == NF4J_ISA_AVX512) return nullptr;
    if (!(has.leaf7_1_eax & 1u << 5)) return "AVX512_BF16 in the processor";
    if (isa == NF4J_ISA_AVX512_BF16) return nullptr;
    if (!(has.leaf7_edx & 1u << 24)) return "AMX_TILE in the processor";
    if (!(has.leaf7_edx & 1u << 22)) return "AMX_BF16 in the processor";
    if ((has.saved & tiles) != tiles) return "tile registers saved by the operating system";
    if (!tiles_permitted()) return "the operating system's permission to use tile registers";
    return nullptr;
}

#elif defined(__aarch64__)

const char *isa_missing(int32_t isa) {
    return isa == NF4J_ISA_GENERIC || isa == NF4J_ISA_NEON ? nullptr : "an x86-64 processor";
}

#else

const char *isa_missing(int32_t isa) { return isa == NF4J_ISA_GENERIC ? nullptr : "another kind of processor"; }

#endif

}  // namespace nf4j::cpu
