// SPDX-License-Identifier: MIT
// A copy does not bind to a reference, which would change the copy in silence.
// expect: For a parameter that is a non-const reference pass std::ref(object); the object must outlive the task.

#include <functional>

#include <peal/task/scope.hpp>

peal::task<> inner(int& number) {
    ++number;
    co_return;
}

peal::task<> outer() {
    int number = 0;
    peal::scope tasks;
#ifdef WRONG
    tasks.spawn(inner, number);
#else
    tasks.spawn(inner, std::ref(number));
#endif
    co_await tasks.join();
}
