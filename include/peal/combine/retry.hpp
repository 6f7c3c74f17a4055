// SPDX-License-Identifier: MIT
#pragma once

// retry: try something again until it succeeds. map_concurrent: do something for each element, so many at a time.

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/branches.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/error.hpp>
#include <peal/time/sleep.hpp>

namespace peal {

/// How often and when retry() tries again.
class retry_policy {
  public:
    explicit retry_policy(unsigned attempts = 4) noexcept : attempts(attempts) {}

    unsigned attempts;                                   // in all; 0 is taken as 1
    std::chrono::milliseconds first_pause{100};          // before the second attempt
    std::chrono::milliseconds longest_pause{10'000};
    double factor = 2;                                   // each pause by so much longer than the one before
    /// Whether it is worth to try again; by default whatever it was, but for being canceled, which is never.
    std::function<bool(const std::exception_ptr&)> is_worth_it;
};

namespace detail {

/// A pause after attempt `number` (1 is the first): between a half and the whole of the back-off, so that those who failed together do not
/// come again together. ("Equal jitter": M. Brooker, Exponential Backoff And Jitter, 2015.)
PEAL_EXPORT clock::duration pause_after(const retry_policy& policy, unsigned number) noexcept;

}  // namespace detail

/// Calls `attempt()`, a coroutine that gives a task, until its task succeeds; gives its value, or throws the exception of the last attempt.
///
/// A timeout around it limits all attempts together; one inside each alone.
/// Lifetime: `attempt` is kept.   Cancellation: of the attempt or the pause that is underway; then there is no other.
template <class Attempt>
    requires detail::is_task<std::invoke_result_t<Attempt&>>
std::invoke_result_t<Attempt&> retry(retry_policy policy, Attempt attempt) {
    for (unsigned number = 1;; ++number) {
        std::exception_ptr failure;
        try {
            co_return co_await attempt();
        } catch (...) {
            failure = std::current_exception();
        }
        bool is_last = number >= policy.attempts;
        if (is_last || is_canceled(failure) || (policy.is_worth_it && !policy.is_worth_it(failure))) std::rethrow_exception(failure);
        co_await sleep_for(detail::pause_after(policy, number));
    }
}

namespace detail {

template <class Range, class Function>
using mapped_value = typename std::invoke_result_t<Function&, std::ranges::range_reference_t<Range>>::value_type;

/// What the lanes of one map_concurrent share. They may run on several workers: everything but the function is guarded by `lock_`.
template <class Range, class Function>
class mapping {
  public:
    using value = value_or_nothing<mapped_value<Range, Function>>;

    mapping(Range& range, Function& function) : function_(function), next_(std::ranges::begin(range)), end_(std::ranges::end(range)) {}

    /// Takes elements one by one until none is left.
    task<> lane() {
        for (;;) {
            std::size_t index = 0;
            std::ranges::iterator_t<Range> element;
            {
                std::lock_guard guard(lock_);
                if (next_ == end_) co_return;
                element = next_++;
                index = values_.size();
                values_.emplace_back();
            }
            task<mapped_value<Range, Function>> made = std::invoke(function_, *element);
            if constexpr (std::is_void_v<mapped_value<Range, Function>>) {
                co_await std::move(made);
                put(index, value());
            } else {
                put(index, co_await std::move(made));
            }
        }
    }
    std::vector<value> take_all() {
        std::vector<value> all;
        all.reserve(values_.size());
        for (std::optional<value>& each : values_) all.push_back(std::move(*each));
        return all;
    }

  private:
    void put(std::size_t index, value&& result) {
        std::lock_guard guard(lock_);
        values_[index].emplace(std::move(result));
    }

    Function& function_;
    spin_lock lock_;
    std::ranges::iterator_t<Range> next_;
    std::ranges::sentinel_t<Range> end_;
    std::vector<std::optional<value>> values_;
};

}  // namespace detail

/// `co_await map_concurrent(urls, 8, fetch)` calls a coroutine with each element of a range, at most `limit` at a time, and gives a vector of
/// what they gave, in the order of the elements (of std::monostate if they give nothing). The first that fails stops the others, and its
/// exception is thrown when all have ended.
///
/// Lifetime: range and function are kept: copies, or moved in. For a range that stays where it is, give a std::span or a view of it.
/// Requires: limit > 0 (asserted).   Allocates: the results, and frames.
template <std::ranges::forward_range Range, class Function>
    requires detail::is_task<std::invoke_result_t<std::decay_t<Function>&, std::ranges::range_reference_t<Range>>>
task<std::vector<detail::value_or_nothing<detail::mapped_value<Range, std::decay_t<Function>>>>> map_concurrent(Range range, std::size_t limit,
                                                                                                          Function function) {
    PEAL_ASSERT(limit != 0, "map_concurrent() with a limit of 0 would never begin");
    detail::mapping<Range, Function> all(range, function);
    std::vector<task<>> lanes;
    if constexpr (std::ranges::sized_range<Range>) limit = std::min<std::size_t>(limit, std::ranges::size(range));
    for (std::size_t i = 0; i < limit; ++i) lanes.push_back(all.lane());
    auto running = when_all(std::move(lanes));
    co_await running;
    co_return all.take_all();
}

}  // namespace peal
