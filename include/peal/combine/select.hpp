// SPDX-License-Identifier: MIT
#pragma once

// select: several things at once, and exactly one of them happens. How nothing is lost: detail/claim.hpp.

#include <array>
#include <optional>
#include <variant>

#include <peal/combine/when_any.hpp>
#include <peal/detail/awaitable.hpp>
#include <peal/detail/branches.hpp>
#include <peal/detail/claim.hpp>
#include <peal/detail/leaf_operation.hpp>
#include <peal/task/as_result.hpp>

namespace peal {

namespace detail {

/// What an alternative gives; nothing if it was stopped, because another one was served. So losing costs no exception.
template <awaitable Awaited>
task<std::optional<value_or_nothing<await_result<Awaited>>>> attempt(std::remove_reference_t<Awaited>& awaited) {
    using value = value_or_nothing<await_result<Awaited>>;
    if constexpr (reports_result<std::remove_reference_t<Awaited>>) {
        auto got = co_await as_result(awaited);
        if (!got) {
            if (got.error().is_canceled()) co_return std::nullopt;
            got.error().raise();
        }
        if constexpr (std::is_void_v<await_result<Awaited>>) {
            co_return value();
        } else {
            co_return std::optional<value>(std::in_place, std::move(*got));
        }
    } else if constexpr (std::is_void_v<await_result<Awaited>>) {
        co_await static_cast<Awaited&&>(awaited);
        co_return value();
    } else {
        co_return std::optional<value>(std::in_place, co_await static_cast<Awaited&&>(awaited));
    }
}

template <class... T>
class [[nodiscard("select() does nothing until it is awaited")]] select_operation final
    : branches_operation<fixed_branches<std::optional<T>...>> {
    using base = branches_operation<fixed_branches<std::optional<T>...>>;
    using value = std::variant<T...>;
    static constexpr std::size_t count = sizeof...(T);

  public:
    explicit select_operation(task<std::optional<T>>&&... attempts) : base(std::move(attempts)...) {}

    using base::await_ready;
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        context& parent = awaiting.promise().owner();
        std::size_t i = 0;
        this->branches_.each([this, &parent, &i](auto& each) {
            claims_[i].belong_to(decision_);
            each.prepare(*this, parent);
            each.set_claim(claims_[i++]);
        });
        this->begin(awaiting, parent, count);
        // Each alternative is asked at once whether it is ready; the first that is, is taken. So the beginning takes turns.
        std::size_t first = this_thread.turn++ % count;
        std::uint32_t started = 0;
        for (bool second_part : {false, true}) {
            i = 0;
            this->branches_.each([&](auto& each) {
                if ((i++ < first) != second_part || decision_.is_decided()) return;
                ++started;
                each.start();
            });
        }
        if (started != count) this->skip(static_cast<std::uint32_t>(count) - started);
        return this->all_started();
    }
    first_of<value> await_resume() { return take<0>(decision_.winner()); }

  private:
    std::uint32_t note_end(branch& which) noexcept override {
        std::size_t i = 0;
        std::size_t index = 0;
        this->branches_.each([&](auto& each) {
            if (&each == &which) index = i;
            ++i;
        });
        if (claims_[index].try_take()) this->stop_branches();
        return 1;
    }

    template <std::size_t I>
    first_of<value> take(const claim* winner) {
        if constexpr (I + 1 < count) {
            if (winner != &claims_[I]) return take<I + 1>(winner);
        }
        auto got = this->branches_.template get<I>().take();  // throws what it failed with
        if (!got) throw_canceled("select");                    // stopped from outside
        return first_of<value>(I, value(std::in_place_index<I>, std::move(*got)));
    }

    claim_group decision_;
    std::array<claim, count> claims_;
};

template <awaitable Awaited>
auto as_attempt(Awaited&& awaited) {
    static_assert(!is_task<std::remove_cvref_t<Awaited>> || !std::is_lvalue_reference_v<Awaited>,
                  "a task is awaited once and handed over: write std::move(task)");
    return attempt<Awaited>(awaited);
}

}  // namespace detail

/// Awaits all of `ops` at the same time until one of them has happened, and only that one: of channels, one item is received or sent; what
/// else was ready stays where it is. The others are asked to stop, and awaited to their end.
///
/// Gives a first_of with the index and a std::variant of the values (std::monostate for void), or throws what the one threw:
///     auto next = co_await peal::select(jobs.receive(), commands.receive(), peal::sleep_for(1s));
///     switch (next.index) { case 0: work(*std::get<0>(next.value)); ...
/// If several are ready, each gets its turn; a closed channel is always ready, so leave it out once it has said that it is. To prefer one of them, call
/// its try_receive() first. A task as an alternative may receive or send several times: the first time decides (a select() in it decides for
/// itself only).
///
/// Cancellation: passes it on to all.
/// Lifetime:     tasks too are referred to: await it in the full expression that made it.
/// Allocates:    a frame for each from the free lists of the thread.   Kernel: none.
template <awaitable... Awaited>
    requires(sizeof...(Awaited) != 0)
auto select(Awaited&&... ops) {
    return detail::select_operation<detail::value_or_nothing<await_result<Awaited>>...>(
        detail::as_attempt(std::forward<Awaited>(ops))...);
}

}  // namespace peal
