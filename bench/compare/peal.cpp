// SPDX-License-Identifier: MIT

// peal under the contract of contract.hpp, as its README says to use it.

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "compare/computations.hpp"
#include "parallel/divided.hpp"

namespace {

using compare::measured;
using compare::timed;

peal::pool_options with(unsigned threads) { return peal::pool_options(threads); }

// ---- hop --------------------------------------------------------------------------------------------------------------------

peal::task<> hop(peal::pool& pool, std::int64_t times) {
    for (; times != 0; --times) co_await pool.schedule();
}
peal::task<> hop_together(peal::pool& pool, std::int64_t tasks) {
    peal::scope hopping;
    for (std::int64_t i = 0; i < tasks; ++i) hopping.spawn(hop, std::ref(pool), compare::hops() / tasks);
    co_await hopping.join();
}
template <std::int64_t Tasks>
measured hops(unsigned threads) {
    peal::pool pool(with(threads));
    return timed(compare::hops(), [&pool] { pool.run(hop_together, std::ref(pool), Tasks); });
}

// ---- spawn, when_all --------------------------------------------------------------------------------------------------------

peal::task<> nothing() { co_return; }

peal::task<> spawn_many() {
    peal::scope started;
    for (std::int64_t i = 0; i < compare::spawns(); ++i) started.spawn(nothing);
    co_await started.join();
}
measured spawn_inside(unsigned threads) {
    peal::pool pool(with(threads));
    return timed(compare::spawns(), [&pool] { pool.run(spawn_many); });
}

peal::task<> count_down(std::atomic<std::int64_t>& left) {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) left.notify_one();  // the last one pairs with the load below
    co_return;
}
measured spawn_foreign(unsigned threads) {
    std::atomic<std::int64_t> left{0};  // outlives the pool: the last task touches it after it reached zero
    peal::pool pool(with(threads));
    return timed(compare::spawns(), [&] {
        left.store(compare::spawns(), std::memory_order_relaxed);  // published by the spawns
        for (std::int64_t i = 0; i < compare::spawns(); ++i) pool.spawn(count_down, std::ref(left)).detach();
        while (std::int64_t now = left.load(std::memory_order_acquire)) left.wait(now);
    });
}

peal::task<std::int64_t> one() { co_return 1; }

peal::task<std::int64_t> sum_of_children(std::int64_t count) {
    std::int64_t sum = 0;
    for (std::int64_t done = 0; done < compare::children(); done += count) {
        std::vector<peal::task<std::int64_t>> tasks;
        tasks.reserve(static_cast<std::size_t>(count));
        for (std::int64_t i = 0; i < count; ++i) tasks.push_back(one());
        std::vector<std::int64_t> values = co_await peal::when_all(std::move(tasks));
        for (std::int64_t each : values) sum += each;
    }
    co_return sum;
}
template <std::int64_t Count>
measured when_all(unsigned threads) {
    peal::pool pool(with(threads));
    return timed(compare::children(), [&pool] {
        bench::expect(pool.run(sum_of_children, Count) == compare::children(), "when_all: wrong sum");
    });
}

// ---- computations -----------------------------------------------------------------------------------------------------------

measured fib_task(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::fib([&pool](int n) { return pool.run(divided::fib, n); });
}
measured fib_join(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::fib([&pool](int n) { return pool.run(divided::fib_by_join, n); });
}
measured skynet_task(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::skynet([&pool](std::int64_t number, std::int64_t size) { return pool.run(divided::skynet, number, size); });
}
measured skynet_join(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::skynet([&pool](std::int64_t number, std::int64_t size) { return pool.run(divided::skynet_by_join, number, size); });
}
measured queens_task(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::queens([&pool](const workloads::board& taken, int row, int size, int first) {
        return pool.run(divided::queens, taken, row, size, first);
    });
}
measured queens_join(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::queens([&pool](const workloads::board& taken, int row, int size, int first) {
        return pool.run(divided::queens_by_join, taken, row, size, first);
    });
}
measured multiply(unsigned threads) {
    peal::pool pool(with(threads));
    auto four = [](const auto&... parts) { peal::parallel_invoke(parts...); };
    return compare::multiply([&](const matmul::block& all) { pool.run([&] { matmul::multiply(all, four); }); });
}
// From one of the workers, as the others count the caller among their threads.
measured change(unsigned threads) {
    peal::pool pool(with(threads));
    return pool.run([] {
        return compare::change([](std::vector<loops::element>& all) {
            peal::parallel_for(all, [](loops::element& each) { each = loops::next(each); });
        });
    });
}
measured reduce(unsigned threads) {
    peal::pool pool(with(threads));
    return pool.run([] {
        return compare::reduce(
            [](const std::vector<loops::element>& all) { return peal::parallel_reduce(all, std::uint64_t{0}, std::plus<>()); });
    });
}

