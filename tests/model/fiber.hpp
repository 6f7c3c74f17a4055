// SPDX-License-Identifier: MIT
#pragma once

// fiber: a stack of its own on the thread that runs the explorer. On x86-64 a switch is a dozen instructions; elsewhere it is the
// system's swapcontext(), which is slower and does the same.
//
// A fiber that was left in the middle of its function may be started anew: what lies on its stack is forgotten, not destroyed.

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace model {

class fiber {
  public:
    using function = void (*)() noexcept;

    fiber() noexcept = default;  // the stack of the caller, once another one is switched to from it
    fiber(const fiber&) = delete;
    fiber& operator=(const fiber&) = delete;
    ~fiber();

    /// The next switch to it calls `entry`, which must not return. Makes a stack the first time.
    void start(function entry);
    /// Goes on with `to`; returns when somebody goes on with this one.
    void switch_to(fiber& to) noexcept;

  private:
    static constexpr std::size_t stack_bytes = 256 * 1024;
    std::byte* stack_ = nullptr;
#if defined(__x86_64__)
    void* stack_pointer_ = nullptr;
#else
    ucontext_t context_{};
#endif
};

}  // namespace model
