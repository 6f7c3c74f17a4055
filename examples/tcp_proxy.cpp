// SPDX-License-Identifier: MIT

// Shows: both directions of a connection at once (copy_bidirectional), idle timeout (when_any), a limit of connections (semaphore), draining.
// Run:   tcp_proxy --port 7002 --to 127.0.0.1:6379     Expect: `redis-cli -p 7002 ping` is answered by what listens on 6379.
//        On SIGTERM it accepts no more, lets what runs go on for --drain seconds, and names the connections that it had to cut.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include <peal/peal.hpp>

#include "support/server_options.hpp"

using namespace std::chrono_literals;
using peal::net::tcp_stream;

struct settings {
    std::string host;
    std::string service;
    std::chrono::seconds idle{60};
    std::chrono::seconds drain{5};
    std::size_t connections = 1000;
};

/// When something was last passed on in either direction, and how much in all. The two directions may run on two workers at once.
class activity {
  public:
    void operator()(std::size_t bytes) noexcept {
        latest_.store(peal::clock::now(), std::memory_order_relaxed);  // stands for itself
        bytes_.fetch_add(bytes, std::memory_order_relaxed);
    }
    peal::clock::time_point latest() const noexcept { return latest_.load(std::memory_order_relaxed); }
    std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

  private:
    std::atomic<peal::clock::time_point> latest_ = peal::clock::now();
    std::atomic<std::size_t> bytes_ = 0;
};

/// Throws when nothing has been passed on for so long.
peal::task<> watch(const activity& seen, std::chrono::seconds idle) {
    for (auto last = seen.latest(); peal::clock::now() < last + idle; last = seen.latest()) co_await peal::sleep_until(last + idle);
    throw std::system_error(std::make_error_code(std::errc::timed_out), "timeout: idle for " + std::to_string(idle.count()) + " s");
}

peal::task<> session(const settings& how, [[maybe_unused]] peal::semaphore::permit counted, tcp_stream client) {
    std::string name = client.peer_address().to_string();
    activity seen;
    try {
        tcp_stream server = co_await peal::timeout(10s, tcp_stream::connect(how.host, how.service));
        co_await peal::when_any(peal::io::copy_bidirectional(client, server, std::ref(seen)), watch(seen, how.idle));
    } catch (const std::system_error& failure) {
        std::fprintf(stderr, "tcp_proxy: %s cut after %zu bytes: %s\n", name.c_str(), seen.bytes(), failure.what());
    }
}

peal::task<> serve(const settings& how, peal::net::tcp_listener listener) {
    peal::semaphore limit(how.connections);
    peal::scope sessions(peal::on_error::keep_going);
    try {
        for (;;) {
            auto permit = co_await limit.acquire();  // who comes when all are taken waits in the backlog
            auto client = co_await listener.accept();
            sessions.spawn(session, std::ref(how), std::move(permit), std::move(client));
        }
    } catch (const std::system_error& failure) {
        if (!peal::is_canceled(failure)) throw;
    }
    listener.close();
    co_await peal::drain(how.drain, sessions);
}

int main(int argc, char** argv) {
    settings how;
    constexpr std::string_view more = " --to HOST:PORT [--idle SECONDS] [--drain SECONDS] [--connections N]";
    auto ours = [&](std::string_view option, std::string_view value) {
        auto number = [&](unsigned long most) { return examples::server_options::number("tcp_proxy", option, value, 1, most, more); };
        if (option == "--idle") return how.idle = std::chrono::seconds(number(86400)), true;
        if (option == "--drain") return how.drain = std::chrono::seconds(number(3600)), true;
        if (option == "--connections") return how.connections = number(100'000), true;
        std::size_t colon = value.rfind(':');
        if (option != "--to" || colon == std::string_view::npos) return false;
        how.host = value.substr(0, colon);
        how.service = value.substr(colon + 1);
        return true;
    };
    examples::server_options options(argc, argv, "tcp_proxy", 7002, ours, more);
    if (how.service.empty()) examples::usage_error("tcp_proxy", "--to HOST:PORT is missing: where to?", more);
    try {
        auto listener = peal::net::tcp_listener::bind(peal::net::address::from(options.host, options.port));
        peal::pool_options pool_settings(options.workers);
        pool_settings.drain_timeout = how.drain;
        peal::pool pool(pool_settings);
        std::printf("listening on %s\n", listener.local_address().to_string().c_str());
        std::fflush(stdout);
        peal::process::run_until_terminated(pool, serve, std::ref(how), std::move(listener));
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "tcp_proxy: %s\n", failure.what());
        return 1;
    }
}
