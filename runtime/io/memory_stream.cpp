// SPDX-License-Identifier: MIT

// memory_stream: two pipes, one for each direction.
//
// A pipe is a ring of bytes. Its lock guards who waits and how many bytes there are, and is not held while bytes are copied: the bytes that
// are there belong to the one who reads, the room to the one who writes, and each knows where its own part begins. So an operation
// takes the lock twice: to learn how much it may move, or to wait until it is told; and, having moved it, to hand it over.
//
// Whoever uses a pipe holds it: an end by its pointers, an operation that waits by `held_`. So a pipe is not destroyed while somebody is
// under its lock, or waits.

#include <peal/io/memory_stream.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>

#include <peal/detail/spin_lock.hpp>
#include <peal/task/as_result.hpp>

namespace peal::io {
namespace detail {

using peal::detail::wait_list;
using direction = memory_operation::direction;

class memory_pipe : public std::enable_shared_from_this<memory_pipe> {
  public:
    explicit memory_pipe(std::size_t capacity)
        : capacity_(capacity), bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

    /// Under the lock it learns what it may move, or waits. False: it goes on.
    bool pass_or_enlist(memory_operation& operation) noexcept {
        guard inside(lock_);
        if (may_go_on(operation)) return false;
        wait_list& line = operation.way_ == direction::read ? reader_ : writer_;
        PEAL_ASSERT(line.empty(), "two tasks read, or two write, the same end of a memory_stream at the same time");
        operation.held_ = shared_from_this();
        return operation.enlist(line);
    }
    bool remove(memory_operation& operation) noexcept {
        guard inside(lock_);
        return (operation.way_ == direction::read ? reader_ : writer_).remove(operation);
    }

    /// The one who reads, or writes. Moves so many bytes, and tells the other side.
    void move(direction way, std::byte* data, std::size_t count) noexcept {
        std::size_t& at = way == direction::read ? read_at_ : write_at_;
        std::size_t first_part = std::min(count, capacity_ - at);
        if (way == direction::read) {
            std::memcpy(data, &bytes_[at], first_part);
            std::memcpy(data + first_part, &bytes_[0], count - first_part);
        } else {
            std::memcpy(&bytes_[at], data, first_part);
            std::memcpy(&bytes_[0], data + first_part, count - first_part);
        }
        at = first_part == capacity_ - at ? count - first_part : at + first_part;
        memory_operation* woken = nullptr;
        {
            guard inside(lock_);
            size_ = way == direction::read ? size_ - count : size_ + count;
            woken = next(way == direction::read ? writer_ : reader_);
        }
        if (woken != nullptr) woken->wake();
    }

    /// One of its ends reads, or writes, no more. Both sides are told.
    void end(direction way) noexcept {
        memory_operation* woken[2] = {};
        {
            guard inside(lock_);
            (way == direction::read ? read_ended_ : write_ended_) = true;
            woken[0] = next(reader_);
            woken[1] = next(writer_);
        }
        for (memory_operation* each : woken) {
            if (each != nullptr) each->wake();
        }
    }

  private:
    using guard = std::lock_guard<peal::detail::spin_lock>;

    /// Under the lock.
    bool may_go_on(memory_operation& operation) const noexcept {
        if (operation.way_ == direction::read) {
            operation.at_hand_ = size_;
            return size_ != 0 || read_ended_ || write_ended_;
        }
        bool broken = read_ended_ || write_ended_;
        operation.at_hand_ = broken ? 0 : capacity_ - size_;
        return broken || size_ != capacity_;
    }
    /// Under the lock. Who waits there and may go on now, taken off; null if there is none.
    memory_operation* next(wait_list& line) noexcept {
        auto* waiter = static_cast<memory_operation*>(line.front());
        if (waiter == nullptr || !may_go_on(*waiter)) return nullptr;
        static_cast<void>(line.remove(*waiter));
        return waiter;
    }

    const std::size_t capacity_;
    const std::unique_ptr<std::byte[]> bytes_;
    std::size_t read_at_ = 0;   // the reader's own
    std::size_t write_at_ = 0;  // the writer's own

