// SPDX-License-Identifier: MIT

// What can be divided, not divided: on one thread, without any library.

#include "compare/computations.hpp"

namespace {

using compare::measured;

measured fib(unsigned) { return compare::fib(workloads::fib); }
measured skynet(unsigned) { return compare::skynet(workloads::skynet); }
measured queens(unsigned) {
    return compare::queens([](const workloads::board& taken, int row, int size, int) { return workloads::queens(taken, row, size); });
}
measured multiply(unsigned) {
    auto four = [](const auto&... parts) { (parts(), ...); };
    return compare::multiply([&four](const matmul::block& all) { matmul::multiply(all, four); });
}
measured change(unsigned) { return compare::change(loops::change_all); }
measured reduce(unsigned) { return compare::reduce(loops::sum); }

constexpr compare::workload all[] = {
    {"fib_task", fib},       {"fib_join", fib},    {"skynet_task", skynet},  {"skynet_join", skynet},     {"queens_task", queens},
    {"queens_join", queens}, {"matmul", multiply}, {"parallel_for", change}, {"parallel_reduce", reduce},
};

}  // namespace

std::span<const compare::workload> compare::workloads() { return all; }
std::string compare::version() { return "no library"; }
