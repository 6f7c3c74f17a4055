// SPDX-License-Identifier: MIT

#include "fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
// (where to save the stack pointer, the stack pointer to go on with): saves what a function must preserve, and returns on the other stack.
asm(R"(
.text
.globl peal_model_switch
.type peal_model_switch, @function
peal_model_switch:
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
.size peal_model_switch, . - peal_model_switch
)");
extern "C" void peal_model_switch(void** save, void* load) noexcept;
#endif

namespace model {

fiber::~fiber() {
    if (stack_ != nullptr) ::munmap(stack_, stack_bytes);
}

void fiber::start(function entry) {
    if (stack_ == nullptr) {
        void* memory = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            std::perror("stack of a fiber");
            std::abort();
        }
        stack_ = static_cast<std::byte*>(memory);
    }
#if defined(__x86_64__)
    // As if called from nowhere: six saved registers, the address to return to, and the return address of that.
    auto* top = reinterpret_cast<std::uintptr_t*>(stack_ + stack_bytes);
    *--top = 0;
    *--top = reinterpret_cast<std::uintptr_t>(entry);
    for (int saved = 0; saved < 6; ++saved) *--top = 0;
    stack_pointer_ = top;
#else
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = stack_bytes;
    context_.uc_link = nullptr;
    ::makecontext(&context_, reinterpret_cast<void (*)()>(entry), 0);
#endif
}

void fiber::switch_to(fiber& to) noexcept {
#if defined(__x86_64__)
    peal_model_switch(&stack_pointer_, to.stack_pointer_);
#else
    ::swapcontext(&context_, &to.context_);
#endif
}

}  // namespace model
