// SPDX-License-Identifier: MIT
#pragma once

// verdict: what tasks on several workers found out, to be checked on the thread of the test. Catch2's own macros belong to one
// thread.
//
// Threads: any. Bound: the first 20 complaints are kept, the rest is counted.

#include <mutex>
#include <source_location>
#include <string>

namespace support {

class verdict {
  public:
    /// Gives `holds` back, so that a task can end early.
    bool expect(bool holds, const std::string& otherwise, std::source_location where = std::source_location::current()) {
        if (!holds) complain(otherwise + " (line " + std::to_string(where.line()) + ')');
        return holds;
    }
    void complain(const std::string& what) {
        std::lock_guard guard(mutex_);
        if (++complaints_ <= 20) text_ += what + '\n';
    }

    /// Empty if nothing was wrong.
    std::string text() const {
        std::lock_guard guard(mutex_);
        return complaints_ <= 20 ? text_ : text_ + "and " + std::to_string(complaints_ - 20) + " more\n";
    }

  private:
    mutable std::mutex mutex_;
    unsigned long complaints_ = 0;
    std::string text_;
};

}  // namespace support
