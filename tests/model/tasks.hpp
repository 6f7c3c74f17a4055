// SPDX-License-Identifier: MIT
#pragma once

// Real tasks in a model. Without a pool a task runs on the thread that starts it, and goes on on whatever thread wakes it
// (enqueue_woken): so the threads of the model are all there is to schedule, and the sources that are explored are the product's.

#include <utility>

#include <peal/detail/this_thread.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/task.hpp>

#include "runner.hpp"

namespace model {

/// A spawned task of no pool, with its handle. Made by the body; started by one thread, once.
template <class T = void>
class started_task {
  public:
    template <class Function, class... Arguments>
    explicit started_task(Function function, Arguments&&... arguments)
        : task_(peal::detail::make_spawned(peal::spawn_options("model"), nullptr, std::move(function), std::forward<Arguments>(arguments)...)),
          stop_(*task_),
          handle_(task_) {}

    /// Runs it on the calling thread until it suspends or ends.
    void start() {
        peal::context* before = std::exchange(peal::detail::this_thread.current, task_);
        peal::detail::resume_chain(task_->handle);
        peal::detail::this_thread.current = before;
    }
    void request_stop() { stop_.request_stop(); }
    bool has_ended() const { return handle_.has_ended(); }
    peal::detail::spawned<T>& context() { return *task_; }
    peal::join_handle<T>& handle() { return handle_; }

  private:
    peal::detail::spawned<T>* task_;
    peal::stop_handle stop_;
    peal::join_handle<T> handle_;
};

/// Before the models of a program run: what each thread has for itself.
inline const bool threads_are_apart = [] {
    keep_per_thread(&peal::detail::this_thread, sizeof peal::detail::this_thread);
    return true;
}();

}  // namespace model
