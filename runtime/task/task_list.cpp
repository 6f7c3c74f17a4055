// SPDX-License-Identifier: MIT

#include <peal/detail/task_list.hpp>

#include <mutex>
#include <utility>

#include <peal/task/context.hpp>

namespace peal::detail {

task_list::~task_list() { PEAL_ASSERT(first_ == nullptr, "a task_list was destroyed while tasks of it run"); }

void task_list::insert(spawned_context& task) noexcept {
    bool stop;
    {
        std::lock_guard guard(lock_);
        task.list_ = this;
        task.previous_ = last_;
        task.following_ = nullptr;
        (last_ == nullptr ? first_ : last_->following_) = &task;
        last_ = &task;
        ++size_;
        stop = stopping_;
    }
    if (stop) task.request_stop();
}

void task_list::remove(spawned_context& task) noexcept {
    lock_.lock();
    (task.previous_ == nullptr ? first_ : task.previous_->following_) = task.following_;
    (task.following_ == nullptr ? last_ : task.following_->previous_) = task.previous_;
    waiter* told = --size_ == 0 ? std::exchange(waiter_, nullptr) : nullptr;
    lock_.unlock();
    if (told != nullptr) told->notify(*told);
}

void task_list::request_stop_all() noexcept {
    // Each turn takes the first task to the end of the list and asks it to stop outside the lock, holding a reference. Tasks that
    // come meanwhile see stopping_.
    std::size_t turns;
    {
        std::lock_guard guard(lock_);
        stopping_ = true;
        turns = size_;
    }
    for (; turns != 0; --turns) {
        spawned_context* task;
        {
            std::lock_guard guard(lock_);
            task = first_;
            if (task == nullptr) return;
            if (task != last_) {
                first_ = task->following_;
                first_->previous_ = nullptr;
                task->previous_ = last_;
                task->following_ = nullptr;
                last_->following_ = task;
                last_ = task;
            }
            task->add_reference();
        }
        task->request_stop();
        task->release();
    }
}

std::size_t task_list::size() const noexcept {
    std::lock_guard guard(lock_);
    return size_;
}

void task_list::append_names(std::vector<std::string>& names) const {
    std::lock_guard guard(lock_);
    for (spawned_context* task = first_; task != nullptr; task = task->following_) {
        std::string name = task->name()[0] != '\0' ? task->name() : "unnamed task";
        if (task->spawn_location().line() != 0) {
            name += " (spawned at ";
            name += task->spawn_location().file_name();
            name += ':' + std::to_string(task->spawn_location().line()) + ')';
        }
        names.push_back(std::move(name));
    }
}

bool task_list::wait_for_empty(waiter& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (size_ == 0) return false;
    PEAL_ASSERT(waiter_ == nullptr, "two coroutines wait for the end of one scope");
    waiter_ = &waiter;
    return true;
}

bool task_list::forget(waiter& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (waiter_ != &waiter) return false;
    waiter_ = nullptr;
    return true;
}

}  // namespace peal::detail
