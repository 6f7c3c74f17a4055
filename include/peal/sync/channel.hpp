// SPDX-License-Identifier: MIT
#pragma once

// channel, unbounded_channel: items from any number of tasks to any number of tasks, each item to one.
//
// How a channel ends, for all of peal's channels: close() may be called by anyone, more than once. From then on nothing can be sent: send()
// throws std::errc::broken_pipe, also in those who wait to send; their items were not sent. What was sent before can still be received; then
// receive() gives nothing, for ever.
//
// Everything is guarded by `lock_`, which is held while an item is moved (no user code but its move constructor) and never while a task is
// resumed. senders_ is not empty only while the channel is full, receivers_ only while it is empty, but for those whose select() has
// been served elsewhere: they leave by themselves.

#include <concepts>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <peal/detail/claim.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/task.hpp>

namespace peal {

enum class send_outcome : unsigned char { sent, full, closed };

namespace detail {

[[noreturn]] PEAL_EXPORT void throw_closed(const char* operation);
inline error closed_error(const char* operation) { return error(std::make_error_code(std::errc::broken_pipe), operation); }
inline error canceled_error(const char* operation) { return error(std::make_error_code(std::errc::operation_canceled), operation); }

/// Slots for so many items; first in, first out.
template <class T>
class item_ring {
  public:
    explicit item_ring(std::size_t capacity) : capacity_(capacity), slots_(capacity != 0 ? std::make_unique<slot[]>(capacity) : nullptr) {}
    item_ring(const item_ring&) = delete;
    item_ring& operator=(const item_ring&) = delete;
    ~item_ring() {
        while (size_ != 0) pop();
    }

    std::size_t size() const noexcept { return size_; }
    bool is_full() const noexcept { return size_ == capacity_; }
    void push(T&& item) {
        std::size_t at = first_ + size_;
        ::new (slots_[at < capacity_ ? at : at - capacity_].bytes) T(std::move(item));
        ++size_;
    }
    T pop() {
        T* front = std::launder(reinterpret_cast<T*>(slots_[first_].bytes));
        T item(std::move(*front));
        std::destroy_at(front);
        if (++first_ == capacity_) first_ = 0;
        --size_;
        return item;
    }

  private:
    struct slot {
        alignas(T) std::byte bytes[sizeof(T)];
    };
    const std::size_t capacity_;
    std::unique_ptr<slot[]> slots_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

/// As many as memory holds.
template <class T>
class item_queue {
  public:
    std::size_t size() const noexcept { return items_.size(); }
    static constexpr bool is_full() noexcept { return false; }
    void push(T&& item) { items_.push_back(std::move(item)); }
    T pop() {
        T item(std::move(items_.front()));
        items_.pop_front();
        return item;
    }

  private:
    std::deque<T> items_;
};

template <class T, class Items>
class channel_core {
    static_assert(std::is_nothrow_move_constructible_v<T>,
                  "items of a channel are moved while its lock is held: the move constructor must be noexcept; else send a "
                  "std::unique_ptr");

  public:
    class [[nodiscard("await it")]] send_operation;
    class [[nodiscard("await it")]] receive_operation;

    template <class... Arguments>
        requires std::constructible_from<Items, Arguments...>
    explicit channel_core(Arguments&&... arguments) : items_(std::forward<Arguments>(arguments)...) {}
    channel_core(const channel_core&) = delete;
    channel_core& operator=(const channel_core&) = delete;
    ~channel_core() { lock_.wait_until_free(); }

    send_outcome try_send(T& item) {
        wait_operation* woken = nullptr;
        {
            guard inside(lock_);
            if (closed_) return send_outcome::closed;
            if (!put(item, nullptr, woken)) return send_outcome::full;
        }
        if (woken != nullptr) woken->wake();
        return send_outcome::sent;
    }
    /// Sends and closes, in one step: whoever gets the item may destroy the channel at once.
    send_outcome try_send_last(T& item) {
        wait_operation* woken = nullptr;
        wake_chain ended;
        {
            guard inside(lock_);
            if (closed_) return send_outcome::closed;
            if (!put(item, nullptr, woken)) return send_outcome::full;
            end_all(ended);
        }
        if (woken != nullptr) woken->wake();
        ended.wake_all();
        return send_outcome::sent;
    }
    std::optional<T> try_receive() {
        std::optional<T> item;
        wait_operation* woken = nullptr;
        {
            guard inside(lock_);
            get(item, nullptr, woken);
        }
        if (woken != nullptr) woken->wake();
        return item;
    }
    void close() noexcept {
        wake_chain ended;
        {
            guard inside(lock_);
            end_all(ended);
        }
        ended.wake_all();
    }
    bool is_closed() const noexcept {
        guard inside(lock_);
        return closed_;
    }
    std::size_t size() const noexcept {
        guard inside(lock_);
        return items_.size();
    }

