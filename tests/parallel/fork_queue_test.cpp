// SPDX-License-Identifier: MIT

#include <peal/detail/fork_queue.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include <peal/detail/this_thread.hpp>

#include "sched/scheduler.hpp"
#include "support/catch.hpp"

namespace {

using peal::detail::fork_queue;
using peal::detail::fork_record;
using wanted = fork_queue::wanted;
using kind = fork_record::kind;

class numbered final : public fork_record {
  public:
    explicit numbered(int number, kind kind = kind::task) noexcept : fork_record(&numbered::count, kind), number(number) {}

    const int number;
    std::atomic<int> begun{0};

  private:
    static peal::detail::work_item* count(fork_record& self) noexcept {
        ++static_cast<numbered&>(self).begun;
        return nullptr;
    }
};

// An explicit instantiation may name private members.
template <auto Public>
struct opens_fork_queue {
    friend std::uint64_t public_word_of(const fork_queue& queue) { return (queue.*Public).load(); }
};
std::uint64_t public_word_of(const fork_queue& queue);
template struct opens_fork_queue<&fork_queue::public_>;

/// The number of a record that came out, -1 if none did.
int number_of(fork_record* record) { return record == nullptr ? -1 : static_cast<numbered*>(record)->number; }

/// A queue whose owner is this thread: to publish is to wake a sleeper of the worker's pool, and here nobody sleeps.
class owner {
  public:
    owner() : scheduler_({}) { peal::detail::this_thread.worker = &scheduler_.at(0); }
    ~owner() {
        peal::detail::this_thread.worker = nullptr;
        scheduler_.shutdown(std::chrono::milliseconds(0), std::chrono::milliseconds(0));
    }
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;

    numbered& push(kind kind = kind::task) {
        numbered& made = records.emplace_back(static_cast<int>(records.size()), kind);
        REQUIRE(queue.push(made));
        return made;
    }
    void push_many(int count) {
        for (int i = 0; i < count; ++i) push();
    }

    fork_queue queue;
    std::deque<numbered> records;

  private:
    peal::rt::scheduler scheduler_;
};

/// A thief of a queue that begins what it gets, until it is told to end.
class thief {
  public:
    thief(fork_queue& queue, wanted which, unsigned pause) : thread_([this, &queue, which, pause] { run(queue, which, pause); }) {}
    ~thief() { end(); }
    thief(const thief&) = delete;
    thief& operator=(const thief&) = delete;

    std::uint64_t end() {
        ends_ = true;
        if (thread_.joinable()) thread_.join();
        return taken_;
    }

  private:
    void run(fork_queue& queue, wanted which, unsigned pause) {
        while (!ends_) {
            if (fork_record* record = queue.steal(which)) {
                record->begin();
                ++taken_;
            }
            for (unsigned i = 0; i < pause; ++i) peal::detail::spin_hint();
        }
    }

    std::atomic<bool> ends_{false};
    std::uint64_t taken_ = 0;
    std::thread thread_;
};

}  // namespace

TEST_CASE("fork_queue: what is left when its owner takes one otherwise than back is for others, too") {
    owner one;
    one.push_many(9);
    while (one.queue.steal(wanted::any) != nullptr) {
    }
    REQUIRE_FALSE(one.queue.has_public());
    REQUIRE_FALSE(one.queue.empty());
    CHECK(number_of(one.queue.pop()) == 8);
    CHECK(one.queue.has_public());
    int left = 0;
    while (one.queue.pop() != nullptr) ++left;
    CHECK(left > 3);
}

TEST_CASE("fork_queue: gives nothing when it is empty") {
    owner mine;
    numbered never_pushed(0);
    CHECK(mine.queue.empty());
    CHECK(mine.queue.is_drained());
    CHECK_FALSE(mine.queue.has_public());
    CHECK(mine.queue.pop() == nullptr);
    CHECK(mine.queue.pop_task() == nullptr);
    CHECK(mine.queue.steal(wanted::any) == nullptr);
    CHECK_FALSE(mine.queue.take_back(never_pushed));
}

