// SPDX-License-Identifier: MIT

#include <peal/detail/task_list.hpp>

#include <mutex>
#include <thread>
#include <utility>

#include <peal/task/context.hpp>

namespace peal::detail {

namespace {
constinit spin_lock late_lock;  // see the head of task_list.hpp
}

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
    unlink(task);
    waiter* told = --size_ == 0 ? std::exchange(waiter_, nullptr) : nullptr;
    lock_.unlock();
    if (told != nullptr) told->notify(*told);
}

/// Under the lock.
void task_list::unlink(spawned_context& task) noexcept {
    (task.previous_ == nullptr ? first_ : task.previous_->following_) = task.following_;
    (task.following_ == nullptr ? last_ : task.following_->previous_) = task.previous_;
}

void task_list::begin_late(spawned_context& task) noexcept {
    {
        std::lock_guard guard(lock_);
        unlink(task);
        had_late_ = true;
    }
    std::lock_guard guard(late_lock);
    task.is_late_ = true;
    task.previous_ = nullptr;
    task.following_ = first_late_;
    if (first_late_ != nullptr) first_late_->previous_ = &task;
    first_late_ = &task;
}

void task_list::leave() noexcept {
    lock_.lock();
    waiter* told = --size_ == 0 ? std::exchange(waiter_, nullptr) : nullptr;
    lock_.unlock();
    if (told != nullptr) told->notify(*told);
}

bool task_list::end_late(spawned_context& task, bool deliver) noexcept {
    task_list* list;
    {
        std::lock_guard guard(late_lock);
        if (!task.is_late_) return false;
        task.is_late_ = false;
        list = task.list_;
        (task.previous_ == nullptr ? list->first_late_ : task.previous_->following_) = task.following_;
        if (task.following_ != nullptr) task.following_->previous_ = task.previous_;
        if (!deliver) return false;
        list->handing_over_.fetch_add(1, std::memory_order_relaxed);  // under late_lock, as is the look of let_go_of_late()
    }
    list->take_failure_(*list, task.failure(), task);
    list->handing_over_.fetch_sub(1, std::memory_order_release);  // [T1]
    return true;
}

void task_list::let_go_of_late() noexcept {
    {
        std::lock_guard guard(lock_);
        if (!had_late_) return;
    }
    {
        std::lock_guard guard(late_lock);
        for (spawned_context* task = first_late_; task != nullptr; task = task->following_) task->is_late_ = false;
        first_late_ = nullptr;
    }
    while (handing_over_.load(std::memory_order_acquire) != 0) std::this_thread::yield();  // [T1] a few instructions of another thread
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