  private:
    using guard = std::lock_guard<spin_lock>;

    /// Under the lock. Those who wait are told. One whose select() has been served elsewhere stays on its list until it leaves.
    void end_all(wake_chain& ended) noexcept {
        closed_ = true;
        for (wait_list* list : {&senders_, &receivers_}) {
            for (wait_operation* waiter = list->front(); waiter != nullptr;) {
                wait_operation* next = list->after(*waiter);
                claim* its = list == &senders_ ? static_cast<send_operation*>(waiter)->claim_
                                               : static_cast<receive_operation*>(waiter)->claim_;
                if (try_take_both(its, nullptr)) {
                    static_cast<void>(list->remove(*waiter));
                    ended.push_back(*waiter);
                }
                waiter = next;
            }
        }
    }
    /// Under the lock, not closed. True: `item` was moved from; `woken` is the receiver that has it, if there is one.
    bool put(T& item, claim* giver, wait_operation*& woken) {
        for (wait_operation* waiter = receivers_.front(); waiter != nullptr; waiter = receivers_.after(*waiter)) {
            auto& receiver = *static_cast<receive_operation*>(waiter);
            if (!try_take_both(giver, receiver.claim_)) continue;
            static_cast<void>(receivers_.remove(receiver));
            receiver.item_.emplace(std::move(item));
            woken = &receiver;
            return true;
        }
        if (items_.is_full() || !try_take_both(giver, nullptr)) return false;
        items_.push(std::move(item));
        return true;
    }
    /// Under the lock. `woken` is the sender whose item it was, or whose item took the room, if there is one.
    bool get(std::optional<T>& item, claim* taker, wait_operation*& woken) {
        if (items_.size() != 0) {
            if (!try_take_both(taker, nullptr)) return false;
            item.emplace(items_.pop());
            if (send_operation* sender = next_sender(nullptr)) {
                items_.push(std::move(sender->item_));
                woken = sender;
            }
            return true;
        }
        send_operation* sender = next_sender(taker);
        if (sender == nullptr) return false;
        item.emplace(std::move(sender->item_));
        woken = sender;
        return true;
    }
    send_operation* next_sender(claim* taker) noexcept {
        for (wait_operation* waiter = senders_.front(); waiter != nullptr; waiter = senders_.after(*waiter)) {
            auto& sender = *static_cast<send_operation*>(waiter);
            if (!try_take_both(taker, sender.claim_)) continue;
            static_cast<void>(senders_.remove(sender));
            sender.sent_ = true;
            return &sender;
        }
        return nullptr;
    }

    mutable spin_lock lock_;
    bool closed_ = false;
    Items items_;
    wait_list senders_;
    wait_list receivers_;
};

template <class T, class Items>
class channel_core<T, Items>::send_operation : wait_operation {
  public:
    send_operation(channel_core& to, T&& item) noexcept
        : wait_operation(&send_operation::stop_waiting), to_(to), item_(std::move(item)) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        context& task = awaiting.promise().owner();
        claim_ = task.claim();
        wait_operation* woken = nullptr;
        bool suspended = this->wait(awaiting, task, [this, &woken] {
            guard inside(to_.lock_);
            if (to_.closed_ || (sent_ = to_.put(item_, claim_, woken))) return false;
            return this->enlist(to_.senders_);
        });
        if (woken != nullptr) woken->wake();  // not suspended: only then was something put
        return suspended;
    }
    void await_resume() {
        if (sent_) return;
        if (was_canceled()) throw_canceled("channel send");
        throw_closed("channel send");
    }
    peal::result<void> result() {
        if (sent_) return {};
        return was_canceled() ? canceled_error("channel send") : closed_error("channel send");
    }

  private:
    friend class channel_core;
    static void stop_waiting(cancelable& self) noexcept {
        auto& me = static_cast<send_operation&>(self);
        me.stop([&me] {
            guard inside(me.to_.lock_);
            return me.to_.senders_.remove(me);
        });
    }