TEST_CASE("fork_queue: the owner takes the newest back, and only the newest") {
    owner mine;
    mine.push_many(9);
    for (int newest = 8; newest >= 0; --newest) {
        for (int other = 0; other < 9; ++other) {
            if (other != newest) CHECK_FALSE(mine.queue.take_back(mine.records[static_cast<std::size_t>(other)]));
        }
        CHECK(mine.queue.take_back(mine.records[static_cast<std::size_t>(newest)]));
    }
    CHECK(mine.queue.empty());
}

TEST_CASE("fork_queue: pop gives the newest, steal the oldest, each record once") {
    owner mine;
    mine.push_many(6);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 0);
    CHECK(number_of(mine.queue.pop()) == 5);
    CHECK(number_of(mine.queue.pop()) == 4);
    mine.push();  // finds that others have taken all, and publishes
    CHECK(number_of(mine.queue.steal(wanted::any)) == 1);
    CHECK(number_of(mine.queue.pop()) == 6);
    int left = 0;
    while (mine.queue.pop() != nullptr) ++left;
    CHECK(left == 2);
    CHECK(mine.queue.empty());
    CHECK(mine.queue.steal(wanted::any) == nullptr);
}

TEST_CASE("fork_queue: the first one is public at once; more only when others have taken what was") {
    owner mine;
    mine.push();
    CHECK(mine.queue.has_public());
    CHECK_FALSE(mine.queue.is_drained());
    mine.push_many(4);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 0);
    CHECK(mine.queue.is_drained());
    CHECK(mine.queue.steal(wanted::any) == nullptr);
    mine.push();  // 1 to 5 are there: half of them become public
    CHECK(number_of(mine.queue.steal(wanted::any)) == 1);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 2);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 3);
    CHECK(mine.queue.steal(wanted::any) == nullptr);
    CHECK(number_of(mine.queue.pop()) == 5);
    CHECK(number_of(mine.queue.pop()) == 4);
    CHECK(mine.queue.empty());
}

TEST_CASE("fork_queue: the owner takes back what is public, half of it at a time, and leaves the rest to others") {
    owner mine;
    mine.push_many(9);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 0);
    mine.push();  // 1 to 9 are there, 1 to 5 public
    for (int i = 9; i > 5; --i) CHECK(number_of(mine.queue.pop()) == i);
    CHECK(number_of(mine.queue.pop()) == 5);              // takes 3, 4, 5 back
    CHECK(number_of(mine.queue.steal(wanted::any)) == 1);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 2);
    CHECK(mine.queue.steal(wanted::any) == nullptr);      // 3 and 4 are the owner's again
    CHECK(number_of(mine.queue.pop()) == 4);
    CHECK(number_of(mine.queue.pop()) == 3);
    CHECK(mine.queue.pop() == nullptr);
}

TEST_CASE("fork_queue: the owner does not take back what others have taken") {
    owner mine;
    numbered& only = mine.push();
    CHECK(mine.queue.steal(wanted::any) == &only);
    CHECK_FALSE(mine.queue.take_back(only));
    CHECK(mine.queue.pop() == nullptr);
    numbered& next = mine.push();  // into the place beside
    CHECK_FALSE(mine.queue.take_back(only));
    CHECK(mine.queue.take_back(next));
}

TEST_CASE("fork_queue: is full at its capacity, and takes more when something has left by either end") {
    owner mine;
    mine.push_many(fork_queue::capacity);
    numbered more(-7);
    CHECK_FALSE(mine.queue.push(more));
    CHECK(number_of(mine.queue.pop()) == fork_queue::capacity - 1);
    CHECK(mine.queue.push(more));
    CHECK_FALSE(mine.queue.push(more));
    CHECK(number_of(mine.queue.steal(wanted::any)) == 0);
    numbered last(-8);
    CHECK(mine.queue.push(last));
    CHECK(number_of(mine.queue.pop()) == -8);
    CHECK(number_of(mine.queue.pop()) == -7);
    int left = 0;
    for (int newest = static_cast<int>(fork_queue::capacity) - 2; fork_record* record = mine.queue.pop(); --newest, ++left) {
        REQUIRE(number_of(record) == newest);
    }
    CHECK(left == fork_queue::capacity - 2);
}

