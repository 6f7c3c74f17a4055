// SPDX-License-Identifier: MIT
#pragma once

// spawn: start a function or a task that runs beside its creator, and join_handle, its other end.
//
// A spawned task is one object in frame memory (context, function, arguments) and the frame of its outermost coroutine. The
// function is called at once, in the spawning thread; being a coroutine it only makes its frame. The body runs on a worker.

#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/leaf_operation.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/task/task.hpp>

namespace peal {

namespace detail {

template <class T>
struct task_value {
    using type = T;
};
template <class T>
struct task_value<task<T>> {
    using type = T;
};

/// An lvalue that can be neither copied nor moved: a pool, a scope, a mutex. It is meant to stay where it is.
template <class Argument>
inline constexpr bool stays = std::is_lvalue_reference_v<Argument> &&
                              !std::is_move_constructible_v<std::remove_cvref_t<Argument>> &&
                              !std::is_array_v<std::remove_cvref_t<Argument>>;

/// How an argument lies in the task: copied or moved; by reference if it stays.
template <class Argument>
using kept_argument = std::conditional_t<stays<Argument>, Argument, std::decay_t<Argument>>;

/// False for an lvalue that can only be moved (a stream, a listener): the program must say whether it is given away or lent.
template <class... Arguments>
inline constexpr bool can_be_kept = (std::is_constructible_v<kept_argument<Arguments>, Arguments&&> && ...);

template <class Function, class... Arguments>
concept spawnable = std::invocable<std::decay_t<Function>, kept_argument<Arguments>...>;

/// The value type of the task that `fn(args...)` starts.
template <class Function, class... Arguments>
using spawned_value =
    typename task_value<std::invoke_result_t<std::decay_t<Function>, kept_argument<Arguments>...>>::type;

/// Makes a task of a plain call.
template <class Function, class... Arguments>
task<std::invoke_result_t<Function, Arguments...>> call(Function& function, std::tuple<Arguments...>& arguments) {
    co_return std::apply(
        [&function](Arguments&... unpacked) -> decltype(auto) {
            return std::invoke(std::move(function), static_cast<Arguments&&>(unpacked)...);
        },
        arguments);
}

/// A spawned task that gives a T.
template <class T>
class spawned : public spawned_context {
  public:
    T take() {
        set_observed();
        return coroutine_.promise().take();
    }
    std::exception_ptr failure() const noexcept override {
        return coroutine_ ? coroutine_.promise().failure() : nullptr;
    }

  protected:
    using spawned_context::spawned_context;

    void begin_with(task<T> outermost) noexcept {
        coroutine_ = outermost.release();
        PEAL_ASSERT(coroutine_, "an empty task was spawned: it was moved from or awaited before");
        coroutine_.promise().set_owner(*this);
        handle = coroutine_;
    }
    void drop_payload() noexcept override {
        if (coroutine_) std::exchange(coroutine_, nullptr).destroy();
    }
    void fail() noexcept override { coroutine_.promise().unhandled_exception(); }

  private:
    std::coroutine_handle<typename task<T>::promise_type> coroutine_;
};

template <class T, class Function, class... Arguments>
class spawned_call final : public spawned<T> {
  public:
    template <class F, class... A>
    spawned_call(const spawn_options& options, rt::scheduler* scheduler, F&& function, A&&... arguments)
        : spawned<T>(options, scheduler), kept_(std::in_place, std::forward<F>(function), std::forward<A>(arguments)...) {
        if constexpr (is_task<std::invoke_result_t<Function, Arguments...>>) {
            this->begin_with(std::apply(
                [this](Arguments&... unpacked) {
                    return std::invoke(std::move(kept_->function), static_cast<Arguments&&>(unpacked)...);
                },
                kept_->arguments));
        } else {
            this->begin_with(call<Function, Arguments...>(kept_->function, kept_->arguments));
        }
    }

  private:
    struct kept {
        template <class F, class... A>
        explicit kept(F&& f, A&&... a) : function(std::forward<F>(f)), arguments(std::forward<A>(a)...) {}
        Function function;
        std::tuple<Arguments...> arguments;
    };

    void drop_payload() noexcept override {
        spawned<T>::drop_payload();
        kept_.reset();
    }

