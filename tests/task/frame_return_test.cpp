// SPDX-License-Identifier: MIT

// Memory of frames goes back to the system after a burst: what is found, what is left alone, and that a search that is told to stop at any
// moment has changed nothing.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <unordered_set>
#include <vector>

#include <peal/detail/frame_memory.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"

namespace {

using namespace std::chrono_literals;
using namespace peal::detail;

constexpr std::size_t many = 20'000;      // of 400 bytes: 128 chunks
constexpr std::size_t frame_bytes = 400;

std::vector<void*> allocate_many() {
    std::vector<void*> all(many);
    for (void*& each : all) each = allocate_frame(frame_bytes);
    return all;
}
void free_many(std::vector<void*>& all) {
    for (void* each : all) free_frame(each, frame_bytes);
    all.clear();
}

std::size_t return_all() {
    return return_spare_frames([](void*) { return true; }, nullptr);
}

/// Runs `function` on a thread that then stays until this ends.
class resting_thread {
  public:
    template <class Function>
    explicit resting_thread(Function function)
        : thread_([this, function] {
              function();
              ready_ = true;
              while (!ended_) std::this_thread::sleep_for(1ms);
          }) {
        while (!ready_) std::this_thread::sleep_for(1ms);
    }
    resting_thread(const resting_thread&) = delete;
    resting_thread& operator=(const resting_thread&) = delete;
    ~resting_thread() {
        ended_ = true;
        thread_.join();
    }

