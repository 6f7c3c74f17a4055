// SPDX-License-Identifier: MIT

#include "explorer.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "fiber.hpp"
#include "heap.hpp"
#include "memory.hpp"
#include "mutants.hpp"

namespace model {

namespace {

// What the C++ runtime keeps per thread while exceptions are handled: each fiber has its own.
struct exception_globals {
    void* caught;
    unsigned uncaught;
};

enum class state : unsigned char {
    unused,    // or ended
    ready,
    joins,     // thread 0, until those of parallel(), or at the end all others, have ended
    waits,     // for a mutex, an event, a condition: `waits_for`
    spins,     // until another thread writes something that it has read
};

struct thread {
    fiber stack;
    const std::function<void()>* body = nullptr;
    std::function<void()> own_body;         // of a thread that was begun by begin_thread()
    bool is_parallel = false;
    model::state state = state::unused;
    view now;
    view at_release_fence;
    bool has_fenced = false;
    std::vector<view*> to_acquire;          // by the next acquire fence
    const object* waits_for = nullptr;
    const place* waits_at = nullptr;
    bool may_time_out = false;
    bool timed_out = false;
    static constexpr unsigned most_reads = 64;
    std::uint16_t read[most_reads] = {};     // objects, since the last spin hint: the last so many
    std::uint16_t read_index[most_reads] = {};
    unsigned reads = 0;
    std::uint32_t priority = 0;
    exception_globals exceptions{};
    std::vector<std::byte> kept;
};

struct choice {
    std::uint16_t chosen;
    std::uint16_t count;
};

enum class strategy : unsigned char { depth_first, random, priorities, replay_bounded, replay_free };

struct kept_variable {
    void* address;
    std::vector<std::byte> initial;
    std::size_t bytes() const noexcept { return initial.size(); }
};

class explorer {
  public:
    outcome run(const settings& bounds, const std::function<void()>& body);
    outcome replay(const settings& bounds, const std::function<void()>& body, const std::string& list);

    // ---- of one execution; the functions below are called by the running fiber
    std::uint32_t execution = 0;
    thread* me = nullptr;
    std::vector<kept_variable> kept;

    unsigned index_of(const thread& of) const noexcept { return static_cast<unsigned>(&of - threads_); }
    void parallel(const std::function<void()>* const* bodies, unsigned count);
    void begin(std::function<void()>&& body);
    unsigned choose(unsigned count);
    void step();
    void schedule();
    record& record_of(const object& of, const place& where);
    void finish_birth(object& of) noexcept;
    void finish_death(const object& of) noexcept;

    message& history(record& of, word initial);
    message& pick(record& of, message& newest, std::memory_order order, word unwanted, bool has_unwanted);
    void see(unsigned number, const message& seen, std::memory_order order);
    void append(record& of, unsigned number, word value, std::memory_order order, view* continued);
    void remember_read(unsigned number, std::uint16_t index) noexcept;
    void wake_spinners(unsigned number) noexcept;
    void wake_waiters(const object& of) noexcept;
    void wait_for(const object& of, bool with_limit, const place& where);
    bool take_spurious_failure();
    [[noreturn]] void fail(const char* kind, const std::string& text);

    void fence(std::memory_order order);
    void spin(const place& where);

    bool traces = false;
    void trace(const place& where, const char* operation, const object& at, const std::string& rest);

    thread threads_[most_threads];
    view sequential_;                       // what seq_cst operations have made known to each other
    arena<view> views;

  private:
    void run_once(const std::function<void()>& body);
    static void fiber_main() noexcept;
    void leave_to(thread& next) noexcept;
    void back_to_search() noexcept;
    bool next_choices();
    std::string list_of_choices() const;
    void report(outcome& result, const settings& bounds, const std::function<void()>& body, strategy how);
    std::uint32_t random() noexcept {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return static_cast<std::uint32_t>(random_ >> 20);
    }
    bool is_bounded() const noexcept { return strategy_ == strategy::depth_first || strategy_ == strategy::replay_bounded; }
    unsigned decide(unsigned count, unsigned suggestion);
    [[noreturn]] void report_stuck();
    thread& begin_in_free_slot(const std::function<void()>* body);

    settings bounds_;
    const std::function<void()>* body_ = nullptr;
    fiber search_;
    strategy strategy_ = strategy::depth_first;
    std::vector<choice> choices_;
    std::size_t position_ = 0;
    std::uint64_t random_ = 1;

