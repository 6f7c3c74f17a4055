// SPDX-License-Identifier: MIT

#include "time/wheel.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using peal::rt::wheel;
using time_point = wheel::time_point;
using nanoseconds = std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr std::int64_t tick = 1 << 14;  // ns

time_point at_ns(std::int64_t since) { return time_point(nanoseconds(since)); }
time_point at_tick(std::int64_t ticks) { return at_ns(ticks * tick); }
std::int64_t tick_after(time_point when) { return (when.time_since_epoch().count() + tick - 1) / tick; }

/// Records when it fired, and may do something then.
class probe final : public peal::detail::timer {
  public:
    probe() : timer(&probe::fired) {}
    int fires = 0;
    unsigned order = 0;          // among all that fired
    probe* disarms = nullptr;    // when it fires
    bool disarmed = false;       // whether that succeeded
    wheel* of = nullptr;

    static inline std::atomic<unsigned> fired_so_far{0};

  private:
    static void fired(timer& self) noexcept {
        auto& me = static_cast<probe&>(self);
        ++me.fires;
        me.order = ++fired_so_far;
        if (me.disarms != nullptr) me.disarmed = me.of->disarm(*me.disarms);
    }
};

}  // namespace

TEST_CASE("wheel: an empty one has nothing to do") {
    wheel timers;
    CHECK(timers.next_advance() == wheel::never);
    CHECK(timers.advance(at_ns(12345)) == 0);
    CHECK(timers.size() == 0);
}

TEST_CASE("wheel: a deadline that is not later than now is not armed") {
    wheel timers;
    probe one;
    CHECK_FALSE(timers.arm(one, at_tick(100), at_tick(100)));
    CHECK_FALSE(timers.arm(one, at_tick(100) - 1ns, at_tick(100)));
    CHECK_FALSE(timers.arm(one, time_point::min(), at_tick(100)));
    CHECK_FALSE(timers.arm(one, time_point(), at_tick(100)));
    CHECK(timers.size() == 0);
    CHECK_FALSE(timers.disarm(one));
    CHECK(timers.arm(one, at_tick(100) + 1ns, at_tick(100)));
    CHECK(timers.size() == 1);
    CHECK(timers.disarm(one));
}

TEST_CASE("wheel: fires at each edge of each level, never early, at most one tick late") {
    for (std::int64_t start : {std::int64_t{1}, std::int64_t{63}, std::int64_t{64}, std::int64_t{4095}, std::int64_t{219726563},
                               (std::int64_t{1} << 36) - 1}) {
        for (unsigned bits = 0; bits <= 42; bits += 6) {
            for (std::int64_t off : {-1, 0, 1}) {
                std::int64_t ticks = (std::int64_t{1} << bits) + off;
                if (ticks <= 0) continue;
                for (std::int64_t within : {std::int64_t{0}, std::int64_t{1}, tick - 1}) {  // where in its tick the deadline lies
                    wheel timers;
                    probe one;
                    time_point now = at_tick(start);
                    time_point deadline = now + nanoseconds(ticks * tick - within);
                    if (deadline <= now) continue;
                    REQUIRE(timers.arm(one, deadline, now));
                    int advances = 0;
                    while (one.fires == 0) {
                        time_point next = timers.next_advance();
                        REQUIRE(next != wheel::never);
                        REQUIRE(next > now);
                        REQUIRE(next <= at_tick(tick_after(deadline)));
                        CHECK(timers.advance(next - 1ns) == 0);  // nothing before that
                        now = next;
                        timers.advance(now);
                        REQUIRE(++advances <= 9);  // a move per level at most
                    }
                    REQUIRE(now >= deadline);
                    REQUIRE(now - deadline < nanoseconds(tick));
                    REQUIRE(timers.size() == 0);
                    REQUIRE(timers.next_advance() == wheel::never);
                }
            }
        }
    }
}

