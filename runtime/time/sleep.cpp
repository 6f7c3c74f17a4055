// SPDX-License-Identifier: MIT

#include <peal/time/sleep.hpp>

#include "../task/driver.hpp"
#include "../task/this_driver.hpp"
#include "wheel.hpp"

namespace peal {

clock::time_point clock::now() noexcept {
    rt::driver* driver = rt::this_driver();
    return driver != nullptr ? driver->now() : std::chrono::steady_clock::now();
}

namespace detail {

bool sleep_operation::start(std::coroutine_handle<> awaiting, context& task) noexcept {
    home = rt::this_wheel();
    PEAL_ASSERT(home != nullptr, "sleep_for() was awaited on a thread that is no worker: co_await pool.schedule() before it");
    clock::time_point now = rt::this_driver()->now();
    clock::time_point until = absolute_ ? until_ : now + length_;
    bool suspended = suspend(awaiting, task, [&] { return home->arm(*this, until, now); });
    if (suspended || !was_canceled()) return suspended;
    enqueue(*current_scheduler(), *this);  // by the queue: a loop that takes no notice of the stop lets others run, too
    return true;
}

void sleep_operation::deadline_passed(timer& self) noexcept { static_cast<sleep_operation&>(self).happened(); }

void sleep_operation::stop_sleeping(cancelable& self) noexcept {
    auto& sleep = static_cast<sleep_operation&>(self);
    sleep.stop([&sleep] { return sleep.home->disarm(sleep); });
}

}  // namespace detail
}  // namespace peal
