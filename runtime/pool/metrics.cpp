// SPDX-License-Identifier: MIT

#include <peal/pool/metrics.hpp>

#include <algorithm>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

#include <peal/detail/frame_memory.hpp>
#include <peal/pool/pool.hpp>

#include "core.hpp"

namespace peal {

namespace {

using state = worker_metrics::state;

state state_of(rt::worker& seen, bool needs_spare) {
    if (seen.is_held_up()) return state::held_up;
    if (!seen.is_asleep()) return state::running;
    return seen.is_spare() && !needs_spare ? state::resting : state::parked;
}

worker_metrics of(rt::worker& seen, bool needs_spare) {
    worker_metrics found;
    rt::worker_counters& counted = seen.counters();
    found.index = seen.index();
    found.is_spare = seen.is_spare();
    found.now = state_of(seen, needs_spare);
    found.driver = seen.driver_name();
    found.items_total = seen.timers().item();
    found.busy = std::chrono::nanoseconds(counted.busy_ns.value());
    found.searched = std::chrono::nanoseconds(counted.searched_ns.value());
    found.parked = std::chrono::nanoseconds(counted.parked_ns.value());
    found.parks_total = counted.parks.value();
    found.polls_total = counted.polls.value();
    found.wakes_sent_total = counted.wakes_sent.value();
    found.wakes_received_total = counted.wakes_received.value();
    found.wakes_in_vain_total = counted.wakes_in_vain.value();
    found.steals_tried_total = counted.steals_tried.value();
    found.steals_won_total = counted.steals_won.value();
    found.lifo_hits_total = counted.lifo_hits.value();
    found.overflows_total = counted.overflows.value();
    found.held_up_total = counted.held_up.value();
    found.rounds_for_others_total = counted.rounds_for_others.value();
    found.queued = seen.queued_for_metrics();
    found.timers = seen.timers().size();
    const rt::driver_totals outside = seen.totals();
    found.operations_begun_total = outside.begun;
    found.operations_ended_total = outside.ended;
    found.operations_elsewhere_total = outside.elsewhere;
    found.enters_total = outside.enters;
    found.full_total = outside.full;
    found.buffers_lent = outside.lent;
    found.buffers_refused_total = outside.refused;
    return found;
}

// ---- text ---------------------------------------------------------------------------------------------------------------------------

void append_label(std::string& text, const char* name, std::string_view value) {
    text.append(name).append("=\"");
    for (char each : value) {
        if (each == '\\' || each == '"') {
            text += '\\';
            text += each;
        } else if (each == '\n') {
            text += "\\n";
        } else {
            text += each;
        }
    }
    text += '"';
}

std::string number(std::uint64_t value) { return std::to_string(value); }
std::string seconds(std::chrono::nanoseconds value) {
    // Not by printf: a program's locale may want a comma.
    constexpr std::int64_t second = 1'000'000'000;
    std::string fraction = std::to_string(value.count() % second);
    return std::to_string(value.count() / second) + "." + std::string(9 - fraction.size(), '0') + fraction;
}

/// One family of samples after the other: the format wants all samples of a name together, those of all pools.
class writer {
  public:
    explicit writer(std::span<const pool_metrics> pools) : pools_(pools) {}

    template <class Value>
    void pool_sample(const char* name, const char* type, const char* help, Value value) {
        head(name, type, help);
        for (const pool_metrics& each : pools_) {
            begin(name, each);
            text += "} " + value(each) + '\n';
        }
    }
    template <class Value>
    void worker_sample(const char* name, const char* type, const char* help, Value value) {
        head(name, type, help);
        for (const pool_metrics& each : pools_) {
            for (const worker_metrics& worker : each.workers) {
                begin(name, each, worker);
                text += "} " + value(worker) + '\n';
            }
        }
    }
    template <class Value>
    void process_sample(const char* name, const char* help, Value value) {
        if (pools_.empty()) return;
        head(name, "gauge", help);
        text.append(name).append(" ").append(value(pools_.back())) += '\n';
    }
    /// With bounds of two to the power of ten, twelve ... nanoseconds: 1 us to 17 s.
    void histograms(const char* name, const char* help, histogram pool_metrics::*which) {
        head(name, "histogram", help);
        const std::string of_buckets = std::string(name) + "_bucket";
        for (const pool_metrics& each : pools_) {
            const histogram& seen = each.*which;
            auto bucket = [&](const std::string& bound, std::uint64_t count) {
                begin(of_buckets.c_str(), each);
                text += ',';
                append_label(text, "le", bound);
                text += "} " + number(count) + '\n';
            };
            for (int power = 10; power <= 34; power += 2) {
                const std::chrono::nanoseconds bound(std::int64_t{1} << power);
                bucket(seconds(bound), seen.count_up_to(bound));
            }
            bucket("+Inf", seen.count());
            begin((std::string(name) + "_sum").c_str(), each);
            text += "} " + seconds(seen.sum()) + '\n';
            begin((std::string(name) + "_count").c_str(), each);
            text += "} " + number(seen.count()) + '\n';
        }
    }
    void pending() {
        constexpr const char* name = "peal_tasks_pending";
        head(name, "gauge", "Tasks that have not begun.");
        constexpr const char* words[] = {"high", "normal", "low"};
        for (const pool_metrics& each : pools_) {
            for (std::size_t i = 0; i < each.pending.size(); ++i) {
                begin(name, each);
                text += ',';
                append_label(text, "priority", words[i]);
                text += "} " + number(each.pending[i]) + '\n';
            }
        }
    }
    void states() {
        constexpr const char* name = "peal_worker_state";
        head(name, "gauge", "1 for the state that the worker is in.");
        constexpr std::pair<state, const char*> all[] = {
            {state::running, "running"}, {state::parked, "parked"}, {state::held_up, "held_up"}, {state::resting, "resting"}};
        for (const pool_metrics& each : pools_) {
            for (const worker_metrics& worker : each.workers) {
                for (auto [which, word] : all) {
                    begin(name, each, worker);
                    text += ',';
                    append_label(text, "state", word);
                    text += worker.now == which ? "} 1\n" : "} 0\n";
                }
            }
        }
    }

