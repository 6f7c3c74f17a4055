// SPDX-License-Identifier: MIT

// Shows: a server of some size: sessions in a scope, shared state, a background task, limits, an end without loss.
// Run:   kv_server --port 6380 --save /tmp/kv.snapshot
// Expect: `redis-cli -p 6380 incr visits` counts; Ctrl-C ends the server, and the next one goes on counting.
//
// It speaks the protocol of Redis. In kv/: resp (the protocol), receive_buffer, commands (what they do), store,
// snapshot (the file), session_list (who must be told of the end).

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <limits>
#include <span>
#include <string>

#include <peal/peal.hpp>

#include "kv/commands.hpp"
#include "kv/session_list.hpp"
#include "kv/snapshot.hpp"
#include "support/server_options.hpp"

using namespace std::chrono_literals;

constexpr std::size_t sessions_max = 10'000;  // as Redis
constexpr auto farewell_limit = 1s;           // for a peer to take its last replies and to close
constexpr auto drain_limit = 2s;              // for all sessions, when the server ends
constexpr auto sweep_pause = 100ms;
constexpr std::size_t sweep_batch = 64;  // keys that one shard may lose while it is locked

struct server {
    explicit server(peal::net::tcp_listener& from) : listener(from) {}

    peal::net::tcp_listener& listener;
    kv::store data;
    session_list list;
    peal::scope sessions{peal::on_error::keep_going};  // the last member: it ends before what the sessions use
};

// ---- the end of something, in a limited time -------------------------------------------------------------

peal::task<> stop_after(std::chrono::milliseconds limit, peal::scope& tasks) {
    co_await peal::sleep_for(limit);
    tasks.request_stop();
}

/// Waits for `tasks` to end; what has not ended by itself within `limit` is asked to stop.
peal::task<> join_within(std::chrono::milliseconds limit, peal::scope& tasks) {
    peal::scope timer;
    timer.spawn(stop_after, limit, std::ref(tasks));
    co_await tasks.join();
    timer.request_stop();
    co_await timer.join();
}

// ---- one session -----------------------------------------------------------------------------------------

/// Reads and forgets, until the peer closes.
peal::task<> discard_input(peal::net::tcp_stream& peer) {
    std::array<std::byte, 4096> bin;
    for (;;) {
        auto reading = peer.read(bin);
        auto bytes = co_await peal::as_result(reading);
        if (!bytes || *bytes == 0) co_return;
    }
}

/// Closing a socket that has unread input resets the connection, and the peer may never see our last replies.
/// So: say that they were the last, and wait until the peer closes.
peal::task<> say_farewell(peal::net::tcp_stream& peer) {
    peer.shutdown_write();
    peal::scope waiting;
    waiting.spawn(discard_input, std::ref(peer));
    co_await join_within(farewell_limit, waiting);
}

std::size_t bytes_that_have_arrived(const peal::net::tcp_stream& peer) noexcept {
    int bytes = 0;
    return ::ioctl(peer.native_handle(), FIONREAD, &bytes) == 0 ? static_cast<std::size_t>(bytes) : 0;
}

peal::task<> converse(server& here, session_list::member& self, peal::net::tcp_stream& peer) {
    kv::receive_buffer input;
    kv::request_parser parser;
    kv::reply_buffer replies;
    constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
    std::size_t may_read = no_limit;  // once the server ends: what had arrived by then is still answered
    for (;;) {
        std::span<std::byte> room = input.room(parser.size_bytes());
        self.begin_reading();
        if (may_read == no_limit && self.finishing()) may_read = bytes_that_have_arrived(peer);
        if (may_read < room.size()) room = room.first(may_read);
        if (room.empty()) break;
        std::size_t bytes = co_await peer.read(room);
        self.end_reading();
        if (bytes == 0 && !self.finishing()) co_return;  // the peer has closed, and wants nothing more
        if (bytes == 0) break;
        if (may_read != no_limit) may_read -= bytes;
        input.add(bytes);

        kv::progress made;
        do {
            made = kv::answer_commands(here.data, input, parser, replies);
            if (!replies.empty()) co_await peer.write_all(replies.bytes());
            replies.clear();
        } while (made == kv::progress::batch_full);
        if (made == kv::progress::last_words) break;
    }
    co_await say_farewell(peer);
}

peal::task<> session(server& here, peal::net::tcp_stream peer) {
    session_list::member self(here.list, peer);
    try {
        co_await converse(here, self, peer);
    } catch (const std::system_error&) {
        // The peer reset the connection, or its time was up when the server ended: that costs this session
        // alone.
    }
}

