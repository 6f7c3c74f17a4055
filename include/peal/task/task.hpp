// SPDX-License-Identifier: MIT
#pragma once

// task<T>: a coroutine that starts when it is awaited and gives a T to the one who awaits.

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <peal/detail/frame_memory.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/task/context.hpp>

namespace peal {

template <class T>
class task;

namespace detail {

/// Whom a forked coroutine tells that it has ended (detail/fork.hpp). Gives the coroutine that goes on with this thread, if one does.
struct fork_place {
    std::coroutine_handle<> (*ended)(fork_place& place, bool failed) noexcept;
};

/// What every coroutine of peal has in its promise: the way to its context.
class promise_base : public in_frame_memory {
  public:
    context& owner() const noexcept { return *owner_; }
    void set_owner(context& owner) noexcept { owner_ = &owner; }
    /// A coroutine goes on when this one ends.
    void set_continuation(std::coroutine_handle<> continuation) noexcept {
        continuation_ = reinterpret_cast<std::uintptr_t>(continuation.address());
    }
    /// A sibling goes on, or whoever waits for all of them.
    void set_fork(fork_place& place) noexcept { continuation_ = reinterpret_cast<std::uintptr_t>(&place) | no_coroutine; }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    /// A task that was awaited goes on with the one who awaits; a spawned one tells its context; a forked one its siblings.
    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        transfer await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
            Promise& promise = ended.promise();
            if ((promise.continuation_ & no_coroutine) == 0) [[likely]] {
                return transfer_to(std::coroutine_handle<>::from_address(reinterpret_cast<void*>(promise.continuation_)));
            }
            // Nothing of this frame is touched after these calls: it may be gone.
            std::coroutine_handle<> next;
            if (promise.continuation_ == no_coroutine) {
                next = promise.owner_->ended();
            } else if constexpr (requires { promise.has_failed(); }) {
                auto& place = *reinterpret_cast<fork_place*>(promise.continuation_ & ~no_coroutine);
                next = place.ended(place, promise.has_failed());
            }
            return next ? transfer_to(next) : transfer_to_nobody();
        }
        void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }

  private:
    static constexpr std::uintptr_t no_coroutine = 1;  // mark of other things than addresses of coroutines; alone: tell the context

    context* owner_ = nullptr;
    std::uintptr_t continuation_ = no_coroutine;
};

template <class Promise>
concept peal_promise = std::derived_from<Promise, promise_base>;

template <class T>
class promise_result : public promise_base {
    using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>;

  public:
    promise_result() noexcept {}
    ~promise_result() {
        if (kind_ == kind::value) std::destroy_at(std::addressof(value_));
        if (kind_ == kind::exception) std::destroy_at(std::addressof(exception_));
    }

    template <class U = T>
        requires std::convertible_to<U&&, T>
    void return_value(U&& value) {
        static_assert(!std::is_lvalue_reference_v<T> ||
                          (std::is_lvalue_reference_v<U> &&
                           std::convertible_to<std::remove_reference_t<U>*, std::remove_reference_t<T>*>),
                      "a task that gives a reference cannot co_return a temporary, or what is converted into one: it would be gone "
                      "when the awaiter sees it");
        if constexpr (std::is_reference_v<T>) {
            T reference = static_cast<U&&>(value);
            std::construct_at(std::addressof(value_), std::addressof(reference));
        } else {
            std::construct_at(std::addressof(value_), std::forward<U>(value));
        }
        kind_ = kind::value;
    }
    void unhandled_exception() noexcept {
        std::construct_at(std::addressof(exception_), std::current_exception());
        kind_ = kind::exception;
    }

    bool has_failed() const noexcept { return kind_ == kind::exception; }
    std::exception_ptr failure() const noexcept { return kind_ == kind::exception ? exception_ : nullptr; }
    T take() {
        if (kind_ == kind::exception) std::rethrow_exception(exception_);
        if constexpr (std::is_reference_v<T>) {
            return static_cast<T>(*value_);
        } else {
            return std::move(value_);
        }
    }

  private:
    enum class kind : unsigned char { none, value, exception };
    union {
        stored value_;
        std::exception_ptr exception_;
    };
    kind kind_ = kind::none;
};

template <>
class promise_result<void> : public promise_base {
  public:
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { exception_ = std::current_exception(); }
    bool has_failed() const noexcept { return exception_ != nullptr; }
    std::exception_ptr failure() const noexcept { return exception_; }
    void take() const {
        if (exception_) std::rethrow_exception(exception_);
    }

  private:
    std::exception_ptr exception_;
};

/// Owns the frame of a task while it is awaited.
template <class T>
class task_awaiter;

}  // namespace detail

/// A coroutine that runs when it is awaited, in the task of whoever awaits it, and hands over its value or its exception.
/// To run something at the same time instead, spawn() it.
///
/// Lazy, move-only, awaited once (asserted). Dropping a task that was never awaited destroys its arguments and runs nothing.
/// T may be void, a reference, move-only, and without a default constructor.
///
/// Threads:      belongs to one thread or task at a time; runs where its awaiter runs, until it moves itself.
/// Cancellation: belongs to the task that awaits: the operation it is suspended on ends with operation_canceled.
/// Lifetime:     arguments taken by reference must outlive the await; those taken by value live in the frame.
/// Allocates:    its frame, from the free lists of the thread.
template <class T = void>
class [[nodiscard("a task does nothing until it is awaited or spawned")]] task {
  public:
    using value_type = T;

    class promise_type : public detail::promise_result<T> {
      public:
        task get_return_object() noexcept { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }

        template <class U>
        std::suspend_never yield_value(U&&) const noexcept {
            static_assert(!std::same_as<U, U>, "a task gives one value, by co_return: what shall co_yield many is an async_generator");
            return {};
        }
    };

    task() noexcept = default;
    task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        if (this != &other) {
            if (coroutine_) coroutine_.destroy();
            coroutine_ = std::exchange(other.coroutine_, nullptr);
        }
        return *this;
    }
    ~task() {
        if (coroutine_) coroutine_.destroy();
    }

    detail::task_awaiter<T> operator co_await() && noexcept;
    void operator co_await() & = delete;  // a task is awaited once and handed over: co_await std::move(task)

    /// For spawn(): gives up the frame.
    std::coroutine_handle<promise_type> release() noexcept { return std::exchange(coroutine_, nullptr); }

  private:
    explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
class detail::task_awaiter {
  public:
    explicit task_awaiter(std::coroutine_handle<typename task<T>::promise_type> coroutine) noexcept
        : coroutine_(coroutine) {}
    task_awaiter(const task_awaiter&) = delete;
    task_awaiter& operator=(const task_awaiter&) = delete;
    ~task_awaiter() {
        if (coroutine_) coroutine_.destroy();
    }

    bool await_ready() const noexcept {
        PEAL_ASSERT(coroutine_, "a task was awaited twice, or after it was moved from");
        return false;
    }
    template <peal_promise Promise>
    transfer await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        coroutine_.promise().set_owner(awaiting.promise().owner());
        coroutine_.promise().set_continuation(awaiting);
        return transfer_to(coroutine_);
    }
    T await_resume() { return coroutine_.promise().take(); }

    /// For as_result(): the exception, without throwing it.
    std::exception_ptr failure() const noexcept { return coroutine_.promise().failure(); }

  private:
    std::coroutine_handle<typename task<T>::promise_type> coroutine_;
};

template <class T>
detail::task_awaiter<T> task<T>::operator co_await() && noexcept {
    return detail::task_awaiter<T>(std::exchange(coroutine_, nullptr));
}

}  // namespace peal
