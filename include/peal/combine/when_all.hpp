// SPDX-License-Identifier: MIT
#pragma once

// when_all, when_all_settled: several things at once, and the results of all.

#include <peal/detail/atomic.hpp>
#include <peal/detail/awaitable.hpp>
#include <peal/detail/branches.hpp>

namespace peal {

namespace detail {

// first_failed_   branches   [A1] relaxed CAS: one of the failed ones is the first; what is read of it is ordered by [B1]
template <class Branches>
class [[nodiscard("when_all() does nothing until it is awaited")]] all_operation final : public branches_operation<Branches> {
  public:
    template <class... Tasks>
    explicit all_operation(Tasks&&... tasks) : branches_operation<Branches>(std::move(tasks)...) {}

    typename Branches::all_values await_resume() {
        if (branch* failed = first_failed_.load(std::memory_order_relaxed)) {  // ordered by [B1]
            std::rethrow_exception(failed->failure());
        }
        return this->branches_.take_all();
    }

  private:
    std::uint32_t note_end(branch& which) noexcept override {
        if (which.failure()) {
            branch* none = nullptr;
            if (first_failed_.compare_exchange_strong(none, &which, std::memory_order_relaxed)) this->stop_branches();  // [A1]
        }
        return 1;
    }

    detail::atomic<branch*> first_failed_{nullptr};
};

template <class Branches>
class [[nodiscard("when_all_settled() does nothing until it is awaited")]] settled_operation final
    : public branches_operation<Branches> {
  public:
    template <class... Tasks>
    explicit settled_operation(Tasks&&... tasks) : branches_operation<Branches>(std::move(tasks)...) {}

    typename Branches::all_settled await_resume() { return this->branches_.settle_all(); }

  private:
    std::uint32_t note_end(branch&) noexcept override { return 1; }
};

}  // namespace detail

/// Awaits all of `ops` at the same time; gives a tuple of what they give (std::monostate for void), or nothing if all give nothing.
///
/// They are begun one after the other on the calling worker, each until it first suspends: for computations that shall run on other
/// workers, spawn them. The first that fails stops the others; when all have ended, its exception is thrown.
///
/// Cancellation: passes it on to all.
/// Lifetime:     tasks are taken over. Anything else is referred to: await it in the full expression that made it.
/// Allocates:    nothing for tasks; a frame each from the free lists of the thread for other awaitables.   Kernel: none.
template <awaitable... Awaited>
    requires(sizeof...(Awaited) != 0)
auto when_all(Awaited&&... ops) {
    using branches = detail::fixed_branches<await_result<Awaited>...>;
    return detail::all_operation<branches>(detail::as_task(std::forward<Awaited>(ops))...);
}
/// The same for a range of tasks; gives a vector, or nothing for tasks that give nothing. Allocates the vector, and one block for the tasks.
template <detail::range_of_tasks Range>
auto when_all(Range&& tasks) {
    return detail::all_operation<detail::branches_of_range<Range>>(detail::take_tasks(std::forward<Range>(tasks)));
}

/// The same, but a failure stops nobody: gives a tuple, or a vector, of peal::settled.
template <awaitable... Awaited>
    requires(sizeof...(Awaited) != 0)
auto when_all_settled(Awaited&&... ops) {
    using branches = detail::fixed_branches<await_result<Awaited>...>;
    return detail::settled_operation<branches>(detail::as_task(std::forward<Awaited>(ops))...);
}
template <detail::range_of_tasks Range>
auto when_all_settled(Range&& tasks) {
    return detail::settled_operation<detail::branches_of_range<Range>>(detail::take_tasks(std::forward<Range>(tasks)));
}

}  // namespace peal
