// SPDX-License-Identifier: MIT

#include "machine.hpp"

#include <algorithm>
#include <bitset>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <queue>
#include <unordered_map>
#include <utility>

#include <peal/detail/frame_memory.hpp>
#include <peal/detail/this_thread.hpp>

#include "model/fiber.hpp"

namespace machine {

namespace {

constexpr unsigned most_threads = 600;
constexpr nanoseconds lead = 100;  // so far a thread may be ahead of the others before they go on: hits alone switch seldom

struct line {
    std::bitset<most_threads> owners;  // cores that have it
    nanoseconds free_at = 0;
};

struct simulated_thread {
    model::fiber fiber;
    std::function<void()> function;
    nanoseconds clock = 0;
    nanoseconds wakes_at = -1;         // not negative: sleeps until then at the latest
    bool was_woken = false;
    bool has_ended = false;
    std::uint64_t turn = 0;            // of its newest entry in `ready`: older ones do not count
    // What the library keeps per thread.
    peal::detail::thread_state state{};
    peal::detail::frame_lists* frames = nullptr;
};

struct entry {
    nanoseconds when;
    unsigned thread;
    std::uint64_t turn;
    bool operator>(const entry& other) const { return when != other.when ? when > other.when : turn > other.turn; }
};

std::vector<std::unique_ptr<simulated_thread>> threads;
std::priority_queue<entry, std::vector<entry>, std::greater<>> ready;
std::unordered_map<std::uintptr_t, line> lines;
std::unordered_map<std::uint64_t, std::uint64_t> by_place;  // a hash of the file's address and the line
std::unordered_map<std::uint64_t, std::string> names;
std::uint64_t all_transfers = 0;
std::uint64_t turns = 0;
unsigned current = 0;
bool running = false;
model::fiber outside;

simulated_thread& self() { return *threads[current]; }

void line_up(unsigned thread, nanoseconds when) {
    threads[thread]->turn = ++turns;
    ready.push({when, thread, turns});
}

void go_on_with(unsigned next) {
    if (next == current) return;
    simulated_thread& from = self();
    from.state = peal::detail::this_thread;
    from.frames = peal::detail::this_frames;
    current = next;
    peal::detail::this_thread = self().state;
    peal::detail::this_frames = self().frames;
    from.fiber.switch_to(self().fiber);
}

/// Takes the next one off the list.
unsigned take_next() {
    for (;;) {
        if (ready.empty()) {
            std::fprintf(stderr, "scaling: nobody can go on\n");
            std::abort();
        }
        entry next = ready.top();
        ready.pop();
        simulated_thread& thread = *threads[next.thread];
        if (thread.turn != next.turn || thread.has_ended) continue;
        thread.clock = std::max(thread.clock, next.when);
        return next.thread;
    }
}

void yield_if_ahead(nanoseconds allowed) {
    while (!ready.empty() && (threads[ready.top().thread]->turn != ready.top().turn)) ready.pop();
    if (ready.empty() || self().clock < ready.top().when + allowed) return;
    line_up(current, self().clock);
    go_on_with(take_next());
}

void thread_main() noexcept {
    self().function();
    self().has_ended = true;
    bool all = std::all_of(threads.begin(), threads.end(), [](const auto& each) { return each->has_ended; });
    if (all) {
        simulated_thread& last = self();
        last.fiber.switch_to(outside);
    }
    go_on_with(take_next());
}

}  // namespace

bool is_running() noexcept { return running; }

void run(const std::function<void()>& body) {
    running = true;
    begin_thread(body);
    current = take_next();
    peal::detail::thread_state state = std::exchange(peal::detail::this_thread, {});
    peal::detail::frame_lists* frames = std::exchange(peal::detail::this_frames, nullptr);
    outside.switch_to(self().fiber);
    running = false;
    peal::detail::this_thread = state;
    peal::detail::this_frames = frames;
    threads.clear();
    lines.clear();
    ready = {};
}

void begin_thread(std::function<void()> function) {
    if (threads.size() == most_threads) std::abort();
    auto made = std::make_unique<simulated_thread>();
    made->function = std::move(function);
    made->clock = threads.empty() ? 0 : self().clock;
    made->fiber.start(&thread_main);
    threads.push_back(std::move(made));
    line_up(static_cast<unsigned>(threads.size() - 1), threads.back()->clock);
}

void compute(nanoseconds length) {
    if (!running) return;
    self().clock += length;
    yield_if_ahead(lead);
}

nanoseconds now() noexcept { return running ? self().clock : 0; }

void look_again() {
    if (running) yield_if_ahead(0);
}

void touch(const void* address, bool writes, const place& where) {
    if (!running) return;
    line& touched = lines[reinterpret_cast<std::uintptr_t>(address) / 64];
    bool is_here = touched.owners.test(current);
    bool is_alone = is_here && touched.owners.count() == 1;
    if (writes ? is_alone : is_here) {
        self().clock += hit;
        yield_if_ahead(lead);
        return;
    }
    bool is_new = touched.owners.none();
    if (!is_new) {
        // One after the other: the next one gets it when this one has it.
        nanoseconds begin = std::max(self().clock, touched.free_at);
        self().clock = begin + transfer;
        touched.free_at = self().clock;
        ++all_transfers;
        auto key = std::hash<const void*>()(where.file_name()) * 31 + where.line();
        ++by_place[key];
        if (names.find(key) == names.end()) {
            std::string file = where.file_name();
            names[key] = file.substr(file.rfind('/') + 1) + ':' + std::to_string(where.line());
        }
    }
    if (writes) touched.owners.reset();
    touched.owners.set(current);
    yield_if_ahead(0);
}

void reset() noexcept {
    all_transfers = 0;
    by_place.clear();
}
std::uint64_t transfers() noexcept { return all_transfers; }

std::vector<count> transfers_by_place() {
    std::unordered_map<std::string, std::uint64_t> sums;  // one header is seen under one name for each source that includes it
    for (auto& [key, times] : by_place) sums[names[key]] += times;
    std::vector<count> all;
    for (auto& [name, times] : sums) all.push_back({name, times});
    std::sort(all.begin(), all.end(), [](const count& a, const count& b) {
        return a.transfers != b.transfers ? a.transfers > b.transfers : a.place < b.place;
    });
    return all;
}

bool waiting_line::wait(nanoseconds deadline) {
    simulated_thread& me = self();
    threads_.push_back(current);
    me.was_woken = false;
    me.turn = ++turns;  // what is on the list of it does not count any more
    if (deadline != forever) line_up(current, std::max(deadline, me.clock));
    unsigned mine = current;
    go_on_with(take_next());
    std::erase(threads_, mine);
    return self().was_woken;
}

void waiting_line::wake_one(nanoseconds after) {
    if (threads_.empty()) return;
    unsigned woken = threads_.front();
    threads_.erase(threads_.begin());
    threads[woken]->was_woken = true;
    line_up(woken, std::max(threads[woken]->clock, now() + after));
}

void waiting_line::wake_all(nanoseconds after) {
    while (!threads_.empty()) wake_one(after);
}

}  // namespace machine