TEST_CASE("wheel: one late advance fires everything due, earlier deadlines first, over all levels") {
    wheel timers;
    std::vector<probe> probes(200);
    time_point now = at_tick(1000);
    for (std::size_t i = 0; i < probes.size(); ++i) {
        std::size_t position = i * 73 % probes.size();  // armed in another order than due
        REQUIRE(timers.arm(probes[position], now + nanoseconds(tick * static_cast<std::int64_t>(1 + position * position)), now));
    }
    time_point middle = now + nanoseconds(tick * 100 * 100);
    CHECK(timers.advance(middle) == 100);
    CHECK(timers.size() == 100);
    CHECK(timers.advance(now + nanoseconds(tick * 200 * 200)) == 100);
    bool in_order = true;
    for (std::size_t i = 1; i < probes.size(); ++i) in_order = in_order && probes[i - 1].order < probes[i].order;
    CHECK(in_order);
}

TEST_CASE("wheel: disarm before the fire prevents it, after the fire it says so") {
    wheel timers;
    probe one;
    probe two;
    time_point now = at_tick(1);
    REQUIRE(timers.arm(one, now + 1s, now));
    REQUIRE(timers.arm(two, now + 1s, now));
    CHECK(timers.disarm(one));
    CHECK_FALSE(timers.disarm(one));
    CHECK(timers.advance(now + 2s) == 1);
    CHECK(one.fires == 0);
    CHECK(two.fires == 1);
    CHECK_FALSE(timers.disarm(two));
    CHECK(timers.size() == 0);

    REQUIRE(timers.arm(one, now + 4s, now + 2s));  // armed again
    CHECK(timers.advance(now + 5s) == 1);
    CHECK(one.fires == 1);
}

TEST_CASE("wheel: disarm takes first, middle and last of a slot") {
    for (std::size_t removed : {0u, 1u, 2u}) {
        wheel timers;
        std::vector<probe> probes(3);
        time_point now = at_tick(5);
        for (auto& each : probes) REQUIRE(timers.arm(each, now + 1s, now));
        CHECK(timers.disarm(probes[removed]));
        CHECK(timers.size() == 2);
        CHECK(timers.advance(now + 2s) == 2);
        for (std::size_t i = 0; i < 3; ++i) CHECK(probes[i].fires == (i == removed ? 0 : 1));
    }
}

TEST_CASE("wheel: a fire may disarm another timer, be that due already or not") {
    wheel timers;
    probe first;
    probe due_too;
    probe third;
    probe later;
    time_point now = at_tick(5);
    REQUIRE(timers.arm(first, now + nanoseconds(tick), now));
    REQUIRE(timers.arm(due_too, now + nanoseconds(2 * tick), now));
    REQUIRE(timers.arm(third, now + nanoseconds(3 * tick), now));
    REQUIRE(timers.arm(later, now + 1s, now));
    first.of = &timers;
    first.disarms = &due_too;
    third.of = &timers;
    third.disarms = &later;
    CHECK(timers.advance(now + nanoseconds(3 * tick)) == 2);
    CHECK(first.disarmed);
    CHECK(due_too.fires == 0);
    CHECK(third.disarmed);
    CHECK(timers.advance(now + 2s) == 0);
    CHECK(later.fires == 0);
    CHECK(timers.size() == 0);
}

// ---- by others ----------------------------------------------------------------------------------------------------------------------

TEST_CASE("wheel: others fire what was armed in an earlier item, and keep the rest for the owner") {
    wheel timers;
    probe earlier;
    probe now_armed;
    time_point now = at_tick(5);
    REQUIRE(timers.arm(earlier, now + 1ms, now));
    timers.end_item();
    REQUIRE(timers.arm(now_armed, now + 1ms, now));
    CHECK(timers.advance_for_owner(now) == 0);
    CHECK(timers.advance_for_owner(now + 2ms) == 1);
    CHECK(earlier.fires == 1);
    CHECK(now_armed.fires == 0);
    CHECK(timers.size() == 1);
    CHECK(timers.next_advance() <= now + 2ms);  // the owner need not wait for anything
    CHECK(timers.advance_for_owner(now + 3ms) == 0);

    SECTION("the owner comes to it") { CHECK(timers.advance(now + 3ms) == 1); }
    SECTION("the owner comes to it by a clock that was read before the others'") { CHECK(timers.advance(now + 1ms) == 1); }
    SECTION("the item is over, others fire it") {
        timers.end_item();
        CHECK(timers.advance_for_owner(now + 3ms) == 1);
    }
    SECTION("more is kept in another item") {
        timers.end_item();
        probe third;
        REQUIRE(timers.arm(third, now + 5ms, now));
        CHECK(timers.advance_for_owner(now + 6ms) == 1);
        CHECK(now_armed.fires == 1);
        CHECK(third.fires == 0);
        CHECK(timers.disarm(third));
    }
    SECTION("it is disarmed") {
        CHECK(timers.disarm(now_armed));
        CHECK_FALSE(timers.disarm(now_armed));
        now_armed.fires = 1;  // for what follows
    }
    CHECK(now_armed.fires == 1);
    CHECK(timers.size() == 0);
    CHECK(timers.next_advance() == wheel::never);
}

