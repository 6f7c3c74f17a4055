// SPDX-License-Identifier: MIT

// Models of what stands beside the ring: threads for calls that block; the count of uses of a descriptor, by which it is closed once and
// after the last operation on it; and buffers that are lent.

#include <optional>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <task/blocking_threads.hpp>
#include <task/descriptors.hpp>
#include <task/lease_pool.hpp>

#include "model_driver.hpp"
#include "tasks.hpp"

namespace {

using model::settings;

// ---- blocking threads -------------------------------------------------------------------------------------------------------------------

struct counted_job : peal::rt::blocking_job {
    counted_job() : blocking_job(&counted_job::perform) {}
    static void perform(blocking_job& self) noexcept {
        auto& me = static_cast<counted_job&>(self);
        model::check(me.given == 1, "what was done before it was given");
        ++me.runs;
        me.done.raise();
    }
    int given = 0;
    int runs = 0;
    model::event done;
};

void give(peal::rt::blocking_threads& to, counted_job& job) {
    job.given = 1;
    to.run(job);
}

MODEL("blocking threads: two jobs for one thread, from two", settings().preempt(2).stale(1)) {
    counted_job first, second;
    {
        peal::rt::blocking_threads threads("model", 1);
        model::parallel([&] { give(threads, first); }, [&] { give(threads, second); });
        first.done.await();
        second.done.await();
    }
    model::check(first.runs == 1 && second.runs == 1, "each once");
}

MODEL("blocking threads: ended while two jobs wait", settings().preempt(2).stale(1)) {
    counted_job first, second;
    {
        peal::rt::blocking_threads threads("model", 2);
        give(threads, first);
        give(threads, second);
    }
    model::check(first.runs == 1 && second.runs == 1, "they are waited for");
}

MODEL("blocking threads: a job is given while the idle thread gives up waiting", settings().preempt(3).stale(1)) {
    counted_job first, second;
    {
        peal::rt::blocking_threads threads("model", 1);
        give(threads, first);
        first.done.await();
        give(threads, second);
        second.done.await();
    }
    model::check(first.runs == 1 && second.runs == 1, "each once");
}

MODEL("blocking threads: a job is taken back while it begins", settings().preempt(3).stale(1)) {
    counted_job first, second;
    bool removed = false;
    {
        peal::rt::blocking_threads threads("model", 1);
        give(threads, first);
        model::parallel([&] { give(threads, second), removed = threads.remove(second); }, [&] { first.done.await(); });
    }
    model::check(first.runs == 1 && second.runs == (removed ? 0 : 1), "run, or taken back");
}

MODEL("blocking threads: not busy means that those who waited were woken", settings().preempt(3).stale(1)) {
    counted_job job;
    peal::rt::blocking_threads threads("model", 1);
    give(threads, job);
    model::parallel([&] { if (!threads.is_busy()) model::check(job.runs == 1, "it has run"); }, [&] { job.done.await(); });
}

// ---- descriptors --------------------------------------------------------------------------------------------------------------------------

constexpr int the_number = 900;
int closed = 0;        // how often, and what the operations had done by then: plain, so all must happen before the close
int done_before = 0;

/// The table makes its block when a number is first used, and keeps it: not in an execution.
[[maybe_unused]] const bool block_is_made = [] {
    static_cast<void>(peal::rt::begin_use(the_number));
    return peal::rt::end_use(the_number) == peal::rt::left_to_close::nothing;
}();

void end_of_operation(int& done) {
    ++done;
    if (peal::rt::end_use(the_number) != peal::rt::left_to_close::nothing) ::close(the_number);
}

MODEL("descriptor: closed while its operation ends", settings().preempt(4).stale(4)) {
    closed = done_before = 0;
    static_cast<void>(peal::rt::begin_use(the_number));
    model::parallel([&] { end_of_operation(done_before); }, [&] { peal::rt::close_socket(the_number); });
    model::check(closed == 1, "closed once");
    // The number is used again by whoever opens next.
    static_cast<void>(peal::rt::begin_use(the_number));
    model::check(peal::rt::end_use(the_number) == peal::rt::left_to_close::nothing, "nothing is left of it");
}

MODEL("descriptor: closed while two operations end", settings().preempt(3).stale(3)) {
    closed = done_before = 0;
    int other = 0;
    static_cast<void>(peal::rt::begin_use(the_number));
    static_cast<void>(peal::rt::begin_use(the_number));
    model::parallel([&] { end_of_operation(done_before); }, [&] { end_of_operation(other); }, [&] { peal::rt::close_file(the_number); });
    model::check(closed == 1, "closed once");
}

MODEL("descriptor: an operation begins and ends while another one does", settings().preempt(4).stale(3)) {
    closed = done_before = 0;
    model::parallel(
        [&] {
            static_cast<void>(peal::rt::begin_use(the_number));
            end_of_operation(done_before);
        },
        [&] {
            int mine = 0;
            static_cast<void>(peal::rt::begin_use(the_number));
            end_of_operation(mine);
        });
    model::check(closed == 0, "nobody closes");
    peal::rt::close_socket(the_number);
    model::check(closed == 1, "closed at once: nothing is underway");
}

// ---- leases -------------------------------------------------------------------------------------------------------------------------------

using peal::rt::lease_pool;

MODEL("leases: the driver is about to sleep for want of a buffer while the last one comes back", settings().preempt(4).stale(3)) {
    peal::rt::blocking_pool none("model", 1);
    model::model_driver home(none);
    auto* leases = new lease_pool(home);
    std::uint16_t index = 0;
    model::check(leases->take(lease_pool::wish::some, &index, 1) == 1, "one is made");
    std::byte* lent = leases->address_of(index);
    model::parallel(
        [&] {
            home.prepare_to_park();
            if (leases->take(lease_pool::wish::some, &index, 1) != 0) {
                home.stay_awake();
                return;
            }
            peal::detail::work_list ready;
            home.wait(ready, peal::rt::time_point::max());
            model::check(leases->take(lease_pool::wish::some, &index, 1) == 1, "woken by who brought it");
        },
        [&] { leases->give_back(lent); });
    model::check(leases->address_of(index) == lent, "there is one only");
    leases->leave(1);
}

MODEL("leases: the driver leaves while the last one comes back", settings().preempt(4).stale(3)) {
    peal::rt::blocking_pool none("model", 1);
    std::optional<model::model_driver> home{std::in_place, none};
    auto* leases = new lease_pool(*home);
    std::uint16_t index = 0;
    static_cast<void>(leases->take(lease_pool::wish::some, &index, 1));
    std::byte* lent = leases->address_of(index);
    std::uint16_t none_left = 0;
    model::check(leases->take(lease_pool::wish::some, &none_left, 1) == 0, "and the driver wants one");
    model::parallel(
        [&] {
            leases->leave(0);
            home.reset();  // whoever brings one back must not wake it after this
        },
        [&] { leases->give_back(lent); });
    // That nothing is left, and nothing was used after it was gone, is the heap's to say.
}

}  // namespace

// The system's: only `the_number` is ours.
extern "C" int close(int fd) {
    if (fd != the_number) return static_cast<int>(::syscall(SYS_close, fd));
    ++closed;
    model::check(done_before <= 1, "what the operations did comes before the close");
    return 0;
}
extern "C" int shutdown(int, int) noexcept { return 0; }
