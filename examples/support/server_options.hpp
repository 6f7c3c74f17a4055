// SPDX-License-Identifier: MIT
#pragma once

// The command line that all example servers share: --host, --port, --workers, and options of their own. Nothing of peal is shown here.

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

namespace examples {

/// Says what is wrong with the command line and ends the program with status 2.
[[noreturn]] inline void usage_error(std::string_view program, const std::string& what, std::string_view usage) {
    std::fprintf(stderr, "%.*s: %s\nusage: %.*s %.*s\n", static_cast<int>(program.size()), program.data(), what.c_str(),
                 static_cast<int>(program.size()), program.data(), static_cast<int>(usage.size()), usage.data());
    std::exit(2);
}

class server_options {
  public:
    std::string host = "127.0.0.1";
    std::uint16_t port;
    unsigned workers = 0;  // 0: as many as CPUs

    /// `more` is asked for an option that is not known here, with its value; it returns false if it does not know it either.
    server_options(int argc, char** argv, std::string_view program, std::uint16_t default_port,
                   const std::function<bool(std::string_view option, std::string_view value)>& more = {},
                   std::string_view more_usage = "")
        : port(default_port) {
        std::string usage = "[--host HOST] [--port PORT] [--workers N]" + std::string(more_usage);
        for (int i = 1; i < argc; ++i) {
            std::string_view option = argv[i];
            if (option == "--help") {
                std::printf("usage: %.*s %s\n", static_cast<int>(program.size()), program.data(), usage.c_str());
                std::exit(0);
            }
            if (i + 1 == argc) {
                bool known = usage.find('[' + std::string(option) + ' ') != std::string::npos;
                usage_error(program, known ? std::string(option) + " needs a value" : "unknown argument '" + std::string(option) + "'",
                            usage);
            }
            std::string_view value = argv[++i];
            if (option == "--host") {
                host = value;
            } else if (option == "--port") {
                port = static_cast<std::uint16_t>(number(program, option, value, 0, 65535, usage));
            } else if (option == "--workers") {
                workers = static_cast<unsigned>(number(program, option, value, 1, 1024, usage));
            } else if (!more || !more(option, value)) {
                usage_error(program, "unknown argument '" + std::string(option) + "'", usage);
            }
        }
    }

    static unsigned long number(std::string_view program, std::string_view option, std::string_view value, unsigned long least,
                                unsigned long most, std::string_view usage) {
        unsigned long parsed = 0;
        auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
        if (error != std::errc() || end != value.data() + value.size() || parsed < least || parsed > most) {
            usage_error(program,
                        std::string(option) + " must be a number from " + std::to_string(least) + " to " + std::to_string(most) +
                            ", not '" + std::string(value) + "'",
                        usage);
        }
        return parsed;
    }
};

}  // namespace examples
