// SPDX-License-Identifier: MIT
#pragma once

// What stands in the place of peal's names for atomics and locks in the programs of tests/model (include/peal/detail/atomic.hpp), and
// what models use besides: var, event.

#include <cstring>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "explorer.hpp"

namespace model {

/// std::atomic, under the explorer.
template <class T>
class atomic {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(word));

  public:
    constexpr atomic() noexcept = default;
    constexpr atomic(T initial) noexcept : initial_(initial) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(std::memory_order order = std::memory_order_seq_cst, place where = place::current()) const noexcept {
        if (!is_running) return initial_;
        return value(model::load(object_, bits(initial_), order, where));
    }
    void store(T desired, std::memory_order order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        if (!is_running) {
            initial_ = desired;
            return;
        }
        model::store(object_, bits(initial_), bits(desired), order, where);
    }
    T exchange(T desired, std::memory_order order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        return change([](word, word argument) { return argument; }, bits(desired), order, "exchange", where);
    }
    T fetch_add(T by, std::memory_order order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        return change([](word a, word b) { return bits(static_cast<T>(value(a) + value(b))); }, bits(by), order, "fetch_add", where);
    }
    T fetch_sub(T by, std::memory_order order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        return change([](word a, word b) { return bits(static_cast<T>(value(a) - value(b))); }, bits(by), order, "fetch_sub", where);
    }
    T fetch_or(T with, std::memory_order order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        return change([](word a, word b) { return a | b; }, bits(with), order, "fetch_or", where);
    }
    T fetch_and(T with, std::memory_order order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        return change([](word a, word b) { return a & b; }, bits(with), order, "fetch_and", where);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure,
                                 place where = place::current()) noexcept {
        return compare(expected, desired, success, failure, false, where);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order order, place where = place::current()) noexcept {
        return compare(expected, desired, order, of_failure(order), false, where);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure,
                               place where = place::current()) noexcept {
        return compare(expected, desired, success, failure, true, where);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order order, place where = place::current()) noexcept {
        return compare(expected, desired, order, of_failure(order), true, where);
    }

  private:
    static word bits(T from) noexcept {
        word to = 0;
        std::memcpy(&to, &from, sizeof(T));
        return to;
    }
    static T value(word from) noexcept {
        T to;
        std::memcpy(&to, &from, sizeof(T));
        return to;
    }
    static std::memory_order of_failure(std::memory_order order) noexcept {
        return order == std::memory_order_acq_rel   ? std::memory_order_acquire
               : order == std::memory_order_release ? std::memory_order_relaxed
                                                    : order;
    }
    T change(change_function how, word argument, std::memory_order order, const char* name, const place& where) noexcept {
        if (!is_running) return std::exchange(initial_, value(how(bits(initial_), argument)));
        return value(model::exchange(object_, bits(initial_), how, argument, order, name, where));
    }
    bool compare(T& expected, T desired, std::memory_order success, std::memory_order failure, bool is_weak, const place& where) noexcept {
        if (!is_running) {
            bool is_equal = bits(initial_) == bits(expected);
            (is_equal ? initial_ : expected) = is_equal ? desired : initial_;
            return is_equal;
        }
        word seen = bits(expected);
        bool changed = model::compare_exchange(object_, bits(initial_), seen, bits(desired), success, failure, is_weak, where);
        if (!changed) expected = value(seen);
        return changed;
    }

    object object_;
    T initial_{};
};

/// A plain variable: two accesses, one of them a write, that are not ordered by happens-before are reported as a data race.
template <class T>
class var {
  public:
    var() = default;
    explicit var(T initial) : value_(std::move(initial)) {}

    const T& get(place where = place::current()) const {
        read_plain(object_, where);
        return value_;
    }
    void set(T value, place where = place::current()) {
        write_plain(object_, where);
        value_ = std::move(value);
    }

  private:
    object object_;
    T value_{};
};

/// An event that lets one waiter through per raise; raised twice with nobody waiting is raised once. As an eventfd.
class event {
  public:
    void raise(place where = place::current()) { model::raise(object_, where); }
    void await(place where = place::current()) { static_cast<void>(model::await(object_, false, where)); }
    /// False: time has passed first.
    bool await_a_while(place where = place::current()) { return model::await(object_, true, where); }

  private:
    object object_;
};

class mutex {
  public:
    void lock(place where = place::current()) { model::lock(object_, where); }
    void unlock(place where = place::current()) { model::unlock(object_, where); }

  private:
    friend class condition;
    object object_;
};

class condition {
  public:
    template <class Predicate>
    void wait(std::unique_lock<mutex>& lock, Predicate happened, place where = place::current()) {
        while (!happened()) static_cast<void>(model::wait(object_, lock.mutex()->object_, false, where));
    }
    template <class Duration, class Predicate>
    bool wait_for(std::unique_lock<mutex>& lock, Duration, Predicate happened, place where = place::current()) {
        while (!happened()) {
            if (!model::wait(object_, lock.mutex()->object_, true, where)) return happened();
        }
        return true;
    }
    void notify_one(place where = place::current()) { model::notify(object_, false, where); }
    void notify_all(place where = place::current()) { model::notify(object_, true, where); }

  private:
    object object_;
};

/// std::thread, under the explorer.
class thread {
  public:
    template <class Function>
    explicit thread(Function function) : ended_(std::make_unique<event>()) {
        begin_thread([function = std::move(function), ended = ended_.get()]() mutable {
            function();
            ended->raise();
        });
    }
    void join() {
        ended_->await();
        ended_ = nullptr;
    }
    void detach() noexcept { static_cast<void>(ended_.release()); }  // it stays, and is reported as a leak: nothing explored detaches

  private:
    std::unique_ptr<event> ended_;
};

}  // namespace model

namespace peal::detail {

inline constexpr bool is_explored = true;

template <class T>
using atomic = model::atomic<T>;
using thread_mutex = model::mutex;
using thread_condition = model::condition;
using thread = model::thread;
template <class Function>
void begin_detached_thread(Function function) {
    model::begin_thread(std::move(function));
}
template <class Duration>
void pause_thread(Duration, model::place where = model::place::current()) {
    model::spin(where);
}
inline void spin_hint(model::place where = model::place::current()) { model::spin(where); }

}  // namespace peal::detail
