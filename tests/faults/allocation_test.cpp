// SPDX-License-Identifier: MIT

// No memory: each scenario runs again and again, on a pool of its own; the first time the first piece of memory that it asks for is refused, the second time
// the second, until it asks for no more. Each time it ends with what it should, or with an error for who asked (std::bad_alloc, or ENOMEM of the
// operation); no task, frame or descriptor is left; and the pool serves as before.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/peal.hpp>
#include <peal/sim/simulation.hpp>

#include "support/catch.hpp"
#include "support/leaks.hpp"
#include "support/refused_memory.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::io::bytes_of;
using peal::net::tcp_listener;
using peal::net::tcp_stream;

namespace {

class wrong : public std::logic_error {
  public:
    using std::logic_error::logic_error;
};

/// Where a scenario takes place.
class place {
  public:
    place(peal::pool& pool, const std::string& folder) : pool(pool), folder(folder) {}
    peal::pool& pool;
    const std::string folder;  // with "data", 8 bytes
    std::string path(const char* name) const { return folder + '/' + name; }
};

void expect(bool holds, const char* what) {
    if (!holds) throw wrong(what);
}

// ---- tasks -------------------------------------------------------------------------------------------------------------------------

peal::task<int> number(int value) { co_return value; }
peal::task<int> number_later(int value) {
    co_await peal::sleep_for(100us);
    co_return value;
}
peal::task<> nothing() { co_return; }

void making_a_pool(place& where) {
    peal::pool_options options(2);
    options.name = "a name that is longer than what a string holds without memory of its own";
    peal::pool made(options);
    expect(made.run(number, 1) == 1, "a new pool gave a wrong number");
    static_cast<void>(where);
}
void spawning_from_outside(place& where) {
    auto handle = where.pool.spawn(number_later, 7);
    where.pool.spawn(nothing).detach();
    auto take = [](peal::join_handle<int>& awaited) -> peal::task<int> { co_return co_await awaited; };
    expect(where.pool.run(take, std::ref(handle)) == 7, "spawn: wrong number");
}
peal::task<> spawning_inside(place& where) {
    auto first = where.pool.spawn(number, 1);
    auto second = peal::spawn(number_later, 2);
    int sum = co_await first;
    sum += co_await second;
    expect(sum == 3, "spawn: wrong sum");
}
peal::task<> in_a_scope(place&) {
    peal::scope tasks;
    for (int i = 0; i < 3; ++i) tasks.spawn(number_later, i);
    auto handle = tasks.spawn(number, 4);
    expect(co_await handle == 4, "scope: wrong number");
    co_await tasks.join();
}
peal::task<> spawning_in_bulk(place&) {
    peal::scope tasks;
    std::atomic<int> sum{0};
    auto add = [&sum](int value) -> peal::task<> {
        sum += value;
        co_return;
    };
    tasks.spawn_bulk(std::views::iota(0, 8), add);
    co_await tasks.join();
    expect(sum == 28, "spawn_bulk: wrong sum");
}
peal::task<> fails() {
    co_await peal::sleep_for(50us);
    throw std::runtime_error("on purpose");
}
peal::task<> failing_children(place&) {
    peal::scope tasks;
    for (int i = 0; i < 6; ++i) tasks.spawn(fails);
    bool failed = false;
    try {
        co_await tasks.join();
    } catch (const std::runtime_error&) {
        failed = true;
    }
    expect(failed, "the failure of a child was lost");
}
peal::task<> failing_alone(place&) {
    peal::scope tasks(peal::on_error::keep_going);
    for (int i = 0; i < 3; ++i) tasks.spawn(fails);
    co_await tasks.join();
}
peal::task<> offloading(place& where) {
    int sum = co_await where.pool.offload([](int a, int b) { return a + b; }, 2, 3);
    expect(sum == 5, "offload: wrong sum");
}
int add_up(int a, int b) { return a + b; }
peal::task<> blocking_calls(place&) {
    int sum = co_await peal::blocking(add_up, 2, 3);
    expect(sum == 5, "blocking: wrong sum");
}
peal::task<> in_a_share(place& where) {
    auto share = where.pool.make_share(50);
    peal::spawn_options options("shared", share);
    auto handle = where.pool.spawn(options, number_later, 9);
    expect(co_await handle == 9, "share: wrong number");
}

// ---- combinations -----------------------------------------------------------------------------------------------------------------

peal::task<> with_timeout(place&) {
    int value = co_await peal::timeout(10s, number_later(5));
    expect(value == 5, "timeout: wrong number");
    auto late = co_await peal::as_result(peal::timeout(100us, peal::sleep_for(10s)));
    expect(!late && late.error().code() == std::errc::timed_out, "timeout: it was not over");
}
peal::task<> all_of_them(place&) {
    auto [a, b] = co_await peal::when_all(number_later(1), number(2));
    expect(a + b == 3, "when_all: wrong sum");
    std::vector<peal::task<int>> many;
    for (int i = 0; i < 4; ++i) many.push_back(number_later(i));
    std::vector<int> values = co_await peal::when_all(std::move(many));
    expect(std::accumulate(values.begin(), values.end(), 0) == 6, "when_all: wrong sum of many");
}
peal::task<> any_of_them(place&) {
    std::vector<peal::task<int>> many;
    for (int i = 0; i < 3; ++i) many.push_back(number_later(i));
    auto first = co_await peal::when_any(std::move(many));
    expect(first.value >= 0 && first.value < 3, "when_any: wrong number");
    std::vector<peal::task<int>> more;
    for (int i = 0; i < 3; ++i) more.push_back(number_later(i));
    auto success = co_await peal::first_success(std::move(more));
    expect(success.value >= 0 && success.value < 3, "first_success: wrong number");
}
peal::task<int> twice(int value) {
    co_await peal::sleep_for(10us);
    co_return 2 * value;
}
peal::task<> mapping_concurrently(place&) {
    std::vector<int> values{1, 2, 3, 4};
    auto mapped = peal::map_concurrent(std::move(values), 2, twice);
    std::vector<int> results = co_await std::move(mapped);
    expect(std::accumulate(results.begin(), results.end(), 0) == 20, "map_concurrent: wrong sum");
}
peal::task<long> fib(int n) {
    if (n < 2) co_return n;
    auto [a, b] = co_await peal::fork_join(fib(n - 1), fib(n - 2));
    co_return a + b;
}
peal::task<> forking(place&) { expect(co_await fib(5) == 5, "fork_join: wrong number"); }
peal::task<> loops(place&) {
    std::atomic<int> sum{0};
    peal::parallel_for(std::views::iota(0, 100), 10, [&sum](int value) { sum += value; });
    expect(sum == 4950, "parallel_for: wrong sum");
    auto add = [&sum](int value) -> peal::task<> {
        sum += value;
        co_return;
    };
    auto numbers = std::views::iota(0, 10);
    co_await peal::parallel_for(numbers, 2, add);
    expect(sum == 4995, "parallel_for of tasks: wrong sum");
    expect(peal::parallel_reduce(std::views::iota(0, 100), 0, std::plus<>()) == 4950, "parallel_reduce: wrong sum");
}

// ---- waiting for each other ---------------------------------------------------------------------------------------------------------

peal::task<> send_three(peal::channel<std::string>& to) {
    struct closing {  // whoever fails closes it: the other must not wait for ever
        explicit closing(peal::channel<std::string>& to) : to(to) {}
        ~closing() { to.close(); }
        peal::channel<std::string>& to;
    };
    closing at_the_end(to);
    for (int i = 0; i < 3; ++i) co_await to.send(std::string(40, 'a'));
}
peal::task<> through_a_channel(place&) {
    peal::channel<std::string> items(1);
    peal::scope tasks;
    tasks.spawn(send_three, std::ref(items));
    int got = 0;
    while (auto item = co_await items.receive()) ++got;
    co_await tasks.join();
    expect(got == 3, "channel: items got lost");
}
peal::task<> through_an_unbounded_channel(place&) {
    peal::unbounded_channel<std::string> items;
    int sent = 0;
    for (int i = 0; i < 40; ++i) {
        if (items.send(std::string(40, 'a'))) ++sent;
    }
    items.close();
    int got = 0;
    while (auto item = co_await items.receive()) ++got;
    expect(got == sent && sent == 40, "unbounded_channel: items got lost");
}
peal::task<> by_broadcast(place&) {
    peal::broadcast<std::string> news(2);
    auto reader = news.subscribe();
    for (int i = 0; i < 3; ++i) news.send(std::string(40, 'n'));
    auto first = co_await reader.receive();
    expect(first && first->missed == 1, "broadcast: wrong count of what was missed");
    news.close();
}
peal::task<> lock_and_count(peal::mutex& guard, int& count) {
    auto locked = co_await guard.lock();
    ++count;
    co_await peal::sleep_for(20us);
}
peal::task<> with_a_mutex(place&) {
    peal::mutex guard;
    int count = 0;
    peal::scope tasks;
    for (int i = 0; i < 4; ++i) tasks.spawn(lock_and_count, std::ref(guard), std::ref(count));
    co_await tasks.join();
    expect(count == 4, "mutex: wrong count");
}
peal::task<> take_permit(peal::semaphore& limit) {
    auto permit = co_await limit.acquire();
    co_await peal::sleep_for(20us);
}
peal::task<> with_a_semaphore(place&) {
    peal::semaphore limit(2);
    {
        peal::scope tasks;
        for (int i = 0; i < 4; ++i) tasks.spawn(take_permit, std::ref(limit));
        co_await tasks.join();
    }
    auto both = co_await limit.acquire(2);
}
peal::task<> sleeping(place&) {
    co_await peal::sleep_for(200us);
    co_await peal::sleep_until(peal::clock::now() + 100us);
}
peal::generator<std::string> words(int count) {
    for (int i = 0; i < count; ++i) co_yield std::string(40, 'w');
}
peal::async_generator<std::string> words_later(int count) {
    for (int i = 0; i < count; ++i) {
        co_await peal::sleep_for(10us);
        co_yield std::string(40, 'l');
    }
}
peal::task<> generating(place&) {
    int count = 0;
    for (const std::string& each : words(3)) count += each.size() == 40 ? 1 : 0;
    auto later = words_later(3);
    while (auto each = co_await later.next()) count += each->size() == 40 ? 1 : 0;
    expect(count == 6, "generators: words got lost");
}

// ---- the network ----------------------------------------------------------------------------------------------------------------------

peal::task<> call(peal::net::address server) {
    tcp_stream stream = co_await tcp_stream::connect(server);
    co_await stream.write_all(bytes_of("12345678"));
    std::array<std::byte, 8> answer;
    std::size_t got = co_await stream.read_exactly(answer);
    if (got != 8 && support::refused_memory::was_met()) throw std::bad_alloc();  // the other end had none, and is gone
    expect(got == 8, "tcp: a short answer");
}
peal::task<> answer_one(tcp_listener& listener) {
    tcp_stream peer = co_await listener.accept();
    std::array<std::byte, 8> question;
    std::size_t got = co_await peer.read(question);
    co_await peer.write_all(std::span(question).first(got));
}
peal::task<> over_tcp(place&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    co_await peal::when_all(answer_one(listener), call(listener.local_address()));
}
peal::task<> answer_from_a_lease(tcp_listener& listener) {
    tcp_stream peer = co_await listener.accept();
    peal::io::lease got = co_await peer.receive();
    co_await peer.write_all(got.bytes());
}
peal::task<> receiving_leases(place&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    co_await peal::when_all(answer_from_a_lease(listener), call(listener.local_address()));
}
peal::task<> answer_on_and_on(tcp_listener& listener) {
    tcp_stream peer = co_await listener.accept();
    peal::net::receiver incoming(peer);
    peal::io::lease got = co_await incoming.receive();
    co_await peer.write_all(got.bytes());
}
peal::task<> receiving_on(place&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    co_await peal::when_all(answer_on_and_on(listener), call(listener.local_address()));
}
peal::task<> by_name(place&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::string port = std::to_string(listener.local_address().port());
    auto connecting = tcp_stream::connect("127.0.0.1", port);
    tcp_stream stream = co_await std::move(connecting);
    expect(stream.is_open(), "connect by name: not open");
}
peal::task<> whoever_answers_first(place&) {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<peal::net::address> candidates(3, listener.local_address());
    candidates.front() = peal::net::address::parse("127.0.0.1:1");  // nobody there
    auto connecting = tcp_stream::connect_any(std::move(candidates), 1ms);
    tcp_stream stream = co_await std::move(connecting);
    expect(stream.is_open(), "connect_any: not open");
}
peal::task<> over_udp(place&) {
    auto one = peal::net::udp_socket::bind("127.0.0.1:0");
    auto two = peal::net::udp_socket::bind("127.0.0.1:0");
    co_await two.send_to(bytes_of("12345678"), one.local_address());
    std::array<std::byte, 16> buffer;
    auto got = co_await one.receive(buffer);
    expect(got.size() == 8, "udp: wrong size");
}
peal::task<> passing_descriptors(place& where) {
    auto ends = peal::net::unix_stream::pair();
    peal::fs::file data = co_await peal::fs::file::open(where.path("data"));
    const std::array<int, 2> passed{data.native_handle(), data.native_handle()};
    co_await ends.first.write_all(bytes_of("x"), passed);
    std::array<std::byte, 8> buffer;
    std::span<std::byte> into(buffer);
    auto receiving = ends.second.receive(into);
    peal::net::unix_message message = co_await receiving;
    expect(message.descriptors().size() == 2, "unix: descriptors got lost");
}
peal::task<> accept_unix(peal::net::unix_listener& listener) {
    peal::net::unix_stream peer = co_await listener.accept();
    co_await peer.write_all(bytes_of("hello"));
}
peal::task<> read_unix(peal::net::unix_address from) {
    peal::net::unix_stream stream = co_await peal::net::unix_stream::connect(from);
    std::array<std::byte, 8> buffer;
    std::size_t got = co_await stream.read_exactly(std::span(buffer).first(5));
    if (got != 5 && support::refused_memory::was_met()) throw std::bad_alloc();
    expect(got == 5, "unix: a short answer");
}
peal::task<> over_unix(place& where) {
    std::string path = where.path("socket");
    ::unlink(path.c_str());
    auto at = peal::net::unix_address::from_path(path);
    auto listener = peal::net::unix_listener::bind(at);
    co_await peal::when_all(accept_unix(listener), read_unix(at));
}
peal::task<> unix_datagrams(place& where) {
    std::string path = where.path("datagrams");
    ::unlink(path.c_str());
    auto receiver = peal::net::unix_datagram::bind(peal::net::unix_address::from_path(path));
    auto sender = peal::net::unix_datagram::open();
    auto sending = sender.send_to(bytes_of("abc"), peal::net::unix_address::from_path(path));
    co_await std::move(sending);
    std::array<std::byte, 8> buffer;
    auto message = co_await receiver.receive(buffer);
    expect(message.size() == 3, "unix datagram: wrong size");
}
peal::task<> ask(peal::net::resolver& names) {
    auto asking = names.resolve("127.0.0.1", "80");
    std::vector<peal::net::address> found = co_await std::move(asking);
    expect(!found.empty(), "resolve: nothing found");
}
peal::task<> resolving(place&) {
    auto plain = peal::net::resolve("127.0.0.1", "80");
    std::vector<peal::net::address> found = co_await std::move(plain);
    expect(!found.empty(), "resolve: nothing found");
    peal::net::resolver names;
    co_await peal::when_all(ask(names), ask(names), ask(names));
    co_await ask(names);
}
peal::task<> reading_buffered(place&) {
    auto ends = support::local_pair();
    co_await ends.first.write_all(bytes_of("one line\nanother line\nrest"));
    ends.first.close();
    peal::io::buffered_reader in(ends.second, 128);
    int lines = 0;
    while (auto line = co_await in.read_line(80)) ++lines;
    expect(lines == 3, "buffered_reader: lines got lost");
}
peal::task<> writing_buffered(place&) {
    auto ends = support::local_pair();
    {
        peal::io::buffered_writer out(ends.first, 16);
        for (int i = 0; i < 4; ++i) co_await out.write("12345678");
        co_await out.flush();
    }
    std::array<std::byte, 32> buffer;
    std::size_t got = co_await ends.second.read_exactly(buffer);
    expect(got == 32, "buffered_writer: bytes got lost");
}
peal::task<> in_memory(place&) {
    auto [one, two] = peal::io::memory_stream_pair(16);
    auto writing = one.write_all(bytes_of("12345678"));
    co_await std::move(writing);
    std::array<std::byte, 8> buffer;
    auto reading = two.read_exactly(buffer);
    std::size_t got = co_await std::move(reading);
    expect(got == 8, "memory_stream: bytes got lost");
}

// ---- files -----------------------------------------------------------------------------------------------------------------------------

peal::task<> reading_and_writing(place& where) {
    peal::fs::file data = co_await peal::fs::file::open(where.path("data"), peal::fs::open_mode::read_write);
    co_await data.write_at(0, bytes_of("87654321"));
    std::array<std::byte, 8> buffer;
    std::size_t got = co_await data.read_at(0, buffer);
    expect(got == 8, "file: a short read");
    co_await data.sync();
    auto info = co_await data.stat();
    expect(info.size == 8, "file: wrong size");
}
peal::task<> whole_files(place& where) {
    std::string path = where.path("whole");
    auto writing = peal::fs::write_file(path, bytes_of("all of it"));
    co_await std::move(writing);
    auto reading = peal::fs::read_file(path);
    std::vector<std::byte> content = co_await std::move(reading);
    expect(content.size() == 9, "read_file: wrong size");
    auto removing = peal::fs::remove(path);
    co_await std::move(removing);
}
peal::task<> names(place& where) {
    std::string deep = where.path("a folder with a name of some length/b/c");
    co_await peal::fs::make_directories(deep);
    co_await peal::fs::symlink("c", deep + ".link");
    std::string target = co_await peal::fs::read_link(deep + ".link");
    expect(target == "c", "read_link: something else");
    co_await peal::fs::rename(deep + ".link", deep + ".other");
    auto found = co_await peal::fs::list(where.path("a folder with a name of some length/b"));
    expect(found.size() == 2, "list: wrong number");
    std::uint64_t removed = co_await peal::fs::remove_all(where.path("a folder with a name of some length"));
    expect(removed == 4, "remove_all: wrong number");
}
peal::task<> walking(place& where) {
    peal::fs::directory_walk walk(where.path("tree"), 2);
    std::size_t met = 0;
    for (;;) {
        auto stepping = walk.next();
        std::vector<peal::fs::entry> batch = co_await std::move(stepping);
        if (batch.empty()) break;
        met += batch.size();
    }
    expect(met == 7, "walk: entries got lost");
}
peal::task<> in_a_folder(place& where) {
    auto opening = peal::fs::directory::open(where.folder);
    peal::fs::directory folder = co_await std::move(opening);
    auto opening_file = folder.open_file("data", peal::fs::open_options().read());
    peal::fs::file data = co_await std::move(opening_file);
    auto asking = folder.stat("data");
    auto info = co_await std::move(asking);
    expect(info.size == 8, "directory: wrong size");
    co_await folder.sync();
}
peal::task<> temporary(place& where) {
    {
        auto creating = peal::fs::temp_file::create(where.folder);
        peal::fs::temp_file made = co_await std::move(creating);
        co_await made.content().write_at(0, bytes_of("abc"));
        auto naming = made.give_name(where.path("named"));
        co_await std::move(naming);
    }
    auto copying = peal::fs::copy_file(where.path("named"), where.path("copied"));
    std::uint64_t copied = co_await std::move(copying);
    expect(copied == 3, "copy_file: wrong size");
}
peal::task<> watching(place& where) {
    peal::fs::change_watch changes;
    auto adding = changes.add(where.folder);
    co_await std::move(adding);
    support::put(where.path("watched"), "x");
    auto next = changes.next();
    peal::fs::change first = co_await peal::timeout(10s, std::move(next));
    expect(first.name == "watched", "watch: another name");
}
peal::task<> locking(place& where) {
    peal::fs::file data = co_await peal::fs::file::open(where.path("data"), peal::fs::open_mode::read_write);
    auto asking = peal::fs::lock(data);
    peal::fs::file_lock held = co_await std::move(asking);
    auto trying = peal::fs::try_lock(data);
    auto second = co_await std::move(trying);
    static_cast<void>(second);
}

// ---- programs, pipes, signals ---------------------------------------------------------------------------------------------------------

peal::task<> running_a_program(place&) {
    peal::process::command cat("cat");
    cat.environment("SOMETHING", "of a length that no short string has");
    auto running = peal::process::run(cat, "some input");
    peal::process::run_result result = co_await std::move(running);
    expect(result.status.success() && result.output == "some input", "run: wrong output");
}
peal::task<> starting_a_program(place&) {
    peal::process::command sleeper("sleep", "1000");
    auto starting = peal::process::start(sleeper);
    peal::process::child child = co_await std::move(starting);
    child.kill(SIGKILL);
    auto waiting = child.wait();
    peal::process::exit_status end = co_await std::move(waiting);
    expect(end.signal() == SIGKILL, "child: another end");
}
peal::task<> through_a_pipe(place&) {
    peal::io::pipe ends = peal::io::make_pipe();
    co_await ends.writer.write_all(bytes_of("12345678"));
    std::array<std::byte, 8> buffer;
    std::size_t got = co_await ends.reader.read(buffer);
    expect(got == 8, "pipe: a short read");
}
peal::task<> awaiting_signals(place&) {
    peal::process::signal_watch signals{SIGUSR2};
    ::kill(::getpid(), SIGUSR2);
    auto next = signals.next();
    int number = co_await peal::timeout(10s, std::move(next));
    expect(number == SIGUSR2, "signal_watch: another signal");
}

peal::task<> simulated(peal::simulation& sim) {
    auto ends = sim.stream_pair();
    auto writing = ends.first.write_all(bytes_of("12345678"));
    co_await writing;
    std::array<std::byte, 8> buffer;
    std::size_t got = co_await ends.second.read_exactly(buffer);
    expect(got == 8, "simulation: a short read");
    co_await peal::sleep_for(1h);
}
void making_a_simulation(place&) {
    peal::simulation sim(1);
    support::refused_memory::end();  // what the simulation has in the place of the kernel cannot do without memory: README.md
    sim.pool().run(simulated, std::ref(sim));
}

/// The table of uses has no place yet for a number like this one.
peal::task<> with_a_high_descriptor(place& where) {
    static std::atomic<int> next{1024};
    int number = next.fetch_add(512);
    auto ends = support::local_pair();
    tcp_stream far(::fcntl(ends.first.native_handle(), F_DUPFD_CLOEXEC, number));
    expect(far.native_handle() == number, "no such descriptor");
    co_await ends.second.write_all(bytes_of("12345678"));
    std::array<std::byte, 8> buffer;
    std::size_t got = co_await far.read(buffer);
    expect(got == 8, "tcp: a short read");
    peal::fs::file data = co_await peal::fs::file::open(where.path("data"));
    peal::fs::file high(::fcntl(data.native_handle(), F_DUPFD_CLOEXEC, number + 256));
    got = co_await high.read_at(0, buffer);
    expect(got == 8, "file: a short read");
}

/// The end of what others do a moment later. `guard` is one against a hang.
template <class Condition>
bool becomes(Condition condition) {
    auto guard = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > guard) return false;
        std::this_thread::sleep_for(50us);
    }
    return true;
}

