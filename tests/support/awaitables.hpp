// SPDX-License-Identifier: MIT
#pragma once

// awaitables with chosen behavior: one that never goes on and cannot be canceled, a gate that cannot be canceled, and a mailbox that
// brings values from any thread to one task.

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include <peal/detail/leaf_operation.hpp>
#include <peal/task/task.hpp>

namespace support {

/// Suspends for ever and takes no notice of a request to stop. Who awaits it is abandoned by the shutdown of its pool.
class never {
  public:
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise>) const noexcept {}
    void await_resume() const noexcept {}
};

/// Suspends one task until it is opened, by any thread, once. Takes no notice of a request to stop.
///
/// second_   opener, waiting task   acq_rel exchange: the second of the two makes the task go on
class gate : peal::detail::work_item {
  public:
    gate() = default;
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

    void open() noexcept {
        if (second_.exchange(true, std::memory_order_acq_rel)) peal::detail::enqueue_woken(*this);  // then the gate may be gone
    }

    bool await_ready() const noexcept { return false; }
    template <peal::detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        handle = awaiting;
        owner = &awaiting.promise().owner();
        return !second_.exchange(true, std::memory_order_acq_rel);
    }
    void await_resume() const noexcept {}

  private:
    std::atomic<bool> second_{false};
};

/// Values in order, from any thread, for one task at a time.
///
/// A canceled pop() leaves the value in the mailbox; a value that came first wins.
template <class T>
class mailbox {
  public:
    mailbox() = default;
    mailbox(const mailbox&) = delete;
    mailbox& operator=(const mailbox&) = delete;

    void push(T value) {
        pop_operation* told;
        {
            std::lock_guard guard(mutex_);
            values_.push_back(std::move(value));
            told = std::exchange(waiting_, nullptr);
        }
        if (told != nullptr) told->arrived();  // from here on the mailbox may be gone
    }

    class [[nodiscard]] pop_operation : peal::detail::registering_operation {
      public:
        explicit pop_operation(mailbox& box) noexcept : registering_operation(&pop_operation::stop_waiting), box_(box) {}

        bool await_ready() const noexcept { return false; }
        template <peal::detail::peal_promise Promise>
        bool await_suspend(std::coroutine_handle<Promise> awaiting) {
            return suspend(awaiting, awaiting.promise().owner(), [this] { return box_.wait(*this); });
        }
        T await_resume() {
            if (was_canceled()) peal::detail::throw_canceled("mailbox pop");
            return box_.take();
        }

      private:
        friend mailbox;
        void arrived() noexcept { happened(); }
        static void stop_waiting(peal::detail::cancelable& self) noexcept {
            auto& me = static_cast<pop_operation&>(self);
            me.stop([&me] { return me.box_.forget(me); });
        }
        mailbox& box_;
    };
    pop_operation pop() noexcept { return pop_operation(*this); }

    std::optional<T> try_pop() {
        std::lock_guard guard(mutex_);
        if (values_.empty()) return std::nullopt;
        return take_locked();
    }
    std::size_t size() const {
        std::lock_guard guard(mutex_);
        return values_.size();
    }

  private:
    bool wait(pop_operation& waiting) {
        std::lock_guard guard(mutex_);
        if (!values_.empty()) return false;
        waiting_ = &waiting;
        return true;
    }
    bool forget(pop_operation& waiting) {
        std::lock_guard guard(mutex_);
        if (waiting_ != &waiting) return false;
        waiting_ = nullptr;
        return true;
    }
    T take() {
        std::lock_guard guard(mutex_);
        return take_locked();
    }
    T take_locked() {
        T first = std::move(values_.front());
        values_.pop_front();
        return first;
    }

    mutable std::mutex mutex_;
    std::deque<T> values_;
    pop_operation* waiting_ = nullptr;
};

}  // namespace support
