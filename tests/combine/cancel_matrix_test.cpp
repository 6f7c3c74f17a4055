// SPDX-License-Identifier: MIT

// The cancellation matrix: every operation that waits, stopped at each moment from each origin. Printed as a table; nothing may be lost
// by a stop (bytes, connections, permits, items), and nothing may be left (frames, descriptors, tasks).
//
// A new operation is a subject here and a line in `operations`. What happens to it is in support/cancel_matrix.hpp.

#include "support/cancel_matrix.hpp"

#include <net/zero_copy.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using support::subject_of;

namespace {

/// "" if it holds.
std::string expect(bool holds, const char* otherwise) { return holds ? std::string() : std::string(otherwise) + "; "; }

peal::net::address address_of(int listener) {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&name), &bytes);
    return peal::net::address::parse("127.0.0.1:" + std::to_string(ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port)));
}

int bytes_in(int fd) {
    int waiting = -1;
    return ::ioctl(fd, FIONREAD, &waiting) == 0 ? waiting : -1;
}

// ---- network ----

class accepting : public subject_of<accepting> {
  public:
    auto op() { return listener_.accept(); }
    void took(peal::net::tcp_stream stream) { got_ = std::move(stream); }
    void complete() override { caller_ = support::connect_raw(listener_.local_address()); }
    std::string verify(bool value, bool completed, bool) override {
        pollfd waiting{listener_.native_handle(), POLLIN, 0};
        return expect(got_.is_open() == value, "no stream") +
               expect(::poll(&waiting, 1, 0) == (completed && !value ? 1 : 0), "the connection is not where it belongs");
    }

  private:
    peal::net::tcp_listener listener_ = peal::net::tcp_listener::bind("127.0.0.1:0");
    support::raw_socket caller_;
    peal::net::tcp_stream got_;
};

enum class candidates { one, several };

/// To a listener whose backlog is full; the one that completes, to one with room.
template <candidates To>
class connecting : public subject_of<connecting<To>> {
  public:
    explicit connecting(bool completes) : listener_(peal::net::tcp_listener::bind("127.0.0.1:0", peal::net::listen_options(completes ? 8 : 0))) {
        if (completes) return;
        peal::net::address to = listener_.local_address();
        for (support::raw_socket& each : callers_) {
            each = support::raw_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            static_cast<void>(::connect(each.get(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())));
        }
    }
    auto op() {
        peal::net::address to = listener_.local_address();
        return To == candidates::one ? peal::net::tcp_stream::connect(to) : peal::net::tcp_stream::connect_any({to, to, to}, 1ms);
    }
    void took(peal::net::tcp_stream stream) { got_ = std::move(stream); }
    std::chrono::nanoseconds completes_after() const override { return 1us; }
    std::string verify(bool value, bool, bool) override { return expect(got_.is_open() == value, "no stream"); }

  private:
    peal::net::tcp_listener listener_;
    support::raw_socket callers_[4];
    peal::net::tcp_stream got_;
};

enum class reads { some, exactly, pieces };

template <reads How>
class reading : public subject_of<reading<How>> {
  public:
    auto op() {
        if constexpr (How == reads::some) return ends_.first.read(buffer_);
        if constexpr (How == reads::exactly) return ends_.first.read_exactly(buffer_);
        if constexpr (How == reads::pieces) return ends_.first.read(std::span<const peal::io::mutable_buffer>(pieces_));
    }
    void took(std::size_t n) { got_ = n; }
    void complete() override { static_cast<void>(::write(ends_.second.native_handle(), support::pattern(8).data(), 8)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_ == (value ? 8 : 0) && support::fits(std::span(buffer_).first(got_), 0), "wrong bytes") +
               expect(bytes_in(ends_.first.native_handle()) == (completed && !value ? 8 : 0), "bytes are lost");
    }

  private:
    std::pair<peal::net::tcp_stream, peal::net::tcp_stream> ends_ = support::local_pair();
    std::array<std::byte, 8> buffer_;
    peal::io::mutable_buffer pieces_[2] = {std::span(buffer_).first(3), std::span(buffer_).last(5)};
    std::size_t got_ = 0;
};

/// In a buffer of the worker.
class receiving_lease : public subject_of<receiving_lease> {
  public:
    auto op() { return ends_.first.receive(); }
    void took(peal::io::lease got) { got_ = std::move(got); }
    void complete() override { static_cast<void>(::write(ends_.second.native_handle(), support::pattern(8).data(), 8)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_.size() == (value ? 8 : 0) && support::fits(got_.bytes(), 0), "wrong bytes") +
               expect(bytes_in(ends_.first.native_handle()) == (completed && !value ? 8 : 0), "bytes are lost");
    }

  private:
    std::pair<peal::net::tcp_stream, peal::net::tcp_stream> ends_ = support::local_pair();
    peal::io::lease got_;
};