// ---- the loop --------------------------------------------------------------------------------------------------------------------------

struct scenario {
    const char* name;
    void (*outside)(place&);              // on a thread of the program,
    peal::task<> (*inside)(place&);       // or in the pool
};

constexpr scenario scenarios[] = {
    {"making a pool", making_a_pool, nullptr},
    {"spawn from outside", spawning_from_outside, nullptr},
    {"spawn from inside", nullptr, spawning_inside},
    {"spawn_bulk", nullptr, spawning_in_bulk},
    {"scope", nullptr, in_a_scope},
    {"scope whose children fail", nullptr, failing_children},
    {"scope that keeps going", nullptr, failing_alone},
    {"offload", nullptr, offloading},
    {"blocking", nullptr, blocking_calls},
    {"share", nullptr, in_a_share},
    {"timeout", nullptr, with_timeout},
    {"when_all", nullptr, all_of_them},
    {"when_any", nullptr, any_of_them},
    {"map_concurrent", nullptr, mapping_concurrently},
    {"fork_join", nullptr, forking},
    {"parallel_for", nullptr, loops},
    {"channel", nullptr, through_a_channel},
    {"unbounded_channel", nullptr, through_an_unbounded_channel},
    {"broadcast", nullptr, by_broadcast},
    {"mutex", nullptr, with_a_mutex},
    {"semaphore", nullptr, with_a_semaphore},
    {"sleep", nullptr, sleeping},
    {"generators", nullptr, generating},
    {"tcp", nullptr, over_tcp},
    {"tcp with leases", nullptr, receiving_leases},
    {"receiver", nullptr, receiving_on},
    {"connect by name", nullptr, by_name},
    {"connect_any", nullptr, whoever_answers_first},
    {"udp", nullptr, over_udp},
    {"unix with descriptors", nullptr, passing_descriptors},
    {"unix listener", nullptr, over_unix},
    {"unix datagram", nullptr, unix_datagrams},
    {"resolve", nullptr, resolving},
    {"buffered_reader", nullptr, reading_buffered},
    {"buffered_writer", nullptr, writing_buffered},
    {"memory_stream", nullptr, in_memory},
    {"file", nullptr, reading_and_writing},
    {"whole files", nullptr, whole_files},
    {"names of files", nullptr, names},
    {"directory_walk", nullptr, walking},
    {"directory", nullptr, in_a_folder},
    {"temp_file", nullptr, temporary},
    {"change_watch", nullptr, watching},
    {"file_lock", nullptr, locking},
    {"process::run", nullptr, running_a_program},
    {"process::start", nullptr, starting_a_program},
    {"pipe", nullptr, through_a_pipe},
    {"signal_watch", nullptr, awaiting_signals},
    {"making a simulation", making_a_simulation, nullptr},
    {"a descriptor of a new number", nullptr, with_a_high_descriptor},
};