TEST_CASE("wheel: a time that was read some milliseconds ago is good enough, and holds up nothing that is armed by a better one") {
    wheel timers;
    probe rough;
    probe exact;
    time_point now = at_tick(1000);
    timers.arm_soon(rough, now + 1s, now - 4ms);
    REQUIRE(timers.arm(exact, now + 1ms, now));
    CHECK(timers.advance(now + 1ms - 1ns) == 0);
    CHECK(timers.advance(now + 1ms + nanoseconds(tick)) == 1);
    CHECK(timers.disarm(rough));
}

TEST_CASE("wheel: others fire in order, and what is kept is fired in order") {
    wheel timers;
    std::vector<probe> probes(100);
    time_point now = at_tick(5);
    auto deadline = [now](std::size_t i) { return now + nanoseconds(tick * static_cast<std::int64_t>(1 + i)); };
    for (std::size_t i = 0; i < 100; i += 2) REQUIRE(timers.arm(probes[i], deadline(i), now));
    timers.end_item();
    for (std::size_t i = 1; i < 100; i += 2) REQUIRE(timers.arm(probes[i], deadline(i), now));
    CHECK(timers.advance_for_owner(now + 1s) == 50);
    CHECK(timers.advance(now + 1s) == 50);
    bool in_order = true;
    for (std::size_t i = 2; i < 100; ++i) in_order = in_order && probes[i - 2].order < probes[i].order;
    CHECK(in_order);
}

TEST_CASE("wheel: an owner whose clock was read before others advanced arms what is over at once, or not at all") {
    wheel timers;
    probe other;
    probe one;
    time_point now = at_tick(5);
    REQUIRE(timers.arm(other, now + 1h, now));
    CHECK(timers.advance_for_owner(now + 1s) == 0);
    CHECK_FALSE(timers.arm(one, now + 1ms, now));
    CHECK_FALSE(timers.disarm(one));
    timers.arm_soon(one, now + 1ms, now);
    CHECK(timers.advance(now + 1s) == 0);  // in the next tick
    CHECK(timers.advance(now + 1s + nanoseconds(tick)) == 1);
    timers.arm_soon(one, now - 1ms, now + 2s);
    CHECK(timers.advance(now + 2s + nanoseconds(tick)) == 1);
    timers.arm_soon(one, now + 5s, now + 3s);
    CHECK(timers.advance(now + 5s - 1ns) == 0);
    CHECK(timers.advance(now + 5s + nanoseconds(tick)) == 1);
    CHECK(timers.disarm(other));
}

TEST_CASE("wheel: deadlines years away, and the end of time") {
    wheel timers;
    probe ten_years;
    probe hundred_years;
    probe end_of_time;
    time_point now = at_ns(1'000'000'000'000);
    constexpr auto year = std::chrono::hours(24 * 365);
    REQUIRE(timers.arm(ten_years, now + 10 * year, now));
    REQUIRE(timers.arm(hundred_years, now + 100 * year, now));
    REQUIRE(timers.arm(end_of_time, time_point::max(), now));
    CHECK(timers.advance(now + 9 * year) == 0);
    CHECK(timers.advance(now + 10 * year) == 0);  // the deadline lies within this tick
    CHECK(timers.advance(now + 10 * year + nanoseconds(tick)) == 1);
    CHECK(timers.advance(now + 99 * year) == 0);
    CHECK(timers.advance(now + 101 * year) == 1);
    CHECK(hundred_years.fires == 1);
    CHECK(timers.advance(now + 200 * year) == 0);
    CHECK(timers.disarm(end_of_time));
    CHECK(timers.next_advance() == wheel::never);
}

