// SPDX-License-Identifier: MIT

#include <peal/task/context.hpp>

#include <peal/detail/leaf_operation.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/error.hpp>

#include "unhandled.hpp"

namespace peal {

namespace detail {

constinit thread_local thread_state this_thread;

void throw_canceled(const char* operation) {
    throw std::system_error(std::make_error_code(std::errc::operation_canceled), operation);
}

}  // namespace detail

namespace {

bool is_cancellation(const std::exception_ptr& failure) noexcept {
    try {
        std::rethrow_exception(failure);
    } catch (const std::system_error& error) {
        return error.code() == std::errc::operation_canceled;
    } catch (...) {
        return false;
    }
}

}  // namespace

bool is_canceled(const std::exception& failure) noexcept {
    auto* error = dynamic_cast<const std::system_error*>(&failure);
    return error != nullptr && error->code() == std::errc::operation_canceled;
}

void context::request_stop() noexcept {
    std::uintptr_t leaf = slot_.exchange(stop_bit, std::memory_order_acq_rel);  // [C1]
    if (leaf == 0 || leaf == stop_bit) return;
    auto& suspended = *reinterpret_cast<detail::cancelable*>(leaf);
    suspended.cancel(suspended);
}

void context::complete() noexcept {
    std::exception_ptr failed = failure();
    outcome_ = !failed                    ? detail::outcome::value
               : is_cancellation(failed) ? detail::outcome::canceled
                                          : detail::outcome::failed;
    failed = nullptr;

    // Payload before list: when the list of a scope is empty, no argument of a child is alive, unless somebody holds its handle.
    if ((refs_.fetch_or(completed_bit, std::memory_order_acq_rel) & handle_bit) == 0) {  // [C3]
        if (is_unobserved_failure()) rt::report_unhandled(failure(), *this, accepted_by_);
        drop_payload();
    }
    detail::task_list* list = list_;
    rt::scheduler* accepted_by = accepted_by_;
    detail::outcome outcome = outcome_;

    auto waiting = join_.exchange(ended, std::memory_order_acq_rel);  // [C2]
    if (waiting != 0) {
        auto& joiner = *reinterpret_cast<detail::waiter*>(waiting);
        joiner.notify(joiner);
    }
    if (list != nullptr) list->remove(*this);
    release();
    if (accepted_by != nullptr) rt::count_ended(*accepted_by, outcome);  // last: from here on the pool may end
}

bool context::wait_for_end(detail::waiter& waiter) noexcept {
    std::uintptr_t expected = 0;
    if (join_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&waiter), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {  // [C2]
        return true;
    }
    PEAL_ASSERT(expected == ended, "two coroutines await the same join_handle");
    return false;
}

bool context::forget(detail::waiter& waiter) noexcept {
    auto expected = reinterpret_cast<std::uintptr_t>(&waiter);
    return join_.compare_exchange_strong(expected, 0, std::memory_order_acq_rel, std::memory_order_acquire);  // [C2]
}

void context::release_handle() noexcept {
    std::uint32_t before = refs_.fetch_and(~handle_bit, std::memory_order_acq_rel);  // [C3]
    if ((before & completed_bit) != 0) {  // complete() saw the handle and left the payload to us
        if (is_unobserved_failure()) rt::report_unhandled_late(failure(), *this, accepted_by_);
        drop_payload();
    }
    release();
}

void context::abandon() noexcept {
    drop_payload();
    delete this;
}

void context::release() noexcept {
    if ((refs_.fetch_sub(1, std::memory_order_acq_rel) & count_mask) == 1) delete this;  // [C3]
}

bool context::is_unobserved_failure() const noexcept { return outcome_ == detail::outcome::failed && !observed_; }

namespace this_task {

bool stop_requested() noexcept {
    return detail::this_thread.current != nullptr && detail::this_thread.current->stop_requested();
}
const char* name() noexcept { return detail::this_thread.current != nullptr ? detail::this_thread.current->name() : ""; }

}  // namespace this_task
}  // namespace peal
