// SPDX-License-Identifier: MIT

// Shows: bounded concurrency (map_concurrent), retry with growing pauses, a limit in time for each attempt and one for everything.
// Run:   fetch_all http://127.0.0.1:8000/a http://127.0.0.1:8000/b     Expect: a line per address: status, bytes, milliseconds.
//        Ends with 1 if one could not be had. It speaks just enough HTTP/1.0 for that; for more, use an HTTP library.

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <peal/peal.hpp>

using namespace std::chrono_literals;

struct url {
    std::string text, host, port, path;
};

struct page {
    explicit page(std::string error) : error(std::move(error)) {}
    page(int status, std::size_t bytes) : status(status), bytes(bytes) {}
    int status = 0;
    std::size_t bytes = 0;
    std::string error;
};

url parse(std::string_view text) {
    constexpr std::string_view scheme = "http://";
    if (!text.starts_with(scheme)) throw std::invalid_argument("not an http:// address: " + std::string(text));
    std::string_view rest = text.substr(scheme.size());
    std::string_view place = rest.substr(0, rest.find('/'));
    std::size_t colon = place.rfind(':');
    url parsed;
    parsed.text = text;
    parsed.host = place.substr(0, colon);
    parsed.port = colon == std::string_view::npos ? "80" : place.substr(colon + 1);
    parsed.path = place.size() == rest.size() ? "/" : rest.substr(place.size());
    return parsed;
}

peal::task<page> fetch_once(const url& from) {
    auto server = co_await peal::net::tcp_stream::connect(from.host, from.port);
    std::string request = "GET " + from.path + " HTTP/1.0\r\nHost: " + from.host + "\r\n\r\n";
    co_await server.write_all(peal::io::bytes_of(request));
    std::string head;
    std::size_t body = 0;
    std::size_t head_end = std::string::npos;
    std::array<std::byte, 16 * 1024> buffer;
    while (std::size_t bytes = co_await server.read(buffer)) {
        if (head_end != std::string::npos) {
            body += bytes;
            continue;
        }
        head.append(reinterpret_cast<const char*>(buffer.data()), bytes);
        head_end = head.find("\r\n\r\n");
        if (head_end != std::string::npos) body = head.size() - head_end - 4;
        if (head.size() > 64 * 1024) break;
    }
    int status = 0;
    if (!head.starts_with("HTTP/1.") || head.size() < 12 || std::from_chars(&head[9], &head[12], status).ec != std::errc() ||
        head_end == std::string::npos) {
        throw std::runtime_error("the answer is not HTTP");
    }
    if (status >= 500) throw std::runtime_error("status " + std::to_string(status));  // it may pass: worth another attempt
    co_return page(status, body);
}

peal::task<page> fetch(const url& from) {
    auto begin = peal::clock::now();
    peal::retry_policy policy(3);
    auto attempt = [&from]() -> peal::task<page> { co_return co_await peal::timeout(2s, fetch_once(from)); };
    page got("");
    try {
        got = co_await peal::retry(policy, attempt);
    } catch (const std::exception& failure) {
        if (peal::is_canceled(failure)) throw;
        got = page(failure.what());
    }
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(peal::clock::now() - begin).count();
    if (got.error.empty()) {
        std::printf("%d %zu bytes %lld ms %s\n", got.status, got.bytes, static_cast<long long>(ms), from.text.c_str());
    } else {
        std::printf("failed after %lld ms: %s: %s\n", static_cast<long long>(ms), from.text.c_str(), got.error.c_str());
    }
    co_return got;
}

peal::task<bool> fetch_all(const std::vector<url>& addresses) {
    std::span all(addresses);
    std::vector<page> pages = co_await peal::timeout(20s, peal::map_concurrent(all, 8, fetch));
    bool good = true;
    for (const page& each : pages) good = good && each.error.empty() && each.status < 400;
    co_return good;
}

int main(int argc, char** argv) {
    if (argc < 2) return std::fprintf(stderr, "usage: fetch_all http://HOST[:PORT]/PATH...\n"), 2;
    try {
        std::vector<url> addresses;
        for (int i = 1; i < argc; ++i) addresses.push_back(parse(argv[i]));
        peal::pool pool;
        return pool.run(fetch_all, std::ref(addresses)) ? 0 : 1;
    } catch (const std::invalid_argument& wrong) {
        return std::fprintf(stderr, "fetch_all: %s\n", wrong.what()), 2;
    } catch (const std::exception& failure) {
        return std::fprintf(stderr, "fetch_all: %s\n", failure.what()), 1;
    }
}
