// SPDX-License-Identifier: MIT
// Operations and tasks of peal need the context of a task: a coroutine of another library cannot await them.
// expect: peal_promise

#include <coroutine>

#include <peal/task/task.hpp>

struct foreign {
    struct promise_type {
        foreign get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};

peal::task<> inner() { co_return; }

#ifdef WRONG
foreign outer() { co_await inner(); }
#else
peal::task<> outer() { co_await inner(); }
#endif
