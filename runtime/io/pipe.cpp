// SPDX-License-Identifier: MIT

#include <peal/io/pipe.hpp>

#include <cerrno>
#include <system_error>

#include "../base/pipe_ends.hpp"
#include "../task/descriptors.hpp"

namespace peal::io {

using peal::detail::no_offset;
using peal::detail::operation_kind;

namespace detail {

pipe_operation::pipe_operation(operation_kind kind, int fd, const void* data, std::size_t bytes, rounds rounds) noexcept
    : size_operation(kind, fd, data, bytes, 0, no_offset, rounds), transfer_(kind), rounds_(rounds) {
    step = &pipe_operation::next_step;
}

bool pipe_operation::next_step(operation& self) noexcept {
    auto& me = static_cast<pipe_operation&>(self);
    if (me.kind != me.transfer_) {  // it was a wait
        me.kind = me.transfer_;
        return me.outcome >= 0;
    }
    if (me.outcome == -EAGAIN) {
        me.kind = me.transfer_ == operation_kind::read ? operation_kind::wait_readable : operation_kind::wait_writable;
        return true;
    }
    return me.rounds_ == rounds::all && next_round(self);
}

void pipe_end::close() noexcept {
    if (fd_ >= 0) rt::close_file(std::exchange(fd_, -1));
}

}  // namespace detail

detail::pipe_operation pipe_reader::read(std::span<std::byte> buffer) noexcept {
    return detail::pipe_operation(operation_kind::read, native_handle(), buffer.data(), buffer.size(), detail::pipe_operation::rounds::one);
}
detail::pipe_operation pipe_reader::read_exactly(std::span<std::byte> buffer) noexcept {
    return detail::pipe_operation(operation_kind::read, native_handle(), buffer.data(), buffer.size(), detail::pipe_operation::rounds::all);
}
detail::pipe_operation pipe_writer::write(std::span<const std::byte> bytes) noexcept {
    return detail::pipe_operation(operation_kind::write, native_handle(), bytes.data(), bytes.size(), detail::pipe_operation::rounds::one);
}
detail::pipe_operation pipe_writer::write_all(std::span<const std::byte> bytes) noexcept {
    return detail::pipe_operation(operation_kind::write, native_handle(), bytes.data(), bytes.size(), detail::pipe_operation::rounds::all);
}

pipe make_pipe() {
    int ends[2];
    if (rt::make_pipe_ends(ends) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
    return pipe(pipe_reader(ends[0]), pipe_writer(ends[1]));
}

}  // namespace peal::io