/// What was wrong with its end; nothing if it was well.
std::string run_once(const scenario& one, place& where, long refused, bool& failed) {
    std::string wrong_end;
    auto on_a_fresh_thread = [&] {
        try {
            support::refused_memory refusing(refused);
            if (one.outside != nullptr) {
                one.outside(where);
            } else {
                where.pool.run(one.inside, std::ref(where));
            }
        } catch (const std::bad_alloc&) {
            failed = true;
        } catch (const std::system_error& failure) {
            failed = true;
            if (failure.code() != std::errc::not_enough_memory) wrong_end = failure.what();
        } catch (const std::exception& failure) {
            failed = true;
            wrong_end = failure.what();
        }
    };
    std::thread asking(on_a_fresh_thread);  // its frames are not those of this one: see base/memory_faults.hpp
    asking.join();
    return wrong_end;
}

peal::task<> serves(place& where) {
    co_await over_tcp(where);
    co_await reading_and_writing(where);
    co_await blocking_calls(where);
    co_await receiving_leases(where);
}

bool has_children() {
    siginfo_t ended{};
    return ::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/// Everything again with one refusal; gives complaints.
std::string try_with(const scenario& one, const std::string& folder, long refused, bool& met, bool& failed) {
    std::string complaints;
    std::filesystem::remove_all(folder + "/a folder with a name of some length");  // of a refusal before
    std::int64_t frames = peal::detail::live_frames();
    std::size_t descriptors = support::open_descriptors();
    {
        peal::pool_options options(2);
        options.on_unhandled = [](std::exception_ptr, const peal::context&) {};
        peal::pool pool(options);
        place where(pool, folder);
        std::string end = run_once(one, where, refused, failed);
        met = support::refused_memory::was_met();
        if (!end.empty()) complaints += "ended by: " + end + "; ";
        if (failed && !met) complaints += "failed, and nothing was refused; ";
        try {
            std::thread([&] { pool.run(serves, std::ref(where)); }).join();
        } catch (const std::exception& failure) {
            complaints += std::string("does not serve: ") + failure.what() + "; ";
        }
        if (!becomes([&] { return pool.counts().live == 0; })) complaints += "tasks are left; ";
        peal::pool_counts counts = pool.counts();
        if (counts.accepted != counts.completed + counts.failed + counts.canceled + counts.live) complaints += "counts do not add up; ";
    }
    if (!becomes([&] { return peal::detail::live_frames() == frames; })) {
        complaints += std::to_string(peal::detail::live_frames() - frames) + " frames are left; ";
    }
    if (!becomes([&] { return support::open_descriptors() == descriptors; })) {
        complaints += std::to_string(support::open_descriptors()) + " descriptors instead of " + std::to_string(descriptors) + "; ";
    }
    if (!becomes([] { return !has_children(); })) complaints += "a program is left; ";
    for (const auto& each : std::filesystem::directory_iterator(folder)) {
        std::string name = each.path().filename().string();
        if (name.find(".peal-temp-") != std::string::npos || name.find(".new-") != std::string::npos) complaints += name + " is left; ";
    }
    return complaints;
}

}  // namespace

