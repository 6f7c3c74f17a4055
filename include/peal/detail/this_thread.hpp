// SPDX-License-Identifier: MIT
#pragma once

// What peal keeps per thread, and how one coroutine hands its thread to the next.
//
// Deep chains in constant stack (promise P8). A coroutine that awaits a task, and a task that ends, hand the thread to another
// coroutine. clang turns a returned handle into a jump at every optimisation level and under sanitizers. g++ 12 does so only
// with optimisation and without sanitizers; elsewhere each hand-over would leave a stack frame behind. So with g++ the handle
// is left in `this_thread.next` and the coroutine returns to resume_chain(), the only caller of resume() in peal (but for a generator,
// which awaits nothing), which goes on with it. Both forms may meet in one program: resume_chain() works for either.
// An awaitable of another library may resume a coroutine by itself. Then there is no chain below it, or one that already has somewhere to
// go: the hand-over starts a chain of its own, so no coroutine is lost.

#include <coroutine>
#include <utility>

#include <peal/detail/config.hpp>

namespace peal {
class context;
}
namespace peal::rt {
class worker;
}

namespace peal::detail {

class fork_queue;

struct thread_state {
    rt::worker* worker = nullptr;     // null on threads that are no worker
    context* current = nullptr;       // the task that runs here now
    std::coroutine_handle<> next;     // hand-over, see above
    unsigned chains = 0;              // calls of resume_chain() on the stack
    unsigned turn = 0;                // where the next select() begins
    fork_queue* forks = nullptr;      // the worker's
    unsigned forks_until_look = 1;    // then it is time to look at the ring (fork_group::pause)
};

// One load relative to the thread pointer: no call, no guard. The variable has no constructor to run, so constinit holds.
PEAL_EXPORT extern constinit thread_local thread_state this_thread __attribute__((tls_model("initial-exec")));

/// Resumes `handle` and whatever it hands the thread to, until the chain suspends or ends.
inline void resume_chain(std::coroutine_handle<> handle) {
    ++this_thread.chains;
    handle.resume();
    while (std::coroutine_handle<> next = std::exchange(this_thread.next, nullptr)) next.resume();
    --this_thread.chains;
}

#if defined(__clang__)
using transfer = std::coroutine_handle<>;
inline transfer transfer_to(std::coroutine_handle<> target) noexcept { return target; }
inline transfer transfer_to_nobody() noexcept { return std::noop_coroutine(); }
#else
using transfer = void;
inline transfer transfer_to(std::coroutine_handle<> target) noexcept {
    if (this_thread.chains != 0 && !this_thread.next) [[likely]] {
        this_thread.next = target;
    } else {
        resume_chain(target);
    }
}
inline transfer transfer_to_nobody() noexcept {}
#endif

}  // namespace peal::detail