    peal::detail::spin_lock lock_;
    // Guarded by lock_:
    std::size_t size_ = 0;
    bool read_ended_ = false;
    bool write_ended_ = false;
    wait_list reader_;  // one at the most, as in writer_
    wait_list writer_;
};

bool memory_operation::start(std::coroutine_handle<> awaiting, context& task) noexcept {
    return wait(awaiting, task, [this] { return pipe_ != nullptr && size_ != 0 && pipe_->pass_or_enlist(*this); });
}

void memory_operation::stop_waiting(peal::detail::cancelable& self) noexcept {
    auto& me = static_cast<memory_operation&>(self);
    me.stop([&me] { return me.pipe_->remove(me); });
}

peal::error memory_operation::failed(std::errc why) const {
    return peal::error(std::make_error_code(why), way_ == direction::read ? "memory_stream read" : "memory_stream write");
}

peal::result<std::size_t> memory_operation::result() {
    if (at_hand_ == 0) {
        if (was_canceled()) return failed(std::errc::operation_canceled);
        if (pipe_ == nullptr) return failed(std::errc::bad_file_descriptor);
        if (way_ == direction::read || size_ == 0) return std::size_t{0};
        return failed(std::errc::broken_pipe);
    }
    std::size_t count = std::min(at_hand_, size_);
    pipe_->move(way_, data_, count);
    return count;
}

std::size_t memory_operation::await_resume() { return result().value(); }

namespace {

// These hold the pipe, not the stream, which may be closed or move on while they wait.

task<std::size_t> read_until_full(std::shared_ptr<memory_pipe> from, std::span<std::byte> buffer) {
    std::size_t total = 0;
    while (total < buffer.size()) {
        std::span<std::byte> left = buffer.subspan(total);
        memory_operation reading(from.get(), direction::read, left.data(), left.size());
        peal::result<std::size_t> got = co_await as_result(reading);
        if (!got && got.error().is_canceled() && total != 0) break;
        if (got.value() == 0) break;
        total += *got;
    }
    co_return total;
}

task<std::size_t> write_until_empty(std::shared_ptr<memory_pipe> to, std::span<const std::byte> bytes) {
    for (std::span<const std::byte> left = bytes; !left.empty();) {
        memory_operation writing(to.get(), direction::write, const_cast<std::byte*>(left.data()), left.size());
        std::size_t written = co_await writing;
        left = left.subspan(written);
    }
    co_return bytes.size();
}

}  // namespace
}  // namespace detail

using detail::memory_operation;
using direction = memory_operation::direction;

memory_operation memory_stream::read(std::span<std::byte> buffer) noexcept {
    return memory_operation(in_.get(), direction::read, buffer.data(), buffer.size());
}
task<std::size_t> memory_stream::read_exactly(std::span<std::byte> buffer) { return detail::read_until_full(in_, buffer); }
memory_operation memory_stream::write(std::span<const std::byte> bytes) noexcept {
    return memory_operation(out_.get(), direction::write, const_cast<std::byte*>(bytes.data()), bytes.size());  // only read
}
task<std::size_t> memory_stream::write_all(std::span<const std::byte> bytes) { return detail::write_until_empty(out_, bytes); }

void memory_stream::shutdown_write() {
    if (!is_open()) throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor), "memory_stream shutdown_write");
    out_->end(direction::write);
}

void memory_stream::close() noexcept {
    if (!is_open()) return;
    // Away from the stream first: whoever is woken may destroy it.
    std::shared_ptr<detail::memory_pipe> in = std::move(in_);
    std::shared_ptr<detail::memory_pipe> out = std::move(out_);
    out->end(direction::write);
    in->end(direction::read);
}

std::pair<memory_stream, memory_stream> memory_stream_pair(std::size_t capacity_bytes) {
    PEAL_ASSERT(capacity_bytes != 0, "a memory_stream_pair() of capacity 0 would never move a byte");
    auto forth = std::make_shared<detail::memory_pipe>(capacity_bytes);
    auto back = std::make_shared<detail::memory_pipe>(capacity_bytes);
    return {memory_stream(back, forth), memory_stream(forth, back)};
}

}  // namespace peal::io
