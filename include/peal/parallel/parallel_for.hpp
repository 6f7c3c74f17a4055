// SPDX-License-Identifier: MIT
#pragma once

// parallel_for: the same for every element of a range, on as many workers as are free.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <ranges>
#include <type_traits>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/detail/awaitable.hpp>
#include <peal/detail/leaf_operation.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/parallel/fork_join.hpp>
#include <peal/parallel/join.hpp>

namespace peal {

namespace detail {

template <class Range>
concept dividable = std::ranges::random_access_range<Range> && std::ranges::sized_range<Range>;

template <class Function, class Range>
using call_result = std::invoke_result_t<Function&, std::ranges::range_reference_t<Range>>;

// ended_   whoever fails   relaxed: a hint to the others that there is no point in going on
template <class Iterator, class Function>
class parallel_loop {
    using difference = std::iter_difference_t<Iterator>;

  public:
    parallel_loop(Iterator first, std::size_t grain, Function& function) noexcept : first_(first), grain_(grain), function_(function) {}

    void divide(std::size_t begin, std::size_t end) {
        if (end - begin <= grain_) return run(begin, end);
        std::size_t middle = begin + (end - begin) / 2;
        join([=, this] { divide(begin, middle); }, [=, this] { divide(middle, end); });
    }

  private:
    void run(std::size_t begin, std::size_t end) {
        std::size_t step = std::max<std::size_t>(1, (end - begin) / 16);
        while (begin != end) {
            if (ended_.load(std::memory_order_relaxed)) return;
            if (this_task::stop_requested()) throw_canceled("parallel_for");
            std::size_t stop = begin + std::min(step, end - begin);
            try {
                for (; begin != stop; ++begin) std::invoke(function_, first_[static_cast<difference>(begin)]);
            } catch (...) {
                ended_.store(true, std::memory_order_relaxed);
                throw;
            }
            if (end - begin > step && this_thread.forks != nullptr && this_thread.forks->is_drained()) {
                std::size_t middle = begin + (end - begin) / 2;
                return join([=, this] { run(begin, middle); }, [=, this] { run(middle, end); });
            }
        }
    }

    Iterator first_;
    const std::size_t grain_;
    Function& function_;
    atomic<bool> ended_{false};
};

template <class Iterator, class Function>
task<> parallel_loop_of_tasks(Iterator first, std::size_t size, std::size_t grain, Function& function) {
    if (size > grain) {
        std::size_t half = size / 2;
        auto middle = first + static_cast<std::iter_difference_t<Iterator>>(half);
        co_await fork_join(parallel_loop_of_tasks(first, half, grain, function),
                           parallel_loop_of_tasks(middle, size - half, grain, function));
        co_return;
    }
    for (; size != 0; --size, ++first) {
        if (this_task::stop_requested()) throw_canceled("parallel_for");  // what never waits does not notice by itself
        co_await std::invoke(function, *first);
    }
}

}  // namespace detail

/// Calls `function` with every element; the elements in any order, on any workers of the calling one's pool. Returns when all is done.
///
///     peal::parallel_for(std::views::iota(0, rows), [&](int row) { draw(row); });
///
/// `grain`: elements that are handled in one go, at least 1; say nothing, and it is found. Smaller parts are made while others have nothing
/// to do.
///
/// Errors:       of those that were thrown, one; elements that have not begun when something was thrown may be left out.
/// Cancellation: ends with operation_canceled between two elements.
/// Otherwise as join(), by which it divides.
template <detail::dividable Range, class Function>
    requires(std::invocable<Function&, std::ranges::range_reference_t<Range>> && !detail::is_task<detail::call_result<Function, Range>>)
void parallel_for(Range&& range, std::size_t grain, Function&& function) {
    std::size_t size = std::ranges::size(range);
    if (size == 0) return;
    detail::parallel_loop loop(std::ranges::begin(range), std::max<std::size_t>(1, grain), function);
    loop.divide(0, size);
}
template <detail::dividable Range, class Function>
    requires(std::invocable<Function&, std::ranges::range_reference_t<Range>> && !detail::is_task<detail::call_result<Function, Range>>)
void parallel_for(Range&& range, Function&& function) {
    peal::parallel_for(range, detail::automatic_grain(std::ranges::size(range)), function);
}

/// The same for a `function` that gives a task: those are awaited. To be awaited in the full expression that makes it: it refers to what it
/// is given.
///
///     co_await peal::parallel_for(names, [&](const std::string& name) { return check(name); });
template <detail::dividable Range, class Function>
    requires detail::is_task<detail::call_result<Function, Range>>
task<> parallel_for(Range&& range, std::size_t grain, Function&& function) {
    return detail::parallel_loop_of_tasks(std::ranges::begin(range), std::ranges::size(range), std::max<std::size_t>(1, grain), function);
}
template <detail::dividable Range, class Function>
    requires detail::is_task<detail::call_result<Function, Range>>
task<> parallel_for(Range&& range, Function&& function) {
    return peal::parallel_for(range, detail::automatic_grain(std::ranges::size(range)), function);
}

}  // namespace peal
