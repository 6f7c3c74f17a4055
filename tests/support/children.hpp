// SPDX-License-Identifier: MIT
#pragma once

// children: parts of a combination with chosen behavior, and a record of how they ended. For tests on one thread (a simulation).

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/time/sleep.hpp>

#include "awaitables.hpp"
#include "tracked.hpp"

namespace support {

enum class child {
    ready,           // gives its value without having suspended
    later,           // gives its value after its time; canceled if it is asked to stop
    throws,          // at once
    throws_later,    // after its time; canceled if it is asked to stop
    canceled,        // ends as canceled at once
    not_cancelable,  // gives its value after its time, whoever asks
};
constexpr child every_child[] = {child::ready,        child::later,    child::throws,
                                 child::throws_later, child::canceled, child::not_cancelable};

/// How many ended, and how many of these were stopped by somebody else.
class child_log {
  public:
    int ended = 0;
    int stopped = 0;
};

/// Suspends for `time` and takes no notice of a request to stop.
inline peal::task<> sleep_regardless(std::chrono::nanoseconds time) {
    struct opener {
        static peal::task<> run(gate& opened, std::chrono::nanoseconds time) {
            co_await peal::sleep_for(time);
            opened.open();
        }
    };
    gate opened;
    peal::spawn(opener::run, std::ref(opened), time).detach();
    co_await opened;
}

/// Gives `number`, or fails by it.
inline peal::task<tracked> behave(child kind, int number, std::chrono::nanoseconds time, child_log& log) {
    struct ending {
        explicit ending(child_log& log) : log(log) {}
        ~ending() { ++log.ended; }
        child_log& log;
    };
    ending guard(log);
    switch (kind) {
        case child::ready: break;
        case child::later:
        case child::throws_later:
            try {
                co_await peal::sleep_for(time);
            } catch (const std::system_error&) {
                ++log.stopped;
                throw;
            }
            if (kind == child::throws_later) throw std::runtime_error(std::to_string(number));
            break;
        case child::throws: throw std::runtime_error(std::to_string(number));
        case child::canceled:
            throw std::system_error(std::make_error_code(std::errc::operation_canceled), std::to_string(number));
        case child::not_cancelable: co_await sleep_regardless(time); break;
    }
    tracked value(number);
    co_return std::move(value);
}

/// The children of one await: what they are, and when their time is.
class family {
  public:
    std::vector<child> kinds;

    std::size_t size() const { return kinds.size(); }
    /// All different, not in the order of the children.
    static std::chrono::milliseconds time_of(std::size_t index) { return std::chrono::milliseconds(index * 7 % 5 + 1); }
    static bool has_time(child kind) {
        return kind == child::later || kind == child::throws_later || kind == child::not_cancelable;
    }
    /// When this child ends if nobody stops it.
    std::chrono::milliseconds end_of(std::size_t index) const {
        return has_time(kinds[index]) ? time_of(index) : std::chrono::milliseconds(0);
    }
    bool gives_value(std::size_t index) const {
        return kinds[index] == child::ready || kinds[index] == child::later || kinds[index] == child::not_cancelable;
    }
    /// What its exception says.
    std::string failure(std::size_t index) const {
        std::string number = std::to_string(index);
        return kinds[index] == child::canceled ? number + ": " + std::make_error_code(std::errc::operation_canceled).message()
                                               : number;
    }
    /// The first to end of those for which `fits(index)` holds; size() if there is none.
    template <class Fits>
    std::size_t first(Fits fits) const {
        std::size_t found = size();
        for (std::size_t i = 0; i < size(); ++i) {
            if (fits(i) && (found == size() || end_of(i) < end_of(found))) found = i;
        }
        return found;
    }
    /// When the last has ended, if the others are asked to stop at `stopped`.
    std::chrono::milliseconds last_end(std::chrono::milliseconds stopped) const {
        std::chrono::milliseconds last = stopped;
        for (std::size_t i = 0; i < size(); ++i) {
            if (kinds[i] == child::not_cancelable) last = std::max(last, end_of(i));
        }
        return last;
    }
    std::chrono::milliseconds last_end() const {
        std::chrono::milliseconds last(0);
        for (std::size_t i = 0; i < size(); ++i) last = std::max(last, end_of(i));
        return last;
    }
    std::vector<peal::task<tracked>> start(child_log& log) const {
        std::vector<peal::task<tracked>> tasks;
        for (std::size_t i = 0; i < size(); ++i) tasks.push_back(behave(kinds[i], static_cast<int>(i), time_of(i), log));
        return tasks;
    }
    std::string text() const {
        static const char* const names[] = {"ready", "later", "throws", "throws_later", "canceled", "not_cancelable"};
        std::string all;
        for (child each : kinds) all += std::string(all.empty() ? "" : ", ") + names[static_cast<int>(each)];
        return all;
    }
};

/// Every family of `size` children.
inline std::vector<family> every_family(std::size_t size) {
    std::vector<family> families(1);
    for (std::size_t i = 0; i < size; ++i) {
        std::vector<family> larger;
        for (const family& each : families) {
            for (child kind : every_child) {
                larger.push_back(each);
                larger.back().kinds.push_back(kind);
            }
        }
        families = std::move(larger);
    }
    return families;
}

/// How an await of a family ended.
class family_end {
  public:
    std::string text;  // the values, or what the exception says
    std::chrono::milliseconds took{0};
    bool operator==(const family_end&) const = default;
};

/// Runs `await(tasks)`, a coroutine that gives the text of how it ended, and checks that all children had ended before it went on.
using await_of_family = peal::task<std::string> (*)(std::vector<peal::task<tracked>>);
inline peal::task<family_end> observe(const family& children, await_of_family await, bool& all_ended) {
    child_log log;
    auto begun = peal::clock::now();
    family_end end;
    std::vector<peal::task<tracked>> tasks = children.start(log);
    peal::task<std::string> awaiting = await(std::move(tasks));
    end.text = co_await std::move(awaiting);
    end.took = std::chrono::floor<std::chrono::milliseconds>(peal::clock::now() - begun);
    all_ended = log.ended == static_cast<int>(children.size());
    co_return end;
}

/// Awaits every family of 1 to 3 children by each of `forms`, in simulations of 1 and 4 workers. Gives what was not as expected.
template <class Expected>
std::string judge_families(std::vector<await_of_family> forms, Expected expected) {
    std::string complaints;
    std::uint64_t seed = 0;
    for (std::size_t size = 1; size <= 3; ++size) {
        for (const family& each : every_family(size)) {
            for (std::size_t form = 0; form < forms.size(); ++form) {
                for (unsigned workers : {1u, 4u}) {
                    peal::simulation sim(++seed, workers);
                    bool all_ended = false;
                    family_end end = sim.pool().run(observe, std::cref(each), forms[form], std::ref(all_ended));
                    family_end wanted = expected(each);
                    if (all_ended && end == wanted && tracked::clean()) continue;
                    complaints += each.text() + " (form " + std::to_string(form) + ", seed " + std::to_string(seed) + "): " +
                                  end.text + " after " + std::to_string(end.took.count()) + " ms, expected " + wanted.text +
                                  " after " + std::to_string(wanted.took.count()) + (all_ended ? "" : "; a child was not awaited") +
                                  (tracked::clean() ? "" : "; a value was lost") + '\n';
                }
            }
        }
    }
    return complaints;
}

}  // namespace support
