// SPDX-License-Identifier: MIT
#pragma once

// Tasks that give what tasks may give, for tests of those who await several.

#include <chrono>
#include <memory>

#include <peal/task/task.hpp>
#include <peal/time/sleep.hpp>

namespace support {

/// Neither copied nor made from nothing.
class unique_number {
  public:
    explicit unique_number(int value) : value_(std::make_unique<int>(value)) {}
    int value() const { return *value_; }

  private:
    std::unique_ptr<int> value_;
};

inline peal::task<int> gives(int value) { co_return value; }
inline peal::task<int> gives_after(int value, std::chrono::microseconds time) {
    co_await peal::sleep_for(time);
    co_return value;
}
inline peal::task<int&> lends(int& number) { co_return number; }

}  // namespace support
