// SPDX-License-Identifier: MIT

#include "arrivals.hpp"

#include <cerrno>
#include <mutex>
#include <new>
#include <utility>

#include <peal/detail/schedule.hpp>
#include <peal/detail/this_thread.hpp>

#include "descriptors.hpp"
#include "driver.hpp"
#include "lease_pool.hpp"
#include "this_driver.hpp"

namespace peal::rt {

arrivals::arrivals(int fd) : operation(detail::operation_kind::receive_leases) {
    if (!begin_use(fd)) throw std::bad_alloc();
    this->fd = fd;
    this->length = lease_pool::buffer_bytes;
}

arrivals::~arrivals() = default;

// ---- what has come ----------------------------------------------------------------------------------------------------------------

void arrivals::release(const arrival& gone) noexcept {
    if (gone.buffer == nullptr) return;
    if (gone.lent_by == nullptr) {
        ::operator delete(gone.buffer);
    } else {
        gone.lent_by->give_back(gone.buffer);
    }
}

arrivals::arrival arrivals::backlog::pop() noexcept {
    arrival first = slots()[begin];
    begin = (begin + 1) % room;
    --count;
    return first;
}

void arrivals::backlog::move_to(std::unique_ptr<arrival[]>& larger) noexcept {
    for (unsigned i = 0; i < count; ++i) larger[i] = slots()[(begin + i) % room];
    more.swap(larger);
    room *= 2;
    begin = 0;
}

/// The buffer that the outside has filled, or has not; the operation has none after that.
arrivals::arrival arrivals::taken_out() noexcept {
    return {static_cast<lease_pool*>(std::exchange(extra, nullptr)), static_cast<std::byte*>(std::exchange(address, nullptr)), outcome};
}

// ---- the receiver -------------------------------------------------------------------------------------------------------------------

void arrivals::give(detail::arrival_wait& waiter, const arrival& what) noexcept {
    waiter.lent_by_ = what.lent_by;
    waiter.buffer_ = what.buffer;
    waiter.outcome_ = what.bytes;
}

/// From rest: nobody else knows it.
void arrivals::renew(driver& here) noexcept {
    home = &here;
    is_running_ = true;
    is_pausing_ = request_sent_ = request_taken_ = home_goes_ = false;
    outcome = 0;
    cancel_requested = finished = false;
}

bool arrivals::begin_wait(detail::arrival_wait& waiter, std::coroutine_handle<> awaiting, context& task) noexcept {
    driver* here = this_driver();
    PEAL_ASSERT(here != nullptr,
                "an I/O operation was awaited on a thread that is no worker: co_await pool.schedule() before it, or start with "
                "pool.run()");
    waiter.belong_to(awaiting, task);
    bool is_served = false;
    bool lets_others_run = false;
    {
        std::lock_guard guard(lock_);
        PEAL_ASSERT(waiter_ == nullptr, "two tasks wait for one receiver at the same time");
        if (task.stop_requested()) {
            waiter.end_canceled();
            return false;
        }
        if (backlog_.count != 0 || has_outcome_) {
            if (backlog_.count != 0) {
                give(waiter, backlog_.pop());
            } else {
                has_outcome_ = is_broken_;
                give(waiter, {nullptr, nullptr, kept_outcome_});
            }
            is_served = true;
            lets_others_run = ++in_a_row_ == in_a_row_limit;
        } else {
            if (!waiter.try_arm()) return false;
            waiter_ = &waiter;
            if (is_running_) return true;
            [[maybe_unused]] const bool is_counted = begin_use(fd);  // before anybody could drop the receiver
            PEAL_ASSERT(is_counted, "the first use of a descriptor has made the memory to count others");
            renew(*here);
        }
        if (!is_served || lets_others_run) in_a_row_ = 0;
    }
    if (is_served) {
        if (lets_others_run) detail::enqueue(*detail::current_scheduler(), waiter);  // by the queue: its peer may never stop
        return lets_others_run;
    }
    here->run(*this);  // the waiter may be gone by now, but not this
    return true;
}

bool arrivals::end_wait(detail::arrival_wait& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (waiter_ != &waiter) return false;
    waiter_ = nullptr;
    return true;
}

void arrivals::drop() noexcept {
    const int number = fd;
    backlog left;
    bool is_at_rest;
    bool sends_request = false;
    {
        std::lock_guard guard(lock_);
        PEAL_ASSERT(waiter_ == nullptr, "a receiver was destroyed while a task waits for it");
        is_dropped_ = true;
        left = std::exchange(backlog_, backlog());
        is_at_rest = !is_running_;
        if (!is_at_rest) sends_request = !std::exchange(request_sent_, true);
    }
    while (left.count != 0) release(left.pop());
    if (sends_request) home->request_cancel(*this);  // until it is taken, this stays, and the home too
    // One that runs may be gone by now.
    if (is_at_rest) delete this;
    release_use(number);
}

// ---- its home -----------------------------------------------------------------------------------------------------------------------

/// It was taken from waiter_ and has got something.
void arrivals::resume(detail::arrival_wait& waiter, detail::work_list& ready) noexcept {
    if (!waiter.must_resume()) return;  // its stopper comes yet, and does it
    if (waiter.owner->scheduler() == detail::current_scheduler()) {
        ready.push_back(waiter);
    } else {
        detail::enqueue_woken(waiter);
    }
}

bool arrivals::arrived(detail::work_list& ready) noexcept {
    const arrival come = taken_out();
    detail::arrival_wait* waiter = nullptr;
    bool is_kept = true;
    bool goes_on;
    std::unique_ptr<arrival[]> larger;
    {
        std::unique_lock guard(lock_);
        if (waiter_ == nullptr && backlog_.is_full() && !is_dropped_ && !is_broken_) {
            const unsigned wanted = 2 * backlog_.room;
            guard.unlock();  // memory is not asked for under it; meanwhile nobody else adds
            larger.reset(new (std::nothrow) arrival[wanted]);
            guard.lock();
            if (larger && !is_dropped_) backlog_.move_to(larger);
        }
        if (is_dropped_) {
            is_kept = false;
        } else if (waiter_ != nullptr) {
            waiter = std::exchange(waiter_, nullptr);
            give(*waiter, come);
        } else if (!is_broken_ && !backlog_.is_full()) {
            backlog_.push(come);
        } else {
            is_kept = false;
            is_broken_ = has_outcome_ = true;
            kept_outcome_ = -ENOMEM;
        }
        goes_on = is_kept && backlog_.count < enough && !is_pausing_ && !home_goes_;
    }
    if (!is_kept) release(come);
    if (waiter != nullptr) resume(*waiter, ready);
    return goes_on;
}

bool arrivals::must_pause() noexcept {
    std::lock_guard guard(lock_);
    return !std::exchange(is_pausing_, true);
}

void arrivals::pause_missed() noexcept {
    std::lock_guard guard(lock_);
    is_pausing_ = false;
}

bool arrivals::is_pausing() noexcept {
    std::lock_guard guard(lock_);
    return is_pausing_;
}

void arrivals::request_taken() noexcept {
    std::lock_guard guard(lock_);
    request_taken_ = true;
}

arrivals::after arrivals::over(detail::work_list& ready) noexcept {
    detail::arrival_wait* waiter = nullptr;
    arrival unused;
    bool is_dropped;
    bool goes_on = false;
    {
        std::lock_guard guard(lock_);
        if (request_sent_ && !request_taken_) return after::request_comes;
        unused = taken_out();
        const bool was_let_go = outcome > 0 || outcome == -ECANCELED;
        is_dropped = is_dropped_;
        if (!is_dropped && was_let_go && waiter_ != nullptr && !home_goes_) {
            renew(*home);
            goes_on = true;
        } else {
            is_running_ = false;
            if (!is_dropped && (!was_let_go || waiter_ != nullptr)) {
                const std::int32_t told = was_let_go ? -ECANCELED : outcome;
                waiter = std::exchange(waiter_, nullptr);
                if (waiter != nullptr) {
                    give(*waiter, {nullptr, nullptr, told});
                } else if (!has_outcome_) {
                    has_outcome_ = true;
                    kept_outcome_ = told;
                }
            }
        }
    }
    release(unused);
    if (goes_on) return after::again;
    if (is_dropped) {
        delete this;
    } else if (waiter != nullptr) {
        resume(*waiter, ready);
    }
    return after::at_rest;
}

bool arrivals::must_end() noexcept {
    std::lock_guard guard(lock_);
    home_goes_ = true;
    return !std::exchange(request_sent_, true);
}

}  // namespace peal::rt

namespace peal::detail {

bool arrival_wait::start(std::coroutine_handle<> awaiting, context& task) noexcept { return from_.begin_wait(*this, awaiting, task); }

void arrival_wait::stop_waiting(cancelable& self) noexcept {
    auto& me = static_cast<arrival_wait&>(self);
    me.stopper_came(me.from_.end_wait(me));
}

std::byte* arrival_wait::take_buffer() noexcept { return std::exchange(buffer_, nullptr); }

}  // namespace peal::detail
