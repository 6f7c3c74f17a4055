// SPDX-License-Identifier: MIT

#include <peal/task/context.hpp>

#include <peal/detail/leaf_operation.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/error.hpp>

#include <algorithm>
#include <mutex>

#include "unhandled.hpp"

namespace peal {

namespace detail {

constinit thread_local thread_state this_thread;

void throw_canceled(const char* operation) {
    throw std::system_error(std::make_error_code(std::errc::operation_canceled), operation);
}

}  // namespace detail

bool is_canceled(const std::exception& failure) noexcept {
    auto* error = dynamic_cast<const std::system_error*>(&failure);
    return error != nullptr && error->code() == std::errc::operation_canceled;
}

bool is_canceled(const std::exception_ptr& failure) noexcept {
    try {
        if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        return is_canceled(error);
    } catch (...) {
    }
    return false;
}

void context::request_stop() noexcept {
    std::uintptr_t leaf = slot_.exchange(stop_bit, std::memory_order_acq_rel);  // [C1]
    if (leaf == stop_bit) return;
    stop_apart(nullptr);
    if (leaf == 0) return;
    // From here on this may be gone.
    auto& suspended = *reinterpret_cast<detail::cancelable*>(leaf);
    suspended.cancel(suspended);
}

bool context::stop_leaf() noexcept {
    std::uintptr_t leaf = slot_.load(std::memory_order_relaxed);  // a hint: the CAS decides
    do {
        if (leaf == 0 || leaf == stop_bit) return false;
    } while (!slot_.compare_exchange_weak(leaf, 0, std::memory_order_acq_rel, std::memory_order_relaxed));  // [C1]
    auto& suspended = *reinterpret_cast<detail::cancelable*>(leaf);
    suspended.cancel(suspended);
    return true;
}

void context::add_apart(detail::fork_branch& child) noexcept {
    bool stopped;
    {
        std::lock_guard guard(apart_lock_);
        child.next_apart_ = apart_;
        if (apart_ != nullptr) apart_->previous_apart_ = &child;
        apart_ = &child;
        stopped = stop_requested();
    }
    if (stopped) child.request_stop();
}

void context::remove_apart(detail::fork_branch& child) noexcept {
    std::lock_guard guard(apart_lock_);
    (child.previous_apart_ == nullptr ? apart_ : child.previous_apart_->next_apart_) = child.next_apart_;
    if (child.next_apart_ != nullptr) child.next_apart_->previous_apart_ = child.previous_apart_;
}

// No cancel function is called under the lock: it may run code of the program, and enter the kernel. What a leaf that was taken belongs to
// stays until its function was called ([C1]), and so does everything around it; so this looks again after each of them.
void context::stop_apart(const detail::fork_group* group) noexcept {
    while (detail::cancelable* leaf = take_leaf_apart(group)) leaf->cancel(*leaf);
}

detail::cancelable* context::take_leaf_apart(const detail::fork_group* group) noexcept {
    std::lock_guard guard(apart_lock_);
    for (detail::fork_branch* child = apart_; child != nullptr; child = child->next_apart_) {
        if (group != nullptr && &child->group_ != group) continue;
        if (detail::cancelable* leaf = child->take_leaf_to_stop()) return leaf;
    }
    return nullptr;
}

detail::cancelable* context::take_leaf_to_stop() noexcept {
    if (!stop_requested()) {
        std::uintptr_t leaf = slot_.exchange(stop_bit, std::memory_order_acq_rel);  // [C1]
        if (leaf > stop_bit) return reinterpret_cast<detail::cancelable*>(leaf);
    }
    return take_leaf_apart(nullptr);
}

context::time_point context::deadline() const noexcept {
    if (!scope_counts_) return deadline_;
    const detail::task_list* siblings = task_->list();
    if (siblings == nullptr || siblings->owner() == nullptr) return deadline_;
    return std::min(deadline_, siblings->owner()->deadline());
}

namespace detail {

std::coroutine_handle<> go_on_with(work_item& item) noexcept {
    if (current_scheduler() != item.owner->scheduler()) {
        enqueue_woken(item);
        return nullptr;
    }
    this_thread.current = item.owner;
    return item.handle;
}

peal::priority priority_when_spawned(const spawn_options& options) noexcept {
    const context* spawner = this_thread.current;
    return options.priority().value_or(spawner != nullptr ? spawner->priority() : peal::priority::normal);
}

peal::share share_when_spawned(const spawn_options& options) noexcept {
    const context* spawner = this_thread.current;
    return options.says_share() || spawner == nullptr ? options.share() : spawner->share();
}

void spawned_context::take_over_from_spawner(const spawn_options& options) noexcept {
    set_priority(priority_when_spawned(options));
    peal::share group = share_when_spawned(options);
    // One of another pool may end before this task: then it is in none.
    if (!group || group.state()->pool != scheduler()) return;
    share_ = group;
    set_shared();
}

std::coroutine_handle<> spawned_context::ended() noexcept {
    std::exception_ptr failed = failure();
    outcome_ = !failed                    ? outcome::value
               : is_canceled(failed) ? outcome::canceled
                                          : outcome::failed;
    failed = nullptr;

    // A scope takes the failure unless somebody awaits it just now. Whether a handle is still held is no mark: spawn() has just made one.
    if (outcome_ == outcome::failed && list_ != nullptr && join_.load(std::memory_order_acquire) == 0) {  // [C2]
        observed_ = list_->take_failure(failure(), *this);
    }

    // Payload before list: when the list of a scope is empty, no argument of a child is alive, unless somebody holds its handle.
    // Once the handle is gone, nobody joins any more and nobody else looks at the payload.
    bool has_handle = (refs_.load(std::memory_order_acquire) & handle_bit) != 0 &&                           // [C3]
                      (refs_.fetch_or(completed_bit, std::memory_order_acq_rel) & handle_bit) != 0;  // [C3]
    if (!has_handle) {
        if (is_unobserved_failure()) rt::report_unhandled(failure(), *this, accepted_by_);
        drop_payload();
    }
    task_list* list = list_;
    rt::scheduler* accepted_by = accepted_by_;
    detail::outcome outcome = outcome_;
    const time_mark timed_since = this->timed_since();

    if (has_handle) {
        auto waiting = join_.exchange(join_ended, std::memory_order_acq_rel);  // [C2]
        if (waiting != 0) {
            auto& joiner = *reinterpret_cast<waiter*>(waiting);
            joiner.notify(joiner);
        }
    }
    if (list != nullptr) list->remove(*this);
    release();
    if (accepted_by != nullptr) rt::count_ended(*accepted_by, outcome, timed_since);  // last: from here on the pool may end
    return nullptr;
}

std::coroutine_handle<> spawned_context::end_unbegun() noexcept {
    try {
        throw_canceled("a task that had not begun");
    } catch (...) {
        fail();
    }
    set_timed_since({});  // it took no time
    return ended();
}

bool spawned_context::wait_for_end(waiter& waiter) noexcept {
    std::uintptr_t expected = 0;
    if (join_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&waiter), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {  // [C2]
        return true;
    }
    PEAL_ASSERT(expected == join_ended, "two coroutines await the same join_handle");
    return false;
}

bool spawned_context::forget(waiter& waiter) noexcept {
    auto expected = reinterpret_cast<std::uintptr_t>(&waiter);
    return join_.compare_exchange_strong(expected, 0, std::memory_order_acq_rel, std::memory_order_acquire);  // [C2]
}

void spawned_context::release_handle() noexcept {
    std::uint32_t before = refs_.load(std::memory_order_acquire);  // [C3]
    while ((before & completed_bit) == 0) {
        // The task has its own reference: this is not the last.
        if (refs_.compare_exchange_weak(before, before - handle_bit - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {  // [C3]
            return;
        }
    }
    // ended() saw the handle and left the payload to us.
    if (is_unobserved_failure()) rt::report_unhandled_late(failure(), *this, accepted_by_);
    drop_payload();
    release();
}

void spawned_context::abandon() noexcept {
    drop_payload();
    delete this;
}

void spawned_context::release() noexcept {
    // Nobody can come who has no reference: what looks like the last one is it.
    if ((refs_.load(std::memory_order_acquire) & count_mask) == 1 ||                   // [C3]
        (refs_.fetch_sub(1, std::memory_order_acq_rel) & count_mask) == 1) {  // [C3]
        delete this;
    }
}

bool spawned_context::is_unobserved_failure() const noexcept { return outcome_ == outcome::failed && !observed_; }

}  // namespace detail

namespace this_task {

bool stop_requested() noexcept {
    return detail::this_thread.current != nullptr && detail::this_thread.current->stop_requested();
}
const char* name() noexcept { return detail::this_thread.current != nullptr ? detail::this_thread.current->name() : ""; }
context::time_point deadline() noexcept {
    return detail::this_thread.current != nullptr ? detail::this_thread.current->deadline() : context::no_deadline;
}

}  // namespace this_task
}  // namespace peal
