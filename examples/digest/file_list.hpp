// SPDX-License-Identifier: MIT
#pragma once

// file_list: the files below a folder, handed out one by one to any number of tasks.
//
// The walk gives batches; one batch for one task would put a folder of big files on one core. So whoever
// finds the list empty fetches a batch, and the others take from it, too. Bound: a batch per task that
// fetches.

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <peal/peal.hpp>

namespace examples {

class file_list {
  public:
    explicit file_list(std::string root) : walk_(std::move(root)) {}

    /// A regular file, or a folder that could not be read (with an error_number); nothing: there are no more.
    peal::task<std::optional<peal::fs::entry>> next() {
        for (bool more = true;;) {
            if (std::optional<peal::fs::entry> found = try_take()) co_return found;
            if (!more) co_return std::nullopt;
            more = co_await fetch();
        }
    }

    /// Reads the next batch. False: there is none.
    peal::task<bool> fetch() {
        std::vector<peal::fs::entry> batch = co_await walk_.next();  // any number of tasks may be here
        add(batch);
        co_return !batch.empty();
    }

  private:
    std::optional<peal::fs::entry> try_take() {
        std::lock_guard guard(mutex_);
        if (found_.empty()) return std::nullopt;
        std::optional<peal::fs::entry> first = std::move(found_.front());
        found_.pop_front();
        return first;
    }

    void add(std::vector<peal::fs::entry>& batch) {
        std::lock_guard guard(mutex_);
        for (peal::fs::entry& each : batch) {
            if (each.type == peal::fs::file_type::regular || each.error_number != 0)
                found_.push_back(std::move(each));
        }
    }

    peal::fs::directory_walk walk_;
    std::mutex mutex_;  // held for moments, never across a co_await
    std::deque<peal::fs::entry> found_;
};

}  // namespace examples