/// What a stopped wait has not got lies with the receiver.
class receiving_on : public subject_of<receiving_on> {
  public:
    auto op() { return incoming_.receive(); }
    void took(peal::io::lease got) { got_ = std::move(got); }
    void complete() override { static_cast<void>(::write(ends_.second.native_handle(), support::pattern(8).data(), 8)); }
    std::string verify(bool value, bool completed, bool) override {
        std::string wrong = expect(got_.size() == (value ? 8 : 0) && support::fits(got_.bytes(), 0), "wrong bytes");
        if (!completed || value) return wrong;
        peal::pool after(peal::pool_options(1));
        auto next = [](peal::net::receiver& from) -> peal::task<std::size_t> {
            peal::io::lease left = co_await peal::timeout(std::chrono::seconds(20), from.receive());
            co_return left.size();
        };
        return wrong + expect(after.run(next, std::ref(incoming_)) == 8, "bytes are lost");
    }

  private:
    std::pair<peal::net::tcp_stream, peal::net::tcp_stream> ends_ = support::local_pair();
    peal::net::receiver incoming_{ends_.first};
    peal::io::lease got_;
};

/// The peer does not read. Completed by a peer that takes what lies there.
class writing : public subject_of<writing> {
  public:
    writing() {
        while (::send(ends_.first.native_handle(), bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        }
        before_ = bytes_in(ends_.second.native_handle());
    }
    auto op() { return ends_.first.write_all(bytes_); }
    void took(std::size_t n) { sent_ = static_cast<long>(n); }
    void complete() override { drain(); }
    std::string verify(bool value, bool completed, bool) override {
        drain();
        return expect(drained_ - before_ == sent_, "the count of bytes is wrong") +
               expect(value == (sent_ != 0), "wrong end") + expect(completed || !value, "it had no room");
    }

  private:
    void drain() {
        std::array<std::byte, 4096> into;
        for (ssize_t n; (n = ::recv(ends_.second.native_handle(), into.data(), into.size(), MSG_DONTWAIT)) > 0;) drained_ += n;
    }
    std::pair<peal::net::tcp_stream, peal::net::tcp_stream> ends_ = support::local_pair();
    std::vector<std::byte> bytes_ = support::pattern(4096);
    long before_ = 0;
    long drained_ = 0;
    long sent_ = 0;
};

/// As `writing` on a connection, and without a copy: a stop may also come when the kernel has the bytes and still needs the memory.
class writing_without_copy : public subject_of<writing_without_copy> {
  public:
    writing_without_copy() {
        support::make_buffer_tiny(near_.native_handle());
        for (ssize_t n; (n = ::send(near_.native_handle(), bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;) before_ += n;
        peal::rt::zero_copy_on_this_machine = true;
        near_.set_zero_copy(1);
        peal::rt::zero_copy_on_this_machine = false;
    }
    auto op() { return near_.write_all(std::span(bytes_).first(8)); }
    void took(std::size_t n) { sent_ = static_cast<long>(n); }
    void complete() override { read(before_); }
    std::string verify(bool value, bool completed, bool) override {
        near_.close();
        read(before_ + 1000);  // until the end
        return expect(read_ - before_ == sent_, "the count of bytes is wrong") + expect(value == (sent_ != 0), "wrong end") +
               expect(completed || !value, "it had no room");
    }

  private:
    void read(long until) {
        std::array<std::byte, 4096> into;
        for (ssize_t n; read_ < until && (n = ::recv(far_.get(), into.data(), static_cast<std::size_t>(std::min(4096l, until - read_)), 0)) > 0;) read_ += n;
    }
    support::raw_socket listener_ = [] {
        support::raw_socket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        static_cast<void>(::listen(made.get(), 1));
        return made;
    }();
    peal::net::tcp_stream near_{support::connect_raw(address_of(listener_.get())).release()};
    support::raw_socket far_{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    std::vector<std::byte> bytes_ = support::pattern(4096);
    long before_ = 0;
    long read_ = 0;
    long sent_ = 0;
};

/// As `writing`, from a file.
class sending_file : public subject_of<sending_file> {
  public:
    sending_file() {
        static_cast<void>(::write(file_.native_handle(), bytes_.data(), bytes_.size()));
        while (::send(ends_.first.native_handle(), bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        }
        before_ = bytes_in(ends_.second.native_handle());
    }
    auto op() { return ends_.first.send_file(file_, 0, bytes_.size()); }
    void took(std::uint64_t n) { sent_ = static_cast<long>(n); }
    void complete() override { drain(); }
    std::string verify(bool value, bool completed, bool) override {
        drain();
        return expect(drained_ - before_ == sent_, "the count of bytes is wrong") + expect(value == (sent_ != 0), "wrong end") +
               expect(completed || !value, "it had no room");
    }

  private:
    void drain() {
        std::array<std::byte, 4096> into;
        for (ssize_t n; (n = ::recv(ends_.second.native_handle(), into.data(), into.size(), MSG_DONTWAIT)) > 0;) drained_ += n;
    }
    support::temp_folder folder_;
    peal::fs::file file_{::open((folder_ / "data").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    std::pair<peal::net::tcp_stream, peal::net::tcp_stream> ends_ = support::local_pair();
    std::vector<std::byte> bytes_ = support::pattern(4096);
    long before_ = 0;
    long drained_ = 0;
    long sent_ = 0;
};

// ---- streams inside the process ----

/// Bytes that are still on the way to `to`, whose other end is closed.
std::size_t bytes_left(peal::io::memory_stream& to, std::span<std::byte> into) {
    auto read = [](peal::io::memory_stream& from, std::span<std::byte> where) -> peal::task<std::size_t> { co_return co_await from.read_exactly(where); };
    return peal::sync_wait(read(to, into));
}
void put(peal::io::memory_stream& into, std::span<const std::byte> bytes) {
    auto write = [](peal::io::memory_stream& to, std::span<const std::byte> what) -> peal::task<> { co_await to.write_all(what); };
    peal::sync_wait(write(into, bytes));
}

class reading_memory : public subject_of<reading_memory> {
  public:
    auto op() { return ends_.first.read(buffer_); }
    void took(std::size_t n) { got_ = n; }
    void complete() override { put(ends_.second, support::pattern(8)); }
    std::string verify(bool value, bool completed, bool) override {
        ends_.second.close();
        std::array<std::byte, 9> left;
        return expect(got_ == (value ? 8 : 0) && support::fits(std::span(buffer_).first(got_), 0), "wrong bytes") +
               expect(bytes_left(ends_.first, left) == (completed && !value ? 8 : 0), "bytes are lost or doubled");
    }

  private:
    std::pair<peal::io::memory_stream, peal::io::memory_stream> ends_ = peal::io::memory_stream_pair(8);
    std::array<std::byte, 8> buffer_;
    std::size_t got_ = 0;
};

/// There is no room. Completed by a reader that makes some.
class writing_memory : public subject_of<writing_memory> {
  public:
    writing_memory() { put(ends_.first, std::span(bytes_).first(8)); }
    auto op() { return ends_.first.write(std::span(bytes_).subspan(8)); }
    void took(std::size_t n) { sent_ = n; }
    void complete() override {
        std::array<std::byte, 8> into;
        static_cast<void>(bytes_left(ends_.second, into));
    }
    std::string verify(bool value, bool completed, bool) override {
        ends_.first.close();
        std::array<std::byte, 17> left;
        std::size_t count = bytes_left(ends_.second, left);
        return expect(sent_ == (value ? 8u : 0u) && count == (value || !completed ? 8u : 0u), "bytes are lost or doubled") +
               expect(support::fits(std::span(left).first(count), value ? 8 : 0), "wrong bytes");
    }

  private:
    std::pair<peal::io::memory_stream, peal::io::memory_stream> ends_ = peal::io::memory_stream_pair(8);
    std::vector<std::byte> bytes_ = support::pattern(16);
    std::size_t sent_ = 0;
};

/// What a canceled read_line() has read, the next one gives.
class reading_line : public subject_of<reading_line> {
  public:
    reading_line() { put(ends_.second, peal::io::bytes_of("be")); }
    auto op() { return in_.read_line(20); }
    void took(std::optional<std::string_view> line) { got_ = line.value_or("nothing"); }
    void complete() override { put(ends_.second, peal::io::bytes_of("gun\n")); }
    std::string verify(bool value, bool completed, bool) override {
        ends_.second.close();
        auto next = [](peal::io::buffered_reader<peal::io::memory_stream>& in) -> peal::task<std::string> {
            auto line = co_await in.read_line(20);
            co_return std::string(line.value_or("nothing"));
        };
        return expect(got_ == (value ? "begun" : ""), "wrong line") +
               expect(peal::sync_wait(next(in_)) == (value ? "nothing" : completed ? "begun" : "be"), "bytes are lost or doubled");
    }

  private:
    std::pair<peal::io::memory_stream, peal::io::memory_stream> ends_ = peal::io::memory_stream_pair(8);
    peal::io::buffered_reader<peal::io::memory_stream> in_{ends_.first, 32};
    std::string got_;
};

/// A datagram that a stop has kept from being received is still there.
class receiving_datagram : public subject_of<receiving_datagram> {
  public:
    auto op() { return socket_.receive(buffer_); }
    void took(const peal::net::datagram& got) { got_ = got.size(); }
    void complete() override {
        peal::net::address to = socket_.local_address();
        static_cast<void>(::sendto(sender_.get(), support::pattern(8).data(), 8, 0, static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())));
    }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_ == (value ? 8 : 0) && support::fits(std::span(buffer_).first(got_), 0), "wrong bytes") +
               expect(bytes_in(socket_.native_handle()) == (completed && !value ? 8 : 0), "the datagram is lost");
    }

  private:
    peal::net::udp_socket socket_ = peal::net::udp_socket::bind("127.0.0.1:0");
    support::raw_socket sender_ = support::raw_socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::array<std::byte, 8> buffer_;
    std::size_t got_ = 0;
};

peal::net::unix_address fresh_name() {
    static int count = 0;
    return peal::net::unix_address::abstract("peal-matrix-" + std::to_string(::getpid()) + '-' + std::to_string(++count));
}

/// The backlog is full. Completed by a place in it.
class connecting_unix : public subject_of<connecting_unix> {
  public:
    connecting_unix() {
        peal::net::unix_address to = listener_.local_address();
        static_cast<void>(::connect(first_.get(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())));
    }
    auto op() { return peal::net::unix_stream::connect(listener_.local_address()); }
    void took(peal::net::unix_stream stream) { got_ = std::move(stream); }
    void complete() override { accepted_ = support::raw_socket(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_.is_open() == value, "no stream") + expect(completed || !value, "there was no place");
    }

  private:
    peal::net::unix_listener listener_ = peal::net::unix_listener::bind(fresh_name(), peal::net::unix_bind_options().backlog(0));
    support::raw_socket first_ = support::raw_socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    support::raw_socket accepted_;
    peal::net::unix_stream got_;
};

/// A message with a descriptor: both or neither.
class receiving_descriptor : public subject_of<receiving_descriptor> {
  public:
    auto op() { return ends_.first.receive(buffer_); }
    void took(peal::net::unix_message got) {
        got_ = got.size();
        descriptors_ = got.descriptors().size();
    }
    void complete() override {
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        std::byte bytes[8] = {};
        iovec piece{bytes, sizeof bytes};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        int passed = ends_.second.native_handle();
        std::memcpy(CMSG_DATA(rights), &passed, sizeof passed);
        static_cast<void>(::sendmsg(ends_.second.native_handle(), &message, 0));
    }
    std::string verify(bool value, bool completed, bool) override {
        std::size_t left = 0;
        std::byte bytes[8];
        if (::recv(ends_.first.native_handle(), bytes, sizeof bytes, MSG_DONTWAIT) == 8) left = 8;
        return expect(got_ == (value ? 8u : 0u) && descriptors_ == (value ? 1u : 0u), "wrong message") +
               expect(left == (completed && !value ? 8u : 0u), "the message is lost");
    }

  private:
    std::pair<peal::net::unix_seqpacket, peal::net::unix_seqpacket> ends_ = peal::net::unix_seqpacket::pair();
    std::array<std::byte, 8> buffer_;
    std::size_t got_ = 0;
    std::size_t descriptors_ = 0;
};

/// The receiver has no room. Completed by one that takes everything.
template <bool ByAddress>
class sending_datagram : public subject_of<sending_datagram<ByAddress>> {
  public:
    sending_datagram() {
        filler_.set_peer(receiver_.local_address());
        sender_.set_peer(receiver_.local_address());
        while (::send(filler_.native_handle(), bytes_.data(), 1, MSG_DONTWAIT) > 0) {
        }
    }
    peal::task<> op() {
        if constexpr (ByAddress) {
            co_await sender_.send_to(bytes_, receiver_.local_address());
        } else {
            co_await sender_.send(bytes_);
        }
    }
    void complete() override { drain(); }
    std::string verify(bool value, bool completed, bool) override {
        drain();
        return expect(arrived_ == (value ? 1 : 0), "lost, doubled or cut off") + expect(completed || !value, "there was no room");
    }

  private:
    void drain() {
        std::array<std::byte, 16> into;
        for (ssize_t n; (n = ::recv(receiver_.native_handle(), into.data(), into.size(), MSG_DONTWAIT)) >= 0;) {
            if (n != 1) arrived_ += n == 8 ? 1 : 100;
        }
    }
    peal::net::unix_datagram receiver_ = peal::net::unix_datagram::bind(fresh_name());
    peal::net::unix_datagram filler_ = peal::net::unix_datagram::open();
    peal::net::unix_datagram sender_ = peal::net::unix_datagram::open();
    std::vector<std::byte> bytes_ = support::pattern(8);
    int arrived_ = 0;
};

// ---- files ----

std::pair<peal::fs::file, peal::fs::file> pipe_of_files() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
    ::fcntl(ends[1], F_SETPIPE_SZ, 4096);
    return {peal::fs::file(ends[0]), peal::fs::file(ends[1])};
}

class reading_fifo : public subject_of<reading_fifo> {
  public:
    auto op() { return pipe_.first.read_at(0, buffer_); }
    void took(std::size_t n) { got_ = n; }
    void complete() override { static_cast<void>(::write(pipe_.second.native_handle(), support::pattern(8).data(), 8)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_ == (value ? 8 : 0) && support::fits(std::span(buffer_).first(got_), 0), "wrong bytes") +
               expect(bytes_in(pipe_.first.native_handle()) == (completed && !value ? 8 : 0), "bytes are lost");
    }

  private:
    std::pair<peal::fs::file, peal::fs::file> pipe_ = pipe_of_files();
    std::array<std::byte, 8> buffer_;
    std::size_t got_ = 0;
};

/// The pipe is full. Completed by a reader that empties it.
class writing_fifo : public subject_of<writing_fifo> {
  public:
    writing_fifo() { static_cast<void>(::write(pipe_.second.native_handle(), bytes_.data(), bytes_.size())); }
    auto op() { return pipe_.second.write_at(0, bytes_); }
    void took(std::size_t n) { sent_ = n; }
    void complete() override {
        std::array<std::byte, 4096> into;
        static_cast<void>(::read(pipe_.first.native_handle(), into.data(), into.size()));
    }
    std::string verify(bool value, bool completed, bool) override {
        int left = bytes_in(pipe_.first.native_handle());
        return expect(sent_ == (value ? 4096u : 0u), "wrong count") +
               expect(left == (value || !completed ? 4096 : 0), "bytes that were not reported");
    }

  private:
    std::pair<peal::fs::file, peal::fs::file> pipe_ = pipe_of_files();
    std::vector<std::byte> bytes_ = support::pattern(4096);
    std::size_t sent_ = 0;
};

class reading_pipe : public subject_of<reading_pipe> {
  public:
    auto op() { return pipe_.reader.read(buffer_); }
    void took(std::size_t n) { got_ = n; }
    void complete() override { static_cast<void>(::write(pipe_.writer.native_handle(), support::pattern(8).data(), 8)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_ == (value ? 8 : 0) && support::fits(std::span(buffer_).first(got_), 0), "wrong bytes") +
               expect(bytes_in(pipe_.reader.native_handle()) == (completed && !value ? 8 : 0), "bytes are lost");
    }

  private:
    peal::io::pipe pipe_ = peal::io::make_pipe();
    std::array<std::byte, 8> buffer_;
    std::size_t got_ = 0;
};

/// Somebody else has the lock. Completed by him.
class locking_file : public subject_of<locking_file> {
  public:
    auto op() { return peal::fs::lock(file_); }
    void took(peal::fs::file_lock lock) { got_ = std::move(lock); }
    void complete() override { ::flock(other_.native_handle(), LOCK_UN); }
    std::string verify(bool value, bool completed, bool) override {
        bool is_free = ::flock(other_.native_handle(), LOCK_EX | LOCK_NB) == 0;  // his it is, or was
        std::string wrong = expect(got_.is_held() == value && is_free == !value, "wrong holder") + expect(completed || !value, "it was not free");
        got_.unlock();
        return wrong + expect(::flock(other_.native_handle(), LOCK_EX | LOCK_NB) == 0, "the lock is lost");
    }

  private:
    peal::fs::file opened(int flags) { return peal::fs::file(::open((folder_ / "file").c_str(), flags | O_CLOEXEC, 0600)); }
    support::temp_folder folder_;
    peal::fs::file file_ = opened(O_RDWR | O_CREAT);
    peal::fs::file other_ = opened(O_RDWR);
    [[maybe_unused]] int locked_ = ::flock(other_.native_handle(), LOCK_EX);
    peal::fs::file_lock got_;
};

class waiting_for_change : public subject_of<waiting_for_change> {
  public:
    waiting_for_change() {
        peal::pool pool(peal::pool_options(1));
        pool.run(watch, std::ref(changes_), folder_.path());
    }
    auto op() { return changes_.next(); }
    void took(peal::fs::change change) { got_ = change.name; }
    void complete() override { static_cast<void>(::mkdir((folder_ / "made").c_str(), 0700)); }
    std::string verify(bool value, bool completed, bool) override {
        peal::pool pool(peal::pool_options(1));
        if (completed && !value) got_ = pool.run(next_of_watch, std::ref(changes_)).name;  // it is kept
        return expect(got_ == (completed ? "made" : ""), "the change is lost");
    }

  private:
    static peal::task<> watch(peal::fs::change_watch& changes, std::string path) { co_await changes.add(path); }
    static peal::task<peal::fs::change> next_of_watch(peal::fs::change_watch& changes) { co_return co_await changes.next(); }
    support::temp_folder folder_;
    peal::fs::change_watch changes_;
    std::string got_;
};

// ---- processes ----

/// The program ends when its input does.
class waiting_for_child : public subject_of<waiting_for_child> {
  public:
    auto op() { return program_.wait(); }
    void took(peal::process::exit_status status) { got_ = status.success(); }
    void complete() override { ::close(std::exchange(input_, -1)); }
    std::string verify(bool value, bool, bool) override { return expect(got_ == value, "wrong status"); }
    ~waiting_for_child() override {
        if (input_ >= 0) ::close(input_);
    }

  private:
    static peal::task<peal::process::child> start_cat(int input) {
        peal::process::command cat("cat");
        cat.input(peal::process::standard_stream::descriptor(input)).output(peal::process::standard_stream::null());
        peal::task<peal::process::child> starting = peal::process::start(std::move(cat));
        co_return co_await std::move(starting);
    }
    static peal::process::child begin(int& write_end) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
        write_end = ends[1];
        peal::pool starter(peal::pool_options(1));
        peal::process::child begun = starter.run(start_cat, ends[0]);
        ::close(ends[0]);
        return begun;
    }
    int input_ = -1;
    peal::process::child program_ = begin(input_);
    bool got_ = false;
};

class waiting_for_signal : public subject_of<waiting_for_signal> {
  public:
    auto op() { return watch_.next(); }
    void took(int number) { got_ = number; }
    void complete() override {
        ::kill(::getpid(), SIGUSR1);
    }
    std::string verify(bool value, bool completed, bool) override {
        peal::pool pool(peal::pool_options(1));
        if (completed && !value) got_ = pool.run(next_of_watch, std::ref(watch_));  // it is kept
        return expect(got_ == (completed ? SIGUSR1 : 0), "the signal is lost");
    }

