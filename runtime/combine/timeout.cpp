// SPDX-License-Identifier: MIT

#include <peal/combine/timeout.hpp>

#include <string>

#include "../task/driver.hpp"
#include "../task/this_driver.hpp"
#include "../time/wheel.hpp"

namespace peal::detail {

namespace {

rt::wheel& wheel_of_caller() noexcept {
    rt::wheel* wheel = rt::this_wheel();
    PEAL_ASSERT(wheel != nullptr, "timeout() was awaited on a thread that is no worker: co_await pool.schedule() before it");
    return *wheel;
}

}  // namespace

clock::time_point time_limit::begin() noexcept {
    constexpr auto long_enough = std::chrono::milliseconds(100);  // to begin some milliseconds late
    rt::driver& driver = *rt::this_driver();
    if (!length_ || *length_ < long_enough) {
        const clock::time_point now = driver.now();
        if (length_) until_ = now + *length_;
        return now;
    }
    const auto [now, error] = driver.rough_now();
    until_ = now + error + *length_;
    return now;
}

error time_limit::passed() const {
    std::string what = "timeout";
    if (length_) {
        auto us = std::chrono::duration_cast<std::chrono::microseconds>(*length_).count();
        what += us % 1000 == 0 ? " after " + std::to_string(us / 1000) + " ms" : " after " + std::to_string(us) + " us";
    }
    what += std::string(" (set at ") + where_.file_name() + ':' + std::to_string(where_.line()) + ')';
    return error(std::make_error_code(std::errc::timed_out), std::move(what));
}

void timed_leaf::arm(context& task) noexcept {
    PEAL_ASSERT(task_ == nullptr, "timeout() was awaited twice: make it anew for each");
    home = &wheel_of_caller();
    task_ = &task;
    clock::time_point now = limit_.begin();
    // A limit that is over already ends the operation as soon as it can be stopped: in the next tick.
    home->arm_soon(*this, limit_.until(), now);
    armed_ = true;
}

bool timed_leaf::disarm() noexcept {
    if (!armed_ || home->disarm(*this)) return false;
    // The timer has fired, or is at it on another thread: a few instructions.
    fired seen;
    while ((seen = fired_.load(std::memory_order_acquire)) == fired::no) spin_hint();  // [T1]
    return seen == fired::stopped;
}

void timed_leaf::time_is_over(timer& self) noexcept {
    auto& me = static_cast<timed_leaf&>(self);
    fired how = me.task_->stop_leaf() ? fired::stopped : fired::too_late;
    me.fired_.store(how, std::memory_order_release);  // [T1] last touch
}

void timeout_group::begin_limited(std::coroutine_handle<> awaiting, context& parent, branch& limited) noexcept {
    home = &wheel_of_caller();
    clock::time_point now = limit_.begin();
    limited_ = &limited;
    limited.prepare(*this, parent);
    // Else the one further out will end this, and say that it did. (That of the task's scope need not: its stop may stay behind a shield.)
    bool is_earliest = limit_.until() < parent.own_deadline();
    if (is_earliest) limited.set_deadline(limit_.until());
    // The timer does not fire before this thread has come back from here, and the branch has started (wheel.hpp).
    timer_armed_ = is_earliest && home->arm(*this, limit_.until(), now);
    begin(awaiting, parent, timer_armed_ ? 2 : 1);
    if (is_earliest && !timer_armed_) stop_limited();  // it is over already
}

void timeout_group::stop_limited() noexcept {
    if (limited_->stop_requested()) return;
    fired_.store(true, std::memory_order_relaxed);
    limited_->request_stop();
}

void timeout_group::time_is_over(timer& self) noexcept {
    auto& group = static_cast<timeout_group&>(self);
    group.stop_limited();
    group.leave();
}

std::uint32_t timeout_group::note_end(branch& which) noexcept {
    parent().set_scheduler(which.scheduler());  // the task goes on where this has led
    return timer_armed_ && home->disarm(*this) ? 2 : 1;
}

bool timeout_group::ended_by_timer(const std::exception_ptr& failure) const noexcept {
    return fired_.load(std::memory_order_relaxed) && is_canceled(failure);
}

}  // namespace peal::detail
