// SPDX-License-Identifier: MIT
#pragma once

// generator<T>: a coroutine that computes a sequence, one value each time somebody asks for the next.

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <iterator>
#include <ranges>
#include <utility>

#include <peal/detail/frame_memory.hpp>
#include <peal/detail/yielded.hpp>

namespace peal {

/// A sequence that is computed while it is read: a coroutine that gives values by `co_yield`. For `for`, and for std::views.
///
///     peal::generator<int> squares() { for (int i = 0;; ++i) co_yield i * i; }
///     for (int square : squares() | std::views::take(10)) ...
///
/// It computes on its own and cannot wait for anything: what needs `co_await` is an async_generator.
/// An iterator gives T&, to a value that lies in the generator until the next one is asked for; it may be moved out. A
/// generator<T&> gives the very object that was yielded. Read once, from begin(); a moved-from one is empty.
///
/// Threads:   one at a time. May stand in a task and move with it between workers.
/// Lifetime:  arguments taken by reference must outlive it. Destroyed in the middle, it destroys what its coroutine holds. Iterators
///            belong to the generator: it must outlive them.
/// Errors:    an exception of its coroutine comes out of begin() or ++; after that it is at its end.
/// Allocates: its frame, from the free lists of the thread; clang puts it into the frame of its reader where it can.
template <class T>
class [[nodiscard("a generator does nothing until it is read")]] generator : public std::ranges::view_base {
  public:
    class promise_type;
    class iterator;

    generator() noexcept = default;
    generator(generator&& other) noexcept
        : coroutine_(std::exchange(other.coroutine_, nullptr)), begun_(std::exchange(other.begun_, false)) {}
    generator& operator=(generator&& other) noexcept {
        if (this != &other) {
            if (coroutine_) coroutine_.destroy();
            coroutine_ = std::exchange(other.coroutine_, nullptr);
            begun_ = std::exchange(other.begun_, false);
        }
        return *this;
    }
    ~generator() {
        if (coroutine_) coroutine_.destroy();
    }

    /// Runs the coroutine to its first value. Once (asserted): what was read is gone.
    iterator begin() {
        PEAL_ASSERT(!begun_, "generator::begin() for the second time: a generator is read once, make it anew");
        begun_ = true;
        iterator first(coroutine_);
        if (coroutine_) ++first;
        return first;
    }
    std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

  private:
    explicit generator(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    std::coroutine_handle<promise_type> coroutine_;
    bool begun_ = false;
};

template <class T>
class generator<T>::promise_type : public detail::in_frame_memory, public detail::yielded<T> {
  public:
    generator get_return_object() noexcept { return generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }

    template <class U = T>
        requires std::convertible_to<U&&, T>
    std::suspend_always yield_value(U&& value) {
        this->set(std::forward<U>(value));
        return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { this->fail(); }

    template <class U>
    std::suspend_never await_transform(U&&) const noexcept {
        static_assert(!std::same_as<U, U>, "a generator cannot co_await: make it an async_generator, whose next() is awaited");
        return {};
    }
};

template <class T>
class generator<T>::iterator {
  public:
    using value_type = std::remove_cvref_t<T>;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    std::remove_reference_t<T>& operator*() const noexcept { return coroutine_.promise().get(); }
    std::remove_reference_t<T>* operator->() const noexcept { return std::addressof(**this); }
    iterator& operator++() {
        coroutine_.resume();
        if (coroutine_.done()) coroutine_.promise().rethrow_failure();
        return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !coroutine_ || coroutine_.done(); }

  private:
    friend generator;
    explicit iterator(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace peal
