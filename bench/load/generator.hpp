// SPDX-License-Identifier: MIT
//
// The load itself: one thread, one io_uring, sockets that are already connected.
//
// Closed loop: each connection keeps `pipeline` messages in flight; the next one leaves when an echo is complete, and
// latency counts from there to the receive call that completes its echo.
//
// Open loop: request number i is due at start + i / rate and belongs to connection i mod connections. Latency counts
// from the due time, however late the request leaves: a server that stalls is charged for every request that was due
// meanwhile (no coordinated omission). A connection with `pipeline` messages in flight lets its due requests wait.
//
// Bounds: no queue; a due request is only a number. Per connection, `pipeline` start times of 8 bytes, and a send buffer.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "histogram.hpp"
#include "options.hpp"
#include "payload.hpp"
#include "ring.hpp"
#include "server_process.hpp"
#include "socket.hpp"

namespace load {

/// What happened in the measured window; `errors` also counts what broke during the warm-up.
struct results {
    double elapsed_seconds = 0;
    std::uint64_t requests = 0;       // echoes completed in the window
    std::uint64_t bytes = 0;          // received in the window
    std::uint64_t errors = 0;         // connections that broke; each is lost for the rest of the run
    std::string first_error;
    std::uint64_t unanswered = 0;     // open loop: due, but not echoed at the end
    histogram latency;                // open loop: unanswered ones included, with their age at the end
    histogram send_delay;             // open loop: from due time to send, part of the latency
    std::optional<double> server_cpu_seconds;
    std::optional<std::uint64_t> server_resident_bytes; // at the end
};

class generator {
public:
    /// `idle` connections follow those of `load` in the numbering. Without `server` its figures stay empty.
    generator(const options& settings, const payload& stream, const server_process* server,
        std::vector<descriptor> load, std::vector<descriptor> idle);

    /// Runs once, for warm-up and duration. Throws failure: wrong echo, all connections lost, server process gone.
    [[nodiscard]] results run();

private:
    using nanoseconds = std::int64_t; // of the monotonic clock

    // Sequences count messages since the connection was opened; message 0 was spent on opening.
    // received <= sent <= {issued, 0} and issued <= received.sequence + pipeline.
    struct connection {
        descriptor socket;
        std::uint64_t due = 1;         // open loop: first sequence that is not due yet
        std::uint64_t issued = 1;      // first sequence without a start time
        stream_position sent{1, 0};    // handed to the ring
        stream_position received{1, 0};
        bool is_sending = false;       // the ring has the send buffer
    };

    void begin_window(nanoseconds now);
    void end_window(nanoseconds now);
    void release_due(nanoseconds now);
    [[nodiscard]] nanoseconds due_time(std::uint64_t request) const noexcept;
    [[nodiscard]] nanoseconds wait_time(nanoseconds now, nanoseconds boundary) const noexcept;
    void handle(const ring::event& event);
    void receive(const ring::event& event);
    void issue(std::size_t index);
    void flush(std::size_t index);
    void lose(std::size_t index, const std::string& why);
    void check_idle(std::size_t index);
    [[nodiscard]] nanoseconds& start_time(std::size_t index, std::uint64_t sequence) noexcept;

    // fixed at start
    const payload& stream_;
    const server_process* server_;
    std::size_t pipeline_;
    double interval_;                  // open loop: nanoseconds between two requests; closed loop: 0
    nanoseconds warmup_, duration_, spin_;
    std::size_t send_bytes_;           // of a connection's send buffer

    std::vector<connection> connections_;
    std::vector<descriptor> idle_;
    std::size_t open_count_;           // of connections_
    std::size_t start_slots_;          // power of two, at least pipeline_
    std::vector<nanoseconds> start_times_;
    std::vector<unsigned char> send_buffers_;
    ring ring_;

    nanoseconds start_ = 0;            // of the schedule
    nanoseconds window_start_ = 0;
    nanoseconds last_activity_ = 0;    // when the latest event was handled
    std::uint64_t next_request_ = 0;   // open loop: first that is not due yet
    double server_cpu_at_start_ = 0;
    results results_;
};

} // namespace load
