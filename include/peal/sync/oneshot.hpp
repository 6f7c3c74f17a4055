// SPDX-License-Identifier: MIT
#pragma once

// oneshot: one value from anyone to one task.
//
// Everything is guarded by `lock_`.

#include <optional>
#include <utility>

#include <peal/sync/channel.hpp>

namespace peal {

/// A value that somebody will give. Closed without a value, receive() gives nothing; as with all channels (sync/channel.hpp).
///
/// Threads:      send() and close() any thread; one task receives, once.
/// Cancellation: a canceled receive() has taken nothing, and may be tried again. A value that was handed over first wins.
/// Lifetime:     outlives the one who waits (asserted), who may destroy it once receive() has given something; whoever sends must know
///               that it still exists.
/// Allocates:    never.   Kernel: none.
template <class T>
class oneshot {
    class slot {
      public:
        std::size_t size() const noexcept { return item_ ? 1 : 0; }
        bool is_full() const noexcept { return was_used_; }
        void push(T&& item) {
            item_.emplace(std::move(item));
            was_used_ = true;
        }
        T pop() {
            T item(std::move(*item_));
            item_.reset();
            return item;
        }

      private:
        std::optional<T> item_;
        bool was_used_ = false;
    };
    using core = detail::channel_core<T, slot>;

  public:
    /// False if it was closed, or a value was sent before.
    bool send(T value) { return core_.try_send_last(value) == send_outcome::sent; }
    /// The value, or nothing if it was closed without one.
    auto receive() noexcept { return typename core::receive_operation(core_); }
    std::optional<T> try_receive() { return core_.try_receive(); }
    std::optional<T> blocking_receive() {
        auto receiving = [](oneshot& from) -> task<std::optional<T>> { co_return co_await from.receive(); };
        return sync_wait(receiving(*this));
    }

    void close() noexcept { core_.close(); }
    bool is_closed() const noexcept { return core_.is_closed(); }

  private:
    core core_;
};

}  // namespace peal