    unsigned running_ = 0;                  // threads that have not ended, but for thread 0
    unsigned parallel_ = 0;                 // those of parallel() among them
    bool body_has_ended_ = false;
    unsigned steps_ = 0;
    unsigned steps_in_a_row_ = 0;
    unsigned steps_before_ = 100;           // of the last execution
    unsigned preemptions_ = 0;
    unsigned stale_ = 0;
    unsigned spurious_ = 0;
    unsigned change_points_[2] = {};
    unsigned objects_ = 0;
    record records_[most_objects];
    arena<message> messages_;

    bool failed_ = false;
    std::string kind_;
    std::string text_;
    std::string trace_;
};

explorer& the_explorer() {
    static auto* instance = new explorer;
    return *instance;
}

explorer& x = the_explorer();

constexpr std::size_t most_lines = 200;  // of a trace: the last ones

bool acquires(std::memory_order order) noexcept {
    return order == std::memory_order_acquire || order == std::memory_order_consume || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}
bool releases(std::memory_order order) noexcept {
    return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}

std::string text_of(word value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 100'000 ? "%llu" : "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

std::string text_of(const place& where) {
    const char* name = std::strrchr(where.file_name(), '/');
    return std::string(name != nullptr ? name + 1 : where.file_name()) + ':' + std::to_string(where.line());
}

// ---- choices --------------------------------------------------------------------------------------------------------------------

/// `suggestion`: what random strategies have drawn.
unsigned explorer::decide(unsigned count, unsigned suggestion) {
    if (count <= 1) return 0;
    if (position_ < choices_.size()) {
        choice& next = choices_[position_++];
        if (next.count == 0) next.count = static_cast<std::uint16_t>(count);  // replay
        if (next.count != count || next.chosen >= count) {
            fail("not deterministic", "the same choices led to another number of possibilities: does the body keep something between executions?");
        }
        return next.chosen;
    }
    unsigned chosen = strategy_ == strategy::random || strategy_ == strategy::priorities ? suggestion : 0;
    choices_.push_back({static_cast<std::uint16_t>(chosen), static_cast<std::uint16_t>(count)});
    ++position_;
    return chosen;
}

unsigned explorer::choose(unsigned count) { return decide(count, count > 1 ? random() % count : 0); }

bool explorer::next_choices() {
    while (!choices_.empty() && choices_.back().chosen + 1 == choices_.back().count) choices_.pop_back();
    if (choices_.empty()) return false;
    ++choices_.back().chosen;
    return true;
}

std::string explorer::list_of_choices() const {
    std::string list = is_bounded() ? "" : "*";
    for (const choice& each : choices_) list += (list.empty() || list == "*" ? "" : ".") + std::to_string(each.chosen);
    return list;
}

// ---- search ---------------------------------------------------------------------------------------------------------------------

outcome explorer::run(const settings& bounds, const std::function<void()>& body) {
    outcome result;
    bounds_ = bounds;
    choices_.clear();
    strategy_ = strategy::depth_first;
    while (result.executions < bounds.executions) {
        run_once(body);
        ++result.executions;
        if (failed_) return report(result, bounds, body, strategy::replay_bounded), result;
        choices_.resize(position_);
        if (!next_choices()) {
            result.complete = true;
            return result;
        }
    }
    for (std::uint64_t i = 0; i < bounds.random_executions; ++i) {
        choices_.clear();
        strategy_ = i % 2 == 0 ? strategy::random : strategy::priorities;
        random_ = (i + 1) * 0x9e3779b97f4a7c15u;
        for (int warm = 0; warm < 4; ++warm) random();
        run_once(body);
        ++result.executions;
        if (failed_) return report(result, bounds, body, strategy::replay_free), result;
    }
    return result;
}

/// Runs the failed execution once more, with a trace.
void explorer::report(outcome& result, const settings&, const std::function<void()>& body, strategy how) {
    choices_.resize(position_);
    std::string list = list_of_choices();
    std::string kind = kind_;
    strategy_ = how;
    traces = true;
    trace_.clear();
    run_once(body);
    traces = false;
    std::size_t lines = 0;
    for (std::size_t at = trace_.size(); at-- != 0;) {
        if (trace_[at] == '\n' && ++lines == most_lines) {
            trace_ = "  ...\n" + trace_.substr(at + 1);
            break;
        }
    }
    if (list.size() > 2000) list = "(too long)";
    result.failed = true;
    result.what = kind;
    result.report = "execution " + std::to_string(result.executions) + ": " + kind + ": " + text_ + '\n' + trace_ + "replay: PEAL_MODEL_REPLAY=" +
                    list + '\n';
    if (!failed_ || kind_ != kind) result.report += "(the replay went another way: " + (failed_ ? kind_ : "no failure") + ")\n";
}

outcome explorer::replay(const settings& bounds, const std::function<void()>& body, const std::string& list) {
    outcome result;
    bounds_ = bounds;
    choices_.clear();
    const char* at = list.c_str();
    strategy how = *at == '*' ? strategy::replay_free : strategy::replay_bounded;
    if (*at == '*') ++at;
    while (*at != '\0') {
        char* end;
        choices_.push_back({static_cast<std::uint16_t>(std::strtoul(at, &end, 10)), 0});
        at = *end == '.' ? end + 1 : end;
        if (end == at && *at != '\0') break;
    }
    strategy_ = how;
    traces = true;
    trace_.clear();
    run_once(body);
    traces = false;
    result.executions = 1;
    result.failed = failed_;
    result.what = failed_ ? kind_ : "no failure";
    result.report = result.what + ": " + text_ + '\n' + trace_;
    return result;
}

void explorer::run_once(const std::function<void()>& body) {
    ++execution;
    position_ = 0;
    steps_ = steps_in_a_row_ = 0;
    preemptions_ = stale_ = spurious_ = 0;
    objects_ = 0;
    messages_.clear();
    views.clear();
    sequential_.clear();
    failed_ = false;
    running_ = parallel_ = 0;
    body_has_ended_ = false;
    std::size_t kept_bytes = 0;
    for (const kept_variable& each : kept) {
        kept_bytes += each.bytes();
        std::memcpy(each.address, each.initial.data(), each.bytes());
    }
    for (thread& each : threads_) {
        each.state = state::unused;
        each.reads = 0;
        each.exceptions = {};
        each.has_fenced = false;
        each.to_acquire.clear();
        each.now.clear();
        if (each.kept.size() != kept_bytes) each.kept.resize(kept_bytes);
        std::size_t at = 0;
        for (const kept_variable& variable : kept) {
            std::memcpy(each.kept.data() + at, variable.initial.data(), variable.bytes());
            at += variable.bytes();
        }
    }
    if (strategy_ == strategy::priorities) {
        for (thread& each : threads_) each.priority = 2 + random() % 1000;
        for (unsigned& point : change_points_) point = random() % (steps_before_ + 1);
    }
    thread& first = threads_[0];
    first.now.clear();
    first.now.happened[0] = 1;
    first.state = state::ready;
    body_ = &body;
    first.body = &body;
    first.stack.start(&explorer::fiber_main);
    me = &first;
    present = {0, first.now.happened, execution};
    is_running = true;
    auto* globals = reinterpret_cast<exception_globals*>(abi::__cxa_get_globals());
    exception_globals before = *globals;
    *globals = {};
    search_.switch_to(first.stack);
    *globals = before;
    heap::tracks = false;
    is_running = false;
    // After a failure threads lie where they were: what their functions hold is forgotten, as the blocks are.
    for (thread& each : threads_) ::new (static_cast<void*>(&each.own_body)) std::function<void()>;
    std::size_t left = heap::end_execution();
    if (!failed_ && left != 0) {
        failed_ = true;
        kind_ = "leak";
        text_ = std::to_string(left) + " blocks of memory were not freed";
    }
    steps_before_ = steps_;
}

void explorer::fiber_main() noexcept {
    thread& here = *x.me;
    heap::tracks = true;
    try {
        (*here.body)();
    } catch (const std::exception& thrown) {
        x.fail("exception", thrown.what());
    } catch (...) {
        x.fail("exception", "of unknown type");
    }
    heap::tracks = false;
    thread& main = x.threads_[0];
    if (&here == &main) {
        x.body_has_ended_ = true;
        here.state = state::joins;
        if (x.running_ != 0) x.schedule();
        x.back_to_search();
    }
    here.own_body = nullptr;
    here.state = state::unused;
    --x.running_;
    if (here.is_parallel) {
        main.now.join(here.now);
        if (--x.parallel_ == 0) main.state = state::ready;
    } else if (x.running_ == 0 && x.body_has_ended_) {
        main.state = state::ready;
    }
    x.schedule();
    std::abort();  // nobody goes on with a thread that has ended
}

void explorer::leave_to(thread& next) noexcept {
    if (&next == me) return;
    thread& here = *me;
    std::size_t at = 0;
    for (const kept_variable& variable : kept) {
        std::memcpy(here.kept.data() + at, variable.address, variable.bytes());
        std::memcpy(variable.address, next.kept.data() + at, variable.bytes());
        at += variable.bytes();
    }
    auto* globals = reinterpret_cast<exception_globals*>(abi::__cxa_get_globals());
    here.exceptions = *globals;
    *globals = next.exceptions;
    me = &next;
    steps_in_a_row_ = 0;
    present = {index_of(next), next.now.happened, execution};
    here.stack.switch_to(next.stack);
}

void explorer::back_to_search() noexcept {
    me->stack.switch_to(search_);
    std::abort();
}

void explorer::fail(const char* kind, const std::string& text) {
    heap::untracked guard;
    failed_ = true;
    kind_ = kind;
    text_ = text + " (thread " + std::to_string(index_of(*me)) + ")";
    back_to_search();
    std::abort();
}

// ---- schedule -------------------------------------------------------------------------------------------------------------------

void explorer::schedule() {
    if (++steps_ > bounds_.steps) fail("does not end", "more than " + std::to_string(bounds_.steps) + " steps");
    thread* candidates[2 * most_threads];
    unsigned count = 0;
    bool goes_on = me->state == state::ready;
    if (goes_on && ++steps_in_a_row_ > bounds_.patience) {
        steps_in_a_row_ = 0;
        me->priority = 0;
        for (thread& each : threads_) goes_on = goes_on && (&each == me || each.state != state::ready);
    }
    if (goes_on) candidates[count++] = me;
    if (goes_on && is_bounded() && preemptions_ >= bounds_.preemptions) return;
    for (thread& each : threads_) {
        if (&each != me && each.state == state::ready) candidates[count++] = &each;
    }
    unsigned ready = count;
    // Time may pass at any moment; depth first that counts as a preemption, unless nothing else can happen.
    if (ready == 0 || !is_bounded() || preemptions_ < bounds_.preemptions) {
        for (thread& each : threads_) {
            if (each.state == state::waits && each.may_time_out) candidates[count++] = &each;
        }
    }
    if (count == 0) report_stuck();
    if (count == 1 && goes_on) return;
    unsigned suggestion = 0;
    if (strategy_ == strategy::random) {
        suggestion = random() % count;
    } else if (strategy_ == strategy::priorities) {
        for (unsigned i = 0; i < 2; ++i) {
            if (steps_ == change_points_[i]) me->priority = i;
        }
        for (unsigned i = 1; i < count; ++i) {
            if (candidates[i]->priority > candidates[suggestion]->priority) suggestion = i;
        }
    }
    unsigned chosen = decide(count, suggestion);
    if (chosen >= ready) {
        candidates[chosen]->timed_out = true;
        candidates[chosen]->state = state::ready;
        if (ready != 0) ++preemptions_;
    } else if (goes_on && chosen != 0) {
        ++preemptions_;
    }
    leave_to(*candidates[chosen]);
}

void explorer::report_stuck() {
    std::string text = "nobody can go on:";
    for (thread& each : threads_) {
        if (each.state != state::waits && each.state != state::spins) continue;
        text += " thread " + std::to_string(index_of(each)) + (each.state == state::spins ? " spins at " : " waits at ") +
                text_of(*each.waits_at) + ';';
    }
    fail("deadlock or lost wake-up", text);
}

void explorer::parallel(const std::function<void()>* const* bodies, unsigned count) {
    if (me != &threads_[0]) fail("misuse", "parallel() is for the body");
    parallel_ = count;
    for (unsigned i = 0; i < count; ++i) begin_in_free_slot(bodies[i]).is_parallel = true;
    me->state = state::joins;
    schedule();
}

thread& explorer::begin_in_free_slot(const std::function<void()>* body) {
    unsigned number = 1;
    while (number < most_threads && threads_[number].state != state::unused) ++number;
    if (number == most_threads) fail("misuse", "too many threads");
    thread& made = threads_[number];
    std::uint32_t before = made.now.happened[number];
    made.body = body;
    made.is_parallel = false;
    made.has_fenced = false;
    made.to_acquire.clear();
    made.reads = 0;
    made.now = me->now;
    made.now.happened[number] = std::max(made.now.happened[number], before) + 1;
    made.state = state::ready;
    made.stack.start(&explorer::fiber_main);
    ++running_;
    ++me->now.happened[index_of(*me)];
    return made;
}

void explorer::begin(std::function<void()>&& body) {
    schedule();
    thread& made = begin_in_free_slot(nullptr);
    made.own_body = std::move(body);
    made.body = &made.own_body;
}

// ---- objects --------------------------------------------------------------------------------------------------------------------

record& explorer::record_of(const object& of, const place& where) {
    if (of.is_dead) fail("use after destruction", "at " + text_of(where));
    if (of.execution != execution) {
        if (objects_ == most_objects) fail("misuse", "too many objects");
        of.execution = execution;
        of.number = objects_++;
        record& made = records_[of.number];
        made = {};
        made.whose = &of;
    }
    record& its = records_[of.number];
    unsigned number = index_of(*me);
    its.used_at[number] = me->now.happened[number];
    if (of.born_in == execution && me->now.happened[of.born_by] < of.born_at) {
        fail("data race", "used at " + text_of(where) + " by a thread that does not know that it was made");
    }
    return its;
}

void explorer::step() {
    schedule();
    ++me->now.happened[index_of(*me)];
}

void explorer::finish_birth(object& of) noexcept {
    unsigned number = index_of(*me);
    of.born_in = execution;
    of.born_by = static_cast<std::uint8_t>(number);
    of.born_at = ++me->now.happened[number];
}

void explorer::finish_death(const object& of) noexcept {
    if (of.is_dead) fail("use after destruction", "destroyed twice");
    of.is_dead = true;
    if (of.execution != execution) return;
    record& its = records_[of.number];
    for (unsigned i = 0; i < most_threads; ++i) {
        if (its.used_at[i] > me->now.happened[i]) {
            fail("data race", "destroyed, and the last use by thread " + std::to_string(i) + " does not happen before");
        }
    }
    if (its.newest == nullptr && its.is_taken && its.released == nullptr) fail("misuse", "a mutex was destroyed while it is held");
}

// ---- memory ---------------------------------------------------------------------------------------------------------------------

message& explorer::history(record& of, word initial) {
    if (of.newest == nullptr) {
        message& first = messages_.make();
        first.value = initial;
        first.released = nullptr;
        first.older = nullptr;
        first.index = 0;
        of.newest = &first;
    }
    return *of.newest;
}

/// The store that a load sees: the newest, or an older one that the thread may still see. Not an older one of value `unwanted`.
message& explorer::pick(record& of, message& newest, std::memory_order order, word unwanted, bool has_unwanted) {
    unsigned number = of.whose->number;
    std::uint16_t oldest = me->now.seen(number);
    if (order == std::memory_order_seq_cst) oldest = std::max(oldest, sequential_.seen(number));
    if (newest.index == oldest || (is_bounded() && stale_ >= bounds_.stale_reads)) return newest;
    unsigned count = 0;
    message* candidates[16];
    for (message* each = &newest;; each = each->older) {
        if (each == &newest || !has_unwanted || each->value != unwanted) candidates[count++] = each;
        if (each->index == oldest || count == 16) break;
    }
    unsigned chosen = decide(count, count > 1 && random() % 2 == 0 ? random() % count : 0);
    if (chosen != 0) ++stale_;
    return *candidates[chosen];
}

void explorer::remember_read(unsigned number, std::uint16_t index) noexcept {
    for (unsigned i = 0; i < me->reads; ++i) {
        if (me->read[i] == number) {
            me->read_index[i] = index;
            return;
        }
    }
    if (me->reads == thread::most_reads) {
        std::memmove(me->read, me->read + 1, sizeof me->read - sizeof me->read[0]);
        std::memmove(me->read_index, me->read_index + 1, sizeof me->read_index - sizeof me->read_index[0]);
        --me->reads;
    }
    me->read[me->reads] = static_cast<std::uint16_t>(number);
    me->read_index[me->reads++] = index;
}

void explorer::see(unsigned number, const message& seen, std::memory_order order) {
    me->now.see(number, seen.index);
    if (seen.released == nullptr) return;
    if (acquires(order)) {
        me->now.join(*seen.released);
    } else {
        me->to_acquire.push_back(seen.released);
    }
}

/// `continued`: for a read-modify-write, what the store it has read gives to those who acquire it.
void explorer::append(record& of, unsigned number, word value, std::memory_order order, view* continued) {
    message& made = messages_.make();
    made.value = value;
    made.older = of.newest;
    made.index = static_cast<std::uint16_t>(of.newest->index + 1);
    made.released = continued;
    of.newest = &made;
    for (unsigned i = 0; i < me->reads; ++i) {  // its own store is nothing that a thread waits for
        if (me->read[i] == number && me->read_index[i] + 1 == made.index) me->read_index[i] = made.index;
    }
    me->now.see(number, made.index);
    if (order == std::memory_order_seq_cst) sequential_.see(number, made.index);
    const view* released = releases(order) ? &me->now : me->has_fenced ? &me->at_release_fence : nullptr;
    if (released != nullptr) {
        view& given = views.make();
        given = *released;
        if (continued != nullptr) given.join(*continued);
        made.released = &given;
        ++me->now.happened[index_of(*me)];  // what follows is not part of it
    }
    wake_spinners(number);
}

void explorer::wake_spinners(unsigned number) noexcept {
    for (thread& each : threads_) {
        if (each.state != state::spins) continue;
        for (unsigned i = 0; i < each.reads; ++i) {
            if (each.read[i] != number) continue;
            each.state = state::ready;
            each.now.see(number, records_[number].newest->index);  // a thread that looks again and again sees it in the end
            each.reads = 0;
            break;
        }
    }
}

void explorer::wake_waiters(const object& of) noexcept {
    for (thread& each : threads_) {
        if (each.state == state::waits && each.waits_for == &of) each.state = state::ready;
    }
}

void explorer::wait_for(const object& of, bool with_limit, const place& where) {
    me->state = state::waits;
    me->waits_for = &of;
    me->waits_at = &where;
    me->may_time_out = with_limit;
    me->timed_out = false;
    schedule();
}

bool explorer::take_spurious_failure() {
    if (spurious_ >= bounds_.spurious_failures) return false;
    if (decide(2, random() % 8 == 0 ? 1 : 0) == 0) return false;
    ++spurious_;
    return true;
}

void explorer::fence(std::memory_order order) {
    step();
    if (acquires(order)) {
        for (view* each : me->to_acquire) me->now.join(*each);
        me->to_acquire.clear();
    }
    if (order == std::memory_order_seq_cst) {
        me->now.join_seen(sequential_);
        sequential_.join_seen(me->now);
    }
    if (releases(order)) {
        me->at_release_fence = me->now;
        me->has_fenced = true;
        ++me->now.happened[index_of(*me)];
    }
}

void explorer::spin(const place& where) {
    // Whoever has seen an old value sees the newest the next time; whoever has seen the newest waits until it changes.
    bool was_stale = false;
    for (unsigned i = 0; i < me->reads; ++i) {
        record& read = records_[me->read[i]];
        if (read.newest->index != me->read_index[i]) was_stale = true;
        me->now.see(me->read[i], read.newest->index);
    }
    if (was_stale || me->reads == 0) {
        me->reads = 0;
        return;
    }
    me->state = state::spins;
    me->waits_at = &where;
    schedule();
}

void explorer::trace(const place& where, const char* operation, const object& at, const std::string& rest) {
    char line[256];
    std::snprintf(line, sizeof line, "  thread %u  %-28s %-12s #%u %s\n", index_of(*me), text_of(where).c_str(), operation, at.number,
                  rest.c_str());
    trace_ += line;
}


}  // namespace

// ---- what bodies and substitutes call ---------------------------------------------------------------------------------------------

outcome run(const settings& bounds, const std::function<void()>& body) { return x.run(bounds, body); }

outcome replay(const settings& bounds, const std::function<void()>& body, const std::string& list) { return x.replay(bounds, body, list); }

void parallel(std::function<void()> first, std::function<void()> second, std::function<void()> third, std::function<void()> fourth) {
    heap::untracked inside;
    const std::function<void()>* bodies[] = {&first, &second, &third, &fourth};
    x.parallel(bodies, fourth ? 4 : third ? 3 : 2);
}

void begin_thread(std::function<void()> function) {
    heap::untracked inside;
    x.begin(std::move(function));
}

void check(bool holds, const char* what, std::source_location where) {
    if (!holds) fail("check failed", std::string(what) + " at " + text_of(where));
}

unsigned choose(unsigned count) {
    heap::untracked inside;
    return x.choose(count);
}
unsigned thread_index() noexcept { return x.index_of(*x.me); }
void keep_per_thread(void* variable, std::size_t bytes) {
    auto* begin = static_cast<std::byte*>(variable);
    the_explorer().kept.push_back({variable, {begin, begin + bytes}});
}
void fail(const char* kind, const std::string& text) { x.fail(kind, text); }

bool is_kept_per_thread(const void* address) noexcept {
    for (const kept_variable& each : x.kept) {
        auto* begin = static_cast<const std::byte*>(each.address);
        if (address >= begin && address < begin + each.bytes()) return true;
    }
    return false;
}

void object::born() noexcept {
    heap::untracked inside;
    if (is_running) x.finish_birth(*this);
}
void object::died() noexcept {
    heap::untracked inside;
    if (is_running) x.finish_death(*this);
}

word load(const object& from, word initial, std::memory_order order, const place& where) {
    heap::untracked inside;
    adjust(where, "load", order);
    x.step();
    record& its = x.record_of(from, where);
    message& newest = x.history(its, initial);
    message& seen = x.pick(its, newest, order, 0, false);
    x.see(from.number, seen, order);
    x.remember_read(from.number, seen.index);
    if (x.traces) {
        x.trace(where, "load", from, "= " + text_of(seen.value) + ' ' + name_of(order) + (&seen != &newest ? "  STALE" : ""));
    }
    return seen.value;
}

void store(const object& to, word initial, word value, std::memory_order order, const place& where) {
    heap::untracked inside;
    adjust(where, "store", order);
    x.step();
    record& its = x.record_of(to, where);
    x.history(its, initial);
    x.append(its, to.number, value, order, nullptr);
    if (x.traces) x.trace(where, "store", to, text_of(value) + ' ' + name_of(order));
}

word exchange(const object& at, word initial, change_function change, word argument, std::memory_order order, const char* name,
              const place& where) {
    heap::untracked inside;
    if (adjust(where, name, order)) {
        word seen = load(at, initial, order, place());
        store(at, initial, change(seen, argument), order, place());
        return seen;
    }
    x.step();
    record& its = x.record_of(at, where);
    message& before = x.history(its, initial);
    x.see(at.number, before, order);
    word value = change(before.value, argument);
    x.append(its, at.number, value, order, before.released);
    x.remember_read(at.number, its.newest->index);
    if (x.traces) x.trace(where, name, at, text_of(before.value) + " -> " + text_of(value) + ' ' + name_of(order));
    return before.value;
}

bool compare_exchange(const object& at, word initial, word& expected, word desired, std::memory_order success, std::memory_order failure,
                      bool is_weak, const place& where) {
    heap::untracked inside;
    if (adjust(where, is_weak ? "compare_exchange_weak" : "compare_exchange_strong", success, &failure)) {
        word seen = load(at, initial, success, place());
        if (seen == expected) store(at, initial, desired, success, place());
        return seen == expected || (expected = seen, false);
    }
    x.step();
    record& its = x.record_of(at, where);
    message& newest = x.history(its, initial);
    message& seen = x.pick(its, newest, failure, expected, true);
    if (&seen == &newest && newest.value == expected && !(is_weak && x.take_spurious_failure())) {
        x.see(at.number, newest, success);
        x.append(its, at.number, desired, success, newest.released);
        if (x.traces) x.trace(where, "compare", at, text_of(expected) + " -> " + text_of(desired) + ' ' + name_of(success));
        return true;
    }
    x.see(at.number, seen, failure);
    x.remember_read(at.number, seen.index);
    if (x.traces) {
        x.trace(where, "compare", at,
                text_of(expected) + " failed, = " + text_of(seen.value) + ' ' + name_of(failure) + (&seen != &newest ? "  STALE" : ""));
    }
    expected = seen.value;
    return false;
}

void fence(std::memory_order order, const place&) {
    heap::untracked inside;
    x.fence(order);
}
void spin(const place& where) {
    heap::untracked inside;
    if (is_running) x.spin(where);
}

void read_plain(const object& from, const place& where) {
    heap::untracked inside;
    unsigned me = x.index_of(*x.me);
    record& its = x.record_of(from, where);
    if (its.written_at > x.me->now.happened[its.written_by]) {
        fail("data race", "read at " + text_of(where) + " of what thread " + std::to_string(its.written_by) + " has written");
    }
    its.read_at[me] = x.me->now.happened[me];
    if (x.traces) x.trace(where, "read", from, "");
}

void write_plain(const object& to, const place& where) {
    heap::untracked inside;
    unsigned me = x.index_of(*x.me);
    record& its = x.record_of(to, where);
    bool races = its.written_at > x.me->now.happened[its.written_by];
    for (unsigned i = 0; i < most_threads; ++i) races = races || its.read_at[i] > x.me->now.happened[i];
    if (races) fail("data race", "write at " + text_of(where) + " of what another thread reads or writes");
    its.written_by = static_cast<std::uint8_t>(me);
    its.written_at = x.me->now.happened[me];
    if (x.traces) x.trace(where, "write", to, "");
}

void lock(const object& mutex, const place& where) {
    heap::untracked inside;
    if (!is_running) return;
    x.step();
    while (x.record_of(mutex, where).is_taken) x.wait_for(mutex, false, where);
    record& its = x.record_of(mutex, where);
    its.is_taken = true;
    if (its.released != nullptr) x.me->now.join(*its.released);
    its.released = nullptr;
    if (x.traces) x.trace(where, "lock", mutex, "");
}

void unlock(const object& mutex, const place& where) {
    heap::untracked inside;
    if (!is_running) return;
    ++x.me->now.happened[x.index_of(*x.me)];
    record& its = x.record_of(mutex, where);
    if (!its.is_taken) fail("misuse", "unlock of a mutex that is not held, at " + text_of(where));
    its.is_taken = false;
    view& given = x.views.make();
    given = x.me->now;
    its.released = &given;
    ++x.me->now.happened[x.index_of(*x.me)];
    x.wake_waiters(mutex);
    if (x.traces) x.trace(where, "unlock", mutex, "");
}

void raise(const object& event, const place& where) {
    heap::untracked inside;
    x.step();
    record& its = x.record_of(event, where);
    its.is_taken = true;
    view& given = x.views.make();
    given = x.me->now;
    if (its.released != nullptr) given.join(*its.released);
    its.released = &given;
    ++x.me->now.happened[x.index_of(*x.me)];
    x.wake_waiters(event);
    if (x.traces) x.trace(where, "raise", event, "");
}

bool await(const object& event, bool with_limit, const place& where) {
    heap::untracked inside;
    x.step();
    if (x.traces) x.trace(where, "await", event, "");
    x.me->timed_out = false;
    while (!x.record_of(event, where).is_taken) {
        if (x.me->timed_out) {
            if (x.traces) x.trace(where, "time passed", event, "");
            return false;
        }
        x.wait_for(event, with_limit, where);
    }
    record& its = x.record_of(event, where);
    its.is_taken = false;
    if (its.released != nullptr) x.me->now.join(*its.released);
    if (x.traces) x.trace(where, "awaited", event, "");
    return true;
}

bool wait(const object& condition, const object& mutex, bool with_limit, const place& where) {
    heap::untracked inside;
    x.step();
    x.record_of(condition, where);
    if (x.traces) x.trace(where, "wait", condition, "");
    unlock(mutex, where);
    x.wait_for(condition, with_limit, where);
    bool happened = !x.me->timed_out;
    lock(mutex, where);
    x.record_of(condition, where);
    return happened;
}

void notify(const object& condition, bool all, const place& where) {
    heap::untracked inside;
    x.step();
    x.record_of(condition, where);
    if (x.traces) x.trace(where, all ? "notify all" : "notify one", condition, "");
    if (all) {
        x.wake_waiters(condition);
        return;
    }
    thread* waiting[most_threads];
    unsigned count = 0;
    for (thread& each : x.threads_) {
        if (each.state == state::waits && each.waits_for == &condition) waiting[count++] = &each;
    }
    if (count != 0) waiting[x.choose(count)]->state = state::ready;
}

}  // namespace model
