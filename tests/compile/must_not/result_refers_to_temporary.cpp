// SPDX-License-Identifier: MIT
// expect: a task that gives a reference cannot co_return a temporary, or what is converted into one

#include <string>

#include <peal/task/task.hpp>

peal::task<const std::string&> outer(const std::string& kept) {
#ifdef WRONG
    co_return kept + "!";
#else
    co_return kept;
#endif
}
