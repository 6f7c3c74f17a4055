// SPDX-License-Identifier: MIT

#include <peal/combine/timeout.hpp>

#include <string>

#include "../task/driver.hpp"
#include "../task/this_driver.hpp"
#include "../time/wheel.hpp"

namespace peal::detail {

void timeout_group::begin_limited(std::coroutine_handle<> awaiting, context& parent, branch& limited) noexcept {
    home = rt::this_wheel();
    PEAL_ASSERT(home != nullptr, "timeout() was awaited on a thread that is no worker: co_await pool.schedule() before it");
    clock::time_point now = rt::this_driver()->now();
    if (length_) until_ = now + *length_;
    limited_ = &limited;
    limited.prepare(*this, parent);
    // Else the one further out will end this, and say that it did. (That of the task's scope need not: its stop may stay behind a shield.)
    bool is_earliest = until_ < parent.own_deadline();
    if (is_earliest) limited.set_deadline(until_);
    // The timer can fire on this thread only, which is not free before the branch has started.
    timer_armed_ = is_earliest && home->arm(*this, until_, now);
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

error timeout_group::timed_out() const {
    std::string what = "timeout";
    if (length_) {
        auto us = std::chrono::duration_cast<std::chrono::microseconds>(*length_).count();
        what += us % 1000 == 0 ? " after " + std::to_string(us / 1000) + " ms" : " after " + std::to_string(us) + " us";
    }
    what += std::string(" (set at ") + where_.file_name() + ':' + std::to_string(where_.line()) + ')';
    return error(std::make_error_code(std::errc::timed_out), std::move(what));
}

}  // namespace peal::detail
