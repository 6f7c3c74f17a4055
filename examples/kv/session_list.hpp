// SPDX-License-Identifier: MIT
#pragma once

// session_list: the sessions of a server, so that all of them can be told to come to an end without losing an
// answer.
//
// Asking a task to stop (peal's cancellation) is too hard for that: it would also end a write of replies
// halfway. Here a session learns that it is to finish when it looks, between two requests. One that sleeps in
// a read does not look: its socket is told that nothing more will be read, which gives the read what has
// arrived, or the end of the stream.
//
// No wake-up is lost (both sides seq_cst, so there is one order):
//   session                                     finish_all()
//   1 reading_ = true                           a finishing_ = true
//   2 finishing()? then do not wait             b reading_? then wake it
// If 2 comes before a, then 1 comes before b, and the session is woken.

#include <sys/socket.h>

#include <atomic>
#include <mutex>
#include <unordered_set>

#include <peal/peal.hpp>

class session_list {
  public:
    class member {
      public:
        member(session_list& list, const peal::net::tcp_stream& peer)
            : list_(list), fd_(peer.native_handle()) {
            std::lock_guard guard(list_.mutex_);
            list_.members_.insert(this);
        }
        member(const member&) = delete;
        member& operator=(const member&) = delete;
        /// Before the peer is closed: its descriptor must not be another's when finish_all() uses it.
        ~member() {
            std::lock_guard guard(list_.mutex_);
            list_.members_.erase(this);
        }

        bool finishing() const noexcept { return list_.finishing_.load(std::memory_order_seq_cst); }
        /// Around a read. It may end early, with 0, when the session is to finish.
        void begin_reading() noexcept { reading_.store(true, std::memory_order_seq_cst); }
        void end_reading() noexcept {
            reading_.store(false, std::memory_order_relaxed);  // seen late: it is woken once more
        }

      private:
        friend session_list;
        session_list& list_;
        int fd_;
        std::atomic<bool> reading_{false};
    };

    void finish_all() {
        finishing_.store(true, std::memory_order_seq_cst);
        std::lock_guard guard(mutex_);
        for (member* session : members_) {
            if (session->reading_.load(std::memory_order_seq_cst)) ::shutdown(session->fd_, SHUT_RD);
        }
    }

  private:
    std::atomic<bool> finishing_{false};
    std::mutex mutex_;
    std::unordered_set<member*> members_;  // guarded by mutex_
};
