// SPDX-License-Identifier: MIT
//
// Load generator for any TCP echo server; see README.md for what it measures and what it does not.
//
// Exit status: 0 measured; 1 no connection, a wrong echo, a broken connection, nothing answered; 2 bad arguments.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <thread>

#include "failure.hpp"
#include "generator.hpp"
#include "options.hpp"
#include "payload.hpp"
#include "report.hpp"
#include "server_process.hpp"
#include "socket.hpp"

namespace {

std::vector<load::descriptor> open_connections(load::connector& server, std::size_t first_id, std::size_t count)
{
    std::vector<load::descriptor> opened;
    opened.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        opened.push_back(server.open(static_cast<std::uint32_t>(first_id + i)));
    return opened;
}

int finish(std::uint64_t errors, const std::string& first_error)
{
    if (std::fflush(stdout) != 0) {
        std::perror("echo_load: stdout");
        return 1;
    }
    if (errors == 0)
        return 0;
    std::fprintf(stderr, "echo_load: %llu connections broke; the first: %s\n", static_cast<unsigned long long>(errors),
        first_error.c_str());
    return 1;
}

int run_load(const load::options& settings, const load::payload& stream, const load::server_process* process)
{
    load::connector server(settings.host, settings.port, stream);
    auto loaded = open_connections(server, 0, settings.connections);
    auto idle = open_connections(server, settings.connections, settings.idle);
    load::generator generator(settings, stream, process, std::move(loaded), std::move(idle));
    const load::results measured = generator.run();
    if (measured.requests == 0)
        throw load::failure("no request was answered in the measured time");
    print_load(settings, measured);
    return finish(measured.errors, measured.first_error);
}

int run_hold(const load::options& settings, const load::payload& stream, const load::server_process* process)
{
    load::hold_results held;
    if (process != nullptr)
        held.resident_bytes_before = process->resident_bytes();
    load::connector server(settings.host, settings.port, stream);
    auto idle = open_connections(server, 0, settings.idle);
    std::fprintf(stderr, "echo_load: holding %zu connections\n", settings.idle);
    std::this_thread::sleep_for(std::chrono::duration<double>(*settings.hold_seconds));
    if (process != nullptr)
        held.resident_bytes_after = process->resident_bytes();
    for (std::size_t index = 0; index < idle.size(); ++index)
        if (const auto broken = load::why_broken(idle[index])) {
            ++held.errors;
            if (held.first_error.empty())
                held.first_error = "idle connection " + std::to_string(index) + ": " + *broken;
        }
    print_hold(settings, held);
    return finish(held.errors, held.first_error);
}

} // namespace

int main(int argc, char** argv)
{
    std::signal(SIGPIPE, SIG_IGN);
    try {
        const load::options settings = load::parse_options(argc, argv);
        if (settings.help) {
            std::fputs(load::usage_text, stdout);
            return finish(0, "");
        }
        const load::payload stream(settings.size_bytes, settings.seed);
        std::optional<load::server_process> process;
        if (settings.pid)
            process.emplace(*settings.pid);
        load::reserve_descriptors(settings.idle + (settings.hold_seconds ? 0 : settings.connections));
        const auto* watched = process ? &*process : nullptr;
        return settings.hold_seconds ? run_hold(settings, stream, watched) : run_load(settings, stream, watched);
    } catch (const load::usage_error& error) {
        std::fprintf(stderr, "echo_load: %s\nTry --help.\n", error.what());
        return 2;
    } catch (const std::exception& error) { // failure, or memory for a very large --size
        std::fprintf(stderr, "echo_load: %s\n", error.what());
        return 1;
    }
}
