// SPDX-License-Identifier: MIT

// What nearly every test includes: compiled once, before all others (so there is no "pragma once").  Each test includes what it uses all the same.

#include "support/catch.hpp"

#include <peal/peal.hpp>
