// SPDX-License-Identifier: MIT
#pragma once

// Which driver a pool's workers get.

#include <memory>

#include <peal/pool/pool.hpp>

#include "../task/driver.hpp"

namespace peal::rt {

/// What the options say, or else the environment. Throws std::invalid_argument about a PEAL_DRIVER that is neither.
driver_choice driver_choice_for(const pool_options& options);

/// On the worker's thread. Throws std::system_error.
std::unique_ptr<driver> make_driver(driver_choice choice, const pool_options& options, blocking_pool& elsewhere);

}  // namespace peal::rt
