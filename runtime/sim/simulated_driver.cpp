// SPDX-License-Identifier: MIT

#include "simulated_driver.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace peal::rt {

using detail::operation_kind;

// ---- world --------------------------------------------------------------------------------------------------------------------

int simulated_world::make_pair(int& other) {
    int one = next_descriptor_++;
    other = next_descriptor_++;
    endpoints_[one].peer = other;
    endpoints_[other].peer = one;
    return one;
}

simulated_world::endpoint* simulated_world::find(int fd) noexcept {
    auto found = endpoints_.find(fd);
    return found == endpoints_.end() || !found->second.open ? nullptr : &found->second;
}

void simulated_world::complete(simulated_driver& driver, detail::operation& operation, std::int32_t outcome) {
    auto delay = std::chrono::nanoseconds(1'000 + draw(100'000));
    due_.emplace(std::make_pair(now_ + delay, serial_++), completion{&driver, &operation, outcome});
}

void simulated_world::begin(simulated_driver& driver, detail::operation& operation) {
    endpoint* end = find(operation.fd);
    switch (operation.kind) {
        case operation_kind::nop:
            complete(driver, operation, 0);
            return;
        case operation_kind::receive_lease:
        case operation_kind::receive_leases:
            operation.address = ::operator new(operation.length);
            [[fallthrough]];
        case operation_kind::receive:
        case operation_kind::receive_many:
            if (end == nullptr) {
                complete(driver, operation, -EBADF);
                return;
            }
            end->readers.push_back({&driver, &operation});
            progress(operation.fd);
            return;
        case operation_kind::send:
        case operation_kind::send_zero_copy:
        case operation_kind::send_many:
            if (end == nullptr) {
                complete(driver, operation, -EBADF);
                return;
            }
            end->writers.push_back({&driver, &operation});
            progress(operation.fd);
            return;
        default:
            complete(driver, operation, -ENOSYS);  // not part of this world
    }
}

namespace {

/// The memory of an operation, of one piece or many.
std::vector<iovec> pieces_of(const detail::operation& operation) {
    if (operation.kind == operation_kind::send_many || operation.kind == operation_kind::receive_many) {
        auto* header = static_cast<const msghdr*>(operation.address);
        return {header->msg_iov, header->msg_iov + header->msg_iovlen};
    }
    return {{operation.address, operation.length}};
}

std::size_t size_of(const std::vector<iovec>& pieces) {
    std::size_t total = 0;
    for (const iovec& piece : pieces) total += piece.iov_len;
    return total;
}

}  // namespace

std::size_t simulated_world::read_into(endpoint& from, detail::operation& operation) {
    std::vector<iovec> pieces = pieces_of(operation);
    std::size_t count = std::min(from.arrived.size(), size_of(pieces));
    if (count > 1) count = 1 + draw(count);  // short reads are the rule here
    std::size_t left = count;
    for (const iovec& piece : pieces) {
        std::size_t part = std::min(left, piece.iov_len);
        auto end = from.arrived.begin() + static_cast<std::ptrdiff_t>(part);
        std::copy(from.arrived.begin(), end, static_cast<std::byte*>(piece.iov_base));
        from.arrived.erase(from.arrived.begin(), end);
        left -= part;
    }
    return count;
}

/// Lets readers and writers of one end go on as far as they can.
void simulated_world::progress(int fd) {
    endpoint& end = endpoints_.at(fd);
    endpoint* peer = find(end.peer);
    while (!end.writers.empty()) {
        waiting writer = end.writers.front();
        if (peer == nullptr || end.write_done) {
            end.writers.pop_front();
            complete(*writer.driver, *writer.operation, -EPIPE);
            continue;
        }
        std::size_t room = capacity - std::min(capacity, peer->arrived.size());
        if (room == 0) break;
        std::vector<iovec> pieces = pieces_of(*writer.operation);
        std::size_t count = std::min(room, size_of(pieces));
        if (count > 1) count = 1 + draw(count);  // short writes, too
        std::size_t left = count;
        for (const iovec& piece : pieces) {
            std::size_t part = std::min(left, piece.iov_len);
            auto* bytes = static_cast<const std::byte*>(piece.iov_base);
            peer->arrived.insert(peer->arrived.end(), bytes, bytes + part);
            left -= part;
        }
        end.writers.pop_front();
        complete(*writer.driver, *writer.operation, static_cast<std::int32_t>(count));
        while (!peer->readers.empty() && !peer->arrived.empty()) {
            waiting reader = peer->readers.front();
            peer->readers.pop_front();
            complete(*reader.driver, *reader.operation, static_cast<std::int32_t>(read_into(*peer, *reader.operation)));
        }
    }
    while (!end.readers.empty() && (!end.arrived.empty() || end.peer_done || !end.open)) {
        waiting reader = end.readers.front();
        end.readers.pop_front();
        std::size_t count = end.open ? read_into(end, *reader.operation) : 0;
        complete(*reader.driver, *reader.operation, static_cast<std::int32_t>(count));
        if (peer != nullptr && !peer->writers.empty()) progress(end.peer);
    }
}

int simulated_world::shutdown_writing(int fd) noexcept {
    endpoint* end = find(fd);
    if (end == nullptr) {
        errno = EBADF;
        return -1;
    }
    end->write_done = true;
    if (endpoint* peer = find(end->peer)) {
        peer->peer_done = true;
        progress(end->peer);
    }
    return 0;
}

void simulated_world::close(int fd) noexcept {
    endpoint* end = find(fd);
    if (end == nullptr) return;
    static_cast<void>(shutdown_writing(fd));
    end->open = false;
    progress(fd);
    for (waiting& writer : end->writers) complete(*writer.driver, *writer.operation, -EPIPE);
    end->writers.clear();
    if (find(end->peer) != nullptr) progress(end->peer);
}

bool simulated_world::cancel(detail::operation& operation) noexcept {
    auto found = endpoints_.find(operation.fd);
    if (found == endpoints_.end()) return false;
    for (auto* queue : {&found->second.readers, &found->second.writers}) {
        for (auto it = queue->begin(); it != queue->end(); ++it) {
            if (it->operation != &operation) continue;
            waiting canceled = *it;
            queue->erase(it);
            complete(*canceled.driver, operation, -ECANCELED);
            return true;
        }
    }
    return false;  // its completion is due already: it wins
}

time_point simulated_world::next_due() const noexcept {
    return due_.empty() ? time_point::max() : time_point(due_.begin()->first.first);
}

// ---- driver -------------------------------------------------------------------------------------------------------------------

void simulated_driver::do_submit(detail::operation& operation) noexcept {
    operation.in_kernel = true;
    ++operation.outstanding;
    world_.begin(*this, operation);
}

void simulated_driver::cancel_in_flight(detail::operation& operation) noexcept { static_cast<void>(world_.cancel(operation)); }

void simulated_driver::close(int fd) noexcept {
    if (fd >= simulated_world::first_descriptor) {
        world_.close(fd);
    } else {
        ::close(fd);  // the system's own: made before an operation on it was refused
    }
}

void simulated_driver::poll(detail::work_list& ready) noexcept {
    take_messages(ready);
    world_.take_due(*this, [this, &ready](detail::operation& operation, std::int32_t outcome) {
        completed(operation, outcome, ready);
    });
}

void simulated_driver::do_wait(detail::work_list& ready, time_point deadline) noexcept {
    // Only a scope's destructor waits here; the simulation itself moves the clock.
    poll(ready);
    if (ready.empty()) world_.advance_to(std::min({deadline, world_.next_due(), world_.now() + std::chrono::milliseconds(1)}));
}

}  // namespace peal::rt
