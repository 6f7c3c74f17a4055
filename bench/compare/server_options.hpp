// SPDX-License-Identifier: MIT
//
// What the echo servers in C++ share that do not use peal: the command line `--host HOST --port PORT --workers N` and options of
// their own, a listening socket, and the first line of output, `listening on HOST:PORT`.

#pragma once

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <netdb.h>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>

struct server_options {
    std::string host = "127.0.0.1"; // numeric
    unsigned short port = 0;        // 0: the kernel chooses
    unsigned workers = 1;           // threads
};

/// False if `text` is not a number from `min` to `max`.
inline bool read_number(std::string_view text, unsigned min, unsigned max, unsigned& value)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() && value >= min && value <= max;
}

/// Tasks that keep a thread of the server: so many of them compute so long without awaiting anything, again and again.
struct stall_options {
    unsigned count = 0;
    unsigned ms = 200;

    /// As `more` of parse_server_options().
    bool read(std::string_view name, std::string_view value)
    {
        if (name == "--stalls")
            return read_number(value, 0, 64, count);
        return name == "--stall-ms" && read_number(value, 1, 10'000, ms);
    }
};
constexpr std::chrono::milliseconds pause_between_stalls{5};

inline void compute_for(std::chrono::milliseconds length)
{
    const auto until = std::chrono::steady_clock::now() + length;
    while (std::chrono::steady_clock::now() < until) { }
}

/// Ends the process with status 2 and a message if the command line is wrong. `more` is asked for an option that is not known here,
/// with its value; false: it does not know the option, or not the value.
inline server_options parse_server_options(int argc, char** argv,
    const std::function<bool(std::string_view name, std::string_view value)>& more = {}, const char* more_usage = "")
{
    server_options result;
    const auto refuse = [argv, more_usage](const std::string& why) {
        std::fprintf(stderr, "%s: %s\nusage: %s [--host HOST] [--port PORT] [--workers N]%s\n", argv[0], why.c_str(), argv[0],
            more_usage);
        std::exit(2);
    };
    const auto number = [&refuse](const std::string& name, std::string_view text, unsigned min, unsigned max) {
        unsigned value = 0;
        if (!read_number(text, min, max, value))
            refuse(name + ": not a number from " + std::to_string(min) + " to " + std::to_string(max));
        return value;
    };
    for (int index = 1; index < argc; index += 2) {
        const std::string name = argv[index];
        if (index + 1 == argc)
            refuse(name + ": no such option, or its value is missing");
        const char* value = argv[index + 1];
        if (name == "--host")
            result.host = value;
        else if (name == "--port")
            result.port = static_cast<unsigned short>(number(name, value, 0, 65535));
        else if (name == "--workers")
            result.workers = number(name, value, 1, 256);
        else if (!more || !more(name, value))
            refuse(name + " " + value + ": no such option, or not with this value");
    }
    return result;
}

/// A listening socket that does not block; others of this process may share its port. Writes the chosen port back to `options`.
/// Ends the process if it cannot be had.
inline int listen_on(server_options& options)
{
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found) != 0) {
        std::fprintf(stderr, "--host: '%s' is not a numeric address\n", options.host.c_str());
        std::exit(2);
    }
    const int on = 1;
    const int listener = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in6 bound{}; // its port lies where that of sockaddr_in does
    socklen_t length = sizeof bound;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(listener, found->ai_addr, found->ai_addrlen) != 0 || listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
        std::perror("cannot listen");
        std::exit(1);
    }
    freeaddrinfo(found);
    options.port = ntohs(bound.sin6_port);
    return listener;
}

/// A driver script waits for this line.
inline void announce(const std::string& host, unsigned short port)
{
    const bool is_ipv6 = host.find(':') != host.npos;
    std::printf(is_ipv6 ? "listening on [%s]:%u\n" : "listening on %s:%u\n", host.c_str(), unsigned{port});
    std::fflush(stdout);
}
