// SPDX-License-Identifier: MIT
#pragma once

// What nearly every test includes.  Each test includes what it uses all the same.

#include "support/catch.hpp"

#include <peal/peal.hpp>
