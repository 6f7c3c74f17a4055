// SPDX-License-Identifier: MIT
// expect: a generator of references cannot co_yield a temporary, or what is converted into one

#include <string>

#include <peal/task/generator.hpp>

peal::generator<const std::string&> outer(const std::string& kept) {
#ifdef WRONG
    co_yield kept + "!";
#else
    co_yield kept;
#endif
}