// ---- the server ------------------------------------------------------------------------------------------

std::size_t remove_expired(kv::shard& part) {
    std::vector<kv::shard::removed> gone;  // freed after the shard is unlocked
    std::lock_guard guard(part);
    gone = part.remove_expired(sweep_batch);
    return gone.size();
}

/// Removes keys whose time is over and that nobody asks for.
peal::task<> sweep(kv::store& data) {
    for (;;) {
        co_await peal::sleep_for(sweep_pause);
        for (kv::shard& part : data.shards()) {
            while (remove_expired(part) == sweep_batch) {
                co_await peal::pool::current()->schedule();  // others first
            }
        }
    }
}

peal::task<> refuse(peal::net::tcp_stream& peer) {
    auto writing = peer.write_all(peal::io::bytes_of("-ERR max number of clients reached\r\n"));
    [[maybe_unused]] auto written = co_await peal::as_result(writing);  // it may be gone already
}

/// Until it is canceled, which accept() reports.
peal::task<> serve(server& here) {
    std::printf("listening on %s\n", here.listener.local_address().to_string().c_str());
    std::fflush(stdout);
    peal::scope background;
    background.spawn(sweep, std::ref(here.data));
    for (;;) {
        peal::net::tcp_stream peer = co_await here.listener.accept();
        if (here.sessions.size() < sessions_max) {
            here.sessions.spawn(session, std::ref(here), std::move(peer));
        } else {
            co_await refuse(peer);
        }
    }
}

/// Lets every session answer what it has received. One whose peer does not read is given up after a while.
peal::task<> drain(server& here) {
    here.list.finish_all();
    co_await join_within(drain_limit, here.sessions);
}

// ---- the file --------------------------------------------------------------------------------------------

/// Fills the store from a file. If there is none: makes sure that one can be written when the server ends.
peal::task<> load(std::string path, kv::store& data) {
    auto looking = peal::fs::stat(path);
    auto found = co_await peal::as_result(looking);
    if (!found && found.error().code() == std::errc::no_such_file_or_directory) {
        std::string folder = std::filesystem::absolute(path).parent_path();
        if (::access(folder.c_str(), W_OK | X_OK) != 0) {
            throw std::system_error(errno, std::system_category(),
                                    "--save " + path + ": no file can be made in " + folder);
        }
        co_return;
    }
    std::vector<std::byte> bytes = co_await peal::fs::read_file(path);
    try {
        // All of it at once: too long for a worker.
        co_await peal::blocking(kv::from_snapshot, std::ref(data), std::span<const std::byte>(bytes));
    } catch (const std::runtime_error& wrong) {
        throw std::runtime_error("--save " + path + ": cannot load the file: " + wrong.what());
    }
}

peal::task<> save(std::string path, kv::store& data) {
    std::vector<std::byte> bytes = co_await peal::blocking(kv::to_snapshot, std::ref(data));
    co_await peal::fs::write_file(path, bytes);  // the old file stays until the new one is whole and on the disk
}

void complain(const std::exception& failure) { std::fprintf(stderr, "kv_server: %s\n", failure.what()); }

peal::net::address address_of(const examples::server_options& options) {
    try {
        return peal::net::address::from(options.host, options.port);
    } catch (const std::system_error& wrong) {
        examples::usage_error("kv_server", std::string("--host: ") + wrong.what(),
                              "--host ADDRESS, 127.0.0.1 or ::1 for example");
    }
}

int main(int argc, char** argv) {
    std::string save_file;
    auto option_of_ours = [&save_file](std::string_view option, std::string_view value) {
        if (option != "--save" || value.empty()) return false;
        save_file = value;
        return true;
    };
    examples::server_options options(argc, argv, "kv_server", 6380, option_of_ours, " [--save FILE]");
    try {
        auto listener = peal::net::tcp_listener::bind(address_of(options));
        peal::pool pool(peal::pool_options(options.workers));
        server here(listener);
        if (!save_file.empty()) pool.run(load, save_file, std::ref(here.data));
        int status = 0;
        try {
            peal::process::run_until_terminated(pool, serve, std::ref(here));
        } catch (const std::exception& failure) {
            // Nothing can be accepted any more. What is stored is saved all the same.
            complain(failure);
            status = 1;
        }
        std::signal(SIGTERM, SIG_IGN);  // another one shall not keep us from saving; Ctrl-C does
        listener.close();
        pool.run(drain, std::ref(here));
        if (!save_file.empty()) pool.run(save, save_file, std::ref(here.data));
        return status;
    } catch (const std::exception& failure) {
        complain(failure);
        return 1;
    }
}
