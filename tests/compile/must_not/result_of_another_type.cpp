// SPDX-License-Identifier: MIT
// The value that is returned must be convertible into the task's type.
// expect: return_value

#include <string>

#include <peal/task/task.hpp>

peal::task<int> outer(std::string text) {
#ifdef WRONG
    co_return text;
#else
    co_return static_cast<int>(text.size());
#endif
}
