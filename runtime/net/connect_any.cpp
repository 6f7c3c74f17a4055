// SPDX-License-Identifier: MIT

// Happy eyeballs: several attempts to connect, each begun when the one before it has failed or takes long; the first connection wins.

#include <peal/net/tcp.hpp>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <system_error>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/detail/leaf_operation.hpp>
#include <peal/error.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/as_result.hpp>

namespace peal::net {
namespace {

/// Families take turns, the first one's begins; the order within each stays.
std::vector<address> interleaved(const std::vector<address>& given) {
    std::deque<address> same;
    std::deque<address> other;
    for (const address& each : given) (each.is_ipv6() == given.front().is_ipv6() ? same : other).push_back(each);
    std::vector<address> ordered;
    while (!same.empty() || !other.empty()) {
        for (std::deque<address>* family : {&same, &other}) {
            if (family->empty()) continue;
            ordered.push_back(family->front());
            family->pop_front();
        }
    }
    return ordered;
}

/// How far an attempt came.
int distance(const std::error_code& code) noexcept {
    if (code == std::errc::connection_refused || code == std::errc::connection_reset) return 3;  // somebody is there
    if (code == std::errc::timed_out) return 2;
    if (code == std::errc::network_unreachable || code == std::errc::host_unreachable || code == std::errc::address_not_available ||
        code == std::errc::address_family_not_supported) {
        return 0;
    }
    return 1;
}

class race {
  public:
    race(std::vector<address> candidates, std::chrono::milliseconds stagger)
        : candidates_(std::move(candidates)), stagger_(stagger), attempts_(candidates_.size()) {}

    task<tcp_stream> run() {
        std::vector<task<tcp_stream>> attempts;
        for (std::size_t i = 0; i < candidates_.size(); ++i) attempts.push_back(attempt(i));
        try {
            first_of<tcp_stream> first = co_await first_success(std::move(attempts));
            co_return std::move(first.value);
        } catch (const std::system_error&) {
            // Nobody but the task's own stopper stops attempts before there is a winner.
            if (this_task::stop_requested()) peal::detail::throw_canceled("connect");
            for (const progress& each : attempts_) {
                if (each.failure && (!most_telling_ || distance(each.failure->code()) > distance(most_telling_->code()))) most_telling_ = each.failure;
            }
            if (!most_telling_) throw;
        }
        most_telling_->raise();
    }

  private:
    /// Written by the attempt, and read by the next one after the event, or by run() after all have ended.
    struct progress {
        event began;
        event failed;
        std::optional<error> failure;
    };

    static task<> happening(event& awaited) { co_await awaited.wait(); }

    task<tcp_stream> attempt(std::size_t i) {
        // However it ends (there may be no memory for what it awaits), the next one must not wait for it for ever.
        class passing_on {
          public:
            explicit passing_on(progress& mine) noexcept : mine_(mine) {}
            passing_on(const passing_on&) = delete;
            passing_on& operator=(const passing_on&) = delete;
            ~passing_on() {
                mine_.failed.set();
                mine_.began.set();
            }

          private:
            progress& mine_;
        };
        passing_on guard(attempts_[i]);
        if (i != 0) {
            progress& before = attempts_[i - 1];
            co_await before.began.wait();
            auto end = co_await as_result(timeout(stagger_, happening(before.failed)));
            if (!end && end.error().code() != std::errc::timed_out) end.error().raise();
        }
        progress& mine = attempts_[i];
        mine.began.set();
        auto connecting = tcp_stream::connect(candidates_[i]);
        result<tcp_stream> connected = co_await as_result(std::move(connecting));
        if (connected) co_return std::move(*connected);
        mine.failure = connected.error();
        connected.error().raise();
    }

    const std::vector<address> candidates_;
    const std::chrono::milliseconds stagger_;
    std::vector<progress> attempts_;
    std::optional<error> most_telling_;
};

}  // namespace

task<tcp_stream> tcp_stream::connect_any(std::vector<address> candidates, std::chrono::milliseconds stagger) {
    if (candidates.empty()) throw std::system_error(std::make_error_code(std::errc::invalid_argument), "connect: no address");
    if (candidates.size() == 1) co_return co_await connect(candidates.front());
    race attempts(interleaved(candidates), stagger);
    co_return co_await attempts.run();
}

}  // namespace peal::net
