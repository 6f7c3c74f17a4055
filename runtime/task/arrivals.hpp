// SPDX-License-Identifier: MIT
#pragma once

// arrivals: a receive that goes on. One request to the outside, and a buffer for each time that something comes (multishot with a bound, Linux 6.17; the
// request ends by itself after so many bytes); where the outside answers once, it is handed over again after each. What comes before somebody waits for it is kept here, in its order.
//
// Life: made and dropped by a receiver (net/receiver.hpp). It begins at rest. The first wait hands it to the driver of its worker, its home; it runs there, also
// between two waits, until
//   - enough lies here that nobody has taken: the home does not begin it again, or asks the outside to stop, and the next wait that finds nothing begins
//     anew, where that wait is;
//   - the stream ends or fails: the outcome is told to the wait, or kept for the next;
//   - the receiver is dropped, or the home goes: a request by the way of all cancel requests (runtime/task/driver.hpp).
// Then it is at rest again: the outside has given its last answer, and no request is on its way. One that was dropped deletes itself there.
//
// A task that waited goes on at the home: it follows its stream.
//
// Locks: the driver's, where there is one, then `lock_`. It guards everything below it. What the base class holds is the driver's while it runs.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <peal/detail/arrival_wait.hpp>
#include <peal/detail/operation.hpp>
#include <peal/detail/spin_lock.hpp>

namespace peal::rt {

class driver;
class lease_pool;

class arrivals final : public detail::operation {
  public:
    /// Keeps the number of `fd` until it is dropped. Throws std::bad_alloc.
    explicit arrivals(int fd);

    // ---- the receiver: one thread at a time ------------------------------------------------------------------------------------
    /// Body of await_suspend.
    bool begin_wait(detail::arrival_wait& waiter, std::coroutine_handle<> awaiting, context& task) noexcept;
    /// The receiver goes; so does what has come and was not taken. Requires: nobody waits.
    void drop() noexcept;

    // ---- any thread --------------------------------------------------------------------------------------------------------------
    /// False: the wait has been given what it waits for.
    bool end_wait(detail::arrival_wait& waiter) noexcept;

    // ---- its home, under the lock of that ----------------------------------------------------------------------------------------
    /// Something has come: a buffer in `address`, of `extra`, with `outcome` bytes. False: that is enough for now.
    bool arrived(detail::work_list& ready) noexcept;
    /// After arrived() has said that it is enough and the outside goes on. True: the caller asks the outside to stop; once.
    bool must_pause() noexcept;
    /// The outside has not found it, although it may still have it: to be asked again when more comes.
    void pause_missed() noexcept;
    bool is_pausing() noexcept;
    /// A cancel request has been taken from the messages.
    void request_taken() noexcept;
    /// The last answer is in. `again`: hand it over once more. `at_rest`: it may be gone.
    enum class after : unsigned char { request_comes, again, at_rest };
    after over(detail::work_list& ready) noexcept;

    // ---- its home, which is about to go --------------------------------------------------------------------------------------------
    /// True: it is to be sent a cancel request; once.
    bool must_end() noexcept;

    /// Bytes that one request may bring. The buffers are shared by all that a worker receives: a peer that sends much to a session which takes nothing must
    /// not get many of them, and the kernel brings all that lies in its socket before anybody can ask it to stop.
    static constexpr std::uint32_t enough_at_once = 8192;

  private:
    friend class driver;
    ~arrivals();

    struct arrival {
        lease_pool* lent_by = nullptr;
        std::byte* buffer = nullptr;
        std::int32_t bytes = 0;
    };
    /// What has come and was not taken, in its order: a ring. Little room of its own, which mostly suffices.
    struct backlog {
        bool is_full() const noexcept { return count == room; }
        arrival* slots() noexcept { return more ? more.get() : own; }
        /// Requires: not full.
        void push(const arrival& what) noexcept { slots()[(begin + count++) % room] = what; }
        /// Requires: not empty.
        arrival pop() noexcept;
        /// Into `larger`, of twice the room; gives back what is not needed any more.
        void move_to(std::unique_ptr<arrival[]>& larger) noexcept;

        arrival own[2];
        std::unique_ptr<arrival[]> more;
        unsigned room = 2;
        unsigned begin = 0;
        unsigned count = 0;
    };
    arrival taken_out() noexcept;
    static void release(const arrival& gone) noexcept;
    static void give(detail::arrival_wait& waiter, const arrival& what) noexcept;
    static void resume(detail::arrival_wait& waiter, detail::work_list& ready) noexcept;
    void renew(driver& here) noexcept;

    static constexpr unsigned enough = 2;  // buffers that lie here: then the outside is asked to stop
    static constexpr unsigned in_a_row_limit = 16;

    detail::spin_lock lock_;
    bool is_running_ = false;
    bool is_pausing_ = false;        // the outside was asked to stop, by the home itself
    bool request_sent_ = false;      // a cancel request is on its way to the home, or was taken there
    bool request_taken_ = false;
    bool is_dropped_ = false;
    bool home_goes_ = false;
    bool has_outcome_ = false;       // `kept_outcome_` is to be told
    bool is_broken_ = false;         // bytes were lost for want of memory: told ever after, or what comes next would be taken for what came then
    std::int32_t kept_outcome_ = 0;
    unsigned in_a_row_ = 0;          // waits that found something
    detail::arrival_wait* waiter_ = nullptr;

    backlog backlog_;

    arrivals* previous_ = nullptr;   // of those that run at the same home: driver::running_
    arrivals* following_ = nullptr;
};

}  // namespace peal::rt
