// SPDX-License-Identifier: MIT

#include <peal/task/task.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <peal/task/sync_wait.hpp>

#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using support::tracked;

peal::task<int> ready(int value) { co_return value; }

peal::task<long> sum_of(int count) {
    long sum = 0;
    for (int i = 0; i < count; ++i) sum += co_await ready(i & 1);
    co_return sum;
}

peal::task<int> depth(int levels) {
    if (levels == 0) co_return 0;
    co_return 1 + co_await depth(levels - 1);
}

peal::task<int> failing_depth(int levels) {
    if (levels == 0) throw std::domain_error("at the bottom");
    co_return 1 + co_await failing_depth(levels - 1);
}

}  // namespace

TEST_CASE("task: ten million awaits of a ready task run in constant stack (P8)") {
    REQUIRE(peal::sync_wait(sum_of(10'000'000)) == 5'000'000);
}

TEST_CASE("task: a chain of a million frames starts and ends in constant stack (P8)") {
    REQUIRE(peal::sync_wait(depth(1'000'000)) == 1'000'000);
}

TEST_CASE("task: an exception leaves a chain of ten thousand frames in constant stack, its type kept (P8)") {
    REQUIRE_THROWS_AS(peal::sync_wait(failing_depth(10'000)), std::domain_error);
}

// ---- what a task may give ---------------------------------------------------------------------------------------------------

namespace {

class no_default {
  public:
    explicit no_default(int value) : value(value) {}
    int value;
};

peal::task<> nothing(int& calls) {
    ++calls;
    co_return;
}
peal::task<std::unique_ptr<int>> move_only() { co_return std::make_unique<int>(7); }
peal::task<no_default> without_default() { co_return no_default(8); }
peal::task<int&> same(int& object) { co_return object; }
peal::task<const std::string&> same_text(const std::string& text) { co_return text; }
peal::task<std::unique_ptr<int>&&> same_moved(std::unique_ptr<int>& object) { co_return std::move(object); }
peal::task<std::string> converted() { co_return "a literal"; }
peal::task<std::vector<int>> empty_by_braces() { co_return {}; }

template <class T>
peal::task<T> through(peal::task<T> inner) {
    co_return co_await std::move(inner);
}

}  // namespace

TEST_CASE("task: gives nothing, a move-only value, a value without default constructor, a converted value") {
    int calls = 0;
    peal::sync_wait(through(nothing(calls)));
    CHECK(calls == 1);
    CHECK(*peal::sync_wait(through(move_only())) == 7);
    CHECK(peal::sync_wait(through(without_default())).value == 8);
    CHECK(peal::sync_wait(through(converted())) == "a literal");
    CHECK(peal::sync_wait(empty_by_braces()).empty());
}

TEST_CASE("task: gives references to the very object") {
    int object = 1;
    CHECK(&peal::sync_wait(through(same(object))) == &object);

    const std::string text = "kept";
    CHECK(&peal::sync_wait(through(same_text(text))) == &text);

    auto owned = std::make_unique<int>(3);
    std::unique_ptr<int> taken = peal::sync_wait(through(same_moved(owned)));
    CHECK(*taken == 3);
    CHECK(owned == nullptr);
}

namespace {

/// Throws on the given move.
class explosive {
  public:
    explicit explosive(int& moves_left) : moves_left_(&moves_left) {}
    explosive(explosive&& other) : moves_left_(other.moves_left_), alive_(other.alive_.value()) {
        if (--*moves_left_ == 0) throw std::length_error("moved once too often");
    }

  private:
    int* moves_left_;
    tracked alive_;
};

peal::task<explosive> gives_explosive(int& moves_left) { co_return explosive(moves_left); }

peal::task<> takes_explosive(int& moves_left, bool& thrown) {
    try {
        explosive got = co_await gives_explosive(moves_left);
    } catch (const std::length_error&) {
        thrown = true;
    }
}

}  // namespace

TEST_CASE("task: a move constructor that throws, into the promise or out of it, is the awaiter's exception and leaks nothing") {
    for (int fatal_move : {1, 2}) {
        int moves_left = fatal_move;
        bool thrown = false;
        peal::sync_wait(takes_explosive(moves_left, thrown));
        CHECK(thrown);
        CHECK(tracked::clean());
    }
    int moves_left = 3;
    bool thrown = false;
    peal::sync_wait(takes_explosive(moves_left, thrown));
    CHECK_FALSE(thrown);
    CHECK(tracked::clean());
}

// ---- exceptions -----------------------------------------------------------------------------------------------------------------

namespace {

peal::task<int> fails() {
    throw std::runtime_error("as told");
    co_return 0;
}

peal::task<std::string> catches(int& after) {
    std::string text;
    try {
        co_await fails();
        text = "not thrown";
    } catch (const std::runtime_error& failure) {
        text = failure.what();
    }
    after = co_await ready(5);  // the catcher goes on as if nothing had happened
    co_return text;
}

}  // namespace

TEST_CASE("task: an exception passes to whoever awaits, who may go on") {
    int after = 0;
    CHECK(peal::sync_wait(catches(after)) == "as told");
    CHECK(after == 5);
    CHECK_THROWS_AS(peal::sync_wait(through(through(fails()))), std::runtime_error);
}

// ---- laziness and lifetime ----------------------------------------------------------------------------------------------------

namespace {

peal::task<int> uses(tracked argument, bool& ran) {
    ran = true;
    co_return argument.value();
}

peal::task<> looks_between(bool& ran, bool& ran_before_await) {
    peal::task<int> made = uses(tracked(1), ran);
    ran_before_await = ran;
    static_cast<void>(co_await std::move(made));
}

peal::task<> argument_is_gone_after_await(bool& gone) {
    bool ran = false;
    peal::task<int> made = uses(tracked(1), ran);
    static_cast<void>(co_await std::move(made));
    gone = tracked::alive() == 0;
}

}  // namespace

TEST_CASE("task: nothing runs until it is awaited") {
    bool ran = false;
    bool ran_before_await = true;
    peal::sync_wait(looks_between(ran, ran_before_await));
    CHECK(ran);
    CHECK_FALSE(ran_before_await);
}

TEST_CASE("task: one that is dropped without an await destroys its arguments, frees its frame and runs nothing") {
    std::int64_t frames = peal::detail::live_frames();
    bool ran = false;
    {
        peal::task<int> dropped = uses(tracked(1), ran);
        CHECK(tracked::alive() == 1);
    }
    CHECK_FALSE(ran);
    CHECK(tracked::clean());
    CHECK(peal::detail::live_frames() == frames);
}

TEST_CASE("task: its frame and arguments are gone when the await has ended") {
    std::int64_t frames = peal::detail::live_frames();
    bool gone = false;
    peal::sync_wait(argument_is_gone_after_await(gone));
    CHECK(gone);
    CHECK(peal::detail::live_frames() == frames);
}

TEST_CASE("task: assigning over one that was not awaited destroys it") {
    bool ran = false;
    peal::task<int> held = uses(tracked(1), ran);
    held = uses(tracked(2), ran);
    CHECK(tracked::alive() == 1);
    CHECK(peal::sync_wait(std::move(held)) == 2);
    CHECK(tracked::clean());
}

TEST_CASE("task: a parameter that throws when it is copied leaves no frame behind") {
    class refuses_copy {
      public:
        refuses_copy() = default;
        refuses_copy(const refuses_copy&) { throw std::bad_alloc(); }
    };
    struct body {
        static peal::task<> run(refuses_copy) { co_return; }
    };
    std::int64_t frames = peal::detail::live_frames();
    refuses_copy argument;
    CHECK_THROWS_AS(body::run(argument), std::bad_alloc);
    CHECK(peal::detail::live_frames() == frames);
}
