// SPDX-License-Identifier: MIT
//
// Output of echo_load; units are part of every name in the JSON object.

#include "report.hpp"

#include <cinttypes>
#include <cstdio>
#include <string>

namespace load {

namespace {

double microseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }

double mebibytes(std::uint64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

double per_request(double seconds, std::uint64_t requests)
{
    return requests == 0 ? 0 : seconds * 1e6 / static_cast<double>(requests);
}

std::string quoted(const std::string& text)
{
    std::string result = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            result += '\\';
            result += letter;
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(letter));
            result += escape;
        } else {
            result += letter;
        }
    }
    return result + '"';
}

void print_json_quantiles(const char* name, const histogram& values)
{
    std::printf(R"(,"%s":{"mean":%.3f,"p50":%.3f,"p90":%.3f,"p99":%.3f,"p99_9":%.3f,"max":%.3f})", name,
        values.mean() / 1e3, microseconds(values.quantile(0.5)), microseconds(values.quantile(0.9)),
        microseconds(values.quantile(0.99)), microseconds(values.quantile(0.999)), microseconds(values.max()));
}

void print_text_quantiles(const char* name, const histogram& values)
{
    std::printf("%-14s p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n", name,
        microseconds(values.quantile(0.5)), microseconds(values.quantile(0.9)), microseconds(values.quantile(0.99)),
        microseconds(values.quantile(0.999)), microseconds(values.max()));
}

void print_load_json(const options& settings, const results& measured)
{
    std::printf(R"({"mode":"%s","host":%s,"port":%u,"connections":%zu,"size_bytes":%zu,"pipeline":%zu,"idle":%zu)",
        settings.rate ? "open" : "closed", quoted(settings.host).c_str(), unsigned{settings.port},
        settings.connections, settings.size_bytes, settings.pipeline, settings.idle);
    if (settings.rate)
        std::printf(R"(,"rate":%.3f)", *settings.rate);
    std::printf(R"(,"spin_us":%.3f,"seed":%)" PRIu64 R"(,"warmup_seconds":%.3f,"elapsed_seconds":%.6f)",
        settings.spin_microseconds, settings.seed, settings.warmup_seconds, measured.elapsed_seconds);
    std::printf(R"(,"requests":%)" PRIu64 R"(,"requests_per_second":%.1f,"errors":%)" PRIu64 R"(,"bytes":%)" PRIu64,
        measured.requests, static_cast<double>(measured.requests) / measured.elapsed_seconds, measured.errors,
        measured.bytes);
    print_json_quantiles("latency_us", measured.latency);
    if (settings.rate) {
        print_json_quantiles("send_delay_us", measured.send_delay);
        std::printf(R"(,"unanswered":%)" PRIu64, measured.unanswered);
    }
    if (measured.server_cpu_seconds)
        std::printf(R"(,"server_cpu_seconds":%.3f,"server_cpu_us_per_request":%.4f)", *measured.server_cpu_seconds,
            per_request(*measured.server_cpu_seconds, measured.requests));
    if (measured.server_resident_bytes)
        std::printf(R"(,"server_resident_bytes":%)" PRIu64, *measured.server_resident_bytes);
    std::printf("}\n");
}

} // namespace

void print_load(const options& settings, const results& measured)
{
    if (settings.json) {
        print_load_json(settings, measured);
        return;
    }
    if (settings.rate)
        std::printf("open loop %g/s, ", *settings.rate);
    else
        std::printf("closed loop, ");
    std::printf("%zu connections x %zu B, pipeline %zu, %zu idle, %.2f s\n", settings.connections,
        settings.size_bytes, settings.pipeline, settings.idle, measured.elapsed_seconds);
    std::printf("%-14s %" PRIu64 ", %.0f/s, errors %" PRIu64 "\n", "requests", measured.requests,
        static_cast<double>(measured.requests) / measured.elapsed_seconds, measured.errors);
    print_text_quantiles("latency us", measured.latency);
    if (settings.rate) {
        print_text_quantiles("send delay us", measured.send_delay);
        std::printf("%-14s %" PRIu64 " at the end\n", "unanswered", measured.unanswered);
    }
    std::printf("%-14s %" PRIu64 " echoed\n", "bytes", measured.bytes);
    if (measured.server_cpu_seconds && measured.server_resident_bytes)
        std::printf("%-14s %.2f us CPU per request, %.0f %% of one core, %.1f MiB resident\n", "server",
            per_request(*measured.server_cpu_seconds, measured.requests),
            100 * *measured.server_cpu_seconds / measured.elapsed_seconds, mebibytes(*measured.server_resident_bytes));
}

void print_hold(const options& settings, const hold_results& held)
{
    const bool has_memory = held.resident_bytes_before && held.resident_bytes_after;
    const double growth = has_memory ? static_cast<double>(*held.resident_bytes_after) -
                                           static_cast<double>(*held.resident_bytes_before)
                                     : 0;
    const double bytes_each = growth / static_cast<double>(settings.idle);
    if (settings.json) {
        std::printf(R"({"mode":"hold","host":%s,"port":%u,"idle":%zu,"size_bytes":%zu,"seed":%)" PRIu64
                    R"(,"hold_seconds":%.3f,"errors":%)" PRIu64,
            quoted(settings.host).c_str(), unsigned{settings.port}, settings.idle, settings.size_bytes, settings.seed,
            *settings.hold_seconds, held.errors);
        if (has_memory)
            std::printf(R"(,"server_resident_bytes_before":%)" PRIu64 R"(,"server_resident_bytes":%)" PRIu64
                        R"(,"server_bytes_per_connection":%.1f)",
                *held.resident_bytes_before, *held.resident_bytes_after, bytes_each);
        std::printf("}\n");
        return;
    }
    std::printf("held %zu connections for %g s, errors %" PRIu64 "\n", settings.idle, *settings.hold_seconds,
        held.errors);
    if (has_memory)
        std::printf("%-14s %.1f MiB resident before, %.1f MiB with all, %.0f B per connection\n", "server",
            mebibytes(*held.resident_bytes_before), mebibytes(*held.resident_bytes_after), bytes_each);
}

} // namespace load
