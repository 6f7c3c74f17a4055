// SPDX-License-Identifier: MIT
//
// The load itself; see generator.hpp.

#include "generator.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <sys/socket.h>

#include "failure.hpp"

namespace load {

namespace {

constexpr std::size_t send_bytes_max = 64 * 1024; // of one send

std::int64_t monotonic_now() noexcept
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::int64_t to_nanoseconds(double seconds) noexcept { return std::llround(seconds * 1e9); }

} // namespace

generator::generator(const options& settings, const payload& stream, const server_process* server,
    std::vector<descriptor> load, std::vector<descriptor> idle)
    : stream_(stream),
      server_(server),
      pipeline_(settings.pipeline),
      interval_(settings.rate ? 1e9 / *settings.rate : 0),
      warmup_(to_nanoseconds(settings.warmup_seconds)),
      duration_(to_nanoseconds(settings.duration_seconds)),
      spin_(std::llround(settings.spin_microseconds * 1e3)),
      send_bytes_(std::min(settings.pipeline * settings.size_bytes, send_bytes_max)),
      connections_(load.size()),
      idle_(std::move(idle)),
      open_count_(load.size()),
      start_slots_(std::bit_ceil(settings.pipeline)),
      start_times_(load.size() * start_slots_),
      send_buffers_(load.size() * send_bytes_),
      ring_(settings.size_bytes)
{
    for (std::size_t index = 0; index < load.size(); ++index) {
        connections_[index].socket = std::move(load[index]);
        ring_.arm_receive(connections_[index].socket.get(), index);
    }
    for (std::size_t index = 0; index < idle_.size(); ++index)
        ring_.arm_poll(idle_[index].get(), connections_.size() + index);
}

results generator::run()
{
    start_ = last_activity_ = monotonic_now();
    const nanoseconds window_start = start_ + warmup_;
    const nanoseconds window_end = window_start + duration_;
    bool measuring = false;
    if (interval_ == 0)
        for (std::size_t index = 0; index < connections_.size(); ++index)
            if (connections_[index].socket.is_open())
                issue(index);

    while (true) {
        nanoseconds now = monotonic_now();
        if (!measuring && now >= window_start) {
            begin_window(now);
            measuring = true;
        }
        if (now >= window_end) {
            end_window(now);
            return std::move(results_);
        }
        if (interval_ > 0)
            release_due(now);

        now = monotonic_now();
        const nanoseconds wait = wait_time(now, measuring ? window_end : window_start);
        ring_.run(wait, [this](const ring::event& event) {
            handle(event);
            last_activity_ = monotonic_now();
            if (interval_ > 0) // a long batch must not hold up the schedule
                release_due(last_activity_);
        });
    }
}

// Everything counted so far was warm-up, except broken connections.
void generator::begin_window(nanoseconds now)
{
    window_start_ = now;
    results_.requests = 0;
    results_.bytes = 0;
    results_.latency.reset();
    results_.send_delay.reset();
    if (server_ != nullptr)
        server_cpu_at_start_ = server_->cpu_seconds();
}

void generator::end_window(nanoseconds now)
{
    if (server_ != nullptr) {
        results_.server_cpu_seconds = server_->cpu_seconds() - server_cpu_at_start_;
        results_.server_resident_bytes = server_->resident_bytes();
    }
    results_.elapsed_seconds = static_cast<double>(now - window_start_) / 1e9;
    if (interval_ == 0)
        return;
    for (std::size_t index = 0; index < connections_.size(); ++index) {
        const connection& each = connections_[index];
        for (std::uint64_t sequence = each.received.sequence; sequence < each.due; ++sequence) {
            results_.latency.record(now - due_time((sequence - 1) * connections_.size() + index));
            ++results_.unanswered;
        }
    }
}

generator::nanoseconds generator::due_time(std::uint64_t request) const noexcept
{
    return start_ + static_cast<nanoseconds>(static_cast<double>(request) * interval_);
}

// Open loop: makes every request due whose time has come, and sends those whose connection has room.
void generator::release_due(nanoseconds now)
{
    for (; due_time(next_request_) <= now; ++next_request_) {
        const std::size_t index = next_request_ % connections_.size();
        ++connections_[index].due;
        issue(index);
    }
}

// How long epoll may sleep: 0 while spinning, else until shortly before something is due.
generator::nanoseconds generator::wait_time(nanoseconds now, nanoseconds boundary) const noexcept
{
    const nanoseconds wake = interval_ > 0 ? std::min(boundary, due_time(next_request_)) : boundary;
    if (now - last_activity_ < spin_ || wake - now <= spin_)
        return 0;
    return wake - now - spin_;
}

void generator::handle(const ring::event& event)
{
    if (event.index >= connections_.size()) {
        check_idle(event.index - connections_.size());
        return;
    }
    connection& own = connections_[event.index];
    if (!own.socket.is_open())
        return; // lost: its last events
    if (event.kind == ring::event_kind::receive) {
        receive(event);
        if (!event.goes_on && own.socket.is_open())
            ring_.arm_receive(own.socket.get(), event.index);
        return;
    }
    own.is_sending = false;
    if (event.result < 0)
        lose(event.index, failure_from_errno("send", -event.result).what());
    else
        flush(event.index);
}

void generator::receive(const ring::event& event)
{
    const std::size_t index = event.index;
    connection& own = connections_[index];
    const int result = event.result;
    const nanoseconds now = monotonic_now();
    if (result < 0) {
        if (result != -ENOBUFS && result != -EINTR)
            lose(index, failure_from_errno("receive", -result).what());
        return;
    }
    if (result == 0) {
        lose(index, "closed by the server");
        return;
    }

    const auto count = static_cast<std::size_t>(result);
    const auto id = static_cast<std::uint32_t>(index);
    if (const auto difference = stream_.check(id, own.received, event.data, count))
        throw failure(describe(id, *difference));
    std::uint64_t sequence = own.received.sequence;
    own.received.advance(count, stream_.message_bytes());
    if (own.received > own.sent)
        throw failure("echo differs: connection " + std::to_string(id) + " received more than it has sent");
    results_.bytes += count;
    if (sequence == own.received.sequence)
        return;
    results_.requests += own.received.sequence - sequence;
    for (; sequence < own.received.sequence; ++sequence)
        results_.latency.record(now - start_time(index, sequence));
    issue(index);
}

// Gives start times to as many messages as may go now, and sends them.
void generator::issue(std::size_t index)
{
    connection& own = connections_[index];
    const std::uint64_t room_end = own.received.sequence + pipeline_;
    const std::uint64_t end = interval_ > 0 ? std::min(own.due, room_end) : room_end;
    if (own.issued >= end || !own.socket.is_open())
        return;
    const nanoseconds now = monotonic_now();
    for (; own.issued < end; ++own.issued) {
        nanoseconds begin = now;
        if (interval_ > 0) {
            begin = due_time((own.issued - 1) * connections_.size() + index);
            results_.send_delay.record(now - begin);
        }
        start_time(index, own.issued) = begin;
    }
    flush(index);
}

// Sends what is issued, unless a send is underway. A message whose echo must come before the next one is sent needs no answer
// from the ring: the echo says that the buffer is free again.
void generator::flush(std::size_t index)
{
    connection& own = connections_[index];
    if (own.is_sending || own.sent.sequence >= own.issued)
        return;
    const std::size_t rest = (own.issued - own.sent.sequence) * stream_.message_bytes() - own.sent.offset;
    const std::size_t chunk = std::min(rest, send_bytes_);
    unsigned char* buffer = &send_buffers_[index * send_bytes_];
    stream_.fill(static_cast<std::uint32_t>(index), own.sent, buffer, chunk);
    const bool silent = pipeline_ == 1 && chunk == rest;
    ring_.send(own.socket.get(), index, buffer, chunk, silent);
    own.is_sending = !silent;
    own.sent.advance(chunk, stream_.message_bytes());
}

void generator::lose(std::size_t index, const std::string& why)
{
    ++results_.errors;
    if (results_.first_error.empty())
        results_.first_error = "connection " + std::to_string(index) + ": " + why;
    shutdown(connections_[index].socket.get(), SHUT_RDWR); // ends what the ring still does with it
    connections_[index].socket.close();
    if (--open_count_ == 0)
        throw failure("all connections are lost; the first was " + results_.first_error);
}

void generator::check_idle(std::size_t index)
{
    const auto broken = why_broken(idle_[index]);
    if (!broken)
        return;
    ++results_.errors;
    if (results_.first_error.empty())
        results_.first_error = "idle connection " + std::to_string(index) + ": " + *broken;
    idle_[index].close();
}

generator::nanoseconds& generator::start_time(std::size_t index, std::uint64_t sequence) noexcept
{
    return start_times_[index * start_slots_ + (sequence & (start_slots_ - 1))];
}

} // namespace load
