// SPDX-License-Identifier: MIT
//
// Command line and first line of output that the echo servers of this folder share:
// `--host HOST --port PORT --workers N`, then `listening on HOST:PORT`.

#pragma once

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

struct server_options {
    std::string host = "127.0.0.1"; // numeric
    unsigned short port = 0;        // 0: the kernel chooses
    unsigned workers = 1;           // threads
};

/// Ends the process with status 2 and a message if the command line is wrong.
inline server_options parse_server_options(int argc, char** argv)
{
    server_options result;
    const auto refuse = [argv](const std::string& why) {
        std::fprintf(stderr, "%s: %s\nusage: %s [--host HOST] [--port PORT] [--workers N]\n", argv[0], why.c_str(),
            argv[0]);
        std::exit(2);
    };
    const auto number = [&refuse](const std::string& name, std::string_view text, unsigned min, unsigned max) {
        unsigned value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size() || value < min || value > max)
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
        else
            refuse(name + ": no such option");
    }
    return result;
}

/// A driver script waits for this line.
inline void announce(const std::string& host, unsigned short port)
{
    const bool is_ipv6 = host.find(':') != host.npos;
    std::printf(is_ipv6 ? "listening on [%s]:%u\n" : "listening on %s:%u\n", host.c_str(), unsigned{port});
    std::fflush(stdout);
}
