// SPDX-License-Identifier: MIT
#pragma once

// receive_buffer: the bytes of one connection that have been received and not yet dealt with.
//
// It grows with what has come, not with what a peer announces: a peer that says "512 MB follow" and falls
// silent costs at most trusted_bytes. It shrinks when a request larger than kept_bytes is out of it.
//
//   memory_  [ dealt with | received: begin_ .. end_ | room ]

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

namespace kv {

class receive_buffer {
  public:
    static constexpr std::size_t usual_bytes = 16u << 10;
    static constexpr std::size_t kept_bytes = 64u << 10;
    static constexpr std::size_t trusted_bytes = 1u << 20;

    std::span<char> received() const noexcept { return {memory_.get() + begin_, end_ - begin_}; }

    /// Room for the next read, never empty. `request_bytes`: as long as the request at the front is going to
    /// be, if that is known.
    std::span<std::byte> room(std::size_t request_bytes) {
        std::size_t used = end_ - begin_;
        std::size_t wanted = capacity_;
        if (used == capacity_) {
            wanted = request_bytes > capacity_ ? std::min(request_bytes, 2 * capacity_) : 2 * capacity_;
        } else if (request_bytes > capacity_ && capacity_ < trusted_bytes) {
            wanted = std::min(request_bytes, trusted_bytes);
        } else if (capacity_ > kept_bytes && std::max(used, request_bytes) < usual_bytes) {
            wanted = usual_bytes;
        }
        if (wanted != capacity_) {
            move_to(std::make_unique_for_overwrite<char[]>(wanted));
            capacity_ = wanted;
        } else if (used == 0) {
            begin_ = end_ = 0;
        } else if (begin_ != 0 && end_ > capacity_ / 2) {
            std::memmove(memory_.get(), memory_.get() + begin_, used);
            begin_ = 0;
            end_ = used;
        }
        return std::as_writable_bytes(std::span(memory_.get() + end_, capacity_ - end_));
    }
    void add(std::size_t bytes) noexcept { end_ += bytes; }       // they were read into room()
    void remove(std::size_t bytes) noexcept { begin_ += bytes; }  // from the front

  private:
    void move_to(std::unique_ptr<char[]> memory) noexcept {
        std::size_t used = end_ - begin_;
        if (used != 0) std::memcpy(memory.get(), memory_.get() + begin_, used);
        memory_ = std::move(memory);
        begin_ = 0;
        end_ = used;
    }

    std::unique_ptr<char[]> memory_ = std::make_unique_for_overwrite<char[]>(usual_bytes);
    std::size_t capacity_ = usual_bytes;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace kv
