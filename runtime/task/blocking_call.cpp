// SPDX-License-Identifier: MIT

#include <peal/detail/blocking_call.hpp>

#include <new>

#include "blocking_threads.hpp"
#include "driver.hpp"
#include "this_driver.hpp"

namespace peal::detail {

void blocking_call_base::start(std::coroutine_handle<> awaiting, context& task) noexcept {
    rt::driver* driver = rt::this_driver();
    PEAL_ASSERT(driver != nullptr,
                "resolve() or a directory walk was awaited on a thread that is no worker: co_await pool.schedule() before it");
    struct job final : rt::blocking_job {
        explicit job(blocking_call_base& call) noexcept : blocking_job(&job::perform), call(call) {}
        static void perform(rt::blocking_job& self) noexcept {
            blocking_call_base& call = static_cast<job&>(self).call;
            call.run_(call);
            enqueue_woken(call);  // from here on the coroutine may have gone on
        }
        blocking_call_base& call;
    };
    static_assert(sizeof(job) <= sizeof job_ && alignof(job) <= alignof(void*));
    handle = awaiting;
    owner = &task;
    driver->elsewhere().run(*::new (job_) job(*this));
}

}  // namespace peal::detail
