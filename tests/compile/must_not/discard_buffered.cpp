// SPDX-License-Identifier: MIT
// A forgotten co_await in front of a buffered read, and of a write and a flush.
// flags: -Werror
// expect: a buffered read or write does nothing until it is awaited

#include <peal/io/framing.hpp>
#include <peal/io/memory_stream.hpp>

peal::task<> outer(peal::io::buffered_reader<peal::io::memory_stream>& in, peal::io::buffered_writer<peal::io::memory_stream>& out) {
#ifdef WRONG
    in.read_line(80);
    out.write("text");
    out.flush();
    peal::io::write_frame(out, {}, 80);
    co_return;
#else
    co_await in.read_line(80);
    co_await out.write("text");
    co_await out.flush();
    co_await peal::io::write_frame(out, {}, 80);
#endif
}
