// SPDX-License-Identifier: MIT

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <peal/combine/when_all.hpp>
#include <peal/io/buffer.hpp>
#include <peal/process/child.hpp>
#include <peal/task/as_result.hpp>

namespace peal::process {
namespace {

constexpr std::size_t piece_bytes = 16 * 1024;  // a quarter of what a pipe holds

task<> feed(io::pipe_writer& to, std::string_view input) {
    auto writing = to.write_all(io::bytes_of(input));
    auto written = co_await as_result(writing);
    to.close();
    if (!written && written.error().code() != std::errc::broken_pipe) written.error().raise();
}

task<> collect(io::pipe_reader& from, std::string& kept, std::uint64_t& total, std::size_t bound) {
    std::array<std::byte, piece_bytes> piece;
    for (;;) {
        std::size_t count = co_await from.read(piece);
        if (count == 0) break;
        total += count;
        kept.append(reinterpret_cast<const char*>(piece.data()), std::min(count, bound - kept.size()));
    }
    from.close();
}

}  // namespace

task<run_result> run(command what, std::string input, std::size_t capture_bytes) {
    bool feeds = !what.has_stream(0);
    bool collects_output = !what.has_stream(1);
    bool collects_errors = !what.has_stream(2);
    if (feeds) what.input(standard_stream::pipe());
    if (collects_output) what.output(standard_stream::pipe());
    if (collects_errors) what.errors(standard_stream::pipe());
    task<child> starting = start(std::move(what));
    child program = co_await std::move(starting);

    run_result result(exit_status::exited(0));
    std::vector<task<>> parts;
    if (feeds) parts.push_back(feed(program.input(), input));
    if (collects_output) parts.push_back(collect(program.output(), result.output, result.output_bytes, capture_bytes));
    if (collects_errors) parts.push_back(collect(program.errors(), result.errors, result.errors_bytes, capture_bytes));
    co_await when_all(std::move(parts));
    result.status = co_await program.wait();
    co_return result;
}

}  // namespace peal::process
