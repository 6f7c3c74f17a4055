// SPDX-License-Identifier: MIT
#pragma once

// cancel_matrix: runs one operation against a stop that comes at a chosen moment from a chosen origin, and judges how it ended.
//
// A subject is one operation with its own small world (a socket pair, a mutex that is held). A trial lets a task of worker 0 await it,
// stops that task, and says what was wrong: how the operation ended, what was lost by it, what was left of it.
//
// Flags of a trial are written by one side and waited for by another; all are seq_cst, they are few and not measured.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include <peal/combine/timeout.hpp>
#include <peal/detail/frame_memory.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>

#include "leaks.hpp"
#include "stopper.hpp"

namespace support {

enum class moment {
    before,     // the stop is requested before the operation is awaited
    queued,     // in the same round of the worker, before it has handed the operation over
    in_flight,  // a moment later
    same,       // released together with the completion, many times
    after,      // the operation has completed
};
enum class origin { own_worker, other_worker, foreign, by_timeout, scope_exit, shutdown };
inline constexpr moment moments[] = {moment::before, moment::queued, moment::in_flight, moment::same, moment::after};
inline constexpr origin origins[] = {origin::own_worker, origin::other_worker, origin::foreign,
                                     origin::by_timeout, origin::scope_exit,   origin::shutdown};
inline const char* name_of(moment when) {
    constexpr const char* names[] = {"before start", "queued", "in flight", "same moment", "after"};
    return names[static_cast<int>(when)];
}
inline const char* name_of(origin who) {
    constexpr const char* names[] = {"own", "other", "foreign", "timeout", "scope", "shutdown"};
    return names[static_cast<int>(who)];
}

/// One operation, to be awaited once.
class subject {
  public:
    virtual ~subject() = default;
    virtual peal::task<> start() = 0;
    virtual peal::task<> start_limited(std::chrono::nanoseconds limit) = 0;
    /// Makes it end with its value. On any thread that is no worker.
    virtual void complete() {}
    /// It completes by itself so long after its start, if it was made to complete.
    virtual std::chrono::nanoseconds completes_after() const { return std::chrono::nanoseconds(0); }
    /// After its end: what was lost or doubled, "" if nothing. `value`: it gave one; `completed`: complete() was called.
    virtual std::string verify(bool value, bool completed, bool pool_is_gone) = 0;
};

/// What a subject is made of: `op()`, which gives an awaitable, `took(its value)`, `complete()`, `verify()`.
template <class Derived>
class subject_of : public subject {
  public:
    peal::task<> start() override {
        if constexpr (gives_nothing()) {
            co_await self().op();
        } else {
            self().took(co_await self().op());
        }
    }
    peal::task<> start_limited(std::chrono::nanoseconds limit) override {
        if constexpr (gives_nothing()) {
            co_await peal::timeout(limit, self().op());
        } else {
            self().took(co_await peal::timeout(limit, self().op()));
        }
    }
    std::string verify(bool, bool, bool) override { return ""; }
    template <class T>
    void took(T&&) {}

  private:
    Derived& self() { return static_cast<Derived&>(*this); }
    static constexpr bool gives_nothing() {
        return std::is_void_v<peal::await_result<decltype(std::declval<Derived&>().op())>>;
    }
};

/// Until `condition()`, looked at often, but not by a busy thread: it would wait long for its next turn where CPUs are few. False after a time that nothing should take.
template <class Condition>
bool becomes(Condition condition, std::chrono::seconds guard = std::chrono::seconds(20)) {
    auto deadline = std::chrono::steady_clock::now() + guard;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    return true;
}

class trial {
  public:
    enum class end { running, value, canceled, timed_out, failed };
    using nanoseconds = std::chrono::nanoseconds;

    /// `jitter`: random numbers that spread stop and completion. `odd`: the stop is spread wider (what ends over several hops of tasks
    /// takes longer than 20 us), and a scope is left by join() instead of by its destructor.
    trial(peal::pool& on, subject& operation, moment when, origin who, std::uint64_t jitter, bool odd)
        : pool_(on), subject_(operation), when_(when), who_(who), odd_(odd), stop_delay_(jitter % (odd ? 100'000 : 20'000)),
          completion_delay_(jitter / 20'000 % 20'000), suspended_first_(jitter / 400'000'000 % 2 == 0) {
        nanoseconds by_itself = operation.completes_after();
        if (by_itself.count() != 0) suspended_first_ = false;
        if (when == moment::in_flight) limit_ = std::chrono::milliseconds(3);
        if (when == moment::same) limit_ = (by_itself.count() != 0 ? by_itself - nanoseconds(10'000) : nanoseconds(500'000)) + stop_delay_;
        if (when == moment::after) limit_ = std::chrono::hours(1);
    }

