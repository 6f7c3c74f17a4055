// SPDX-License-Identifier: MIT

// One handler for all signals that anybody here waits for. It looks through a table of receivers, notes the signal in each that wants it, and
// writes to that one's event descriptor, which a task reads. (Not a signalfd: that takes all threads of the program to block the signal.)
//
// Who may touch what: the table by the handler at any moment; a receiver is in it from the end of its constructor to its destructor.
//   slots[], inside   [S1] all seq_cst: handler: ++inside, then looks at a slot; destructor: empties the slot, then looks at inside.
//                          One of the two sees the other: the handler an empty slot, or the destructor that it must wait for the handler.
//   noted_            [S2] the handler notes, then writes; a reader takes after it has read. What it finds is never older than what it read.

#include <peal/process/signal.hpp>

#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <string>
#include <system_error>

#include <peal/detail/operation.hpp>
#include <peal/detail/thread_mutex.hpp>

namespace peal::process {
namespace {

constexpr int most_signals = 64;
constexpr std::size_t most_receivers = 32;  // more than any program has reasons for; the handler looks at all
constexpr std::int64_t same_signal_ms = 1000;

std::int64_t now_ms() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

bool says_that_the_program_is_broken(int number) noexcept {
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
}

}  // namespace

class detail::signal_receiver {
  public:
    enum class purpose : bool { every, termination };

    signal_receiver(purpose use, std::initializer_list<int> numbers);
    signal_receiver(const signal_receiver&) = delete;
    signal_receiver& operator=(const signal_receiver&) = delete;
    ~signal_receiver() { leave(); }

    int fd() const noexcept { return fd_; }
    int first() const noexcept { return first_.load(std::memory_order_seq_cst); }
    /// The lowest that has come and was not taken; 0: none.
    int take() noexcept {
        std::uint64_t noted = noted_.load(std::memory_order_seq_cst);  // [S2]
        if (noted == 0) return 0;
        int number = std::countr_zero(noted) + 1;
        noted_.fetch_and(~bit_of(number), std::memory_order_seq_cst);  // one task takes
        return number;
    }

    /// In the handler.
    void note(int number) noexcept {
        if ((wanted_ & bit_of(number)) == 0) return;
        if (use_ == purpose::termination && !is_first(number)) return;
        noted_.fetch_or(bit_of(number), std::memory_order_seq_cst);  // [S2]
        std::uint64_t one = 1;
        if (::write(fd_, &one, sizeof one) < 0) {
            // Full after 2^64 signals: it has been seen by then.
        }
    }

  private:
    /// One request to end often comes twice: timeout(1) and others tell the process and then its group. That must not cut short an
    /// orderly end. A later one, of either kind, ends the program.
    bool is_first(int number) noexcept {
        if (first_.load(std::memory_order_seq_cst) == 0) {
            first_ms_.store(now_ms(), std::memory_order_seq_cst);
            first_.store(number, std::memory_order_seq_cst);
            return true;
        }
        if (now_ms() - first_ms_.load(std::memory_order_seq_cst) >= same_signal_ms) {
            ::signal(number, SIG_DFL);
            ::raise(number);  // blocked until the handler returns
        }
        return false;
    }

    void enter(std::initializer_list<int> numbers);
    void leave() noexcept;