  private:
    static peal::task<int> next_of_watch(peal::process::signal_watch& watch) { co_return co_await watch.next(); }
    peal::process::signal_watch watch_{SIGUSR1};
    int got_ = 0;
};

// ---- time and tasks ----

class sleeping : public subject_of<sleeping> {
  public:
    explicit sleeping(bool completes) : length_(completes ? 1ms : 3'600'000ms) {}
    auto op() { return peal::sleep_for(length_); }
    std::chrono::nanoseconds completes_after() const override { return length_; }

  private:
    std::chrono::milliseconds length_;
};

peal::task<int> five_after(peal::event& happened) {
    co_await happened.wait();
    co_return 5;
}

/// What is awaited waits for an event; completed by that event.
template <class Derived>
class on_event : public subject_of<Derived> {
  public:
    void complete() override { happened_.set(); }
    void took(int n) { got_ = n; }
    std::string verify(bool value, bool, bool) override { return expect(got_ == (value ? 5 : 0), "wrong value"); }

  protected:
    peal::event happened_;
    int got_ = 0;
};

/// A join that is stopped leaves the task alone.
class joining : public on_event<joining> {
  public:
    peal::task<int> op() {
        if (!child_) child_.emplace(peal::spawn(five_after, std::ref(happened_)));
        co_return co_await *child_;
    }
    std::string verify(bool value, bool completed, bool pool_is_gone) override {
        bool left_alone = value || completed || pool_is_gone || !child_->has_ended();
        happened_.set();
        return expect(left_alone, "the task was stopped, too") + on_event::verify(value, completed, pool_is_gone);
    }

