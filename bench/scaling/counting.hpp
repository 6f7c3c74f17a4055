// SPDX-License-Identifier: MIT
#pragma once

// What stands in the place of peal's names for atomics, locks and threads in the programs of bench/scaling (include/peal/detail/atomic.hpp).

#include <memory>
#include <mutex>
#include <utility>

#include "machine.hpp"

namespace counting {

using machine::place;

template <class T>
class atomic {
  public:
    constexpr atomic() noexcept = default;
    constexpr atomic(T initial) noexcept : value_(initial) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(std::memory_order = std::memory_order_seq_cst, place where = place::current()) const noexcept {
        machine::touch(this, false, where);
        return value_;
    }
    void store(T desired, std::memory_order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        machine::touch(this, true, where);
        value_ = desired;
    }
    T exchange(T desired, std::memory_order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        machine::touch(this, true, where);
        return std::exchange(value_, desired);
    }
    T fetch_add(T by, std::memory_order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        machine::touch(this, true, where);
        return std::exchange(value_, static_cast<T>(value_ + by));
    }
    T fetch_sub(T by, std::memory_order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        machine::touch(this, true, where);
        return std::exchange(value_, static_cast<T>(value_ - by));
    }
    T fetch_or(T with, std::memory_order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        machine::touch(this, true, where);
        return std::exchange(value_, static_cast<T>(value_ | with));
    }
    T fetch_and(T with, std::memory_order = std::memory_order_seq_cst, place where = place::current()) noexcept {
        machine::touch(this, true, where);
        return std::exchange(value_, static_cast<T>(value_ & with));
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order, std::memory_order, place where = place::current()) noexcept {
        return compare(expected, desired, where);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order, place where = place::current()) noexcept {
        return compare(expected, desired, where);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order, place where = place::current()) noexcept {
        return compare(expected, desired, where);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, place where = place::current()) noexcept {
        return compare(expected, desired, where);
    }

  private:
    bool compare(T& expected, T desired, const place& where) noexcept {
        machine::touch(this, true, where);
        if (value_ != expected) {
            expected = value_;
            return false;
        }
        value_ = desired;
        return true;
    }

    T value_{};
};

class mutex {
  public:
    void lock(place where = place::current()) {
        machine::touch(this, true, where);
        while (is_held_) {
            if (!machine::is_running()) std::terminate();
            waiting_.wait();
            machine::touch(this, true, where);
        }
        is_held_ = true;
    }
    void unlock(place where = place::current()) {
        machine::touch(this, true, where);
        is_held_ = false;
        waiting_.wake_one(0);  // held for a handful of instructions: who waits spins
    }

  private:
    bool is_held_ = false;
    machine::waiting_line waiting_;
};

class condition {
  public:
    template <class Predicate>
    void wait(std::unique_lock<mutex>& lock, Predicate happened) {
        while (!happened()) {
            lock.unlock();
            if (!happened()) waiting_.wait();
            lock.lock();
        }
    }
    template <class Duration, class Predicate>
    bool wait_for(std::unique_lock<mutex>& lock, Duration length, Predicate happened) {
        auto deadline = machine::now() + std::chrono::duration_cast<std::chrono::nanoseconds>(length).count();
        while (!happened()) {
            lock.unlock();
            bool woken = happened() || waiting_.wait(deadline);
            lock.lock();
            if (!woken) return happened();
        }
        return true;
    }
    void notify_one() { waiting_.wake_one(machine::wake); }
    void notify_all() { waiting_.wake_all(machine::wake); }

  private:
    machine::waiting_line waiting_;
};

class thread {
  public:
    template <class Function>
    explicit thread(Function function) : state_(std::make_shared<state>()) {
        machine::begin_thread([function = std::move(function), state = state_]() mutable {
            function();
            state->has_ended = true;
            state->joins.wake_all(machine::wake);
        });
    }
    void join() {
        if (!state_->has_ended) state_->joins.wait();
    }
    void detach() noexcept {}

  private:
    struct state {
        bool has_ended = false;
        machine::waiting_line joins;
    };
    std::shared_ptr<state> state_;
};

}  // namespace counting

namespace peal::detail {

inline constexpr bool is_explored = false;

template <class T>
using atomic = counting::atomic<T>;
using thread_mutex = counting::mutex;
using thread_condition = counting::condition;
using thread = counting::thread;
template <class Function>
void begin_detached_thread(Function function) {
    machine::begin_thread(std::move(function));
}
template <class Duration>
void pause_thread(Duration length) {
    machine::compute(std::chrono::duration_cast<std::chrono::nanoseconds>(length).count());
}
inline void spin_hint() {
    machine::compute(machine::pause_length);
    machine::look_again();
}

}  // namespace peal::detail
