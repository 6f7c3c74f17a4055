// SPDX-License-Identifier: MIT
#pragma once

// The test programs of this folder: models, and plain cases about the explorer itself. They do not use Catch2 and its main(), which
// link the library: here its sources are compiled for the explorer. So a program compiles fast, which the mutation script needs.
//
//   MODEL("spin lock: one at a time", settings().preempt(3)) { ... the body, run once per execution ... }
//   CASE("explorer: a deadlock is reported") { ... require(...); }

#include "substitutes.hpp"

namespace model {

struct registration {
    registration(const char* name, const settings& bounds, void (*body)());  // a model
    registration(const char* name, void (*body)());                         // a case
};

/// Ends the case as failed.
void require(bool holds, const std::string& what, std::source_location where = std::source_location::current());
/// Adds to the row that is printed for the case.
void note(const std::string& text, std::uint64_t executions = 0);

}  // namespace model

#define PEAL_MODEL_JOIN_(a, b) a##b
#define PEAL_MODEL_JOIN(a, b) PEAL_MODEL_JOIN_(a, b)
#define PEAL_MODEL_CASE(body, ...)                                       \
    static void body();                                                  \
    static const ::model::registration PEAL_MODEL_JOIN(body, _registered){__VA_ARGS__, &body}; \
    static void body()
#define MODEL(name, bounds) PEAL_MODEL_CASE(PEAL_MODEL_JOIN(model_body_, __LINE__), name, bounds)
#define CASE(name) PEAL_MODEL_CASE(PEAL_MODEL_JOIN(case_body_, __LINE__), name)