  private:
    std::optional<peal::join_handle<int>> child_;
};

class joining_scope : public on_event<joining_scope> {
  public:
    peal::task<int> op() {
        peal::scope children;
        for (int i = 0; i < 3; ++i) children.spawn(five_after, std::ref(happened_));
        co_await children.join();
        co_return 5;
    }
};

class waiting : public on_event<waiting> {
  public:
    peal::task<int> op() { return five_after(happened_); }
};
class waiting_for_all : public on_event<waiting_for_all> {
  public:
    peal::task<int> op() {
        co_await peal::when_all(happened_.wait(), happened_.wait());
        co_return 5;
    }
};
class waiting_for_any : public on_event<waiting_for_any> {
  public:
    peal::task<int> op() {
        co_await peal::when_any(never_.wait(), happened_.wait());
        co_return 5;
    }

  private:
    peal::event never_;
};
class limited_leaf : public on_event<limited_leaf> {
  public:
    peal::task<int> op() {
        co_await peal::timeout(1h, happened_.wait());
        co_return 5;
    }
};
class limited_task : public on_event<limited_task> {
  public:
    peal::task<int> op() { co_return co_await peal::timeout(1h, five_after(happened_)); }
};
class in_generator : public on_event<in_generator> {
  public:
    peal::task<int> op() {
        peal::async_generator<int> values = numbers();
        auto got = co_await values.next();
        co_return got ? *got : 0;
    }

