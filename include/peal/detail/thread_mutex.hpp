// SPDX-License-Identifier: MIT
#pragma once

// The mutex and the condition that block a thread (peal::mutex suspends a task), by the names of detail/atomic.hpp and for its reasons.

#include <peal/detail/atomic.hpp>

#ifndef PEAL_MODEL

#include <condition_variable>
#include <mutex>

namespace peal::detail {

using thread_mutex = std::mutex;
using thread_condition = std::condition_variable;

}  // namespace peal::detail

#endif
