// SPDX-License-Identifier: MIT
#pragma once

// The command line of tree_digest. Nothing of peal is shown here.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "../support/server_options.hpp"

namespace examples {

class digest_options {
  public:
    static constexpr std::string_view program = "tree_digest";
    static constexpr std::string_view usage = "[--workers N] [--open-files N] [--] DIR";

    std::string root;
    unsigned workers = 0;      // 0: as many as CPUs
    unsigned open_files = 64;  // at most so many at a time

    digest_options(int argc, char** argv) {
        bool has_root = false;
        bool options_ended = false;
        for (int i = 1; i < argc; ++i) {
            std::string_view argument = argv[i];
            if (options_ended || argument.substr(0, 1) != "-") {
                if (has_root) usage_error(program, "'" + std::string(argument) + "' is a second DIR", usage);
                root = argument;
                has_root = true;
            } else if (argument == "--") {
                options_ended = true;
            } else if (argument == "--help") {
                help();
            } else if (argument == "--workers") {
                workers = number(argument, argv[++i], 0, 1024);  // argv ends with a null
            } else if (argument == "--open-files") {
                open_files = number(argument, argv[++i], 1, 4096);
            } else {
                usage_error(program, "unknown option '" + std::string(argument) + "'", usage);
            }
        }
        if (!has_root) usage_error(program, "DIR is missing", usage);
        if (root.empty()) usage_error(program, "DIR is empty", usage);
        if (root == "-") root = "./-";  // sha256sum takes "-" in a line for its standard input
    }

  private:
    static unsigned number(std::string_view option, const char* value, unsigned long least,
                           unsigned long most) {
        if (value == nullptr) usage_error(program, std::string(option) + " needs a value", usage);
        return static_cast<unsigned>(server_options::number(program, option, value, least, most, usage));
    }

    [[noreturn]] static void help() {
        std::printf(
            "usage: %s %s\n\n"
            "Prints the SHA-256 of every regular file in and below DIR, in the form of sha256sum and in no order:\n"
            "    tree_digest /usr > digests && sha256sum -c --quiet digests\n"
            "Symbolic links, sockets, pipes and devices are left out.\n\n"
            "    --workers N     threads (default 0: as many as CPUs)\n"
            "    --open-files N  at most N files open at a time, 1 to 4096 (default 64),\n"
            "                    and never more than a quarter of ulimit -n\n\n"
            "Status: 0; 1 if a file or folder could not be read, or the output not written;\n"
            "2 for wrong arguments; 128 + number of the signal that stopped it.\n",
            program.data(), usage.data());
        std::exit(std::fflush(stdout) == 0 ? 0 : 1);
    }
};

}  // namespace examples
