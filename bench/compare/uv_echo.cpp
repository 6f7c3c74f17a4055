// SPDX-License-Identifier: MIT
//
// Echo server on libuv (written for 1.44): one loop and one listening socket (SO_REUSEPORT) per worker thread. In its favour: all
// connections of a loop read into the same 64 KiB, and echoes are written at once; only what does not go out is copied and queued.

#include <uv.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "server_options.hpp"

namespace {

thread_local char shared_buffer[64 * 1024];

struct pending_write {
    uv_write_t request{};
    std::vector<char> bytes;
};

[[noreturn]] void fail(const char* what, int error)
{
    std::fprintf(stderr, "uv_echo: %s: %s\n", what, uv_strerror(error));
    std::exit(1);
}

void check(int result, const char* what)
{
    if (result < 0)
        fail(what, result);
}

void close_connection(uv_handle_t* peer)
{
    if (uv_is_closing(peer) == 0)
        uv_close(peer, [](uv_handle_t* closed) { delete reinterpret_cast<uv_tcp_t*>(closed); });
}

void write_later(uv_stream_t* peer, const char* data, std::size_t count)
{
    auto* own = new pending_write{};
    own->bytes.assign(data, data + count);
    own->request.data = own;
    const uv_buf_t rest = uv_buf_init(own->bytes.data(), static_cast<unsigned>(count));
    const int refused = uv_write(&own->request, peer, &rest, 1, [](uv_write_t* request, int) {
        delete static_cast<pending_write*>(request->data); // an error shows up at the next read, too
    });
    if (refused < 0)
        delete own;
}

void received(uv_stream_t* peer, ssize_t count, const uv_buf_t* buffer)
{
    if (count < 0) {
        // The peer is done, or it broke: what is queued goes out first.
        auto* request = new uv_shutdown_t;
        const int refused = uv_shutdown(request, peer, [](uv_shutdown_t* done, int) {
            close_connection(reinterpret_cast<uv_handle_t*>(done->handle));
            delete done;
        });
        if (refused < 0) {
            delete request;
            close_connection(reinterpret_cast<uv_handle_t*>(peer));
        }
        return;
    }
    if (count == 0)
        return;
    const uv_buf_t all = uv_buf_init(buffer->base, static_cast<unsigned>(count));
    const int sent = uv_try_write(peer, &all, 1); // UV_EAGAIN: nothing, also while a write is queued
    const std::size_t taken = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    if (taken < static_cast<std::size_t>(count))
        write_later(peer, buffer->base + taken, static_cast<std::size_t>(count) - taken);
}

void accepted(uv_stream_t* listener, int status)
{
    check(status, "accept"); // out of descriptors, most likely: the comparison is void
    auto* peer = new uv_tcp_t;
    check(uv_tcp_init(listener->loop, peer), "uv_tcp_init");
    check(uv_accept(listener, reinterpret_cast<uv_stream_t*>(peer)), "uv_accept");
    uv_tcp_nodelay(peer, 1);
    const auto lend = [](uv_handle_t*, std::size_t, uv_buf_t* buffer) {
        *buffer = uv_buf_init(shared_buffer, sizeof shared_buffer);
    };
    check(uv_read_start(reinterpret_cast<uv_stream_t*>(peer), lend, received), "uv_read_start");
}

void work(int listener)
{
    uv_loop_t loop;
    check(uv_loop_init(&loop), "uv_loop_init");
    uv_tcp_t server;
    check(uv_tcp_init(&loop, &server), "uv_tcp_init");
    check(uv_tcp_open(&server, listener), "uv_tcp_open");
    check(uv_listen(reinterpret_cast<uv_stream_t*>(&server), SOMAXCONN, accepted), "uv_listen");
    uv_run(&loop, UV_RUN_DEFAULT);
}

} // namespace

int main(int argc, char** argv)
{
    server_options options = parse_server_options(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    for (const int signal : {SIGTERM, SIGINT})
        std::signal(signal, [](int) { std::_Exit(0); });
    std::vector<int> listeners;
    for (unsigned i = 0; i < options.workers; ++i)
        listeners.push_back(listen_on(options));
    announce(options.host, options.port);
    for (unsigned i = 1; i < options.workers; ++i)
        std::thread(work, listeners[i]).detach();
    work(listeners[0]);
}
