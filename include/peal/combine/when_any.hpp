// SPDX-License-Identifier: MIT
#pragma once

// when_any, first_success: several things at once, and the result of one.

#include <variant>

#include <peal/detail/atomic.hpp>
#include <peal/detail/awaitable.hpp>
#include <peal/detail/branches.hpp>

namespace peal {

/// Which of several was first, and what it gave. For a range `value` is its value, for given types a std::variant of all.
template <class T>
class first_of {
  public:
    first_of(std::size_t index, T value) : index(index), value(std::move(value)) {}
    std::size_t index;
    T value;
};

namespace detail {

template <class Branches>
struct one_of;
template <class... T>
struct one_of<fixed_branches<T...>> {
    static_assert((!std::is_reference_v<T> && ...), "when_any() of tasks that give references: let them give pointers");
    using type = std::variant<value_or_nothing<T>...>;
};
template <class T>
struct one_of<range_of_branches<T>> {
    using type = value_or_nothing<T>;
};

enum class wins : bool { first_end, first_value };

// first_   branches   [A2] relaxed CAS: one is the first; what is read of it is ordered by [B1]
template <class Branches, wins Rule>
class [[nodiscard("when_any() and first_success() do nothing until awaited")]] any_operation final
    : public branches_operation<Branches> {
    using value = typename one_of<Branches>::type;

  public:
    template <class... Tasks>
    explicit any_operation(Tasks&&... tasks) : branches_operation<Branches>(std::move(tasks)...) {
        PEAL_ASSERT(this->branches_.size() != 0, "when_any() or first_success() of nothing would never end");
    }

    first_of<value> await_resume() {
        branch* first = first_.load(std::memory_order_relaxed);                             // ordered by [B1]
        if (first == nullptr) std::rethrow_exception(first_failed_.load(std::memory_order_relaxed)->failure());
        if (std::exception_ptr failure = first->failure()) std::rethrow_exception(std::move(failure));
        return take<0>(first, 0);
    }

  private:
    std::uint32_t note_end(branch& which) noexcept override {
        branch* none = nullptr;
        if (Rule == wins::first_value && which.failure()) {
            first_failed_.compare_exchange_strong(none, &which, std::memory_order_relaxed);  // [A2]
        } else if (first_.compare_exchange_strong(none, &which, std::memory_order_relaxed)) {  // [A2]
            this->stop_branches();
        }
        return 1;
    }

    template <std::size_t I>
    first_of<value> take(branch* first, std::size_t index) {
        if constexpr (requires { this->branches_[index]; }) {
            while (&this->branches_[index] != first) ++index;
            return first_of<value>(index, take_value(this->branches_[index]));
        } else {
            auto& each = this->branches_.template get<I>();
            if constexpr (I + 1 < Branches::size()) {
                if (&each != first) return take<I + 1>(first, index + 1);
            }
            return first_of<value>(I, value(std::in_place_index<I>, take_value(each)));
        }
    }

    detail::atomic<branch*> first_{nullptr};
    detail::atomic<branch*> first_failed_{nullptr};
};

}  // namespace detail

/// Awaits all of `ops` at the same time until one has ended, by a value or by an exception; the others are asked to stop, and awaited to
/// their end. Gives a first_of, or throws the exception of the first. What another one still gave is dropped: where that would be a loss
/// (an item of a channel), use select().
///
/// Begins them as when_all(). Requires: not an empty range (asserted).
/// Cancellation: passes it on to all.   Lifetime, Allocates: as when_all().
template <awaitable... Awaited>
    requires(sizeof...(Awaited) != 0)
auto when_any(Awaited&&... ops) {
    return detail::any_operation<detail::fixed_branches<await_result<Awaited>...>, detail::wins::first_end>(
        detail::as_task(std::forward<Awaited>(ops))...);
}
template <detail::range_of_tasks Range>
auto when_any(Range&& tasks) {
    return detail::any_operation<detail::branches_of_range<Range>, detail::wins::first_end>(
        detail::take_tasks(std::forward<Range>(tasks)));
}

/// The same until one has given a value. If all fail, throws the exception of the one that failed first.
template <awaitable... Awaited>
    requires(sizeof...(Awaited) != 0)
auto first_success(Awaited&&... ops) {
    return detail::any_operation<detail::fixed_branches<await_result<Awaited>...>, detail::wins::first_value>(
        detail::as_task(std::forward<Awaited>(ops))...);
}
template <detail::range_of_tasks Range>
auto first_success(Range&& tasks) {
    return detail::any_operation<detail::branches_of_range<Range>, detail::wins::first_value>(
        detail::take_tasks(std::forward<Range>(tasks)));
}

}  // namespace peal