  private:
    peal::async_generator<int> numbers() {
        co_await happened_.wait();
        co_yield 5;
    }
};

class blocking_call : public subject_of<blocking_call> {
  public:
    auto op() { return peal::blocking(wait_outside, std::ref(done_)); }
    void took(int n) { got_ = n; }
    void complete() override { done_ = true; }
    std::string verify(bool value, bool, bool) override { return expect(got_ == (value ? 5 : 0), "wrong value"); }

  private:
    static int wait_outside(std::stop_token stop, std::atomic<bool>& done) {
        while (!done) {
            if (stop.stop_requested()) throw std::system_error(std::make_error_code(std::errc::operation_canceled), "wait_outside");
            std::this_thread::sleep_for(50us);
        }
        return 5;
    }
    std::atomic<bool> done_{false};
    int got_ = 0;
};

// ---- sync ----

class locking : public subject_of<locking> {
  public:
    auto op() { return mutex_.lock(); }
    void took(peal::mutex::guard guard) { got_ = std::move(guard); }
    void complete() override { held_->unlock(); }
    std::string verify(bool value, bool completed, bool) override {
        std::string wrong = expect(got_.has_value() == value && !(value && mutex_.try_lock()), "not locked");
        got_.reset();
        return wrong + expect(mutex_.try_lock().has_value() == completed, "the lock is lost");
    }

