// SPDX-License-Identifier: MIT
#pragma once

// What a generator has yielded, or how it ended. The value lies in the promise and not in the expression with the co_yield: g++ 12
// destroys some temporaries of such expressions twice.

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace peal::detail {

template <class T>
class yielded {
    static_assert(!std::is_void_v<T>, "a generator yields values: generator<void> has none; for steps without a value use a task");
    static_assert(!std::is_rvalue_reference_v<T>, "a generator of T&&: write generator<T>, whose values may be moved out");

  public:
    static constexpr bool by_reference = std::is_lvalue_reference_v<T>;

    template <class U>
    void set(U&& value) {
        static_assert(!by_reference || (std::is_lvalue_reference_v<U> &&
                                        std::convertible_to<std::remove_reference_t<U>*, std::remove_reference_t<T>*>),
                      "a generator of references cannot co_yield a temporary, or what is converted into one: let it yield values");
        if constexpr (by_reference) {
            value_ = std::addressof(value);
        } else {
            value_.emplace(std::forward<U>(value));
        }
    }
    std::remove_reference_t<T>& get() noexcept { return *value_; }
    /// The value leaves. If its move constructor throws, it is still there, and the next one comes all the same.
    std::optional<T> take()
        requires(!by_reference)
    {
        std::optional<T> taken(std::move(*value_));
        value_.reset();
        return taken;
    }

    void fail() noexcept { failure_ = std::current_exception(); }
    /// Once: after that it has ended.
    void rethrow_failure() {
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

  private:
    std::conditional_t<by_reference, std::remove_reference_t<T>*, std::optional<T>> value_{};
    std::exception_ptr failure_;
};

}  // namespace peal::detail
