// SPDX-License-Identifier: MIT

// Transfers that the outside cuts short, each of them: what promises everything still moves everything, in order.

#include <net/zero_copy.hpp>
#include <task/faults.hpp>

#include <functional>
#include <string>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"
#include "support/temp_folder.hpp"

namespace {

constexpr std::size_t total = 20'000;

peal::task<> send_all(peal::net::tcp_stream& to) {
    std::vector<std::byte> bytes = support::pattern(total);
    co_await to.write_all(bytes);
}

peal::task<bool> through_a_stream() {
    auto ends = support::local_pair();
    peal::scope sending;
    sending.spawn(send_all, std::ref(ends.first));
    std::vector<std::byte> got(total);
    std::size_t count = co_await ends.second.read_exactly(got);
    co_await sending.join();
    co_return count == total && support::fits(got, 0);
}

/// Each part waits for the peer's acknowledgment, which may take 40 ms: a few.
peal::task<bool> without_a_copy(std::size_t bytes) {
    auto ends = co_await support::connected_pair();
    ends.first.set_zero_copy(1);
    peal::scope sending;
    sending.spawn([](peal::net::tcp_stream& to, std::size_t count) -> peal::task<> {
        std::vector<std::byte> all = support::pattern(count);
        co_await to.write_all(all);
    }, std::ref(ends.first), bytes);
    std::vector<std::byte> got(bytes);
    std::size_t count = co_await ends.second.read_exactly(got);
    co_await sending.join();
    co_return count == bytes && support::fits(got, 0);
}

peal::task<bool> from_a_file_through_a_stream(std::string path) {
    std::vector<std::byte> bytes = support::pattern(total);
    peal::fs::file data = co_await peal::fs::file::open(path, peal::fs::open_mode::read_write);
    co_await data.write_at(0, bytes);
    auto ends = support::local_pair();
    peal::scope sending;
    sending.spawn([](peal::net::tcp_stream& to, const peal::fs::file& from) -> peal::task<> { co_await to.send_file(from, 3, total); },
                  std::ref(ends.first), std::cref(data));
    std::vector<std::byte> got(total - 3);
    std::size_t count = co_await ends.second.read_exactly(got);
    co_await sending.join();
    co_return count == got.size() && support::fits(got, 3);
}

peal::task<bool> through_a_file(std::string path) {
    peal::fs::file data = co_await peal::fs::file::open(path, peal::fs::open_mode::read_write);
    std::vector<std::byte> bytes = support::pattern(total);
    std::size_t written = co_await data.write_at(100, bytes);
    std::vector<std::byte> got(total);
    std::size_t count = co_await data.read_exactly_at(100, got);
    co_return written == total && count == total && support::fits(got, 0);
}

peal::task<bool> whole_files(std::string path) {
    std::vector<std::byte> bytes = support::pattern(total);
    co_await peal::fs::write_file(path, bytes);
    std::vector<std::byte> got = co_await peal::fs::read_file(path);
    co_return got == bytes;
}

}  // namespace

TEST_CASE("faults: every transfer is cut short") {
    support::temp_folder folder;
    const std::uint64_t before = peal::rt::longest_transfer;
    for (std::uint64_t most : {1, 7, 4095}) {
        CAPTURE(most);
        peal::rt::longest_transfer = most;
        peal::pool pool(peal::pool_options(2));
        CHECK(pool.run(through_a_stream));
        peal::rt::zero_copy_on_this_machine = true;
        CHECK(pool.run(without_a_copy, static_cast<std::size_t>(most) * 5 + 1));
        peal::rt::zero_copy_on_this_machine = false;
        CHECK(pool.run(from_a_file_through_a_stream, folder / "sent"));
        CHECK(pool.run(through_a_file, folder / "data"));
        CHECK(pool.run(whole_files, folder / "whole"));
    }
    peal::rt::longest_transfer = before;
}
