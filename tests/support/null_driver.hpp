// SPDX-License-Identifier: MIT
#pragma once

// null_driver: a driver without an outside, to be filled in where a test needs something of it.

#include <task/driver.hpp>

namespace support {

class null_driver : public peal::rt::driver {
  public:
    explicit null_driver(peal::rt::blocking_pool& none) : driver(none) {}
    void reap(peal::detail::work_list&) noexcept override {}
    void poll(peal::detail::work_list&) noexcept override {}
    void close(int) noexcept override {}
    peal::rt::time_point now() const noexcept override { return {}; }

  private:
    void do_submit(peal::detail::operation&) noexcept override {}
    void do_wait(peal::detail::work_list&, peal::rt::time_point) noexcept override {}
    void interrupt() noexcept override {}
    void cancel_in_flight(peal::detail::operation&) noexcept override {}
    void resubmit(peal::detail::operation&) noexcept override {}
    void close_under_lock(int) noexcept override {}
};

}  // namespace support