    /// "" or what was wrong. On the thread of the test.
    std::string run(stopper& outside) {
        auto handle = who_ == origin::scope_exit ? pool_.spawn(own_scope, std::ref(*this)) : pool_.spawn(operate, std::ref(*this));
        task_.emplace(handle.stop_handle());
        switch (when_) {
            case moment::before: go_ = true; stop(); break;
            case moment::queued: stop_queued(); break;
            case moment::in_flight:
                go_ = true;
                wait_for(started_);
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
                stop();
                break;
            case moment::same: stop_and_complete(outside); break;
            case moment::after:
                go_ = true;
                wait_for(started_);
                if (odd_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                complete();
                if (becomes([this] { return ended_ != end::running; })) stop();
                break;
        }
        return judge(handle);
    }
    end ended() const { return ended_; }

  private:
    // ---- tasks ----
    /// A stop does not end this. Lets the other threads have the CPU, too: they are more than there are CPUs.
    static peal::detail::schedule_operation take_turn(peal::pool& pool, unsigned worker) {
        std::this_thread::yield();
        return pool.schedule_on(worker);
    }
    static peal::task<> operate(trial& of) {
        do co_await take_turn(of.pool_, 0);
        while (!of.go_ || (of.when_ == moment::before && !peal::this_task::stop_requested()));
        if (of.when_ == moment::queued) {
            if (of.who_ == origin::own_worker) of.pool_.spawn(stop_now, std::ref(of));
            if (of.who_ == origin::other_worker || of.who_ == origin::foreign || of.who_ == origin::shutdown) {
                of.pool_.spawn(hold_worker, std::ref(of));
            }
        }
        of.began_ = std::chrono::steady_clock::now();
        of.started_ = true;
        try {
            if (of.who_ == origin::by_timeout) {
                co_await of.subject_.start_limited(of.limit_);
            } else {
                co_await of.subject_.start();
            }
            of.ended_ = end::value;
        } catch (const std::system_error& failure) {
            bool canceled = peal::is_canceled(failure);
            if (!canceled) of.what_ = failure.what();
            of.ended_ = canceled ? end::canceled : failure.code() == std::errc::timed_out ? end::timed_out : end::failed;
            if (canceled) throw;
        } catch (const std::exception& failure) {
            of.what_ = failure.what();
            of.ended_ = end::failed;
        }
    }
    static peal::task<> stop_now(trial& of) {
        of.send_stop();
        co_return;
    }
    /// The worker that has begun the operation comes to nothing else, so it does not hand it over, until the stop was sent.
    static peal::task<> hold_worker(trial& of) {
        of.holding_ = true;
        static_cast<void>(becomes([&of] { return of.stop_sent_ || peal::this_task::stop_requested(); }, std::chrono::seconds(1)));
        co_return;
    }
    static peal::task<> stop_from(trial& of, unsigned worker) {
        co_await of.pool_.schedule_on(worker);
        if (of.when_ == moment::queued) {
            of.ready_ = true;
            of.wait_for(of.holding_);  // this worker must not take who holds the other one
        } else if (of.when_ == moment::same) {
            of.ready_ = true;
            while (!of.fire_) co_await take_turn(of.pool_, worker);
            spin_for(of.stop_delay_);
        }
        of.send_stop();
    }
    static peal::task<> own_scope(trial& of) {
        co_await of.pool_.schedule_on(of.pool_.size() - 1);
        peal::scope inside(peal::on_error::keep_going);
        inside.spawn(operate, std::ref(of));
        of.ready_ = true;
        std::atomic<bool>& sign = of.when_ == moment::queued ? of.started_ : of.fire_;
        while (!sign) co_await take_turn(of.pool_, of.pool_.size() - 1);
        if (of.when_ == moment::same) spin_for(of.stop_delay_);
        if (!of.odd_) co_return;
        inside.request_stop();
        co_await inside.join();
    }

    // ---- the thread of the test ----
    void stop() {
        switch (who_) {
            case origin::own_worker: pool_.spawn(stop_from, std::ref(*this), 0u); break;
            case origin::other_worker: pool_.spawn(stop_from, std::ref(*this), 1u); break;
            case origin::foreign: send_stop(); break;
            case origin::by_timeout: break;
            case origin::scope_exit: fire_ = true; break;
            case origin::shutdown: shut_down(); break;
        }
    }
    void stop_queued() {
        if (who_ == origin::other_worker) {
            stop();
            wait_for(ready_);
        }
        go_ = true;
        if (who_ != origin::foreign && who_ != origin::shutdown) return;
        wait_for(holding_);
        stop();
    }
    void stop_and_complete(stopper& outside) {
        bool by_task = who_ == origin::own_worker || who_ == origin::other_worker;
        if (by_task) stop();
        if (by_task || who_ == origin::scope_exit) wait_for(ready_);
        go_ = true;
        wait_for(started_);
        if (suspended_first_) std::this_thread::sleep_for(std::chrono::microseconds(100));
        nanoseconds when = who_ == origin::by_timeout ? limit_ - stop_delay_ : subject_.completes_after() - nanoseconds(10'000);
        spin_for(began_ + when - std::chrono::steady_clock::now());
        if (who_ == origin::shutdown) {
            std::thread completing([this] { complete_soon(); });
            spin_for(stop_delay_);
            shut_down();
            completing.join();
            return;
        }
        fire_ = true;
        if (who_ == origin::foreign) outside.stop_after(stop_delay_, *task_);
        complete_soon();
    }
    void complete_soon() {
        spin_for(completion_delay_);
        complete();
    }
    void complete() {
        subject_.complete();
        completed_ = true;
    }
    void send_stop() {
        task_->request_stop();
        stop_sent_ = true;
    }
    void shut_down() {
        peal::shutdown_report report = pool_.shutdown(std::chrono::milliseconds(0), std::chrono::milliseconds(20'000));
        for (const std::string& each : report.not_stopped) wrong_ += "did not stop: " + each + "; ";
        pool_is_gone_ = true;
    }
    void wait_for(std::atomic<bool>& flag) {
        if (!becomes([&flag] { return flag.load(); })) std::printf("cancel_matrix: a flag was not set\n");
    }

    std::string judge(peal::join_handle<>& handle) {
        if (!becomes([this] { return ended_ != end::running; })) {
            wrong_ += "did not end; ";
            complete();  // lets the test go on, if it helps
        }
        if (!becomes([&handle] { return handle.has_ended(); })) {
            std::printf("cancel_matrix: an operation hangs (%s, %s)\n", name_of(when_), name_of(who_));
            std::abort();
        }
        bool canceled = ended_ == (who_ == origin::by_timeout ? end::timed_out : end::canceled);
        bool value = ended_ == end::value;
        bool expected = when_ == moment::after ? value : when_ == moment::same ? value || canceled : canceled;
        constexpr const char* names[] = {"running", "value", "canceled", "timed out", "failed"};
        if (!expected) wrong_ += "ended as " + std::string(names[static_cast<int>(ended_.load())]) + ' ' + what_ + "; ";
        wrong_ += subject_.verify(value, completed_, pool_is_gone_);
        handle.detach();
        if (!becomes([this] { return pool_.counts().live == 0; })) {
            std::printf("cancel_matrix: tasks are left (%s, %s)\n", name_of(when_), name_of(who_));
            std::abort();
        }
        if (pool_.counts().failed != failed_before_) wrong_ += "a task has failed; ";
        return wrong_;
    }

    peal::pool& pool_;
    subject& subject_;
    const moment when_;
    const origin who_;
    const bool odd_;
    const nanoseconds stop_delay_;
    const nanoseconds completion_delay_;
    bool suspended_first_;        // of `same`: it is given time to be suspended
    nanoseconds limit_{0};        // of by_timeout
    const std::uint64_t failed_before_ = pool_.counts().failed;

    std::optional<peal::stop_handle> task_;  // set before go_
    std::chrono::steady_clock::time_point began_;  // set before started_
    std::atomic<bool> go_{false}, started_{false}, ready_{false}, holding_{false}, fire_{false}, stop_sent_{false};
    std::atomic<end> ended_{end::running};
    std::string what_;  // set before ended_
    std::string wrong_;
    bool completed_ = false;
    bool pool_is_gone_ = false;
};

/// All trials of one cell. `values` and `stops` count how its races ended.
class cancel_matrix {
  public:
    using maker = std::function<std::unique_ptr<subject>(bool completes)>;

    static bool makes_sense(moment when, origin who) { return when != moment::before || who != origin::by_timeout; }

    std::string cell(const maker& make, moment when, origin who, unsigned& values, unsigned& stops) {
        std::int64_t frames = peal::detail::live_frames();
        std::size_t descriptors = open_descriptors();
        unsigned rounds = when != moment::same ? 2 : who == origin::shutdown ? 6 : 30;
        std::string wrong;
        for (unsigned i = 0; i < rounds && wrong.empty(); ++i) {
            std::unique_ptr<subject> operation = make(when == moment::same || when == moment::after);
            std::optional<peal::pool> own;
            bool single = when == moment::queued && who != origin::other_worker;  // nobody may take the next task of its worker
            if (who == origin::shutdown) own.emplace(peal::pool_options(single ? 1 : 2));
            peal::pool& on = own ? *own : single ? one_ : two_;
            random_ = random_ * 6364136223846793005u + 1442695040888963407u;
            trial each(on, *operation, when, who, random_ >> 20, i % 2 != 0);
            wrong = each.run(outside_);
            if (when == moment::same) ++(each.ended() == trial::end::value ? values : stops);
        }
        if (!becomes([frames] { return peal::detail::live_frames() == frames; })) {
            wrong += std::to_string(peal::detail::live_frames() - frames) + " frames are left; ";
        }
        if (!becomes([descriptors] { return open_descriptors() == descriptors; })) wrong += "descriptors are left; ";
        return wrong;
    }

  private:
    std::uint64_t random_ = 1;
    peal::pool one_{peal::pool_options(1)};
    peal::pool two_{peal::pool_options(2)};
    stopper outside_;
};

}  // namespace support
