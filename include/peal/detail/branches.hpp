// SPDX-License-Identifier: MIT
#pragma once

// The branches of one await together, in two shapes: so many tasks of given types, or a range of tasks of one type.

#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/branch.hpp>
#include <peal/error.hpp>

namespace peal {

/// How one of several tasks ended: by a value or by an exception.
template <class T>
class settled {
    using stored = detail::stored_value<T>;

  public:
    explicit settled(std::exception_ptr failure) noexcept : failure_(std::move(failure)) {}
    explicit settled(stored value) : value_(std::move(value)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    /// Null if it ended with a value.
    const std::exception_ptr& failure() const noexcept { return failure_; }
    bool was_canceled() const noexcept { return is_canceled(failure_); }

    /// The value; throws what the task threw. Once, if T is move-only.
    T value() {
        if (failure_) std::rethrow_exception(failure_);
        if constexpr (std::is_reference_v<T>) {
            return static_cast<T>(**value_);
        } else if constexpr (!std::is_void_v<T>) {
            return std::move(*value_);
        }
    }

  private:
    std::optional<stored> value_;
    std::exception_ptr failure_;
};

namespace detail {

template <class T>
value_or_nothing<T> take_value(branch_of<T>& from) {
    if constexpr (std::is_void_v<T>) {
        from.take();
        return {};
    } else {
        return from.take();
    }
}

template <class T>
settled<T> settle(branch_of<T>& from) {
    if (std::exception_ptr failure = from.failure()) return settled<T>(std::move(failure));
    if constexpr (std::is_reference_v<T>) {
        return settled<T>(std::addressof(from.take()));
    } else {
        return settled<T>(take_value(from));
    }
}

template <class... T>
class fixed_branches {
  public:
    using all_values = detail::all_values<T...>;
    using all_settled = std::tuple<settled<T>...>;
    static_assert(sizeof...(T) != 0);

    explicit fixed_branches(task<T>&&... tasks) noexcept : branches_(std::move(tasks)...) {}

    static constexpr std::size_t size() noexcept { return sizeof...(T); }
    template <class Use>
    void each(Use use) {
        std::apply([&use](branch_of<T>&... branches) { (use(branches), ...); }, branches_);
    }
    template <std::size_t I>
    auto& get() noexcept {
        return std::get<I>(branches_);
    }
    all_values take_all() {
        if constexpr (!std::is_void_v<all_values>) {
            return std::apply([](branch_of<T>&... branches) { return all_values{take_value(branches)...}; }, branches_);
        }
    }
    all_settled settle_all() {
        return std::apply([](branch_of<T>&... branches) { return all_settled{settle(branches)...}; }, branches_);
    }

  private:
    std::tuple<branch_of<T>...> branches_;
};

template <class T>
class range_of_branches {
  public:
    using all_values = std::conditional_t<std::is_void_v<T>, void, std::vector<value_or_nothing<T>>>;
    using all_settled = std::vector<settled<T>>;
    static_assert(!std::is_reference_v<T>, "a range of tasks that give references: let them give pointers");

    explicit range_of_branches(std::vector<task<T>>&& tasks)
        : size_(tasks.size()), branches_(tasks.empty() ? nullptr : std::make_unique<branch_of<T>[]>(tasks.size())) {
        for (std::size_t i = 0; i < size_; ++i) branches_[i].set(std::move(tasks[i]));
    }

    std::size_t size() const noexcept { return size_; }
    template <class Use>
    void each(Use use) {
        for (std::size_t i = 0; i < size_; ++i) use(branches_[i]);
    }
    all_values take_all() {
        if constexpr (!std::is_void_v<T>) {
            all_values values;
            values.reserve(size_);
            for (std::size_t i = 0; i < size_; ++i) values.push_back(branches_[i].take());
            return values;
        }
    }
    all_settled settle_all() {
        all_settled ends;
        ends.reserve(size_);
        for (std::size_t i = 0; i < size_; ++i) ends.push_back(settle(branches_[i]));
        return ends;
    }
    branch_of<T>& operator[](std::size_t index) noexcept { return branches_[index]; }

  private:
    std::size_t size_;
    std::unique_ptr<branch_of<T>[]> branches_;
};

template <class Range>
concept range_of_tasks = std::ranges::input_range<Range> && is_task<std::ranges::range_value_t<Range>>;

/// Takes the tasks out of a range that the caller gives away.
template <range_of_tasks Range>
auto take_tasks(Range&& range) {
    static_assert(!std::is_lvalue_reference_v<Range>, "the tasks are handed over: write std::move(tasks)");
    using value = typename std::ranges::range_value_t<Range>::value_type;
    std::vector<task<value>> tasks;
    if constexpr (std::same_as<std::remove_cvref_t<Range>, std::vector<task<value>>>) {
        tasks = std::move(range);
    } else {
        for (auto&& each : range) tasks.push_back(std::move(each));
    }
    return tasks;
}
template <range_of_tasks Range>
using branches_of_range = range_of_branches<typename std::ranges::range_value_t<Range>::value_type>;

/// Await of all branches. `Group` says what the end of one means for the others (note_end) and what is given (await_resume).
template <class Branches>
class branches_operation : public branch_group {
  public:
    bool await_ready() const noexcept { return branches_.size() == 0; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        context& parent = awaiting.promise().owner();
        branches_.each([this, &parent](auto& each) { each.prepare(*this, parent); });
        begin(awaiting, parent, static_cast<std::uint32_t>(branches_.size()));
        branches_.each([](auto& each) { each.start(); });
        return all_started();
    }

  protected:
    template <class... Tasks>
    explicit branches_operation(Tasks&&... tasks) : branches_(std::move(tasks)...) {}
    ~branches_operation() = default;

    void stop_branches() noexcept final {
        branches_.each([](auto& each) { each.request_stop(); });
    }

    Branches branches_;
};

}  // namespace detail
}  // namespace peal
