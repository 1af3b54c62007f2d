#include "simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace nf4j::simt {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t stack_bytes = 256 << 10;  // instrumented frames are larger
#else
constexpr size_t stack_bytes = 64 << 10;
#endif
constexpr size_t guard_bytes = 4096;

}  // namespace

#if defined(__x86_64__)

constexpr int saved_words = 6;

asm(R"(
    .text
    .p2align 4
    .hidden nf4j_simt_switch
    .globl nf4j_simt_switch
    .type nf4j_simt_switch, @function
nf4j_simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size nf4j_simt_switch, . - nf4j_simt_switch
)");

#elif defined(__aarch64__)

constexpr int saved_words = 20;

asm(R"(
    .text
    .p2align 4
    .hidden nf4j_simt_switch
    .globl nf4j_simt_switch
    .type nf4j_simt_switch, %function
nf4j_simt_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp d8, d9, [sp, #80]
    stp d10, d11, [sp, #96]
    stp d12, d13, [sp, #112]
    stp d14, d15, [sp, #128]
    stp x29, x30, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp d8, d9, [sp, #80]
    ldp d10, d11, [sp, #96]
    ldp d12, d13, [sp, #112]
    ldp d14, d15, [sp, #128]
    ldp x29, x30, [sp, #144]
    add sp, sp, #160
    ret
    .size nf4j_simt_switch, . - nf4j_simt_switch
)");

#else
#error "simt has a context switch for x86-64 and for AArch64"
#endif

Stacks::~Stacks() {
    for (char *stack : stacks_) munmap(stack, guard_bytes + stack_bytes);
}

bool Stacks::reserve(int count) {
    while (static_cast<int>(stacks_.size()) < count) {
        void *stack = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) return false;
        mprotect(stack, guard_bytes, PROT_NONE);
        stacks_.push_back(static_cast<char *>(stack));
    }
    return true;
}

void *Stacks::prepare(int number, void (*entry)()) const {
#if defined(__SANITIZE_ADDRESS__)
    // A kernel that was ended left the stack in the midst of its frames.
    ASAN_UNPOISON_MEMORY_REGION(stacks_[static_cast<size_t>(number)] + guard_bytes, stack_bytes);
#endif
    // What nf4j_simt_switch restores, then (x86-64) the address that it returns to and the one that entry would return
    // to.
    void **top = reinterpret_cast<void **>(stacks_[static_cast<size_t>(number)] + guard_bytes + stack_bytes);
#if defined(__x86_64__)
    void **saved = top - 2 - saved_words;
    std::memset(saved, 0, (saved_words + 2) * sizeof(void *));
    saved[saved_words] = reinterpret_cast<void *>(entry);
#else
    void **saved = top - saved_words;
    std::memset(saved, 0, saved_words * sizeof(void *));
    saved[saved_words - 1] = reinterpret_cast<void *>(entry);
#endif
    return saved;
}

}  // namespace nf4j::simt