TEST_CASE("wheel: a clock that does not move fires nothing and loses nothing") {
    wheel timers;
    probe one;
    time_point now = at_ns(999'999'999);
    REQUIRE(timers.arm(one, now + 1ms, now));
    for (int i = 0; i < 1000; ++i) CHECK(timers.advance(now) == 0);
    probe two;
    REQUIRE(timers.arm(two, now + 1ms, now));
    CHECK(timers.advance(now + 2ms) == 2);
}

TEST_CASE("wheel: stays right when it was idle for long, and when armed long after the last advance") {
    wheel timers;
    probe one;
    time_point now = at_tick(10);
    REQUIRE(timers.arm(one, now + 1ms, now));
    CHECK(timers.advance(now + 1h) == 1);
    now += std::chrono::hours(1000);  // nothing was armed meanwhile
    REQUIRE(timers.arm(one, now + 1ms, now));
    CHECK(timers.next_advance() <= now + 1ms + nanoseconds(tick));
    now += 1h;  // no advance meanwhile, and `one` is overdue
    probe two;
    REQUIRE(timers.arm(two, now + 1ms, now));
    CHECK(timers.advance(now) == 1);
    CHECK(timers.advance(now + 2ms) == 1);
}

// ---- against a model --------------------------------------------------------------------------------------------------------------

namespace {

class model_run {
  public:
    explicit model_run(std::uint64_t seed) : random_(seed), now_(at_ns(static_cast<std::int64_t>(draw(std::uint64_t{1} << 50)))) {}

    void step() {
        switch (draw(14)) {
            case 0: case 1: case 2: case 3: return arm();
            case 4: case 5: return disarm();
            case 6: case 7: return advance_to(now_ + nanoseconds(span(30)));
            case 8: {
                time_point next = timers_.next_advance();
                return advance_to(next == wheel::never ? now_ : next);
            }
            case 9: return timers_.end_item();
            case 10: case 11: return others_advance_to(now_ + nanoseconds(span(30)));
            case 12: {
                time_point next = timers_.next_advance();
                return others_advance_to(next == wheel::never ? now_ : next);
            }
            default: return advance_to(now_);
        }
    }
    void finish() {
        while (!armed_.empty()) advance_to(timers_.next_advance());
        REQUIRE(timers_.next_advance() == wheel::never);
    }

  private:
    std::uint64_t draw(std::uint64_t bound) { return random_() % bound; }
    /// Any order of magnitude up to 2^bits ns.
    std::int64_t span(unsigned bits) { return static_cast<std::int64_t>(random_() >> (64 - 1 - draw(bits))); }

    void arm() {
        auto made = std::make_unique<probe>();
        time_point deadline = now_ + nanoseconds(span(56) / 2);
        if (timers_.arm(*made, deadline, now_)) {
            REQUIRE(deadline > now_);
            armed_.emplace(deadline, std::move(made));
        } else {
            REQUIRE(deadline <= now_);
        }
        check();
    }
    void disarm() {
        if (armed_.empty()) return;
        auto chosen = std::next(armed_.begin(), static_cast<std::ptrdiff_t>(draw(armed_.size())));
        REQUIRE(timers_.disarm(*chosen->second));
        armed_.erase(chosen);
        check();
    }
    bool is_due(time_point deadline) const { return at_tick(tick_after(deadline)) <= now_; }
    void advance_to(time_point when) {
        now_ = std::max(now_, when);
        std::size_t fired = timers_.advance(now_);
        std::size_t expected = 0;
        while (!armed_.empty() && is_due(armed_.begin()->first)) {
            REQUIRE(armed_.begin()->second->fires == 1);
            armed_.erase(armed_.begin());
            ++expected;
        }
        REQUIRE(fired == expected);
        check();
    }
    void others_advance_to(time_point when) {
        now_ = std::max(now_, when);
        std::size_t fired = timers_.advance_for_owner(now_);
        std::size_t expected = 0;
        for (auto each = armed_.begin(); each != armed_.end() && is_due(each->first);) {
            const bool is_owners = each->second->item == static_cast<std::uint32_t>(timers_.item());
            REQUIRE(each->second->fires == (is_owners ? 0 : 1));
            if (is_owners) {
                ++each;
            } else {
                each = armed_.erase(each);
                ++expected;
            }
        }
        REQUIRE(fired == expected);
        check();
    }
    void check() {
        REQUIRE(timers_.size() == armed_.size());
        for (auto& [deadline, each] : armed_) REQUIRE(each->fires == 0);
        time_point next = timers_.next_advance();
        if (armed_.empty()) {
            REQUIRE(next == wheel::never);
        } else {
            REQUIRE((next > at_tick(now_.time_since_epoch().count() / tick)) == !is_due(armed_.begin()->first));
            REQUIRE(next <= std::max(now_, at_tick(tick_after(armed_.begin()->first))));
        }
    }