    channel_core& to_;
    T item_;
    claim* claim_ = nullptr;
    bool sent_ = false;
};

template <class T, class Items>
class channel_core<T, Items>::receive_operation : wait_operation {
  public:
    explicit receive_operation(channel_core& from) noexcept : wait_operation(&receive_operation::stop_waiting), from_(from) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        context& task = awaiting.promise().owner();
        claim_ = task.claim();
        wait_operation* woken = nullptr;
        bool suspended = this->wait(awaiting, task, [this, &woken] {
            guard inside(from_.lock_);
            if (from_.get(item_, claim_, woken)) return false;
            if (from_.closed_ && try_take_both(claim_, nullptr)) return false;
            return this->enlist(from_.receivers_);
        });
        if (woken != nullptr) woken->wake();  // not suspended: only then was something got
        return suspended;
    }
    std::optional<T> await_resume() {
        if (!item_ && was_canceled()) throw_canceled("channel receive");
        return std::move(item_);
    }
    peal::result<std::optional<T>> result() {
        if (!item_ && was_canceled()) return canceled_error("channel receive");
        return std::move(item_);
    }

  private:
    friend class channel_core;
    static void stop_waiting(cancelable& self) noexcept {
        auto& me = static_cast<receive_operation&>(self);
        me.stop([&me] {
            guard inside(me.from_.lock_);
            return me.from_.receivers_.remove(me);
        });
    }

    channel_core& from_;
    std::optional<T> item_;
    claim* claim_ = nullptr;
};

}  // namespace detail

/// Hands items from task to task, at most `capacity` of them waiting: then send() waits. Capacity 0: each send() waits for its receive().
///
/// Threads:      any task on any pool; try_send(), try_receive(), blocking_send(), blocking_receive() and close() any thread.
/// Fairness:     in order of arrival, of items, of senders and of receivers, whatever the priority of their tasks.
/// Cancellation: a canceled send() has not sent; a canceled receive() has taken nothing. What was handed over first wins.
/// Lifetime:     outlives those who wait (asserted).
/// Allocates:    its slots, when it is made.   Kernel: none.
template <class T>
class channel {
    using core = detail::channel_core<T, detail::item_ring<T>>;

  public:
    explicit channel(std::size_t capacity) : capacity_(capacity), core_(capacity) {}

    /// Waits for room. Throws std::system_error: broken_pipe after close(), operation_canceled.
    auto send(T item) noexcept { return typename core::send_operation(core_, std::move(item)); }
    /// Never waits. The item is moved from only if it was sent.
    [[nodiscard]] send_outcome try_send(T& item) { return core_.try_send(item); }
    [[nodiscard]] send_outcome try_send(T&& item) { return core_.try_send(item); }

    /// Waits for an item; nothing once the channel is closed and empty:
    /// `while (auto item = co_await channel.receive()) use(*item);`
    auto receive() noexcept { return typename core::receive_operation(core_); }
    /// Never waits.
    std::optional<T> try_receive() { return core_.try_receive(); }

    /// For threads of the program, which must not be workers (asserted).
    void blocking_send(T item) {
        auto sending = [](channel& to, T sent) -> task<> { co_await to.send(std::move(sent)); };
        sync_wait(sending(*this, std::move(item)));
    }
    std::optional<T> blocking_receive() {
        auto receiving = [](channel& from) -> task<std::optional<T>> { co_return co_await from.receive(); };
        return sync_wait(receiving(*this));
    }

    /// See the head of this file. Idempotent.
    void close() noexcept { core_.close(); }
    bool is_closed() const noexcept { return core_.is_closed(); }
    std::size_t size() const noexcept { return core_.size(); }
    std::size_t capacity() const noexcept { return capacity_; }

  private:
    const std::size_t capacity_;
    core core_;
};

/// The same without a bound: send() never waits. What is sent faster than it is received fills the memory; prefer channel.
template <class T>
class unbounded_channel {
    using core = detail::channel_core<T, detail::item_queue<T>>;

  public:
    /// Any thread. False after close().
    bool send(T item) { return core_.try_send(item) == send_outcome::sent; }
    auto receive() noexcept { return typename core::receive_operation(core_); }
    std::optional<T> try_receive() { return core_.try_receive(); }
    std::optional<T> blocking_receive() {
        auto receiving = [](unbounded_channel& from) -> task<std::optional<T>> { co_return co_await from.receive(); };
        return sync_wait(receiving(*this));
    }

    void close() noexcept { core_.close(); }
    bool is_closed() const noexcept { return core_.is_closed(); }
    std::size_t size() const noexcept { return core_.size(); }

  private:
    core core_;
};

}  // namespace peal
