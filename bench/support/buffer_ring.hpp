// SPDX-License-Identifier: MIT
#pragma once

// Receive buffers of which the kernel takes one for each message (IORING_REGISTER_PBUF_RING, Linux 5.19). Without peal.

#include <liburing.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>

namespace bench {

class buffer_ring {
  public:
    /// `count`: a power of two, at most 32768. Throws std::system_error.
    buffer_ring(io_uring& ring, std::uint16_t group, unsigned count, std::size_t bytes_each)
        : bytes_each_(bytes_each), count_(count), memory_(new unsigned char[count * bytes_each]) {
        void* table = ::mmap(nullptr, table_bytes(), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
        if (table == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
        free_ = static_cast<io_uring_buf_ring*>(table);
        io_uring_buf_reg registration{};
        registration.ring_addr = reinterpret_cast<std::uint64_t>(table);
        registration.ring_entries = count;
        registration.bgid = group;
        if (const int refused = ::io_uring_register_buf_ring(&ring, &registration, 0); refused != 0) {
            ::munmap(free_, table_bytes());
            throw std::system_error(-refused, std::generic_category(), "buffers for io_uring (needs Linux 5.19)");
        }
        ::io_uring_buf_ring_init(free_);
        for (unsigned id = 0; id < count; ++id) give_back(id);
    }
    buffer_ring(const buffer_ring&) = delete;
    buffer_ring& operator=(const buffer_ring&) = delete;
    /// The ring must have been given back, or receive no more.
    ~buffer_ring() { ::munmap(free_, table_bytes()); }

    /// The buffer that a completion names, if it names one.
    static bool names_buffer(std::uint32_t completion_flags) noexcept { return (completion_flags & IORING_CQE_F_BUFFER) != 0; }
    static unsigned id(std::uint32_t completion_flags) noexcept { return completion_flags >> IORING_CQE_BUFFER_SHIFT; }
    unsigned char* data(unsigned id) const noexcept { return &memory_[id * bytes_each_]; }

    void give_back(unsigned id) noexcept {
        ::io_uring_buf_ring_add(free_, data(id), static_cast<unsigned>(bytes_each_), static_cast<unsigned short>(id),
                                ::io_uring_buf_ring_mask(count_), 0);
        ::io_uring_buf_ring_advance(free_, 1);
    }

  private:
    std::size_t table_bytes() const noexcept { return count_ * sizeof(io_uring_buf); }

    std::size_t bytes_each_;
    unsigned count_;
    std::unique_ptr<unsigned char[]> memory_;  // untouched, so not resident, until used
    io_uring_buf_ring* free_ = nullptr;
};

}  // namespace bench