  private:
    peal::mutex mutex_;
    std::optional<peal::mutex::guard> held_ = mutex_.try_lock();
    std::optional<peal::mutex::guard> got_;
};

template <peal::shared_mutex::mode Mode>
class locking_shared_mutex : public subject_of<locking_shared_mutex<Mode>> {
  public:
    auto op() { return Mode == peal::shared_mutex::mode::shared ? mutex_.lock_shared() : mutex_.lock(); }
    void took(peal::shared_mutex::guard guard) { got_ = std::move(guard); }
    void complete() override { held_->unlock(); }
    std::string verify(bool value, bool completed, bool) override {
        std::string wrong = expect(got_.has_value() == value && !(value && mutex_.try_lock()), "not locked");
        got_.reset();
        return wrong + expect(mutex_.try_lock().has_value() == completed, "the lock is lost");
    }

  private:
    peal::shared_mutex mutex_;
    std::optional<peal::shared_mutex::guard> held_ = mutex_.try_lock();
    std::optional<peal::shared_mutex::guard> got_;
};

class acquiring : public subject_of<acquiring> {
  public:
    auto op() { return permits_.acquire(2); }
    void took(peal::semaphore::permit permit) { got_ = std::move(permit); }
    void complete() override { permits_.release(); }
    std::string verify(bool value, bool completed, bool) override {
        std::string wrong = expect(permits_.available() == (value ? 0u : completed ? 2u : 1u), "permits are lost");
        got_.reset();
        return wrong + expect(permits_.available() == (completed ? 2u : 1u), "permits did not come back");
    }

