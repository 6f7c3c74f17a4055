// SPDX-License-Identifier: MIT
#pragma once

// The outside of a worker in a model: a kernel with a lock, a list of what it has been given and a list of completions. It sleeps on an
// event, as the ring's driver does on an event descriptor. The parking state, cancel requests and messages are the product's
// (runtime/task/driver.hpp).

#include <cerrno>
#include <vector>

#include <task/driver.hpp>

#include "runner.hpp"

namespace model {

class model_driver final : public peal::rt::driver {
  public:
    explicit model_driver(peal::rt::blocking_pool& none) : driver(none) {}

    void reap(peal::detail::work_list& ready) noexcept override { poll(ready); }
    void poll(peal::detail::work_list& ready) noexcept override {
        hand_over();
        take_messages(ready);
        reap_completions(ready);
    }
    void close(int fd) noexcept override { note_closed(fd); }
    peal::rt::time_point now() const noexcept override { return time(); }

    /// The clock of all: it stands still until a model moves it on. Not part of what is explored.
    __attribute__((no_sanitize("thread"), noinline)) static peal::rt::time_point time() noexcept { return clock_; }
    __attribute__((no_sanitize("thread"), noinline)) static void set_time(peal::rt::time_point now) noexcept { clock_ = now; }
    static constexpr peal::rt::time_point beginning = peal::rt::time_point(std::chrono::hours(1));

    /// The last descriptor that was closed here: its number may be another file's from then on.
    static inline int closed = -1;

    // ---- the kernel's side, any thread -------------------------------------------------------------------------------------------
    /// Waits until something was submitted, and completes it with `outcome` unless it was canceled meanwhile; or gives up.
    void complete_one(std::int32_t outcome) {
        if (given_.await_a_while()) complete_given(outcome);
    }
    /// The same for one that will be submitted for certain.
    void complete_next(std::int32_t outcome) {
        given_.await();
        complete_given(outcome);
    }

  private:
    static inline peal::rt::time_point clock_ = beginning;

    void complete_given(std::int32_t outcome) {
        {
            std::lock_guard guard(kernel_);
            if (pending_.empty()) return;
            completions_.push_back({pending_.back(), outcome, false});
            pending_.pop_back();
        }
        wake_.raise();
    }

    void do_submit(peal::detail::operation& operation) noexcept override {
        model::check(!is_closed(operation.fd), "an operation on a descriptor that is closed already");
        submitted_.push_back(&operation);
    }
    void do_wait(peal::detail::work_list& ready, peal::rt::time_point deadline) noexcept override {
        poll(ready);
        if (!ready.empty()) return;
        if (deadline == peal::rt::time_point::max()) {
            wake_.await();
        } else {
            static_cast<void>(wake_.await_a_while());
        }
        reap_completions(ready);
    }
    void interrupt() noexcept override { wake_.raise(); }
    void cancel_in_flight(peal::detail::operation& operation) noexcept override {
        ++operation.outstanding;
        std::lock_guard guard(kernel_);
        for (auto& each : pending_) {
            if (each != &operation) continue;
            each = pending_.back();
            pending_.pop_back();
            completions_.push_back({&operation, -ECANCELED, false});
            break;
        }
        completions_.push_back({&operation, 0, true});
    }
    void resubmit(peal::detail::operation& operation) noexcept override { do_submit(operation); }
    void close_under_lock(int fd) noexcept override { note_closed(fd); }

    // Not part of what is explored.
    __attribute__((no_sanitize("thread"), noinline)) static void note_closed(int fd) noexcept { closed = fd; }
    __attribute__((no_sanitize("thread"), noinline)) static bool is_closed(int fd) noexcept { return fd >= 0 && fd == closed; }

    void hand_over() {
        for (peal::detail::operation* each : submitted_) {
            each->in_kernel = true;
            ++each->outstanding;
            {
                std::lock_guard guard(kernel_);
                pending_.push_back(each);
            }
            given_.raise();
            if (each->cancel_requested) cancel_in_flight(*each);
        }
        submitted_.clear();
    }
    void reap_completions(peal::detail::work_list& ready) {
        std::vector<completion> taken;
        {
            std::lock_guard guard(kernel_);
            taken.swap(completions_);
        }
        for (const completion& each : taken) {
            if (each.answers_cancel) {
                cancel_answered(*each.of, ready);
            } else {
                completed(*each.of, each.outcome, ready);
            }
        }
    }

    struct completion {
        peal::detail::operation* of;
        std::int32_t outcome;
        bool answers_cancel;
    };
    std::vector<peal::detail::operation*> submitted_;  // owner only
    event wake_;
    event given_;
    mutex kernel_;                                     // guards the two below
    std::vector<peal::detail::operation*> pending_;
    std::vector<completion> completions_;
};

}  // namespace model
