// SPDX-License-Identifier: MIT
#pragma once

// lease: received bytes in a buffer that belongs to a worker.

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <peal/detail/config.hpp>

namespace peal::rt {
class lease_pool;
}

namespace peal::io {

/// Bytes that were received, in a buffer that is lent: it goes back when the lease is gone. Empty at the end of the stream.
///
/// Threads:  any; it may go to another task, worker, pool, or thread, and outlive all of these.
/// Bound:    a worker lends at most 2048 buffers of 4 KiB. When all are out, its receive() waits until one comes back: copy what you keep for long.
class PEAL_EXPORT lease {
  public:
    lease() noexcept = default;
    /// For operations. `from` is null for a buffer of its own, made by operator new.
    lease(rt::lease_pool* from, std::byte* data, std::size_t size) noexcept : from_(from), data_(data), size_(size) {}
    lease(lease&& other) noexcept
        : from_(other.from_), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    lease& operator=(lease&& other) noexcept {
        if (this != &other) {
            release();
            from_ = other.from_;
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    ~lease() { release(); }

    /// May be changed in place.
    std::span<std::byte> bytes() const noexcept { return std::span(data_, size_); }
    std::string_view text() const noexcept { return std::string_view(reinterpret_cast<const char*>(data_), size_); }
    std::size_t size() const noexcept { return size_; }
    /// There are bytes.
    explicit operator bool() const noexcept { return size_ != 0; }

    /// Gives the buffer back now.
    void release() noexcept;

  private:
    rt::lease_pool* from_ = nullptr;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace peal::io