// ---- channels ---------------------------------------------------------------------------------------------------------------

using bounded = peal::channel<std::int64_t>;
using unbounded = peal::unbounded_channel<std::int64_t>;

peal::task<> send(bounded& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) co_await to.send(i);
}
peal::task<> send_unbounded(unbounded& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to.send(i);
    co_return;
}
template <class Channel>
peal::task<> receive(Channel& from, std::atomic<std::int64_t>& received) {
    std::int64_t count = 0;
    while (co_await from.receive()) ++count;
    received.fetch_add(count, std::memory_order_relaxed);  // read after the join
}
template <class Channel, peal::task<> (*Send)(Channel&, std::int64_t)>
peal::task<std::int64_t> pass_all(Channel& through, int each_side) {
    std::atomic<std::int64_t> received{0};
    peal::scope receivers;
    peal::scope senders;
    for (int i = 0; i < each_side; ++i) receivers.spawn(receive<Channel>, std::ref(through), std::ref(received));
    for (int i = 0; i < each_side; ++i) senders.spawn(Send, std::ref(through), compare::items() / each_side);
    co_await senders.join();
    through.close();
    co_await receivers.join();
    co_return received.load(std::memory_order_relaxed);
}

template <int EachSide, std::size_t Capacity>
measured channel(unsigned threads) {
    peal::pool pool(with(threads));
    return timed(compare::items(), [&pool] {
        bounded through(Capacity);
        bench::expect(pool.run(pass_all<bounded, send>, std::ref(through), EachSide) == compare::items(), "channel: items were lost");
    });
}
measured unbounded_one_to_one(unsigned threads) {
    peal::pool pool(with(threads));
    return timed(compare::items(), [&pool] {
        unbounded through;
        bench::expect(pool.run(pass_all<unbounded, send_unbounded>, std::ref(through), 1) == compare::items(), "channel: items were lost");
    });
}

// ---- round trip, herd -------------------------------------------------------------------------------------------------------

int answer(int question) noexcept { return question + 1; }

measured round_trip(unsigned threads) {
    peal::pool pool(with(threads));
    return timed(compare::trips(), [&pool] {
        for (std::int64_t i = 0; i < compare::trips(); ++i) bench::expect(pool.run(answer, 1) == 2, "round_trip: wrong answer");
    });
}
measured round_trip_cold(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::after_quiet([&pool] { bench::expect(pool.run(answer, 1) == 2, "round_trip: wrong answer"); });
}

peal::task<> wait(peal::event& start, peal::latch& asleep) {
    asleep.count_down();
    co_await start.wait();
}
/// Nanoseconds from the event until all have run.
peal::task<double> wake_herd() {
    peal::event start;
    peal::latch asleep(static_cast<std::size_t>(compare::sleepers()));
    peal::scope herd;
    for (std::int64_t i = 0; i < compare::sleepers(); ++i) herd.spawn(wait, std::ref(start), std::ref(asleep));
    co_await asleep.wait();
    auto woken = compare::steady::now();
    start.set();
    co_await herd.join();
    co_return compare::nanoseconds_since(woken);
}
measured herd(unsigned threads) {
    peal::pool pool(with(threads));
    return compare::woken([&pool] { return pool.run(wake_herd); });
}

constexpr compare::workload all[] = {
    {"hop_1", hops<1>},
    {"hop_64", hops<64>},
    {"spawn_inside", spawn_inside},
    {"spawn_foreign", spawn_foreign},
    {"when_all_10", when_all<10>},
    {"when_all_1000", when_all<1000>},
    {"fib_task", fib_task},
    {"fib_join", fib_join},
    {"skynet_task", skynet_task},
    {"skynet_join", skynet_join},
    {"queens_task", queens_task},
    {"queens_join", queens_join},
    {"matmul", multiply},
    {"parallel_for", change},
    {"parallel_reduce", reduce},
    {"channel_1_1", channel<1, 1024>},
    {"channel_4_4", channel<4, 1024>},
    {"rendezvous_1_1", channel<1, 0>},
    {"rendezvous_4_4", channel<4, 0>},
    {"unbounded_1_1", unbounded_one_to_one},
    {"round_trip", round_trip},
    {"round_trip_cold", round_trip_cold},
    {"herd", herd},
};

}  // namespace

std::span<const compare::workload> compare::workloads() { return all; }
std::string compare::version() { return "this commit"; }