    const purpose use_;
    const int fd_;
    std::uint64_t wanted_ = 0;              // fixed before a handler may look
    std::uint64_t installed_ = 0;           // guarded by `installing`, as the next
    std::size_t slot_ = most_receivers;
    std::atomic<std::uint64_t> noted_{0};  // lock-free, as the two below: safe in a handler
    std::atomic<int> first_{0};
    std::atomic<std::int64_t> first_ms_{0};
};

namespace {

using detail::signal_receiver;

constinit std::atomic<signal_receiver*> slots[most_receivers] = {};  // [S1]
constinit std::atomic<unsigned> inside{0};                           // [S1] handlers that are looking

/// Who wants a signal, and what it did before the first of them.
struct installed {
    unsigned receivers = 0;
    struct sigaction before {};
};
peal::detail::thread_mutex installing;   // guards the table below, and who enters and leaves a slot
installed actions[most_signals + 1];

void handle(int number) {
    int saved = errno;
    inside.fetch_add(1, std::memory_order_seq_cst);  // [S1]
    for (std::atomic<signal_receiver*>& slot : slots) {
        if (signal_receiver* receiver = slot.load(std::memory_order_seq_cst)) receiver->note(number);  // [S1]
    }
    inside.fetch_sub(1, std::memory_order_seq_cst);  // [S1]
    errno = saved;
}

}  // namespace

detail::signal_receiver::signal_receiver(purpose use, std::initializer_list<int> numbers) : use_(use), fd_(::eventfd(0, EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::system_category(), "eventfd");
    try {
        enter(numbers);
    } catch (...) {
        leave();
        throw;
    }
}

void detail::signal_receiver::enter(std::initializer_list<int> numbers) {
    auto fail = [](int error_number, int number) {
        throw std::system_error(error_number, std::system_category(), "sigaction for signal " + std::to_string(number));
    };
    for (int number : numbers) {
        if (number < 1 || number > most_signals || says_that_the_program_is_broken(number)) fail(EINVAL, number);
        wanted_ |= bit_of(number);
    }
    std::lock_guard guard(installing);
    std::size_t free = 0;
    while (free < most_receivers && slots[free].load(std::memory_order_seq_cst) != nullptr) ++free;
    if (free == most_receivers) {
        throw std::system_error(EAGAIN, std::system_category(), "signal_watch: more than " + std::to_string(most_receivers) + " at a time");
    }
    slot_ = free;
    slots[slot_].store(this, std::memory_order_seq_cst);  // [S1] from here on a handler may look at it
    for (int number = 1; number <= most_signals; ++number) {
        if ((wanted_ & bit_of(number)) == 0) continue;
        if (actions[number].receivers == 0) {
            struct sigaction action {};
            action.sa_handler = &handle;
            action.sa_flags = SA_RESTART;
            sigfillset(&action.sa_mask);  // a handler runs to its end, and one on a thread at a time
            if (::sigaction(number, &action, &actions[number].before) != 0) fail(errno, number);
        }
        ++actions[number].receivers;
        installed_ |= bit_of(number);
    }
}

void detail::signal_receiver::leave() noexcept {
    {
        std::lock_guard guard(installing);
        for (int number = 1; number <= most_signals; ++number) {
            if ((installed_ & bit_of(number)) == 0 || --actions[number].receivers != 0) continue;
            ::sigaction(number, &actions[number].before, nullptr);
        }
        if (slot_ < most_receivers) slots[slot_].store(nullptr, std::memory_order_seq_cst);  // [S1]
    }
    while (inside.load(std::memory_order_seq_cst) != 0) peal::detail::spin_hint();  // [S1] a handler of another thread: some microseconds
    ::close(fd_);
}

namespace {

/// Returns when something was noted since the last time, or may have been.
task<> wait_for_news(signal_receiver& receiver) {
    std::uint64_t count = 0;
    peal::detail::size_operation reading(peal::detail::operation_kind::read, receiver.fd(), &count, sizeof count, 0,
                                         peal::detail::no_offset, peal::detail::size_operation::rounds::one);
    co_await reading;
}

}  // namespace

// ---- signal_watch -------------------------------------------------------------------------------------------------------------

signal_watch::signal_watch(std::initializer_list<int> numbers)
    : receiver_(std::make_unique<signal_receiver>(signal_receiver::purpose::every, numbers)) {}
signal_watch::~signal_watch() = default;

task<int> signal_watch::next() {
    for (;;) {
        if (int number = receiver_->take()) co_return number;
        co_await wait_for_news(*receiver_);
    }
}

// ---- termination_signal -------------------------------------------------------------------------------------------------------

namespace {
constinit std::atomic<bool> termination_is_watched{false};
}

termination_signal::termination_signal() {
    PEAL_ASSERT(!termination_is_watched.exchange(true, std::memory_order_seq_cst), "two termination_signal objects exist at the same time");
    try {
        receiver_ = std::make_unique<signal_receiver>(signal_receiver::purpose::termination, std::initializer_list<int>{SIGINT, SIGTERM});
    } catch (...) {
        termination_is_watched.store(false, std::memory_order_seq_cst);
        throw;
    }
}

termination_signal::~termination_signal() {
    receiver_.reset();
    termination_is_watched.store(false, std::memory_order_seq_cst);
}

int termination_signal::number() const noexcept { return receiver_->first(); }

task<int> termination_signal::wait() {
    while (receiver_->take() == 0) co_await wait_for_news(*receiver_);
    co_return number();
}

}  // namespace peal::process
