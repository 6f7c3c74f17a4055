// SPDX-License-Identifier: MIT

// Every operation with every error that it may end with, at its first, its second and its last call: the caller hears of that error by its name, or of
// none where peal tries again; the calls around it do what they should; and nothing is left (the runner counts frames and descriptors).

#include <net/zero_copy.hpp>
#include <task/faults.hpp>
#include <task/perform.hpp>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <peal/combine/when_all.hpp>
#include <peal/fs/directory.hpp>
#include <peal/fs/file.hpp>
#include <peal/fs/names.hpp>
#include <peal/fs/temp_file.hpp>
#include <peal/fs/watch.hpp>
#include <peal/io/pipe.hpp>
#include <peal/net/receiver.hpp>
#include <peal/net/tcp.hpp>
#include <peal/net/udp.hpp>
#include <peal/net/unix.hpp>
#include <peal/pool/pool.hpp>
#include <peal/process/child.hpp>
#include <peal/process/signal.hpp>
#include <peal/time/sleep.hpp>

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

/// Until an operation of the kind that goes wrong was handed over, since there were `before` of them: whoever awaits it has come that far.
peal::task<> until_seen(int before) {
    while (calls_seen.load(std::memory_order_relaxed) == before) co_await peal::sleep_for(std::chrono::microseconds(100));
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
peal::task<bool> receive_on(const std::string&) {
    auto ends = pair_with_something_to_read();
    peal::net::receiver incoming(ends.first);
    peal::io::lease got = co_await incoming.receive();
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

// ---- the same of folders, pieces, temporary files, pipes, programs ------------------------------------------------------------------

peal::task<bool> read_pieces_at(const std::string& path) {
    file from = co_await file::open(path);
    std::array<std::byte, 8> buffer;
    const std::array<peal::io::mutable_buffer, 2> pieces{std::span(buffer).first(3), std::span(buffer).last(5)};
    co_return co_await from.read_at(0, std::span<const peal::io::mutable_buffer>(pieces)) == 8;
}
peal::task<bool> write_pieces_at(const std::string& path) {
    file to = co_await file::open(path, peal::fs::open_mode::read_write);
    std::array<peal::io::const_buffer, 2> pieces{peal::io::const_buffer("123"), peal::io::const_buffer("45678")};
    co_return co_await to.write_at(0, std::span<peal::io::const_buffer>(pieces)) == 8;
}
peal::task<bool> allocate(const std::string& path) {
    file of = co_await file::open(path, peal::fs::open_mode::read_write);
    co_await of.allocate(0, 8);
    co_return true;
}
peal::task<bool> make_directory(const std::string& path) {
    co_await peal::fs::make_directory(path + ".folder");
    co_return std::filesystem::remove(path + ".folder");
}
peal::task<bool> remove_directory(const std::string& path) {
    std::filesystem::create_directory(path + ".empty");
    co_await peal::fs::remove_directory(path + ".empty");
    co_return !std::filesystem::exists(path + ".empty");
}
peal::task<bool> rename(const std::string& path) {
    support::put(path + ".old", "x");
    co_await peal::fs::rename(path + ".old", path + ".renamed");
    co_return !std::filesystem::exists(path + ".old");
}
peal::task<bool> link(const std::string& path) {
    co_await peal::fs::link(path, path + ".link");
    co_return std::filesystem::remove(path + ".link");
}
peal::task<bool> symlink(const std::string& path) {
    co_await peal::fs::symlink("data", path + ".symlink");
    co_return std::filesystem::remove(path + ".symlink");
}
peal::task<peal::fs::directory> folder_of(const std::string& path) { return peal::fs::directory::open(path.substr(0, path.rfind('/'))); }
peal::task<bool> open_in_folder(const std::string& path) {
    peal::fs::directory folder = co_await folder_of(path);
    file opened = co_await folder.open_file("data", peal::fs::open_options().read());
    co_return opened.is_open();
}
peal::task<bool> open_folder_in_folder(const std::string& path) {
    std::filesystem::create_directory(path + ".below");
    peal::fs::directory folder = co_await folder_of(path);
    peal::fs::directory below = co_await folder.open_directory("data.below");
    co_return below.native_handle() >= 0;
}
peal::task<bool> stat_in_folder(const std::string& path) {
    peal::fs::directory folder = co_await folder_of(path);
    auto asking = folder.stat("data");
    peal::fs::file_info info = co_await std::move(asking);
    co_return info.size == 8;
}
peal::task<bool> make_in_folder(const std::string& path) {
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.make_directory("made");
    co_return std::filesystem::remove(path.substr(0, path.rfind('/')) + "/made");
}
peal::task<bool> remove_in_folder(const std::string& path) {
    support::put(path + ".gone", "x");
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.remove("data.gone");
    co_return !std::filesystem::exists(path + ".gone");
}
peal::task<bool> remove_folder_in_folder(const std::string& path) {
    std::filesystem::create_directory(path + ".empty");
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.remove_directory("data.empty");
    co_return !std::filesystem::exists(path + ".empty");
}
peal::task<bool> rename_in_folder(const std::string& path) {
    support::put(path + ".old", "x");
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.rename("data.old", folder, "data.renamed");
    co_return !std::filesystem::exists(path + ".old");
}
peal::task<bool> link_in_folder(const std::string& path) {
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.link("data", folder, "data.link");
    co_return std::filesystem::remove(path + ".link");
}
peal::task<bool> symlink_in_folder(const std::string& path) {
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.symlink("data", "data.symlink");
    co_return std::filesystem::remove(path + ".symlink");
}
peal::task<bool> sync_folder(const std::string& path) {
    peal::fs::directory folder = co_await folder_of(path);
    co_await folder.sync();
    co_return true;
}
peal::task<bool> create_temporary(const std::string& path) {
    auto creating = peal::fs::temp_file::create(path.substr(0, path.rfind('/')));
    peal::fs::temp_file made = co_await std::move(creating);
    co_return made.content().is_open();
}
peal::task<bool> name_temporary(const std::string& path) {
    auto creating = peal::fs::temp_file::create(path.substr(0, path.rfind('/')));
    peal::fs::temp_file made = co_await std::move(creating);
    auto naming = made.give_name(path + ".named");
    co_await std::move(naming);
    co_return std::filesystem::remove(path + ".named");
}
peal::task<bool> copy(const std::string& path) {
    auto copying = peal::fs::copy_file(path, path + ".copy");
    std::uint64_t copied = co_await std::move(copying);
    co_return copied == 8 && std::filesystem::remove(path + ".copy");
}
peal::task<bool> watch(const std::string& path) {
    peal::fs::change_watch changes;
    auto adding = changes.add(path);
    co_await std::move(adding);
    support::put(path, "12345678");
    auto next = changes.next();
    peal::fs::change first = co_await std::move(next);
    co_return first.path == path;
}
peal::task<bool> read_pipe(const std::string&) {
    peal::io::pipe ends = peal::io::make_pipe();
    static_cast<void>(::write(ends.writer.native_handle(), "12345678", 8));
    std::array<std::byte, 8> buffer;
    co_return co_await ends.reader.read(buffer) == 8;
}
peal::task<bool> write_pipe(const std::string&) {
    peal::io::pipe ends = peal::io::make_pipe();
    co_return co_await ends.writer.write_all(bytes_of("12345678")) == 8;
}
peal::task<> wait_for(peal::process::child& program) {
    auto waiting = program.wait();
    static_cast<void>(co_await std::move(waiting));
}
peal::task<> let_end(peal::process::child& program, int before) {
    co_await until_seen(before);
    program.input().close();
}
peal::task<bool> wait_for_program(const std::string&) {
    peal::process::command cat("cat");
    cat.input(peal::process::standard_stream::pipe());
    auto starting = peal::process::start(cat);
    peal::process::child program = co_await std::move(starting);
    co_await peal::when_all(wait_for(program), let_end(program, calls_seen.load(std::memory_order_relaxed)));
    co_return true;
}
/// Another one for each call: one that comes late must not be taken for the next one's.
constexpr int signals_in_turn = 16;
int signal_of(int turn) { return SIGRTMIN + 1 + turn % signals_in_turn; }

peal::task<> raise_soon(int number, int before) {
    co_await until_seen(before);
    ::kill(::getpid(), number);
}
peal::task<> await_signal(peal::process::signal_watch& signals) {
    auto next = signals.next();
    static_cast<void>(co_await std::move(next));
}
peal::task<bool> next_signal(const std::string&) {
    static int turn = 0;
    int number = signal_of(turn++);
    peal::process::signal_watch signals{number};
    co_await peal::when_all(await_signal(signals), raise_soon(number, calls_seen.load(std::memory_order_relaxed)));
    co_return true;
}

// ---- Unix sockets and datagrams -------------------------------------------------------------------------------------------------------

peal::task<bool> receive_descriptors(const std::string&) {
    auto ends = peal::net::unix_stream::pair();
    static_cast<void>(::send(ends.second.native_handle(), "12345678", 8, MSG_NOSIGNAL));
    std::array<std::byte, 8> buffer;
    std::span<std::byte> into(buffer);
    auto receiving = ends.first.receive(into);
    peal::net::unix_message got = co_await receiving;
    co_return got.size() == 8;
}
peal::task<bool> send_descriptors(const std::string&) {
    auto ends = peal::net::unix_stream::pair();
    const std::array<int, 1> passed{ends.first.native_handle()};
    co_await ends.first.write_all(bytes_of("12345678"), passed);
    co_return true;
}
peal::task<bool> receive_message(const std::string&) {
    auto ends = peal::net::unix_seqpacket::pair();
    static_cast<void>(::send(ends.second.native_handle(), "12345678", 8, MSG_NOSIGNAL));
    std::array<std::byte, 8> buffer;
    auto got = co_await ends.first.receive(buffer);
    co_return got.size() == 8;
}
peal::task<bool> send_message(const std::string&) {
    auto ends = peal::net::unix_seqpacket::pair();
    co_await ends.first.send(bytes_of("12345678"));
    co_return true;
}
peal::task<> send_one(peal::net::unix_seqpacket& to) { co_await to.send(bytes_of("12345678")); }
peal::task<> make_room(int fd, int before) {
    co_await until_seen(before);
    char byte[8];
    while (::recv(fd, byte, sizeof byte, MSG_DONTWAIT) > 0) {
    }
}
peal::task<bool> send_message_without_room(const std::string&) {
    auto ends = peal::net::unix_seqpacket::pair();
    support::make_buffer_tiny(ends.first.native_handle());
    while (::send(ends.first.native_handle(), "12345678", 8, MSG_NOSIGNAL | MSG_DONTWAIT) == 8) {
    }
    co_await peal::when_all(send_one(ends.first), make_room(ends.second.native_handle(), calls_seen.load(std::memory_order_relaxed)));
    co_return true;
}
peal::task<bool> receive_unix_datagram(const std::string&) {
    auto ends = peal::net::unix_datagram::pair();
    static_cast<void>(::send(ends.second.native_handle(), "12345678", 8, MSG_NOSIGNAL));
    std::array<std::byte, 8> buffer;
    auto got = co_await ends.first.receive(buffer);
    co_return got.size() == 8;
}
peal::task<bool> send_unix_datagram(const std::string&) {
    auto ends = peal::net::unix_datagram::pair();
    co_await ends.first.send(bytes_of("12345678"));
    co_return true;
}
peal::task<bool> send_unix_datagram_to(const std::string& path) {
    ::unlink((path + ".socket").c_str());
    auto at = peal::net::unix_address::from_path(path + ".socket");
    auto receiver = peal::net::unix_datagram::bind(at);
    auto sender = peal::net::unix_datagram::open();
    auto sending = sender.send_to(bytes_of("abc"), at);
    co_await std::move(sending);
    co_return true;
}
peal::task<bool> accept_unix(const std::string& path) {
    ::unlink((path + ".socket").c_str());
    auto at = peal::net::unix_address::from_path(path + ".socket");
    auto listener = peal::net::unix_listener::bind(at);
    peal::net::unix_stream caller(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(caller.native_handle(), static_cast<const sockaddr*>(at.data()), static_cast<socklen_t>(at.size())) != 0) co_return false;
    peal::net::unix_stream stream = co_await listener.accept();
    co_return stream.is_open();
}
peal::task<bool> receive_datagram(const std::string&) {
    auto one = peal::net::udp_socket::bind("127.0.0.1:0");
    auto two = peal::net::udp_socket::connect(one.local_address());
    static_cast<void>(::send(two.native_handle(), "12345678", 8, MSG_NOSIGNAL));
    std::array<std::byte, 8> buffer;
    auto got = co_await one.receive(buffer);
    co_return got.size() == 8;
}
peal::task<bool> send_datagram(const std::string&) {
    auto one = peal::net::udp_socket::bind("127.0.0.1:0");
    auto two = peal::net::udp_socket::bind("127.0.0.1:0");
    co_await two.send_to(bytes_of("abc"), one.local_address());
    co_return true;
}

// ---- which may pass ---------------------------------------------------------------------------------------------------------------------

bool says_later(int error_number) { return error_number == EAGAIN; }
bool cannot_sync_folders(int error_number) { return error_number == EINVAL; }
bool has_that_name(int error_number) { return error_number == EEXIST; }

struct tried {
    const char* name;
    operation_kind kind;
    peal::task<bool> (*call)(const std::string& path);
    const char* says;  // part of the message
    bool (*passes)(int error_number) = nullptr;  // it is tried another time, or another way
};

constexpr tried all[] = {
    {"read", operation_kind::receive, read, "recv"},
    {"read_exactly", operation_kind::receive, read_exactly, "recv"},
    {"read of pieces", operation_kind::receive_many, read_pieces, "recvmsg"},
    {"receive", operation_kind::receive_lease, receive, "recv"},
    {"receiver::receive", operation_kind::receive_leases, receive_on, "recv"},
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
    {"read_at of pieces", operation_kind::read_many, read_pieces_at, "readv"},
    {"write_at of pieces", operation_kind::write_many, write_pieces_at, "writev"},
    {"allocate", operation_kind::allocate, allocate, "fallocate"},
    {"make_directory", operation_kind::make_directory, make_directory, "mkdir"},
    {"remove_directory", operation_kind::unlink, remove_directory, "rmdir"},
    {"rename", operation_kind::rename, rename, "rename"},
    {"link", operation_kind::link, link, "link"},
    {"symlink", operation_kind::symlink, symlink, "symlink"},
    {"directory::open_file", operation_kind::open_in, open_in_folder, "openat2", says_later},
    {"directory::open_directory", operation_kind::open_in, open_folder_in_folder, "openat2", says_later},
    {"directory::stat, its open", operation_kind::open_in, stat_in_folder, "openat2", says_later},
    {"directory::stat, its stat", operation_kind::stat, stat_in_folder, "statx"},
    {"directory::make_directory", operation_kind::make_directory, make_in_folder, "mkdir"},
    {"directory::remove", operation_kind::unlink, remove_in_folder, "unlink"},
    {"directory::remove_directory", operation_kind::unlink, remove_folder_in_folder, "rmdir"},
    {"directory::rename", operation_kind::rename, rename_in_folder, "rename"},
    {"directory::link", operation_kind::link, link_in_folder, "link"},
    {"directory::symlink", operation_kind::symlink, symlink_in_folder, "symlink"},
    {"directory::sync", operation_kind::sync, sync_folder, "fsync", cannot_sync_folders},
    {"temp_file::create", operation_kind::open, create_temporary, "openat"},
    {"temp_file::give_name, its link", operation_kind::link, name_temporary, "link", has_that_name},
    {"temp_file::give_name, its rename", operation_kind::rename, name_temporary, "rename"},
    {"copy_file, its stat", operation_kind::stat, copy, "statx"},
    {"copy_file, its rename", operation_kind::rename, copy, "rename"},
    {"change_watch::next", operation_kind::read, watch, "read"},
    {"pipe_reader::read", operation_kind::read, read_pipe, "read", says_later},
    {"pipe_writer::write_all", operation_kind::write, write_pipe, "write", says_later},
    {"child::wait", operation_kind::wait_readable, wait_for_program, "poll"},
    {"signal_watch::next", operation_kind::read, next_signal, "read"},
    {"unix_stream::receive of descriptors", operation_kind::receive_many, receive_descriptors, "recvmsg"},
    {"unix_stream::write_all of descriptors", operation_kind::send_many, send_descriptors, "sendmsg"},
    {"unix_seqpacket::receive", operation_kind::receive_many, receive_message, "recvmsg"},
    {"unix_seqpacket::send", operation_kind::send_many, send_message, "sendmsg", says_later},
    {"unix_seqpacket::send, its wait", operation_kind::wait_writable, send_message_without_room, "sendmsg"},
    {"unix_datagram::receive", operation_kind::receive_many, receive_unix_datagram, "recvmsg"},
    {"unix_datagram::send", operation_kind::send_many, send_unix_datagram, "sendmsg", says_later},
    {"unix_datagram::send_to", operation_kind::send_many, send_unix_datagram_to, "sendmsg", says_later},
    {"unix_listener::accept", operation_kind::accept, accept_unix, "accept"},
    {"udp_socket::receive", operation_kind::receive_many, receive_datagram, "recvmsg"},
    {"udp_socket::send_to", operation_kind::send_many, send_datagram, "sendmsg"},
};

constexpr int errors[] = {EPERM,  ENOENT, EINTR,  EIO,   ENXIO,      EBADF,  EAGAIN,    ENOMEM,       EACCES,      EFAULT,     EBUSY, EINVAL, ENFILE,
                          EMFILE, EFBIG,  ENOSPC, EROFS, EPIPE,      EDQUOT, ENOBUFS,   ECONNABORTED, ECONNRESET,  ETIMEDOUT,  ECONNREFUSED,
                          ENETUNREACH,    EPROTO, EEXIST, ECANCELED};

/// What the caller hears of: 0 where peal tries again.
int heard(const tried& one, int error_number, const peal::pool& pool) {
    static const std::set<int> passing_for_accept = {ECONNABORTED, EAGAIN, EPROTO, ENETUNREACH, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    if (error_number == EINTR || (one.passes != nullptr && one.passes(error_number))) return 0;
    if (error_number == ECANCELED && peal::rt::can_perform(one.kind)) return 0;  // nobody has canceled: a blocking thread does it
    if (one.kind == operation_kind::accept && passing_for_accept.contains(error_number)) return 0;
    if (one.kind == operation_kind::send_zero_copy && (error_number == ENOMEM || error_number == ENOBUFS)) return 0;  // then with a copy
    // A ring says that when it has no buffer: then it gets one.
    if (one.kind == operation_kind::receive_leases && error_number == ECANCELED) return 0;  // nobody has canceled: it goes on
    if (is_lent(one.kind) && error_number == ENOBUFS && pool.driver_of(0) == std::string_view("uring")) return 0;
    return error_number;
}

/// How often each call hands something over. One that goes on does it again after its first answer, where the outside answers once.
int hand_overs(const tried& one, const peal::pool& pool) {
    return one.kind == operation_kind::receive_leases && pool.driver_of(0) == std::string_view("epoll") ? 2 : 1;
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
        std::string name = each.path().filename().string();
        if (name.find(".new-") != std::string::npos || name.find(".peal-temp-") != std::string::npos) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("faults: every operation with every error, at the first, the second and the last call") {
    for (int turn = 0; turn < signals_in_turn; ++turn) ::signal(signal_of(turn), SIG_IGN);  // one that comes when its watch is gone
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
                wrong_call = call * hand_overs(one, pool);
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
