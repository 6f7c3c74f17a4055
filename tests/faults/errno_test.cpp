// SPDX-License-Identifier: MIT

// Every operation with every error that it may end with, at its first, its second and its last call: the caller hears of that error by its name, or of
// none where peal tries again; the calls around it do what they should; and nothing is left (the runner counts frames and descriptors).

#include <net/zero_copy.hpp>
#include <task/faults.hpp>
#include <task/perform.hpp>

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

namespace {

using peal::detail::operation_kind;
using peal::fs::file;
using peal::io::bytes_of;
using peal::net::tcp_listener;
using peal::net::tcp_stream;

constexpr int calls = 3;

// What goes wrong. Written while nothing runs.
operation_kind wrong_kind;
int wrong_errno = 0;
int wrong_call = 0;
std::atomic<int> calls_seen{0};  // a worker, or a blocking thread of it

std::int32_t go_wrong(const peal::detail::operation& operation) {
    if (operation.kind != wrong_kind || calls_seen.fetch_add(1, std::memory_order_relaxed) != wrong_call) return 0;
    return -wrong_errno;
}

// ---- one call of each operation, with all that it needs made anew ---------------------------------------------------------------

std::pair<tcp_stream, tcp_stream> pair_with_something_to_read() {
    auto ends = support::local_pair();
    static_cast<void>(::send(ends.second.native_handle(), "12345678", 8, MSG_NOSIGNAL));
    return ends;
}

peal::task<bool> read(const std::string&) {
    auto ends = pair_with_something_to_read();
    std::array<std::byte, 8> buffer;
    co_return co_await ends.first.read(buffer) == 8;
}
peal::task<bool> read_exactly(const std::string&) {
    auto ends = pair_with_something_to_read();
    std::array<std::byte, 8> buffer;
    co_return co_await ends.first.read_exactly(buffer) == 8;
}
peal::task<bool> read_pieces(const std::string&) {
    auto ends = pair_with_something_to_read();
    std::array<std::byte, 8> buffer;
    const std::array<peal::io::mutable_buffer, 2> pieces{std::span(buffer).first(3), std::span(buffer).last(5)};
    co_return co_await ends.first.read(std::span<const peal::io::mutable_buffer>(pieces)) == 8;
}
peal::task<bool> receive(const std::string&) {
    auto ends = pair_with_something_to_read();
    peal::io::lease got = co_await ends.first.receive();
    co_return got.text() == "12345678";
}
peal::task<bool> write(const std::string&) {
    auto ends = support::local_pair();
    co_return co_await ends.first.write(bytes_of("12345678")) == 8;
}
peal::task<bool> write_all(const std::string&) {
    auto ends = support::local_pair();
    co_return co_await ends.first.write_all(bytes_of("12345678")) == 8;
}
peal::task<bool> write_without_copy(const std::string&) {
    auto ends = support::local_pair();
    ends.first.set_zero_copy(1);
    co_return co_await ends.first.write_all(bytes_of("12345678")) == 8;
}
peal::task<bool> write_pieces(const std::string&) {
    auto ends = support::local_pair();
    const std::array<peal::io::const_buffer, 2> pieces{peal::io::const_buffer("123"), peal::io::const_buffer("45678")};
    co_return co_await ends.first.write(std::span<const peal::io::const_buffer>(pieces)) == 8;
}
peal::task<bool> write_all_pieces(const std::string&) {
    auto ends = support::local_pair();
    std::array<peal::io::const_buffer, 2> pieces{peal::io::const_buffer("123"), peal::io::const_buffer("45678")};
    co_return co_await ends.first.write_all(std::span<peal::io::const_buffer>(pieces)) == 8;
}
peal::task<bool> send_file(const std::string& path) {
    file from = co_await file::open(path);
    auto ends = support::local_pair();
    co_return co_await ends.first.send_file(from, 0, 8) == 8;
}
peal::task<bool> connect(const std::string&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    tcp_stream stream = co_await tcp_stream::connect(listener.local_address());
    co_return stream.is_open();
}
peal::task<bool> accept(const std::string&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    peal::net::address at = listener.local_address();
    tcp_stream caller(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(caller.native_handle(), static_cast<const sockaddr*>(at.data()), static_cast<socklen_t>(at.size())) != 0) co_return false;
    tcp_stream stream = co_await listener.accept();
    co_return stream.is_open();
}
peal::task<bool> open(const std::string& path) {
    file opened = co_await file::open(path);
    co_return opened.is_open();
}
peal::task<bool> read_at(const std::string& path) {
    file from = co_await file::open(path);
    std::array<std::byte, 8> buffer;
    co_return co_await from.read_at(0, buffer) == 8;
}
peal::task<bool> read_exactly_at(const std::string& path) {
    file from = co_await file::open(path);
    std::array<std::byte, 8> buffer;
    co_return co_await from.read_exactly_at(0, buffer) == 8;
}
peal::task<bool> write_at(const std::string& path) {
    file to = co_await file::open(path, peal::fs::open_mode::read_write);
    co_return co_await to.write_at(0, bytes_of("abc")) == 3;
}
peal::task<bool> append(const std::string& path) {
    file to = co_await file::open(path + ".log", peal::fs::open_mode::append);
    co_return co_await to.append(bytes_of("abc")) == 3;
}
peal::task<bool> sync(const std::string& path) {
    file of = co_await file::open(path, peal::fs::open_mode::read_write);
    co_await of.sync();
    co_return true;
}
peal::task<bool> truncate(const std::string& path) {
    file of = co_await file::open(path + ".short", peal::fs::open_mode::read_write);
    co_await of.truncate(2);
    co_return true;
}
peal::task<bool> stat_file(const std::string& path) {
    file of = co_await file::open(path);
    peal::fs::file_info info = co_await of.stat();
    co_return info.size == 8;
}
peal::task<bool> stat_path(const std::string& path) {
    auto asking = peal::fs::stat(path);
    peal::fs::file_info info = co_await asking;
    co_return info.size == 8;
}
peal::task<bool> remove(const std::string& path) {
    static_cast<void>(co_await file::open(path + ".gone", peal::fs::open_mode::write));
    co_await peal::fs::remove(path + ".gone");
    co_return !std::filesystem::exists(path + ".gone");
}
peal::task<bool> replace(const std::string& path) {
    co_await peal::fs::write_file(path + ".whole", bytes_of("all of it"));
    co_return std::filesystem::file_size(path + ".whole") == 9;
}

struct tried {
    const char* name;
    operation_kind kind;
    peal::task<bool> (*call)(const std::string& path);
    const char* says;  // part of the message
};

constexpr tried all[] = {
    {"read", operation_kind::receive, read, "recv"},
    {"read_exactly", operation_kind::receive, read_exactly, "recv"},
    {"read of pieces", operation_kind::receive_many, read_pieces, "recvmsg"},
    {"receive", operation_kind::receive_lease, receive, "recv"},
    {"write", operation_kind::send, write, "send"},
    {"write_all", operation_kind::send, write_all, "send"},
    {"write_all without a copy", operation_kind::send_zero_copy, write_without_copy, "send"},
    {"write of pieces", operation_kind::send_many, write_pieces, "sendmsg"},
    {"write_all of pieces", operation_kind::send_many, write_all_pieces, "sendmsg"},
    {"send_file, reading", operation_kind::read, send_file, "read"},
    {"send_file, sending", operation_kind::send, send_file, "send"},
    {"connect", operation_kind::connect, connect, "connect 127.0.0.1:"},
    {"accept", operation_kind::accept, accept, "accept"},
    {"open", operation_kind::open, open, "openat"},
    {"read_at", operation_kind::read, read_at, "read"},
    {"read_exactly_at", operation_kind::read, read_exactly_at, "read"},
    {"write_at", operation_kind::write, write_at, "write"},
    {"append", operation_kind::write, append, "write"},
    {"sync", operation_kind::sync, sync, "fsync"},
    {"truncate", operation_kind::truncate, truncate, "ftruncate"},
    {"stat of a file", operation_kind::stat, stat_file, "statx"},
    {"stat of a path", operation_kind::stat, stat_path, "statx"},
    {"remove", operation_kind::unlink, remove, "unlink"},
    {"write_file", operation_kind::rename, replace, "rename"},
};

constexpr int errors[] = {EPERM,  ENOENT, EINTR,  EIO,   ENXIO,      EBADF,  EAGAIN,    ENOMEM,       EACCES,      EFAULT,     EBUSY, EINVAL, ENFILE,
                          EMFILE, EFBIG,  ENOSPC, EROFS, EPIPE,      EDQUOT, ENOBUFS,   ECONNABORTED, ECONNRESET,  ETIMEDOUT,  ECONNREFUSED,
                          ENETUNREACH,    EPROTO, ECANCELED};

/// What the caller hears of: 0 where peal tries again.
int heard(const tried& one, int error_number, const peal::pool& pool) {
    static const std::set<int> passing_for_accept = {ECONNABORTED, EAGAIN, EPROTO, ENETUNREACH, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    if (error_number == EINTR) return 0;
    if (error_number == ECANCELED && peal::rt::can_perform(one.kind)) return 0;  // nobody has canceled: a blocking thread does it
    if (one.kind == operation_kind::accept && passing_for_accept.contains(error_number)) return 0;
    if (one.kind == operation_kind::send_zero_copy && (error_number == ENOMEM || error_number == ENOBUFS)) return 0;  // then with a copy
    // A ring says that when it has no buffer: then it gets one.
    if (one.kind == operation_kind::receive_lease && error_number == ENOBUFS && pool.driver_of(0) == std::string_view("uring")) return 0;
    return error_number;
}

struct heard_of {
    bool was_right = false;
    int error_number = 0;
    std::string words;
};

peal::task<std::vector<heard_of>> call_each_time(const tried& one, const std::string& path) {
    std::vector<heard_of> ends(calls);
    for (heard_of& end : ends) {
        try {
            end.was_right = co_await one.call(path);
        } catch (const std::system_error& failure) {
            end.error_number = failure.code().value();
            end.words = failure.what();
        }
    }
    co_return ends;
}

bool has_temporary_files(const std::string& folder) {
    for (const auto& each : std::filesystem::directory_iterator(folder)) {
        if (each.path().string().find(".new-") != std::string::npos) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("faults: every operation with every error, at the first, the second and the last call") {
    support::temp_folder folder;
    std::string path = folder.path() + "/data";
    peal::rt::the_fault_source = go_wrong;
    peal::rt::zero_copy_on_this_machine = true;
    int combinations = 0;
    for (const tried& one : all) {
        peal::pool pool(peal::pool_options(1));
        for (int error_number : errors) {
            for (int call = 0; call < calls; ++call) {
                wrong_kind = one.kind;
                wrong_errno = error_number;
                wrong_call = -1;
                static_cast<void>(pool.run(peal::fs::write_file, path, bytes_of("12345678")));
                calls_seen.store(0, std::memory_order_relaxed);
                wrong_call = call;
                std::vector<heard_of> ends = pool.run(call_each_time, one, path);
                CAPTURE(one.name, std::string(std::strerror(error_number)), call);
                for (int i = 0; i < calls; ++i) {
                    const heard_of& end = ends[static_cast<std::size_t>(i)];
                    int expected = i == call ? heard(one, error_number, pool) : 0;
                    CAPTURE(i, end.words);
                    REQUIRE(end.error_number == expected);
                    REQUIRE(end.was_right == (expected == 0));
                    if (expected != 0) REQUIRE(end.words.find(one.says) != std::string::npos);
                }
                REQUIRE_FALSE(has_temporary_files(folder.path()));
                ++combinations;
            }
        }
    }
    peal::rt::the_fault_source = nullptr;
    peal::rt::zero_copy_on_this_machine = false;
    CHECK(combinations >= 400);
    WARN(combinations << " combinations of operation, error and call");
}
