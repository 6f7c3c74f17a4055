// SPDX-License-Identifier: MIT
#pragma once

// message_operation: one message with the address and the extra data that go with it, as sockets of messages send and receive them.

#include <cstddef>

#include <peal/detail/operation.hpp>

namespace peal::net::detail {

class PEAL_EXPORT message_operation : public peal::detail::operation {
  protected:
    message_operation(peal::detail::operation_kind kind, int fd, const void* data, std::size_t bytes) noexcept;

    /// Where the address stands, or is to be put.
    void use_name(const void* name, std::size_t bytes) noexcept;
    /// The system's control messages: to be sent, or room for what comes.
    void use_control(void* control, std::size_t bytes) noexcept;

    /// A receive whose socket is closed meanwhile ends with bad_file_descriptor: where messages may be empty, 0 says nothing.
    static bool notice_close(operation& self) noexcept;

    struct piece {  // laid out as the system's iovec
        void* data;
        std::size_t size;
    };
    alignas(8) std::byte header_[56];  // a msghdr
    piece piece_;
};

}  // namespace peal::net::detail