TEST_CASE("faults: no memory, at each point of each scenario") {
    ::signal(SIGUSR2, SIG_IGN);  // one whose watch failed to be made
    support::temp_folder folder;
    support::put(folder / "data", "12345678");
    for (const char* name : {"tree", "tree/a", "tree/a/b"}) std::filesystem::create_directory(folder / name);
    for (const char* name : {"tree/1", "tree/a/2", "tree/a/3", "tree/a/b/4"}) support::put(folder / name, "x");
    rlimit descriptors{};
    ::getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &descriptors);

    peal::rt::the_memory_fault = &support::refused_memory::is_next;
    const char* only = std::getenv("PEAL_SCENARIO");
    long points = 0;
    long errors = 0;
    for (const scenario& one : scenarios) {
        if (only != nullptr && std::string_view(only) != one.name) continue;
        long first_points = points;
        for (long refused = 1;; ++refused) {
            std::printf("%s %ld\r", one.name, refused);  // for whoever finds it hanging
            std::fflush(stdout);
            ::alarm(120);  // kills the program: nothing takes that long but a hang
            bool met = false;
            bool failed = false;
            std::string complaints = try_with(one, folder.path(), refused, met, failed);
            CAPTURE(one.name, refused);
            CHECK(complaints == "");
            if (!met) break;
            ++points;
            errors += failed ? 1 : 0;
            REQUIRE(refused < 5000);
        }
        std::printf("%-32s %ld points\n", one.name, points - first_points);
    }
    ::alarm(0);
    peal::rt::the_memory_fault = nullptr;
    WARN(points << " points, of which " << errors << " ended with an error");
}