  private:
    peal::semaphore permits_{1};
    std::optional<peal::semaphore::permit> got_;
};

class waiting_for_turn : public subject_of<waiting_for_turn> {
  public:
    auto op() { return turn_.wait(); }
    void complete() override { turn_.set(); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(turn_.wait().await_ready() == (completed && !value), "the set() is lost");
    }

  private:
    peal::auto_reset_event turn_;
};

class waiting_for_event : public subject_of<waiting_for_event> {
  public:
    auto op() { return happened_.wait(); }
    void complete() override { happened_.set(); }

  private:
    peal::event happened_;
};

class waiting_for_latch : public subject_of<waiting_for_latch> {
  public:
    auto op() { return latch_.wait(); }
    void complete() override { latch_.count_down(); }
    std::string verify(bool, bool completed, bool) override { return expect(latch_.is_open() == completed, "the count is wrong"); }

  private:
    peal::latch latch_{1};
};

peal::task<> arrive(peal::barrier& at) { co_await at.arrive_and_wait(); }

/// Of three. Completed by two that drop out: what is left is a barrier of one, which nobody waits for, unless an arrival was lost.
class waiting_at_barrier : public subject_of<waiting_at_barrier> {
  public:
    auto op() { return barrier_.arrive_and_wait(); }
    void complete() override {
        barrier_.arrive_and_drop();
        barrier_.arrive_and_drop();
    }
    std::string verify(bool, bool completed, bool) override {
        if (completed) peal::sync_wait(arrive(barrier_));
        return "";
    }

  private:
    peal::barrier barrier_{3};
};

/// Ends holding the mutex, and lets go of it.
class waiting_for_condition : public subject_of<waiting_for_condition> {
  public:
    peal::task<> op() {
        peal::mutex::guard guard = co_await mutex_.lock();
        auto is_ready = [this] { return ready_; };
        co_await changed_.wait(guard, is_ready);
    }
    void complete() override {
        peal::mutex::guard guard = mutex_.blocking_lock();
        ready_ = true;
        changed_.notify_one();
    }
    std::string verify(bool, bool, bool) override { return expect(mutex_.try_lock().has_value(), "the lock is lost"); }

  private:
    peal::mutex mutex_;
    peal::condition_variable changed_;
    bool ready_ = false;  // guarded by mutex_
};

// ---- channels ----

class sending : public subject_of<sending> {
  public:
    sending() { static_cast<void>(items_.try_send(1)); }
    auto op() { return items_.send(2); }
    void complete() override { received_ = items_.try_receive().value_or(0); }
    std::string verify(bool value, bool completed, bool) override {
        int left = items_.try_receive().value_or(0);
        return expect(received_ == (completed ? 1 : 0), "the first item is lost") +
               expect(left == (value ? 2 : completed ? 0 : 1) && items_.size() == 0, "an item is lost or doubled");
    }

  private:
    peal::channel<int> items_{1};
    int received_ = 0;
};

/// Receives an item 5 by `Source::receive()`; a canceled one has left it there.
class receiving : public subject_of<receiving> {
  public:
    auto op() { return items_.receive(); }
    void took(std::optional<int> item) { got_ = item.value_or(-1); }
    void complete() override { sent_ = items_.try_send(5) == peal::send_outcome::sent; }
    std::string verify(bool value, bool completed, bool) override {
        return expect(sent_ == completed && got_ == (value ? 5 : 0), "wrong item") +
               expect(items_.try_receive().value_or(0) == (completed && !value ? 5 : 0), "the item is lost");
    }

  private:
    peal::channel<int> items_{1};
    int got_ = 0;
    bool sent_ = false;
};

class receiving_oneshot : public subject_of<receiving_oneshot> {
  public:
    auto op() { return value_.receive(); }
    void took(std::optional<int> value) { got_ = value.value_or(-1); }
    void complete() override { static_cast<void>(value_.send(5)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_ == (value ? 5 : 0), "wrong value") +
               expect(value_.try_receive().value_or(0) == (completed && !value ? 5 : 0), "the value is lost");
    }

  private:
    peal::oneshot<int> value_;
    int got_ = 0;
};

template <class Reader>
peal::task<int> next_of(Reader& reader) {
    auto got = co_await reader.receive();
    if (!got) co_return 0;
    if constexpr (requires { got->item; }) {
        co_return got->item;
    } else {
        co_return *got;
    }
}

/// Of a broadcast or a watch. What a canceled receive() has not taken comes before the end of a closed one.
template <class Source>
class subscribed : public subject_of<subscribed<Source>> {
  public:
    explicit subscribed(bool) {}
    auto op() { return reader_.receive(); }
    template <class T>
    void took(T got) {
        if constexpr (requires { got->item; }) {
            got_ = got ? got->item : -1;
        } else {
            got_ = got ? *got : -1;
        }
    }
    void complete() override { static_cast<void>(source_.send(5)); }
    std::string verify(bool value, bool completed, bool) override {
        source_.close();
        return expect(got_ == (value ? 5 : 0), "wrong item") +
               expect(peal::sync_wait(next_of(reader_)) == (completed && !value ? 5 : 0), "the item is lost or doubled");
    }