    std::mt19937_64 random_;
    wheel timers_;
    time_point now_;
    std::multimap<time_point, std::unique_ptr<probe>> armed_;
};

}  // namespace

TEST_CASE("wheel: does what a sorted map does, for random armings, disarmings and clocks") {
    std::uint64_t seed = std::random_device()();
    CAPTURE(seed);
    model_run run(seed);
    for (int i = 0; i < 3000; ++i) run.step();
    run.finish();
}

TEST_CASE("wheel: one disarms, others advance, while the owner arms and advances: each timer fires or was disarmed, never both, and none too soon") {
    wheel timers;
    constexpr std::size_t count = 20'000;
    std::vector<probe> probes(count);
    std::vector<char> disarmed(count, 0);
    std::atomic<std::size_t> armed{0};
    std::atomic<std::int64_t> clock{tick};
    std::atomic<bool> over{false};
    std::thread disarmer([&] {
        for (std::size_t i = 0; i < count; i += 3) {
            while (armed.load() <= i) std::this_thread::yield();
            disarmed[i] = timers.disarm(probes[i]);
        }
    });
    std::vector<std::thread> others;
    std::atomic<std::size_t> fired{0};
    for (int i = 0; i < 2; ++i) {
        others.emplace_back([&] {
            while (!over.load()) {
                const std::int64_t now = clock.load();
                fired += timers.advance_for_owner(at_ns(now));
                std::this_thread::yield();
            }
        });
    }
    std::size_t too_soon = 0;
    for (std::size_t i = 0; i < count; ++i) {
        timers.end_item();
        time_point now = at_ns(clock.load());
        timers.arm_soon(probes[i], now + nanoseconds(tick * static_cast<std::int64_t>(i % 7)), now);
        armed = i + 1;
        clock += 3 * tick;
        if (i % 64 == 0) std::this_thread::yield();  // to be fired now would be within this item
        if (probes[i].fires != 0) ++too_soon;
        if (i % 5 == 0) fired += timers.advance(at_ns(clock.load()));
    }
    disarmer.join();
    over = true;
    for (auto& other : others) other.join();
    clock += 100 * tick;
    fired += timers.advance(at_ns(clock.load()));
    std::size_t wrong = 0;
    std::size_t stopped = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (probes[i].fires + disarmed[i] != 1) ++wrong;
        if (disarmed[i]) ++stopped;
    }
    CHECK(wrong == 0);
    CHECK(too_soon == 0);
    CHECK(fired + stopped == count);
    CHECK(timers.size() == 0);
}

TEST_CASE("wheel: disarm by another thread against the owner's advance: each timer fires or was disarmed, never both") {
    wheel timers;
    std::vector<probe> probes(20'000);
    time_point now = at_tick(1);
    for (std::size_t i = 0; i < probes.size(); ++i) {
        REQUIRE(timers.arm(probes[i], now + nanoseconds(tick * static_cast<std::int64_t>(1 + i)), now));
    }
    std::vector<char> disarmed(probes.size(), 0);
    std::thread other([&] {
        for (std::size_t i = probes.size(); i-- > 0;) disarmed[i] = timers.disarm(probes[i]);
    });
    std::size_t fired = 0;
    while (timers.size() != 0) {
        now += nanoseconds(8 * tick);
        fired += timers.advance(now);
    }
    other.join();
    std::size_t wrong = 0;
    std::size_t stopped = 0;
    for (std::size_t i = 0; i < probes.size(); ++i) {
        if (probes[i].fires + disarmed[i] != 1) ++wrong;
        if (disarmed[i]) ++stopped;
    }
    CHECK(wrong == 0);
    CHECK(fired + stopped == probes.size());
}
