// SPDX-License-Identifier: MIT

#include <peal/pool/pool.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

#include <peal/detail/this_thread.hpp>

#include "core.hpp"
#include "cpus.hpp"
#include "driver_choice.hpp"
#include "placement.hpp"
#include "topology.hpp"

namespace peal {

namespace {

constexpr unsigned workers_limit = 1024;
constexpr auto shortest_patience = std::chrono::microseconds(200);
constexpr auto longest_patience = std::chrono::hours(1);

/// How many workers, and where.
void place_workers(const pool_options& options, rt::scheduler_settings& settings) {
    bool is_placed = options.placement != placement::anywhere;
    if (is_placed && !options.pin_to_cpus.empty()) {
        throw std::invalid_argument("pool_options: both `placement` and `pin_to_cpus` say where workers run: leave pin_to_cpus empty to "
                                    "have CPUs chosen, or placement at placement::anywhere to choose them yourself");
    }
    std::vector<int> cpus = rt::allowed_cpus();
    // The topology takes a while to read: only if somebody asks for it.
    if (is_placed || (options.workers == 0 && options.one_per == one_per::core)) {
        cpus = rt::in_order(rt::read_topology(cpus), options.one_per, options.placement);
    }
    settings.workers = options.workers != 0 ? options.workers : std::min(workers_limit, rt::within_quota(cpus.size()));
    if (settings.workers > workers_limit) {
        throw std::invalid_argument("pool_options: " + std::to_string(settings.workers) + " workers are more than a pool can have, " +
                                    std::to_string(workers_limit));
    }
    settings.pin_to_cpus = is_placed ? std::move(cpus) : options.pin_to_cpus;
    settings.pin_advice = is_placed ? "chosen by pool_options.placement; with placement::anywhere no worker is pinned"
                                    : "is it one that this process may use?";
}

rt::scheduler_settings settings_of(const pool_options& options, std::function<void()> on_ending) {
    rt::scheduler_settings settings;
    settings.on_ending = std::move(on_ending);
    place_workers(options, settings);
    settings.name = options.name;
    settings.on_worker_start = options.on_worker_start;
    settings.on_worker_stop = options.on_worker_stop;
    settings.unhandled = options.unhandled;
    settings.on_unhandled = options.on_unhandled;
    settings.bounds.all = options.max_pending;
    std::copy(options.max_pending_of.begin(), options.max_pending_of.end(), std::begin(settings.bounds.of));
    settings.when_full = options.when_full;
    settings.has_spare = options.spare_worker.value_or(settings.workers > 1) && options.rescue_after.count() != 0;
    return settings;
}

/// What the options say; of what goes to standard error the environment has the last word.
std::chrono::nanoseconds report_after(const pool_options& options) {
    const char* said = std::getenv("PEAL_STALL_MS");
    if (options.on_stall || said == nullptr || *said == '\0') return options.report_after;
    unsigned ms = 0;
    const std::string_view text = said;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw std::invalid_argument("pool: the environment says PEAL_STALL_MS=" + std::string(text) + "; it must be a number of milliseconds, 0 for no reports");
    }
    return std::chrono::milliseconds(ms);
}

/// Nobody watches: time stands still while a task runs.
pool_options not_rescued(pool_options options) {
    options.rescue_after = std::chrono::nanoseconds(0);
    return options;
}

void check_rescue(const pool_options& options) {
    if (options.rescue_after.count() != 0 && options.rescue_after < shortest_patience) {
        throw std::invalid_argument("pool_options: rescue_after is " + std::to_string(options.rescue_after.count()) +
                                    " ns, but workers look at their rings every 100 us only: 200,000 ns at least, or 0 for never");
    }
    if (options.rescue_after > longest_patience) throw std::invalid_argument("pool_options: rescue_after is more than an hour; 0 is for never");
    if (options.report_after.count() < 0) throw std::invalid_argument("pool_options: report_after is below zero; 0 is for never");
}

}  // namespace

pool::core::core(pool& owner, const pool_options& options)
    : owner(owner),
      drain_timeout(options.drain_timeout),
      stop_timeout(options.stop_timeout),
      blocking(options.name, std::max(1u, options.blocking_threads)),
      scheduler(settings_of(options, [this] {
          if (watchdog) watchdog->end();
      })) {
    scheduler.set_owner(this);
}

void pool::core::watch(const pool_options& options) {
    check_rescue(options);
    if (options.rescue_after.count() == 0) return;
    watchdog = std::make_unique<rt::watchdog>(
        scheduler, rt::watchdog::settings{options.name, options.rescue_after, report_after(options), options.on_stall});
}

