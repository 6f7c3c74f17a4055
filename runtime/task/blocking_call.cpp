// SPDX-License-Identifier: MIT

#include <peal/detail/blocking_call.hpp>

#include <new>

#include "blocking_threads.hpp"
#include "driver.hpp"
#include "this_driver.hpp"

namespace peal::detail {

class blocking_call_base::job final : public rt::blocking_job {
  public:
    explicit job(blocking_call_base& call) noexcept : blocking_job(&job::perform), call_(call) {}

  private:
    static void perform(rt::blocking_job& self) noexcept {
        blocking_call_base& call = static_cast<job&>(self).call_;
        call.run_(call);
        call.happened();  // from here on the coroutine may have gone on
    }
    blocking_call_base& call_;
};

bool blocking_call_base::start(std::coroutine_handle<> awaiting, context& task) noexcept {
    rt::driver* driver = rt::this_driver();
    PEAL_ASSERT(driver != nullptr,
                "blocking(), resolve() or a directory walk was awaited on a thread that is no worker: co_await pool.schedule() before it");
    static_assert(sizeof(job) <= sizeof job_ && alignof(job) <= alignof(void*));
    rt::blocking_pool& pool = driver->elsewhere();
    rt::blocking_threads& threads = threads_ == blocking_class::names   ? pool.names
                                    : threads_ == blocking_class::files ? pool.files
                                                                        : pool.calls;
    given_to_ = &threads;
    auto& made = *::new (job_) job(*this);
    if (stopped_ == nullptr) return suspend_for_good(awaiting, task, [&] { return threads.try_run(made); }) || call_here();
    return suspend(awaiting, task, [&] { return threads.try_run(made); }) || (!was_canceled() && call_here());
}

/// No thread can be had: slower, and the same result.
bool blocking_call_base::call_here() noexcept {
    run_(*this);
    return false;
}

void blocking_call_base::stop_call(cancelable& self) noexcept {
    auto& me = static_cast<blocking_call_base&>(self);
    me.stop([&me] {
        if (static_cast<rt::blocking_threads*>(me.given_to_)->remove(*std::launder(reinterpret_cast<job*>(me.job_)))) return true;
        me.stopped_->request_stop();
        return false;
    });
}

}  // namespace peal::detail