TEST_CASE("fork_queue: positions begin again after 65536, at every fill") {
    for (int fill : {1, 2, 5, 1000}) {
        owner mine;
        std::deque<numbered> records;
        for (int i = 0; i < fill; ++i) REQUIRE(mine.queue.push(records.emplace_back(i)));
        int oldest = 0;
        for (int i = fill; i < 140'000; ++i) {
            REQUIRE(mine.queue.push(records.emplace_back(i)));
            // Thieves take what is public; the owner takes the newest back and forks it again.
            if (i % 3 == 0) {
                REQUIRE(mine.queue.take_back(records.back()));
                REQUIRE(mine.queue.push(records.back()));
            }
            fork_record* stolen = mine.queue.steal(wanted::any);
            REQUIRE(number_of(stolen) == oldest);
            ++oldest;
            if (records.size() > 4096) records.pop_front();
        }
        int newest = 139'999;
        while (fork_record* record = mine.queue.pop()) REQUIRE(number_of(record) == newest--);
        CHECK(newest == oldest - 1);
    }
}

TEST_CASE("fork_queue: a thief that slept while positions came round does not take what it saw before") {
    owner mine;
    numbered first(1), other(2);
    REQUIRE(mine.queue.push(first));
    std::uint64_t seen = public_word_of(mine.queue);
    REQUIRE(mine.queue.steal(wanted::any) == &first);
    for (int i = 1; i < 65536; ++i) {
        REQUIRE(mine.queue.push(other));
        REQUIRE(mine.queue.steal(wanted::any) == &other);
    }
    REQUIRE(mine.queue.push(other));
    CHECK(public_word_of(mine.queue) != seen);  // what its exchange compares
    REQUIRE(mine.queue.pop() == &other);
}

TEST_CASE("fork_queue: who wants a function does not get a coroutine") {
    owner mine;
    mine.push(kind::task);
    CHECK(mine.queue.steal(wanted::call) == nullptr);
    CHECK(number_of(mine.queue.steal(wanted::any)) == 0);
    mine.push(kind::call);
    CHECK(number_of(mine.queue.steal(wanted::call)) == 1);
    mine.push(kind::call);
    CHECK(mine.queue.pop_task() == nullptr);
    mine.push(kind::task);
    CHECK(number_of(mine.queue.pop_task()) == 3);
    CHECK(mine.queue.pop_task() == nullptr);
    CHECK(number_of(mine.queue.pop()) == 2);
    CHECK(mine.queue.empty());
}

TEST_CASE("fork_queue: with two thieves, each record is begun once, or taken back once") {
    owner mine;
    std::uint64_t taken_back = 0, popped = 0, pushed = 0, wrong = 0, stolen = 0;
    {
        thief one(mine.queue, wanted::any, 0);
        thief two(mine.queue, wanted::any, 50);
        std::uint32_t random = 1;
        std::vector<std::unique_ptr<numbered>> round;
        auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
        while (std::chrono::steady_clock::now() < until) {
            round.clear();
            random = random * 1664525u + 1013904223u;
            std::uint32_t count = 1 + (random >> 16) % ((random >> 28) == 0 ? 1000 : 12);
            for (std::uint32_t i = 0; i < count; ++i) {
                round.push_back(std::make_unique<numbered>(static_cast<int>(i)));
                if (!mine.queue.push(*round.back())) ++wrong;
                ++pushed;
            }
            // The newest first, as forks end; what is not there any more was taken.
            for (std::size_t i = round.size(); i-- != 0;) {
                if (i % 5 == 0) {
                    if (fork_record* record = mine.queue.pop()) {
                        record->begin();
                        ++popped;
                        if (record != round[i].get()) ++wrong;
                    }
                } else if (mine.queue.take_back(*round[i])) {
                    ++round[i]->begun;
                    ++taken_back;
                }
            }
            if (!mine.queue.empty()) ++wrong;
            for (const auto& each : round) {
                while (each->begun == 0) std::this_thread::yield();  // its thief is on the way; the test's time limit guards
                if (each->begun != 1) ++wrong;
            }
        }
        stolen = one.end() + two.end();
    }
    CHECK(wrong == 0);
    CHECK(pushed == taken_back + popped + stolen);
    CHECK(taken_back > 0);
    CHECK(stolen > 0);
}