    std::string text;

  private:
    void head(const char* name, const char* type, const char* help) {
        text.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
    }
    void begin(const char* name, const pool_metrics& pool) {
        text.append(name).append("{");
        append_label(text, "pool", pool.name);
    }
    void begin(const char* name, const pool_metrics& pool, const worker_metrics& worker) {
        begin(name, pool);
        text += ',';
        append_label(text, "worker", std::to_string(worker.index));
    }

    std::span<const pool_metrics> pools_;
};

}  // namespace

pool_metrics pool::metrics() const {
    pool_metrics found;
    rt::scheduler& scheduler = *scheduler_;
    found.name = scheduler.name();
    const bool needs_spare = scheduler.needs_spare();
    scheduler.for_each_worker([&found, needs_spare](rt::worker& each) {
        found.workers.push_back(of(each, needs_spare));
        each.counters().waits.add_to(found.wait_time);
        each.counters().durations.add_to(found.task_time);
        each.counters().runs.add_to(found.run_time);
    });
    found.at_the_door = scheduler.admission().waiting();
    found.refused_total = scheduler.refused();
    found.shed_total = scheduler.shed();
    found.waiting_outside = scheduler.injected().size();
    found.held_up = static_cast<unsigned>(scheduler.held_up());
    for (const rt::blocking_threads* threads : {&core_->blocking.names, &core_->blocking.files, &core_->blocking.calls}) {
        const auto now = threads->now();
        found.blocking_threads += now.threads;
        found.blocking_queued += now.queued;
    }
    const rt::pending_counts pending = scheduler.pending();
    std::copy(std::begin(pending.of), std::end(pending.of), found.pending.begin());
    found.tasks = counts();
    found.frames = detail::live_frames();
    found.frame_bytes = detail::frame_bytes_held();
    return found;
}

std::string prometheus_text(std::span<const pool_metrics> pools) {
    writer out(pools);
    auto pool_sample = [&out](const char* name, const char* type, const char* help, auto value) { out.pool_sample(name, type, help, value); };
    auto worker_sample = [&out](const char* name, const char* type, const char* help, auto value) { out.worker_sample(name, type, help, value); };
    using pm = const pool_metrics&;
    using wm = const worker_metrics&;
    pool_sample("peal_tasks_accepted_total", "counter", "Tasks that were spawned.", [](pm of) { return number(of.tasks.accepted); });
    pool_sample("peal_tasks_completed_total", "counter", "Tasks that ended with a value.", [](pm of) { return number(of.tasks.completed); });
    pool_sample("peal_tasks_failed_total", "counter", "Tasks that ended with an exception.", [](pm of) { return number(of.tasks.failed); });
    pool_sample("peal_tasks_canceled_total", "counter", "Tasks that were canceled.", [](pm of) { return number(of.tasks.canceled); });
    pool_sample("peal_tasks_live", "gauge", "Tasks that have not ended.", [](pm of) { return number(of.tasks.live); });
    out.pending();
    pool_sample("peal_tasks_at_the_door", "gauge", "Threads and tasks that wait for room in the pool, or for all that waits to begin.", [](pm of) { return number(of.at_the_door); });
    pool_sample("peal_tasks_refused_total", "counter", "Tasks that were refused for want of room.", [](pm of) { return number(of.refused_total); });
    pool_sample("peal_tasks_shed_total", "counter", "Tasks that made room for others, and never ran.", [](pm of) { return number(of.shed_total); });
    out.histograms("peal_task_wait_seconds", "From when a task was spawned until it began; one task in 64.", &pool_metrics::wait_time);
    out.histograms("peal_task_seconds", "From when a task began until it ended; one task in 64.", &pool_metrics::task_time);
    out.histograms("peal_item_run_seconds", "How long an item kept its worker; samples.", &pool_metrics::run_time);
    pool_sample("peal_items_waiting_outside", "gauge", "Items that any worker may take, brought from outside or overflowed.",
                [](pm of) { return number(of.waiting_outside); });
    pool_sample("peal_workers_held_up", "gauge", "Workers that have not come back from a task for a while.", [](pm of) { return number(of.held_up); });
    pool_sample("peal_blocking_threads", "gauge", "Threads for calls that block.", [](pm of) { return number(of.blocking_threads); });
    pool_sample("peal_blocking_calls_queued", "gauge", "Calls that wait for such a thread.", [](pm of) { return number(of.blocking_queued); });
    out.process_sample("peal_frames", "Coroutine frames, and what else lies in their memory, of the program.", [](pm of) { return std::to_string(of.frames); });
    out.process_sample("peal_frame_bytes", "Memory that is held for frames, used or not, of the program.", [](pm of) { return std::to_string(of.frame_bytes); });
    out.states();
    worker_sample("peal_worker_items_total", "counter", "Coroutines resumed.", [](wm of) { return number(of.items_total); });
    worker_sample("peal_worker_busy_seconds_total", "counter", "Time that it ran items and looked at the outside.", [](wm of) { return seconds(of.busy); });
    worker_sample("peal_worker_searched_seconds_total", "counter", "Time that it looked on for work before it slept.", [](wm of) { return seconds(of.searched); });
    worker_sample("peal_worker_parked_seconds_total", "counter", "Time asleep, without the sleep that it is in.", [](wm of) { return seconds(of.parked); });
    worker_sample("peal_worker_parks_total", "counter", "Times it fell asleep.", [](wm of) { return number(of.parks_total); });
    worker_sample("peal_worker_polls_total", "counter", "Looks at the outside while running.", [](wm of) { return number(of.polls_total); });
    worker_sample("peal_worker_wakes_sent_total", "counter", "Sleepers woken for work.", [](wm of) { return number(of.wakes_sent_total); });
    worker_sample("peal_worker_wakes_received_total", "counter", "Times woken for work.", [](wm of) { return number(of.wakes_received_total); });
    worker_sample("peal_worker_wakes_in_vain_total", "counter", "Times woken for work that was gone.", [](wm of) { return number(of.wakes_in_vain_total); });
    worker_sample("peal_worker_steals_tried_total", "counter", "Looks into the queues of others.", [](wm of) { return number(of.steals_tried_total); });
    worker_sample("peal_worker_steals_won_total", "counter", "Of these, how many found something.", [](wm of) { return number(of.steals_won_total); });
    worker_sample("peal_worker_lifo_hits_total", "counter", "Items that ran at once where they were woken.", [](wm of) { return number(of.lifo_hits_total); });
    worker_sample("peal_worker_overflows_total", "counter", "Times its queue was full.", [](wm of) { return number(of.overflows_total); });
    worker_sample("peal_worker_held_up_total", "counter", "Times it did not come back from a task for a while.", [](wm of) { return number(of.held_up_total); });
    worker_sample("peal_worker_rounds_for_others_total", "counter", "Times it stood in for one that did not.", [](wm of) { return number(of.rounds_for_others_total); });
    worker_sample("peal_worker_queued", "gauge", "Items in its queues.", [](wm of) { return number(of.queued); });
    worker_sample("peal_worker_timers", "gauge", "Timers that are armed.", [](wm of) { return number(of.timers); });
    worker_sample("peal_worker_operations_begun_total", "counter", "I/O operations begun.", [](wm of) { return number(of.operations_begun_total); });
    worker_sample("peal_worker_operations_ended_total", "counter", "I/O operations ended.", [](wm of) { return number(of.operations_ended_total); });
    worker_sample("peal_worker_operations_elsewhere_total", "counter", "I/O operations given to a blocking thread.",
                  [](wm of) { return number(of.operations_elsewhere_total); });
    worker_sample("peal_worker_enters_total", "counter", "System calls for its ring, or its epoll.", [](wm of) { return number(of.enters_total); });
    worker_sample("peal_worker_completion_queue_full_total", "counter", "Times there were more completions than its queue holds.", [](wm of) { return number(of.full_total); });
    worker_sample("peal_worker_buffers_lent", "gauge", "Buffers that hold what has come.", [](wm of) { return number(of.buffers_lent); });
    worker_sample("peal_worker_buffers_refused_total", "counter", "Times a receiver looked for a buffer and found all of them lent.", [](wm of) { return number(of.buffers_refused_total); });
    return std::move(out.text);
}

std::string prometheus_text(const pool_metrics& metrics) { return prometheus_text(std::span(&metrics, 1)); }

}  // namespace peal
