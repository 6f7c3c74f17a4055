// SPDX-License-Identifier: MIT
//
// Command line of echo_load: `--name value` or `--name=value`; each option at most once.

#include "options.hpp"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

#include "payload.hpp"

namespace load {

const char* const usage_text =
    "usage: echo_load --port PORT [option]...\n"
    "Loads a TCP echo server, checks every byte, reports rate and latency.\n"
    "\n"
    "  --host HOST         numeric address or name (127.0.0.1)\n"
    "  --port PORT         1 to 65535\n"
    "  --connections N     connections that send requests (64)\n"
    "  --size BYTES        bytes per message (64)\n"
    "  --pipeline N        messages in flight per connection, at most (1)\n"
    "  --duration SECONDS  measured time (5)\n"
    "  --warmup SECONDS    the same load before it, not measured (1)\n"
    "  --rate R            open loop: R requests/s over all connections on a fixed schedule;\n"
    "                      latency counts from the scheduled time (absent: closed loop)\n"
    "  --idle N            more connections: one echo each, then idle (0)\n"
    "  --hold SECONDS      with --idle: no load, only hold the idle connections this long\n"
    "  --spin US           poll this long before sleeping, for a generator with its own core (0)\n"
    "  --pid PID           server process: report its CPU time per request and its memory\n"
    "  --seed N            seed of the payload (1)\n"
    "  --json              one JSON object instead of text\n"
    "  --help              this text\n";

namespace {

// The reader of one value; `name` is for messages only.
struct argument {
    std::string_view name;
    std::string_view text;

    template <typename Integer>
    Integer whole(Integer min, Integer max) const
    {
        Integer value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size() || value < min || value > max)
            refuse("a whole number from " + std::to_string(min) + " to " + std::to_string(max));
        return value;
    }

    double number(double min, double max) const
    {
        double value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size() || !(value >= min && value <= max))
            refuse("a number from " + plain(min) + " to " + plain(max));
        return value;
    }

    [[noreturn]] void refuse(const std::string& wanted) const
    {
        throw usage_error(std::string(name) + ": '" + std::string(text) + "' is not " + wanted);
    }

    static std::string plain(double value)
    {
        char buffer[32];
        const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
        return {buffer, result.ptr};
    }
};

constexpr double day_seconds = 86400;
constexpr std::size_t connections_max = 1'000'000;   // twice this still fits into a head of the payload
constexpr std::size_t size_bytes_max = 16u << 20;    // guess: larger messages measure memcpy
constexpr std::size_t pipeline_max = 65536;
constexpr std::size_t in_flight_max = 1u << 24;      // 8 bytes each: 128 MiB of start times
static_assert(2 * connections_max <= payload::connection_count_max);

void set(options& result, const argument& given)
{
    const std::string_view name = given.name;
    if (name == "--host") {
        if (given.text.empty())
            given.refuse("an address");
        result.host = given.text;
    } else if (name == "--port") {
        result.port = given.whole<std::uint16_t>(1, 65535);
    } else if (name == "--connections") {
        result.connections = given.whole<std::size_t>(1, connections_max);
    } else if (name == "--size") {
        result.size_bytes = given.whole<std::size_t>(1, size_bytes_max);
    } else if (name == "--pipeline") {
        result.pipeline = given.whole<std::size_t>(1, pipeline_max);
    } else if (name == "--duration") {
        result.duration_seconds = given.number(0.001, day_seconds);
    } else if (name == "--warmup") {
        result.warmup_seconds = given.number(0, day_seconds);
    } else if (name == "--rate") {
        result.rate = given.number(0.001, 1e8);
    } else if (name == "--idle") {
        result.idle = given.whole<std::size_t>(0, connections_max);
    } else if (name == "--hold") {
        result.hold_seconds = given.number(0, day_seconds);
    } else if (name == "--spin") {
        result.spin_microseconds = given.number(0, 1e6);
    } else if (name == "--pid") {
        result.pid = given.whole<pid_t>(1, std::numeric_limits<pid_t>::max());
    } else if (name == "--seed") {
        result.seed = given.whole<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max());
    } else {
        throw usage_error(std::string(name) + ": no such option");
    }
}

void check_combination(const options& result, const std::set<std::string_view>& given)
{
    if (result.port == 0)
        throw usage_error("--port: missing");
    if (result.hold_seconds) {
        if (result.idle == 0)
            throw usage_error("--hold: needs --idle N, the number of connections to hold");
        for (const char* name : {"--connections", "--pipeline", "--duration", "--warmup", "--rate", "--spin"})
            if (given.contains(name))
                throw usage_error(std::string(name) + ": has no meaning with --hold, which sends no load");
    }
    if (result.connections * std::bit_ceil(result.pipeline) > in_flight_max)
        throw usage_error("--pipeline: more than " + std::to_string(in_flight_max) +
                          " messages in flight over all connections");
}

} // namespace

options parse_options(int argc, const char* const* argv)
{
    options result;
    std::set<std::string_view> given;
    for (int index = 1; index < argc; ++index) {
        const std::string_view word = argv[index];
        const auto equals = word.find('=');
        const std::string_view name = word.substr(0, equals);
        if (!name.starts_with("--"))
            throw usage_error(std::string(word) + ": options begin with --");
        if (!given.insert(name).second)
            throw usage_error(std::string(name) + ": given twice");

        const bool is_flag = name == "--json" || name == "--help";
        if (is_flag) {
            if (equals != word.npos)
                throw usage_error(std::string(name) + ": takes no value");
            (name == "--json" ? result.json : result.help) = true;
        } else if (equals != word.npos) {
            set(result, {name, word.substr(equals + 1)});
        } else if (index + 1 < argc && !std::string_view(argv[index + 1]).starts_with("--")) {
            set(result, {name, argv[++index]});
        } else {
            throw usage_error(std::string(name) + ": no such option, or its value is missing");
        }
    }
    if (!result.help)
        check_combination(result, given);
    return result;
}

} // namespace load
