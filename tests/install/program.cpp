// SPDX-License-Identifier: MIT

// A user's first program, outside the tree: a coroutine, CPU work offloaded, a file read, a timer.

#include <cstdio>
#include <numeric>
#include <vector>

#include <peal/peal.hpp>

long sum(std::vector<int> numbers) { return std::accumulate(numbers.begin(), numbers.end(), 0L); }

peal::task<> program(peal::pool& pool) {
    co_await pool.schedule();
    long total = co_await pool.offload(sum, std::vector<int>(1000, 2));
    auto file = co_await peal::fs::read_file("/proc/self/comm");
    co_await peal::sleep_for(std::chrono::milliseconds(1));
    std::printf("%ld %s\n", total, file.empty() ? "empty" : "read");
}

int main() {
    peal::pool pool;
    pool.run(program, pool);
}