  private:
    static auto subscription(peal::broadcast<int>& to) { return to.subscribe(); }
    static auto subscription(peal::watch<int>& to) { return to.subscribe(true); }
    Source source_{1};
    decltype(subscription(std::declval<Source&>())) reader_ = subscription(source_);
    int got_ = 0;
};

class selecting : public subject_of<selecting> {
  public:
    peal::task<int> op() {
        auto first = co_await peal::select(never_.receive(), items_.receive());
        co_return first.index == 1 ? std::get<1>(first.value).value_or(-1) : -2;
    }
    void took(int item) { got_ = item; }
    void complete() override { static_cast<void>(items_.try_send(5)); }
    std::string verify(bool value, bool completed, bool) override {
        return expect(got_ == (value ? 5 : 0), "wrong item") +
               expect(items_.try_receive().value_or(0) == (completed && !value ? 5 : 0), "the item is lost");
    }

  private:
    peal::channel<int> never_{1};
    peal::channel<int> items_{1};
    int got_ = 0;
};

// ---- the table ----

class operation {
  public:
    const char* name;
    std::unique_ptr<support::subject> (*make)(bool completes);
};

template <class Subject>
std::unique_ptr<support::subject> make(bool completes) {
    if constexpr (std::is_default_constructible_v<Subject>) {
        return std::make_unique<Subject>();
    } else {
        return std::make_unique<Subject>(completes);
    }
}

constexpr operation operations[] = {
    {"accept", make<accepting>},
    {"connect", make<connecting<candidates::one>>},
    {"connect_any", make<connecting<candidates::several>>},
    {"read", make<reading<reads::some>>},
    {"read_exactly", make<reading<reads::exactly>>},
    {"read vectored", make<reading<reads::pieces>>},
    {"receive", make<receiving_lease>},
    {"receiver", make<receiving_on>},
    {"write_all", make<writing>},
    {"write_all, no copy", make<writing_without_copy>},
    {"send_file", make<sending_file>},
    {"udp receive", make<receiving_datagram>},
    {"unix connect", make<connecting_unix>},
    {"unix descriptor", make<receiving_descriptor>},
    {"unix send", make<sending_datagram<false>>},
    {"unix send_to", make<sending_datagram<true>>},
    {"memory_stream read", make<reading_memory>},
    {"memory_stream write", make<writing_memory>},
    {"read_line", make<reading_line>},
    {"file read", make<reading_fifo>},
    {"file write", make<writing_fifo>},
    {"file lock", make<locking_file>},
    {"change_watch", make<waiting_for_change>},
    {"pipe read", make<reading_pipe>},
    {"child wait", make<waiting_for_child>},
    {"signal_watch", make<waiting_for_signal>},
    {"sleep_for", make<sleeping>},
    {"join of a handle", make<joining>},
    {"scope join", make<joining_scope>},
    {"task", make<waiting>},
    {"async_generator", make<in_generator>},
    {"mutex", make<locking>},
    {"shared_mutex", make<locking_shared_mutex<peal::shared_mutex::mode::exclusive>>},
    {"shared_mutex shared", make<locking_shared_mutex<peal::shared_mutex::mode::shared>>},
    {"semaphore", make<acquiring>},
    {"event", make<waiting_for_event>},
    {"auto_reset_event", make<waiting_for_turn>},
    {"latch", make<waiting_for_latch>},
    {"barrier", make<waiting_at_barrier>},
    {"condition_variable", make<waiting_for_condition>},
    {"channel send", make<sending>},
    {"channel receive", make<receiving>},
    {"oneshot", make<receiving_oneshot>},
    {"broadcast", make<subscribed<peal::broadcast<int>>>},
    {"watch", make<subscribed<peal::watch<int>>>},
    {"blocking", make<blocking_call>},
    {"when_all", make<waiting_for_all>},
    {"when_any", make<waiting_for_any>},
    {"select", make<selecting>},
    {"timeout of a leaf", make<limited_leaf>},
    {"timeout of a task", make<limited_task>},
};

}  // namespace

TEST_CASE("cancel matrix: every operation, stopped at every moment from every origin") {
    support::cancel_matrix matrix;
    std::printf("origins: own worker, other worker, foreign thread, timeout, scope exit, pool shutdown\n%-20s", "");
    for (support::moment when : support::moments) std::printf("| %-17s", support::name_of(when));
    std::printf("| races: values, stops; ms\n");
    for (const operation& each : operations) {
        auto began = std::chrono::steady_clock::now();
        std::printf("%-20s", each.name);
        unsigned values = 0;
        unsigned stops = 0;
        for (support::moment when : support::moments) {
            std::printf("| ");
            for (support::origin who : support::origins) {
                if (!support::cancel_matrix::makes_sense(when, who)) {
                    std::printf("-  ");
                    continue;
                }
                std::string wrong = matrix.cell(each.make, when, who, values, stops);
                std::printf("%s", wrong.empty() ? "ok " : ("WRONG: " + wrong).c_str());
                std::fflush(stdout);
                INFO(each.name << ", " << support::name_of(when) << ", " << support::name_of(who));
                CHECK(wrong == "");
            }
        }
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
        std::printf("| %u, %u; %.0f\n", values, stops, took.count());
    }
}
