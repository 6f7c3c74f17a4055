// SPDX-License-Identifier: MIT
// expect: a task that gives a reference cannot co_return a temporary, or what is converted into one

#include <peal/task/task.hpp>

peal::task<const long&> outer(const int& number, const long& same) {
#ifdef WRONG
    static_cast<void>(same);
    co_return number;
#else
    static_cast<void>(number);
    co_return same;
#endif
}
