// SPDX-License-Identifier: MIT

#include <peal/process/signal.hpp>

#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include <peal/detail/operation.hpp>

namespace peal::process {
namespace {

// Written before the handlers are installed, read by them. Lock-free, so safe in a handler.
std::atomic<int> signal_fd{-1};
std::atomic<int> signal_number{0};
std::atomic<std::int64_t> first_signal_ms{0};
struct sigaction previous_int;
struct sigaction previous_term;

constexpr std::int64_t same_signal_ms = 1000;

std::int64_t now_ms() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void handle(int number) {
    int saved = errno;
    if (signal_number.load(std::memory_order_seq_cst) != 0) {
        // One request to end often comes twice: timeout(1) and others tell the process and then its group. That must not cut short an
        // orderly end. A later one, of either kind, ends the program.
        if (now_ms() - first_signal_ms.load(std::memory_order_seq_cst) >= same_signal_ms) {
            ::signal(number, SIG_DFL);
            ::raise(number);  // blocked until the handler returns
        }
        errno = saved;
        return;
    }
    first_signal_ms.store(now_ms(), std::memory_order_seq_cst);
    signal_number.store(number, std::memory_order_seq_cst);
    std::uint64_t one = 1;
    if (::write(signal_fd.load(std::memory_order_seq_cst), &one, sizeof one) < 0) {
        // Full after 2^64 signals: it has been seen by then.
    }
    errno = saved;
}

}  // namespace

termination_signal::termination_signal() : fd_(::eventfd(0, EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::system_category(), "eventfd");
    int none = -1;
    PEAL_ASSERT(signal_fd.compare_exchange_strong(none, fd_, std::memory_order_seq_cst),
                "two termination_signal objects exist at the same time");
    signal_number.store(0, std::memory_order_seq_cst);
    struct sigaction action {};
    action.sa_handler = &handle;
    action.sa_flags = SA_RESTART;
    sigaddset(&action.sa_mask, SIGINT);  // the handler runs to its end, and once
    sigaddset(&action.sa_mask, SIGTERM);
    ::sigaction(SIGINT, &action, &previous_int);
    ::sigaction(SIGTERM, &action, &previous_term);
}

termination_signal::~termination_signal() {
    ::sigaction(SIGINT, &previous_int, nullptr);
    ::sigaction(SIGTERM, &previous_term, nullptr);
    signal_fd.store(-1, std::memory_order_seq_cst);
    ::close(fd_);
}

int termination_signal::number() const noexcept { return signal_number.load(std::memory_order_seq_cst); }

task<int> termination_signal::wait() {
    std::uint64_t count = 0;
    peal::detail::size_operation reading(peal::detail::operation_kind::read, fd_, &count, sizeof count, 0,
                                         peal::detail::no_offset, peal::detail::size_operation::rounds::one);
    co_await reading;
    co_return signal_number.load(std::memory_order_seq_cst);
}

}  // namespace peal::process
