// SPDX-License-Identifier: MIT
#pragma once

// standard_streams: this program's own standard input, output and errors as streams.

#include <peal/io/pipe.hpp>

namespace peal::process {

/// Standard input, whatever it is: a pipe, a terminal, a file, /dev/null.
///
///     auto input = peal::process::standard_input();
///     peal::io::buffered_reader lines(input);
///     while (auto line = co_await lines.read_line(4096)) ...
///
/// Each of these gives a descriptor of its own for the same open file: closing it closes no one else's, and bytes that one has read
/// the others do not see. What std::cin or std::cout hold in their buffers is not known here: use one of the two ways.
///
/// Threads:      any.
/// Cancellation: as pipe_reader and pipe_writer.
/// Errors:       bad_file_descriptor if this program has none.
PEAL_EXPORT io::pipe_reader standard_input();
PEAL_EXPORT io::pipe_writer standard_output();
PEAL_EXPORT io::pipe_writer standard_error();

}  // namespace peal::process
