// SPDX-License-Identifier: MIT

#include "driver.hpp"

#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <new>
#include <utility>

#include "../base/sanitizer.hpp"
#include "arrivals.hpp"
#include "blocking_threads.hpp"
#include "descriptors.hpp"
#include "lease_pool.hpp"
#include "perform.hpp"

namespace peal::rt {

namespace {

bool is_receiving(detail::operation_kind kind) noexcept {
    using enum detail::operation_kind;
    return kind == receive || kind == receive_many || kind == read || kind == read_many ||
           kind == wait_readable;  // between two rounds of a read
}

/// Made and deleted under the lock of the driver: so a stopper may look at it.
class elsewhere_job final : public blocking_job {
  public:
    elsewhere_job(driver& home, detail::operation& operation) noexcept
        : blocking_job(&elsewhere_job::perform), home_(home), operation_(operation) {}

  private:
    static void perform(blocking_job& self) noexcept {
        auto& me = static_cast<elsewhere_job&>(self);
        me.operation_.outcome = perform_now(me.operation_);
        me.home_.completed_elsewhere(me.operation_);  // from here on the job may be gone
    }

    driver& home_;
    detail::operation& operation_;
};

void forget_job(detail::operation& operation) noexcept {
    delete static_cast<elsewhere_job*>(std::exchange(operation.elsewhere, nullptr));
}

}  // namespace

int driver::shutdown_writing(int) noexcept {
    errno = EOPNOTSUPP;
    return -1;
}

bool driver::poll_for_owner(detail::work_list&, std::size_t) noexcept { return false; }

void driver::take_messages(detail::work_list& ready) noexcept {
    for (detail::work_item* done = elsewhere_done_.take_all(); done != nullptr;) {
        auto& operation = static_cast<detail::operation&>(*done);
        done = done->next;
        forget_job(operation);
        completed(operation, operation.outcome, ready);
    }
    for (detail::operation* canceled = cancels_.take_all(); canceled != nullptr;) {
        detail::operation& operation = *canceled;
        canceled = canceled->next_cancel;
        operation.cancel_requested = true;
        if (operation.kind == detail::operation_kind::receive_leases) static_cast<arrivals&>(operation).request_taken();
        if (operation.finished) {
            // finish() saw that this request was on its way; or the answer to another one is, and finish() comes with that.
            if (operation.outstanding == 0) let_go(operation, ready);
        } else if (operation.in_kernel) {
            cancel_in_flight(operation);
        } else if (operation.elsewhere != nullptr && elsewhere_.files.remove(*static_cast<elsewhere_job*>(operation.elsewhere))) {
            forget_job(operation);  // it waited for a thread
            completed(operation, -ECANCELED, ready);
        }
        // else: a thread performs it, or it is not handed over yet; the hand-over sees cancel_requested
    }
}

void driver::completed(detail::operation& operation, std::int32_t outcome, detail::work_list& ready) noexcept {
    tsan_acquire(&operation);
    operation.in_kernel = false;
    --operation.outstanding;
    if (outcome == -EINTR && operation.kind != detail::operation_kind::close) {
        if (!operation.cancel_requested) {
            resubmit(operation);  // by a signal to whatever thread did it: says nothing about the operation
            return;
        }
        outcome = -ECANCELED;  // a kernel thread that waited for a terminal or the like
    }
    if (outcome == -ECANCELED && !operation.cancel_requested && can_perform(operation.kind)) {
        // Nobody asked for it: the kernel could not make the thread that this operation needs. Do it another way.
        perform_elsewhere(operation);
        return;
    }
    operation.outcome = outcome;
    const bool goes_on = operation.kind == detail::operation_kind::receive_leases
                             ? outcome > 0 && static_cast<arrivals&>(operation).arrived(ready)
                             : operation.step != nullptr && operation.step(operation);
    if (goes_on) {
        if (!operation.cancel_requested) {
            resubmit(operation);
            return;
        }
        operation.outcome = -ECANCELED;
    }
    if (operation.outcome == -ECANCELED && operation.transferred != 0 && is_receiving(operation.kind)) {
        operation.outcome = 0;  // what earlier rounds received is the result
    }
    operation.finished = true;
    if (operation.outstanding == 0) finish(operation, ready);
}

void driver::cancel_answered(detail::operation& operation, detail::work_list& ready) noexcept {
    tsan_acquire(&operation);
    --operation.outstanding;
    if (operation.finished && operation.outstanding == 0) finish(operation, ready);
}

void driver::finish(detail::operation& operation, detail::work_list& ready) noexcept {
    if (operation.kind != detail::operation_kind::receive_leases) end_use_under_lock(operation.fd);
    let_go(operation, ready);
}

void driver::end_use_under_lock(int fd) noexcept {
    switch (end_use(fd)) {
        case left_to_close::nothing: break;
        case left_to_close::socket: ::close(fd); break;
        case left_to_close::file: close_under_lock(fd); break;
    }
}

void driver::let_go(detail::operation& operation, detail::work_list& ready) noexcept {
    if (operation.kind == detail::operation_kind::receive_leases) return come_to_rest(static_cast<arrivals&>(operation), ready);
    // With cancel_requested the slot was emptied by the stopper, and its request has been taken: nobody else knows the operation.
    if (operation.cancel_requested || operation.owner->disarm(operation)) make_ready(operation, ready);
    // else: a stopper has it; take_messages() goes on when the request arrives
}

// ---- those that go on -----------------------------------------------------------------------------------------------------------

void driver::run(arrivals& operation) noexcept {
    link(operation);
    submit(operation);
}

void driver::end_arrivals() noexcept {
    for (;;) {
        arrivals* asked = nullptr;
        {
            std::lock_guard guard(running_lock_);
            for (asked = running_; asked != nullptr && !asked->must_end(); asked = asked->following_) {
            }
        }
        if (asked == nullptr) return;
        request_cancel(*asked);  // until it is taken, this stays
    }
}

void driver::come_to_rest(arrivals& operation, detail::work_list& ready) noexcept {
    const int fd = operation.fd;
    unlink(operation);  // before it may be gone, or run elsewhere
    switch (operation.over(ready)) {
        case arrivals::after::request_comes:
            link(operation);
            break;
        case arrivals::after::again:
            link(operation);
            resubmit(operation);
            break;
        case arrivals::after::at_rest:
            end_use_under_lock(fd);
            count_ended();
            break;
    }
}

void driver::link(arrivals& operation) noexcept {
    std::lock_guard guard(running_lock_);
    operation.previous_ = nullptr;
    operation.following_ = running_;
    if (running_ != nullptr) running_->previous_ = &operation;
    running_ = &operation;
}

void driver::unlink(arrivals& operation) noexcept {
    std::lock_guard guard(running_lock_);
    (operation.previous_ == nullptr ? running_ : operation.previous_->following_) = operation.following_;
    if (operation.following_ != nullptr) operation.following_->previous_ = operation.previous_;
}

driver_totals driver::totals() const noexcept {
    driver_totals now;
    // What came back first: it was lent before.
    lease_pool* lending = lends_from_.load(std::memory_order_acquire);  // [P3]
    const std::uint64_t returned = lending != nullptr ? lending->returned() : 0;
    now.lent = lent_.value() - returned;
    now.begun = begun_.value();
    now.ended = ended_.load(std::memory_order_relaxed);
    now.elsewhere = performed_elsewhere_.value();
    now.enters = enters_.value();
    now.refused = refused_.value();
    now.full = full_.value();
    return now;
}

void driver::perform_elsewhere(detail::operation& operation) noexcept {
    performed_elsewhere_.add();
    ++operation.outstanding;
    auto* made = new (std::nothrow) elsewhere_job(*this, operation);
    operation.elsewhere = made;
    if (made == nullptr) {
        operation.outcome = -ENOMEM;
        completed_elsewhere(operation);
        return;
    }
    elsewhere_.files.run(*made);
}

}  // namespace peal::rt
