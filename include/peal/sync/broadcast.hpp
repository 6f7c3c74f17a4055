// SPDX-License-Identifier: MIT
#pragma once

// broadcast: every item to every subscriber. watch: the latest value to everyone.
//
// A sender never waits for a slow subscriber: broadcast keeps the last `capacity` items, and a subscriber who is further behind is told how
// many it has missed. Close semantics as with all channels (sync/channel.hpp).
//
// Everything is guarded by `lock_`; items are copied while it is held (that is a reason to send std::shared_ptr of large ones).
// waiting_ holds those who have seen everything.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <peal/detail/claim.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/sync/channel.hpp>
#include <peal/task/task.hpp>

namespace peal {

namespace detail {

/// Waits until `Source` has something that its reader has not seen, or is closed. `Source`: `lock_`, `waiting_`, `bool has_news(reader)`.
template <class Source, class Reader>
class [[nodiscard("await it")]] news_operation : wait_operation {
  public:
    news_operation(Source& source, Reader& reader, const char* name) noexcept
        : wait_operation(&news_operation::stop_waiting), source_(source), reader_(reader), name_(name) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        context& task = awaiting.promise().owner();
        claim_ = task.claim();
        return wait(awaiting, task, [this] {
            std::lock_guard guard(source_.lock_);
            if (source_.has_news(reader_) && try_take_both(claim_, nullptr)) return false;
            return this->enlist(source_.waiting_);
        });
    }
    auto await_resume() {
        if (was_canceled()) throw_canceled(name_);
        return source_.read(reader_);
    }
    auto result() -> peal::result<decltype(std::declval<Source&>().read(std::declval<Reader&>()))> {
        if (was_canceled()) return canceled_error(name_);
        return source_.read(reader_);
    }

    /// Under the lock: takes off all whose select() has not been served elsewhere.
    static void take_off(wait_list& waiting, wake_chain& woken) noexcept {
        for (wait_operation* waiter = waiting.front(); waiter != nullptr;) {
            wait_operation* next = waiting.after(*waiter);
            if (try_take_both(static_cast<news_operation*>(waiter)->claim_, nullptr)) {
                static_cast<void>(waiting.remove(*waiter));
                woken.push_back(*waiter);
            }
            waiter = next;
        }
    }

  private:
    static void stop_waiting(cancelable& self) noexcept {
        auto& me = static_cast<news_operation&>(self);
        me.stop([&me] {
            std::lock_guard guard(me.source_.lock_);
            return me.source_.waiting_.remove(me);
        });
    }

    Source& source_;
    Reader& reader_;
    const char* name_;
    claim* claim_ = nullptr;
};

}  // namespace detail

/// Sends every item to every subscriber.
///
/// Threads:      send(), subscribe() and close() any; a subscriber belongs to one task at a time.
/// Lifetime:     outlives its subscribers.
/// Allocates:    its slots, when it is made.   Kernel: none.
template <std::copyable T>
class broadcast {
  public:
    class received {
      public:
        received(T item, std::uint64_t missed) : item(std::move(item)), missed(missed) {}
        T item;
        std::uint64_t missed;  // items before this one that were overwritten before the subscriber came to them
    };
    class subscriber;

    /// Requires: capacity > 0 (asserted).
    explicit broadcast(std::size_t capacity) : capacity_(capacity) {
        PEAL_ASSERT(capacity != 0, "broadcast of capacity 0: it keeps no item for anybody");
        slots_.reserve(capacity);
    }
    broadcast(const broadcast&) = delete;
    broadcast& operator=(const broadcast&) = delete;
    ~broadcast() { lock_.wait_until_free(); }

    /// Never waits. False after close(). Nobody subscribed: it is sent to nobody.
    bool send(T item) {
        detail::wake_chain woken;
        {
            std::lock_guard guard(lock_);
            if (closed_) return false;
            if (slots_.size() < capacity_) {
                slots_.push_back(std::move(item));
            } else {
                std::swap(slots_[sent_ % capacity_], item);  // what was there is destroyed after the lock
            }
            ++sent_;
            operation::take_off(waiting_, woken);
        }
        woken.wake_all();
        return true;
    }
    /// Gets what is sent from now on.
    subscriber subscribe() {
        std::lock_guard guard(lock_);
        return subscriber(*this, sent_);
    }
    void close() noexcept {
        detail::wake_chain woken;
        {
            std::lock_guard guard(lock_);
            closed_ = true;
            operation::take_off(waiting_, woken);
        }
        woken.wake_all();
    }

