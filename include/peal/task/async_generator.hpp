// SPDX-License-Identifier: MIT
#pragma once

// async_generator<T>: a coroutine that gives a sequence of values and may wait between them.
//
// The consumer resumes it inside its own await of next(), and co_yield resumes the consumer: both hand the thread over as tasks do
// (detail/this_thread.hpp), so a loop over values that are ready at once runs in constant stack. Between two next() it is suspended
// at a co_yield and belongs to no context; each next() gives it that of whoever awaits.

#include <concepts>
#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include <peal/detail/this_thread.hpp>
#include <peal/detail/yielded.hpp>
#include <peal/error.hpp>
#include <peal/task/context.hpp>
#include <peal/task/task.hpp>

namespace peal {

template <class T>
class async_generator;

namespace detail {

template <class T>
class async_generator_promise;
template <class T>
class next_operation;

}  // namespace detail

/// A sequence of values whose coroutine awaits what it needs, as a task does, and gives each value by `co_yield`. Read it by what other
/// languages call `async for`:
///
///     peal::async_generator<std::string> lines(peal::net::tcp_stream& stream);
///     auto all = lines(stream);
///     while (auto line = co_await all.next()) use(*line);     // std::optional<std::string>; of a generator of T&: T*
///
/// Nothing runs ahead: the coroutine works only while next() is awaited, in the task of whoever awaits it, from one co_yield to the
/// next. For values without waiting generator<T> is simpler; for a producer that runs beside its consumer, spawn a task.
///
/// Threads:      one task at a time, which may be another for each value. Where the coroutine moves, its consumer goes on.
/// Cancellation: belongs to the task that awaits next(): the operation that the coroutine is suspended on ends with
///               operation_canceled. If it lets that pass, next() throws it and the sequence has ended; so it is with a timeout().
/// Lifetime:     arguments taken by reference must outlive it. It may be destroyed after any value: what its coroutine holds is
///               destroyed, then and there. Not while next() is awaited (asserted): a next() that shall not go on is asked to stop and
///               awaited to its end, as anything is. A scope in the coroutine belongs to the task, or the timeout(), that awaits
///               next(): join it before the next co_yield.
/// Errors:       an exception of its coroutine comes out of next(); after that the sequence has ended.
/// Allocates:    its frame, from the free lists of the thread; nothing per value.
template <class T>
class [[nodiscard("an async_generator does nothing until its next() is awaited")]] async_generator {
  public:
    using promise_type = detail::async_generator_promise<T>;

    async_generator() noexcept = default;
    async_generator(async_generator&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    async_generator& operator=(async_generator&& other) noexcept {
        if (this != &other) {
            destroy();
            coroutine_ = std::exchange(other.coroutine_, nullptr);
        }
        return *this;
    }
    ~async_generator() { destroy(); }

    /// The next value, or nothing once the sequence has ended, from then on for ever. Gives std::optional<T>; of an async_generator<T&> a
    /// T*, null at the end. One at a time (asserted).
    [[nodiscard("next() does nothing until it is awaited")]] detail::next_operation<T> next() noexcept {
        PEAL_ASSERT(coroutine_, "async_generator::next() of an empty one: it was moved from");
        return detail::next_operation<T>(coroutine_);
    }
    void begin() = delete;  // a `for` cannot wait: while (auto item = co_await numbers.next())
    void end() = delete;

  private:
    friend detail::async_generator_promise<T>;
    explicit async_generator(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    void destroy() noexcept {
        if (!coroutine_) return;
        PEAL_ASSERT(!coroutine_.promise().is_running(), "an async_generator was destroyed while its next() is awaited");
        coroutine_.destroy();
    }

    std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
class detail::async_generator_promise : public promise_base, public yielded<T> {
  public:
    async_generator<T> get_return_object() noexcept {
        return async_generator<T>(std::coroutine_handle<async_generator_promise>::from_promise(*this));
    }

    /// A yield and the end are the same for the consumer: it goes on.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    promise_base::final_awaiter yield_value(U&& value) {
        this->set(std::forward<U>(value));
        return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { this->fail(); }

    /// A next() has begun and not ended.
    bool is_running() const noexcept { return running_; }
    void set_running(bool running) noexcept { running_ = running; }

  private:
    bool running_ = false;
};

template <class T>
class [[nodiscard("next() does nothing until it is awaited")]] detail::next_operation {
    using item = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::optional<T>>;

  public:
    explicit next_operation(std::coroutine_handle<async_generator_promise<T>> coroutine) noexcept : coroutine_(coroutine) {}
    next_operation(const next_operation&) = delete;
    next_operation& operator=(const next_operation&) = delete;

    bool await_ready() const noexcept {
        PEAL_ASSERT(!coroutine_.promise().is_running(), "async_generator::next() is awaited twice at the same time");
        return coroutine_.done();
    }
    template <peal_promise Promise>
    transfer await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        async_generator_promise<T>& promise = coroutine_.promise();
        promise.set_owner(awaiting.promise().owner());
        promise.set_continuation(awaiting);
        promise.set_running(true);
        return transfer_to(coroutine_);
    }
    item await_resume() {
        async_generator_promise<T>& promise = coroutine_.promise();
        promise.set_running(false);
        if (coroutine_.done()) {
            promise.rethrow_failure();
            return {};
        }
        if constexpr (std::is_reference_v<T>) {
            return std::addressof(promise.get());
        } else {
            return promise.take();
        }
    }
    /// For as_result().
    peal::result<item> result() {
        try {
            return await_resume();
        } catch (const std::system_error& failure) {
            return error::from_exception(failure);
        }
    }

  private:
    std::coroutine_handle<async_generator_promise<T>> coroutine_;
};

}  // namespace peal