pool::core* pool::core::current() noexcept {
    rt::scheduler* scheduler = detail::current_scheduler();
    return scheduler != nullptr ? static_cast<core*>(scheduler->owner()) : nullptr;
}

pool::pool() : pool(pool_options()) {}

pool::pool(pool_options options) : core_(std::make_unique<core>(*this, options)), scheduler_(&core_->scheduler) {
    driver_choice choice = rt::driver_choice_for(options);
    core_->watch(options);
    core_->scheduler.start([this, choice, &options](unsigned) { return rt::make_driver(choice, options, core_->blocking); });
}

pool::pool(simulated_tag, pool_options options)
    : core_(std::make_unique<core>(*this, not_rescued(std::move(options)))), scheduler_(&core_->scheduler) {}

pool::~pool() {
    const rt::end_report& report = scheduler_->shutdown(core_->drain_timeout, core_->stop_timeout);
    if (report.left == 0) {
        core_->blocking.finish();  // before the scheduler goes: the last job may still be telling it that it is done
        return;
    }
    std::fprintf(stderr, "peal: pool destroyed while %llu tasks did not stop; they are abandoned:\n", static_cast<unsigned long long>(report.left));
    for (const std::string& name : report.not_stopped) std::fprintf(stderr, "peal:   %s\n", name.c_str());
    // What is left may still be reached by handles and by the kernel: it stays allocated for ever.
    static_cast<void>(core_.release());
}

std::string stall::to_string() const {
    std::string text = "worker " + std::to_string(worker) + " of pool '" + pool + "' has been kept for " +
                       std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(length).count()) + " ms by ";
    text += task.empty() ? "a task" : "task '" + task + "'";
    if (!spawned_at.empty()) text += " (spawned at " + spawned_at + ")";
    text += " that awaits nothing";
    text += all_workers ? ", and so are all the others" : "; others stand in for it";
    return text + ". Long computations belong into offload() or share their time by yield(), calls that block into peal::blocking()";
}

share pool::make_share(unsigned weight, std::size_t max_pending) {
    if (weight == 0 || weight > rt::shares::weight_limit) {
        throw std::invalid_argument("pool.make_share: the weight is " + std::to_string(weight) + ", it must be 1 to " +
                                    std::to_string(rt::shares::weight_limit) + "; tasks in no share weigh 100 together");
    }
    const rt::share_queue* made = scheduler_->shares().make(scheduler_, weight, max_pending);
    if (max_pending != 0) scheduler_->admission().set_tight();
    if (made == nullptr) {
        throw std::length_error("pool.make_share: this pool has " + std::to_string(rt::shares::limit) +
                                " shares already, which is the limit; they last as long as the pool, so make them once");
    }
    return share(*made);
}

unsigned pool::size() const noexcept { return scheduler_->size(); }

std::optional<int> pool::cpu_of(unsigned index) const noexcept {
    PEAL_ASSERT(index < scheduler_->places(), "cpu_of(): the pool has no worker of this index");
    return scheduler_->cpu_of(index);
}

const char* pool::driver_of(unsigned index) const noexcept {
    PEAL_ASSERT(index < scheduler_->places(), "driver_of(): the pool has no worker of this index");
    return scheduler_->at(index).driver_name();
}

pool_counts pool::counts() const noexcept {
    const rt::task_counts now = scheduler_->counts();
    pool_counts counts;
    counts.accepted = now.accepted;
    counts.completed = now.completed;
    counts.failed = now.failed;
    counts.canceled = now.canceled;
    counts.live = now.live();
    return counts;
}

shutdown_report pool::shutdown(std::chrono::milliseconds drain, std::chrono::milliseconds stop) {
    const rt::end_report& ended = scheduler_->shutdown(drain, stop);
    shutdown_report report;
    report.drained = ended.drained;
    report.canceled = ended.canceled;
    report.not_stopped = ended.not_stopped;
    return report;
}

error pool::full() {
    return error(std::make_error_code(std::errc::resource_unavailable_try_again), "try_spawn: as many tasks wait for their turn as may (pool_options.max_pending)");
}

error pool::stopped() { return error(std::make_error_code(std::errc::operation_canceled), "try_spawn: the pool has stopped accepting tasks"); }

void pool::request_stop() noexcept { scheduler_->request_stop_all(); }

pool* pool::current() noexcept {
    core* here = core::current();
    return here != nullptr ? &here->owner : nullptr;
}

namespace this_worker {

std::optional<unsigned> index() noexcept {
    rt::worker* worker = detail::this_thread.worker;
    if (worker == nullptr) return std::nullopt;
    return worker->index();
}

}  // namespace this_worker
}  // namespace peal