  private:
    template <class Source, class Reader>
    friend class detail::news_operation;
    using operation = detail::news_operation<broadcast, subscriber>;

    bool has_news(const subscriber& reader) const noexcept { return closed_ || reader.next_ != sent_; }
    std::optional<received> read(subscriber& reader) {
        std::lock_guard guard(lock_);
        std::uint64_t oldest = sent_ - slots_.size();
        std::uint64_t missed = reader.next_ < oldest ? oldest - reader.next_ : 0;
        reader.next_ += missed;
        std::optional<received> got;
        if (reader.next_ != sent_) got.emplace(slots_[reader.next_++ % capacity_], missed);
        return got;
    }

    const std::size_t capacity_;
    detail::spin_lock lock_;
    bool closed_ = false;
    std::uint64_t sent_ = 0;
    std::vector<T> slots_;  // item i lies in slot i % capacity
    detail::wait_list waiting_;
};

template <std::copyable T>
class broadcast<T>::subscriber {
  public:
    /// The next item, or nothing once it is closed and everything was received.
    /// Cancellation: takes nothing.   Allocates: never.   Kernel: none.
    auto receive() noexcept { return operation(*from_, *this, "broadcast receive"); }

  private:
    friend class broadcast;
    subscriber(broadcast& from, std::uint64_t next) noexcept : from_(&from), next_(next) {}
    broadcast* from_;
    std::uint64_t next_;  // guarded by the broadcast's lock while it waits
};

/// A value that changes, for everyone who wants to know the latest.
///
/// Threads: send() and close() any; a reader belongs to one task at a time.   Lifetime: outlives its readers.
template <std::copyable T>
class watch {
  public:
    class reader;

    explicit watch(T initial) : value_(std::move(initial)) {}
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;
    ~watch() { lock_.wait_until_free(); }

    /// False after close().
    bool send(T value) {
        detail::wake_chain woken;
        {
            std::lock_guard guard(lock_);
            if (closed_) return false;
            std::swap(value_, value);  // the old one is destroyed after the lock
            ++version_;
            operation::take_off(waiting_, woken);
        }
        woken.wake_all();
        return true;
    }
    T latest() const {
        std::lock_guard guard(lock_);
        return value_;
    }
    /// `has_seen_latest`: its first receive() waits for a change; otherwise it gives what is there.
    reader subscribe(bool has_seen_latest = false) {
        std::lock_guard guard(lock_);
        return reader(*this, has_seen_latest ? version_ : version_ - 1);
    }
    void close() noexcept {
        detail::wake_chain woken;
        {
            std::lock_guard guard(lock_);
            closed_ = true;
            operation::take_off(waiting_, woken);
        }
        woken.wake_all();
    }

  private:
    template <class Source, class Reader>
    friend class detail::news_operation;
    using operation = detail::news_operation<watch, reader>;

    bool has_news(const reader& of) const noexcept { return closed_ || of.seen_ != version_; }
    std::optional<T> read(reader& of) {
        std::lock_guard guard(lock_);
        std::optional<T> got;
        if (of.seen_ != version_) {
            got.emplace(value_);
            of.seen_ = version_;
        }
        return got;
    }

    mutable detail::spin_lock lock_;
    bool closed_ = false;
    std::uint64_t version_ = 1;
    T value_;
    detail::wait_list waiting_;
};

template <std::copyable T>
class watch<T>::reader {
  public:
    /// Waits until the value is another than this reader has seen, and gives the latest; nothing once it is closed and was seen.
    /// Cancellation: takes nothing.   Allocates: never.   Kernel: none.
    auto receive() noexcept { return operation(*from_, *this, "watch receive"); }

  private:
    friend class watch;
    reader(watch& from, std::uint64_t seen) noexcept : from_(&from), seen_(seen) {}
    watch* from_;
    std::uint64_t seen_;
};

}  // namespace peal
