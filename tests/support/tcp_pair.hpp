// SPDX-License-Identifier: MIT
#pragma once

// tcp_pair: both ends of one TCP connection over loopback.

#include <string>
#include <utility>

#include <peal/io/buffer.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>

namespace support {

using stream_pair = std::pair<peal::net::tcp_stream, peal::net::tcp_stream>;

/// Who connected, and who accepted. On a worker.
inline peal::task<stream_pair> connected_pair() {
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    auto connecting =
        peal::spawn([](peal::net::address to) { return peal::net::tcp_stream::connect(to); }, listener.local_address());
    peal::net::tcp_stream accepted = co_await listener.accept();
    peal::net::tcp_stream connected = co_await connecting;
    stream_pair ends(std::move(connected), std::move(accepted));
    co_return ends;
}

/// Writes it and then the end of the stream.
inline peal::task<> write_text(peal::net::tcp_stream& to, std::string text) {
    co_await to.write_all(peal::io::bytes_of(text));
    to.shutdown_write();
}

}  // namespace support
