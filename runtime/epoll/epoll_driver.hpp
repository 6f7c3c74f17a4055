// SPDX-License-Identifier: MIT
#pragma once

// epoll_driver: the driver where io_uring is forbidden. Same operations, same life (runtime/task/driver.hpp), more system calls.
//
// What can wait for readiness (sockets, pipes, terminals, event descriptors) is tried without waiting, and else stands in the list of its
// descriptor until epoll tells that it is worth another try. What cannot (files, paths) is tried as far as the page cache goes, and else performed by
// a blocking thread.
//
// A descriptor is armed for one event at a time (EPOLLONESHOT): the kernel forgets descriptors that are closed without telling anybody, so what is
// believed of a number is checked by each arming, and nothing more than that is believed.
//
// Everything is guarded by `lock_`, but for what the owner pushes into submitted_.

#include <sys/epoll.h>

#include <vector>

#include <peal/detail/spin_lock.hpp>

#include "../task/driver.hpp"
#include "../task/handover.hpp"
#include "../task/lease_pool.hpp"
#include "../task/wake_event.hpp"
#include "attempt.hpp"

namespace peal::rt {

class epoll_driver final : public driver {
  public:
    /// On the worker's thread. Throws std::system_error.
    explicit epoll_driver(blocking_pool& elsewhere);
    ~epoll_driver() override;

    void reap(detail::work_list& ready) noexcept override;
    void poll(detail::work_list& ready) noexcept override;
    bool poll_for_owner(detail::work_list& ready, std::size_t room) noexcept override;
    void close(int fd) noexcept override { close_under_lock(fd); }
    time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
    const char* name() const noexcept override { return "epoll"; }

  private:
    /// What waits for one descriptor.
    struct watch {
        detail::work_list reading;
        detail::work_list writing;
        std::uint32_t armed = 0;      // for these events, and it has not fired
        bool is_known = false;        // was armed before: perhaps the kernel still knows it
        bool try_first = true;        // the last receive took all it had room for, so the next may find something
        detail::work_list& list_of(const detail::operation& operation) noexcept;
    };

    void do_submit(detail::operation& operation) noexcept override;
    void do_wait(detail::work_list& ready, time_point deadline) noexcept override;
    void interrupt() noexcept override { wake_.raise(); }
    void cancel_in_flight(detail::operation& operation) noexcept override;
    void resubmit(detail::operation& operation) noexcept override { begin(operation); }
    void close_under_lock(int fd) noexcept override;

    void poll_under_lock(detail::work_list& ready, std::size_t room) noexcept;
    void hand_over() noexcept;
    std::int32_t try_with_buffer(detail::operation& operation, readiness known) noexcept;
    void go_on_with(detail::operation& operation, std::int32_t outcome) noexcept;
    void feed() noexcept;
    void begin(detail::operation& operation) noexcept;
    void wait_for_readiness(detail::operation& operation) noexcept;
    void take_out(detail::operation& operation) noexcept;
    void has_happened(detail::operation& operation, std::int32_t outcome) noexcept;
    void complete(detail::work_list& ready, std::size_t room) noexcept;
    watch* watch_of(int fd) noexcept;
    int arm(int fd, watch& watched) noexcept;
    void try_again(detail::work_list& waiting, bool has_ended) noexcept;
    void use_events(const epoll_event* events, int count) noexcept;
    int wait_for_events(epoll_event* events, int most, time_point deadline) noexcept;

    handover submitted_;
    detail::spin_lock lock_;
    int epoll_fd_ = -1;
    wake_event wake_;
    bool has_fine_timeout_ = true;     // epoll_pwait2(), until the system says that it has none
    std::vector<watch> watches_;       // by number; 64 bytes for each up to the highest that has waited here
    detail::work_list happened_;       // outcome known, not told yet
    std::size_t watching_ = 0;         // operations that stand in the list of a descriptor

    lease_pool::share lent_;           // `taken`: buffers that operations have, and that are not lent yet
    detail::work_list without_buffer_; // operations for which it had none
};

}  // namespace peal::rt
