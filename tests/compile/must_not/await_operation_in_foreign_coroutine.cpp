// SPDX-License-Identifier: MIT
// As await_task_in_foreign_coroutine.cpp, for an operation.
// expect: peal_promise

#include <chrono>
#include <coroutine>

#include <peal/time/sleep.hpp>

struct foreign {
    struct promise_type {
        foreign get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};

#ifdef WRONG
foreign outer() { co_await peal::sleep_for(std::chrono::seconds(1)); }
#else
peal::task<> outer() { co_await peal::sleep_for(std::chrono::seconds(1)); }
#endif
