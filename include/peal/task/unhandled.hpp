// SPDX-License-Identifier: MIT
#pragma once

// unhandled: what a pool does when a task fails that nobody awaits.

namespace peal {

/// For pool_options::unhandled. Whatever it is, the failure is counted (pool_counts::failed), and costs no worker.
enum class unhandled : unsigned char {
    report,     // tells it: pool_options::on_unhandled, or a line on standard error
    count,      // nothing more
    stop,       // tells it, and asks every task of the pool to stop, as pool.request_stop() does
    terminate,  // tells it, and calls std::terminate(): for programs that would rather leave a core file than go on
};

}  // namespace peal