  private:
    std::atomic<bool> ready_{false};
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

constexpr std::int64_t burst_bytes = static_cast<std::int64_t>(many * 416);
constexpr std::int64_t slack = 3 << 20;  // what is always kept, and chunks in use

}  // namespace

TEST_CASE("frame_return: what this thread has freed goes back, and is made anew when it is needed") {
    static_cast<void>(return_all());
    std::int64_t before = frame_bytes_held();
    for (int round = 0; round < 3; ++round) {
        auto all = allocate_many();
        CHECK(frame_bytes_held() >= burst_bytes);
        CHECK(return_all() == 0);  // all of it is in use
        free_many(all);
        CHECK(has_spare_frames());
        CHECK(return_all() > static_cast<std::size_t>(burst_bytes - slack));
        CHECK(frame_bytes_held() < before + slack);
        CHECK_FALSE(has_spare_frames());
        CHECK(return_all() == 0);
    }
}

TEST_CASE("frame_return: a chunk with one frame in it stays, with all that this frame holds") {
    auto all = allocate_many();
    std::vector<void*> kept;
    std::unordered_set<frame_chunk*> chunks;
    std::vector<void*> freed;
    for (void* each : all) {
        bool is_first = chunks.insert(&chunk_of(each)).second;
        (is_first ? kept : freed).push_back(each);
    }
    for (void* each : kept) *static_cast<long*>(each) = 42;
    free_many(freed);
    std::int64_t held = frame_bytes_held();
    CHECK(return_all() < static_cast<std::size_t>(slack));  // others of earlier tests, at most
    CHECK(frame_bytes_held() > held - slack);
    CHECK_FALSE(has_spare_frames());  // it was looked for, and is not there
    bool intact = true;
    for (void* each : kept) intact = intact && *static_cast<long*>(each) == 42;
    CHECK(intact);
    free_many(kept);
    CHECK(return_all() > static_cast<std::size_t>(burst_bytes - slack));
}

TEST_CASE("frame_return: told to stop at any moment, every block is there once") {
    static_cast<void>(return_all());
    for (bool elsewhere : {false, true}) {
        for (int questions = 0; questions < 2'000; questions = questions * 3 / 2 + 1) {
            auto all = allocate_many();
            std::unordered_set<void*> distinct(all.begin(), all.end());
            std::uint64_t from_system = frame_system_allocations();
            if (elsewhere) {
                std::thread(free_many, std::ref(all)).join();
            } else {
                free_many(all);
            }
            int left = questions;
            std::size_t returned = return_spare_frames([](void* context) { return (*static_cast<int*>(context))-- > 0; }, &left);
            auto again = allocate_many();
            std::unordered_set<void*> distinct_again(again.begin(), again.end());
            CHECK(distinct_again.size() == many);
            // What did not go back is used before anything new is made.
            CHECK(frame_system_allocations() - from_system <= returned / frame_chunk::bytes + 1);
            free_many(again);
            static_cast<void>(return_all());
        }
    }
}

TEST_CASE("frame_return: of a thread that rests, what others have freed for it; of one that has ended, everything") {
    static_cast<void>(return_all());
    std::int64_t before = frame_bytes_held();
    std::vector<void*> all;
    {
        resting_thread owner([&all] { all = allocate_many(); });
        CHECK(frame_bytes_held() > before + burst_bytes - slack);
        free_many(all);
        CHECK(has_spare_frames());
        CHECK(return_all() > static_cast<std::size_t>(burst_bytes - slack));
    }
    CHECK(frame_bytes_held() < before + slack);

    std::thread([&all] {
        all = allocate_many();
        free_many(all);
    }).join();
    CHECK(frame_bytes_held() > before + burst_bytes - slack);
    CHECK(return_all() > static_cast<std::size_t>(burst_bytes - slack));
    CHECK(frame_bytes_held() < before + slack);
}

TEST_CASE("frame_return: while owner and others allocate and free") {
    std::atomic<bool> ended{false};
    std::atomic<std::vector<void*>*> handed{nullptr};
    std::thread owner([&] {
        while (!ended) {
            auto* some = new std::vector<void*>(allocate_many());
            for (void* each : *some) *static_cast<void**>(each) = some;
            while (handed.load() != nullptr && !ended) std::this_thread::yield();
            if (ended) {
                free_many(*some);
                delete some;
            } else {
                handed = some;
            }
        }
    });
    bool intact = true;
    std::size_t returned = 0;
    for (int round = 0; round < (support::is_sanitized ? 20 : 100); ++round) {
        std::vector<void*>* some = nullptr;
        while ((some = handed.load()) == nullptr) std::this_thread::yield();
        for (void* each : *some) intact = intact && *static_cast<void**>(each) == some;
        free_many(*some);
        delete some;
        handed = nullptr;
        returned += return_all();
    }
    ended = true;
    owner.join();
    if (std::vector<void*>* last = handed.load()) {
        free_many(*last);
        delete last;
    }
    CHECK(intact);
    static_cast<void>(returned);  // may be nothing: the owner always has half of the peak in use
    static_cast<void>(return_all());
}

TEST_CASE("frame_return: an idle pool gives back what a burst of tasks has left, and then sleeps") {
    constexpr int tasks = support::is_sanitized ? 50'000 : 1'000'000;
    for (bool from_outside : {true, false}) {
        peal::event all_there;
        auto waits = [](peal::event& until) -> peal::task<> { co_await until.wait(); };
        peal::pool pool{peal::pool_options(2)};  // ends before what its tasks use
        auto burst = [&]() -> peal::task<> {
            peal::scope children;
            for (int i = 0; i < tasks; ++i) children.spawn(waits, std::ref(all_there));
            all_there.set();
            co_await children.join();
        };
        if (from_outside) {
            for (int i = 0; i < tasks; ++i) pool.spawn(waits, std::ref(all_there)).detach();
            all_there.set();
            while (pool.counts().live != 0) std::this_thread::sleep_for(1ms);
        } else {
            pool.run(std::ref(burst));
        }
        CHECK(frame_bytes_held() > tasks * 200l);
        CHECK(support::busy_until([] {
            std::this_thread::sleep_for(10ms);
            return frame_bytes_held() < (8 << 20);
        }));
    }
}

TEST_CASE("frame_return: a pool that is never idle for long gives back, too") {
    constexpr int tasks = support::is_sanitized ? 50'000 : 200'000;
    peal::event all_there;
    std::atomic<bool> ended{false};
    auto trickles = [&]() -> peal::task<> {
        while (!ended) co_await peal::sleep_for(5ms);
    };
    auto waits = [](peal::event& until) -> peal::task<> { co_await until.wait(); };
    peal::pool pool{peal::pool_options(2)};  // ends before what its tasks use
    pool.spawn(std::ref(trickles)).detach();
    for (int i = 0; i < tasks; ++i) pool.spawn(waits, std::ref(all_there)).detach();
    all_there.set();
    CHECK(support::busy_until([] {
        std::this_thread::sleep_for(10ms);
        return frame_bytes_held() < (8 << 20);
    }));
    ended = true;
}
