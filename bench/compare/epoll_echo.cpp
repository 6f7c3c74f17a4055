// SPDX-License-Identifier: MIT
//
// Baseline for comparisons: the plainest fast echo server on level-triggered epoll. Each worker thread has its own
// listening socket (SO_REUSEPORT), its own epoll and one 64 KiB buffer; a connection costs no memory for data until its
// peer stops reading. No timeouts, no limits, no orderly shutdown: SIGTERM and SIGINT end the process with status 0.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "server_options.hpp"

namespace {

struct connection {
    int socket;
    std::vector<char> unsent; // while not empty: waits for EPOLLOUT and reads nothing
};

[[noreturn]] void fail(const char* what)
{
    std::perror(what);
    std::exit(1);
}

void watch(int poller, int operation, int socket, std::uint32_t events, connection* data)
{
    epoll_event event{events, {data}};
    if (epoll_ctl(poller, operation, socket, &event) != 0)
        fail("epoll_ctl");
}

void accept_one(int poller, int listener)
{
    const int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        fail("accept4");
    }
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(poller, EPOLL_CTL_ADD, socket, EPOLLIN, new connection{socket, {}});
}

// How much went out now; -1: the connection is broken.
ssize_t send_some(int socket, const char* data, std::size_t count)
{
    const ssize_t sent = send(socket, data, count, MSG_NOSIGNAL);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

// False when the connection has ended.
bool serve(int poller, connection& own, std::vector<char>& buffer)
{
    if (!own.unsent.empty()) {
        const ssize_t sent = send_some(own.socket, own.unsent.data(), own.unsent.size());
        if (sent < 0)
            return false;
        own.unsent.erase(own.unsent.begin(), own.unsent.begin() + sent);
        if (own.unsent.empty())
            watch(poller, EPOLL_CTL_MOD, own.socket, EPOLLIN, &own);
        return true;
    }
    const ssize_t received = recv(own.socket, buffer.data(), buffer.size(), 0);
    if (received <= 0)
        return received < 0 && (errno == EAGAIN || errno == EINTR);
    const ssize_t sent = send_some(own.socket, buffer.data(), static_cast<std::size_t>(received));
    if (sent >= 0 && sent < received) {
        own.unsent.assign(buffer.begin() + sent, buffer.begin() + received);
        watch(poller, EPOLL_CTL_MOD, own.socket, EPOLLOUT, &own);
    }
    return sent >= 0;
}

void work(int listener)
{
    const int poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        fail("epoll_create1");
    watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN, nullptr);
    std::vector<char> buffer(64 * 1024);
    epoll_event events[256];
    while (true) {
        const int count = epoll_wait(poller, events, 256, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            auto* own = static_cast<connection*>(events[i].data.ptr);
            if (own == nullptr)
                accept_one(poller, listener);
            else if (!serve(poller, *own, buffer)) {
                close(own->socket);
                delete own;
            }
        }
    }
}

} // namespace

int main(int argc, char** argv)
{
    server_options options = parse_server_options(argc, argv);
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
