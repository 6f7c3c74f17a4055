// SPDX-License-Identifier: MIT
#pragma once

// An item for a scheduler, without the layer of tasks.

#include <coroutine>
#include <functional>
#include <utility>

#include <peal/detail/work_item.hpp>

namespace support {

/// A piece of work: a coroutine that runs a function, once.
class work : public peal::detail::work_item {
  public:
    explicit work(std::function<void()> function) : function_(std::move(function)), coroutine_(run(*this)) { handle = coroutine_.handle; }
    work(const work&) = delete;
    work& operator=(const work&) = delete;
    ~work() { coroutine_.handle.destroy(); }

  private:
    struct coroutine {
        struct promise_type {
            coroutine get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
            std::suspend_always initial_suspend() noexcept { return {}; }
            std::suspend_always final_suspend() noexcept { return {}; }
            void return_void() {}
            void unhandled_exception() {}
        };
        std::coroutine_handle<promise_type> handle;
    };
    static coroutine run(work& self) {
        self.function_();
        co_return;
    }
    std::function<void()> function_;
    coroutine coroutine_;
};

}  // namespace support