    std::optional<kept> kept_;
};

template <class T>
class spawned_task final : public spawned<T> {
  public:
    spawned_task(const spawn_options& options, rt::scheduler* scheduler, task<T> outermost)
        : spawned<T>(options, scheduler) {
        this->begin_with(std::move(outermost));
    }
};

template <class Function, class... Arguments>
auto make_spawned(const spawn_options& options, rt::scheduler* scheduler, Function&& function, Arguments&&... arguments) {
    static_assert(!is_task<std::remove_cvref_t<Function>>,
                  "spawn(task): a task is handed over, write spawn(std::move(task))");
    static_assert(can_be_kept<Function, Arguments...>,
                  "spawn(fn, args...): an argument can only be moved: write std::move(x) to give it to the task, or std::ref(x) to "
                  "lend it; then x must outlive the task.");
    static_assert(!can_be_kept<Function, Arguments...> || spawnable<Function, Arguments...>,
                  "spawn(fn, args...): fn cannot be called with copies of the arguments as rvalues. For a parameter that is "
                  "a non-const reference pass std::ref(object); the object must outlive the task.");
    using value = spawned_value<Function, Arguments...>;
    return static_cast<spawned<value>*>(new spawned_call<value, std::decay_t<Function>, kept_argument<Arguments>...>(
        options, scheduler, std::forward<Function>(function), std::forward<Arguments>(arguments)...));
}

template <class T>
spawned<T>* make_spawned(const spawn_options& options, rt::scheduler* scheduler, task<T>&& outermost) {
    return new spawned_task<T>(options, scheduler, std::move(outermost));
}

}  // namespace detail

/// The other end of a spawned task: await its value, ask it to stop, or let it go.
///
/// Dropping the handle means detach(): the task goes on, it belongs to its scope or pool, and an exception that nobody takes
/// reaches the pool's handler. A task that has ended keeps its result until its handle is gone.
///
/// Threads:      one at a time.
/// Cancellation: a canceled await leaves the task alone; it can be awaited again.
/// Lifetime:     may outlive the task, the scope and the pool.
template <class T = void>
class join_handle {
  public:
    using value_type = T;

    explicit join_handle(detail::spawned<T>* task) noexcept : task_(task) {}
    join_handle(join_handle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
    join_handle& operator=(join_handle&& other) noexcept {
        if (this != &other) {
            detach();
            task_ = std::exchange(other.task_, nullptr);
        }
        return *this;
    }
    ~join_handle() { detach(); }

    /// Lets the task go on alone. Idempotent.
    void detach() noexcept {
        if (task_ != nullptr) std::exchange(task_, nullptr)->release_handle();
    }
    /// Asks the task to stop: the operation it is suspended on, or its next one, ends with operation_canceled.
    void request_stop() noexcept {
        if (task_ != nullptr) task_->request_stop();
    }
    /// For others that may want to stop the task. Requires: not detached or awaited (asserted).
    peal::stop_handle stop_handle() const noexcept {
        PEAL_ASSERT(task_ != nullptr, "join_handle::stop_handle() after the handle was detached, awaited or moved");
        return peal::stop_handle(*task_);
    }
    bool has_ended() const noexcept { return task_ != nullptr && task_->has_ended(); }

    class join_operation;
    /// Waits for the end of the task; gives its value or throws its exception. Once (asserted).
    join_operation operator co_await() noexcept { return join_operation(*this); }

  private:
    detail::spawned<T>* task_;
};

template <class T>
class join_handle<T>::join_operation : detail::registering_operation, detail::waiter {
  public:
    explicit join_operation(join_handle& handle) noexcept
        : registering_operation(&join_operation::stop_joining), waiter(&join_operation::task_ended), joined_(handle) {
        PEAL_ASSERT(handle.task_ != nullptr, "join_handle awaited twice, or after detach() or a move");
    }

    bool await_ready() const noexcept { return joined_.task_->has_ended(); }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return suspend(awaiting, awaiting.promise().owner(), [this] { return joined_.task_->wait_for_end(*this); });
    }
    T await_resume() {
        if (was_canceled()) detail::throw_canceled("join");
        // The value is moved out of the task, or the exception shared with it, before the handle lets go.
        struct letting_go {
            explicit letting_go(join_handle& handle) noexcept : handle(handle) {}
            ~letting_go() { handle.detach(); }
            join_handle& handle;
        };
        letting_go guard(joined_);
        return joined_.task_->take();
    }

  private:
    static void task_ended(detail::waiter& self) noexcept { static_cast<join_operation&>(self).happened(); }
    static void stop_joining(detail::cancelable& self) noexcept {
        auto& join = static_cast<join_operation&>(self);
        join.stop([&join] { return join.joined_.task_->forget(join); });
    }

    join_handle& joined_;
};

namespace detail {

/// Hands a new task to the scheduler; `list` is its scope's, null for the pool's own.
template <class T>
join_handle<T> start_spawned(rt::scheduler& scheduler, task_list* list, spawned<T>* task, door_waiter* let_in = nullptr) {
    if (acceptance answer = accept_task(scheduler, *task, list, let_in); answer != acceptance::accepted) {
        task->abandon();
        throw_refused(answer);
    }
    return join_handle<T>(task);
}

}  // namespace detail
}  // namespace peal
