// SPDX-License-Identifier: MIT

// resolve: names and services. Nothing here asks a name server: a name with a label of more than 63 characters cannot be asked for.

#include <peal/net/resolve.hpp>

#include <netdb.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

using addresses = std::vector<peal::net::address>;

peal::task<std::string> failure_of(std::string host, std::string service) {
    try {
        addresses found = co_await peal::net::resolve(host, service);
        co_return "found " + found.front().to_string();
    } catch (const std::system_error& failure) {
        co_return std::string(failure.code().category().name()) + ": " + failure.what();
    }
}

peal::task<bool> worker_goes_on() {
    // One worker: if the lookup blocked it, the flag could not be set before the lookup is over.
    std::thread::id worker = std::this_thread::get_id();
    addresses found = co_await peal::net::resolve("localhost", "80");
    co_return std::this_thread::get_id() == worker && !found.empty();
}

}  // namespace

TEST_CASE("resolve: numeric hosts and services need nobody") {
    peal::pool pool(peal::pool_options(1));
    addresses found = pool.run(peal::net::resolve, "127.0.0.1", "7000");
    REQUIRE(found.size() == 1);
    CHECK(found[0] == peal::net::address::parse("127.0.0.1:7000"));
    found = pool.run(peal::net::resolve, "::1", "7000");
    REQUIRE(found.size() == 1);
    CHECK(found[0] == peal::net::address::parse("[::1]:7000"));
}

TEST_CASE("resolve: localhost is a loopback address, and the worker is left free") {
    peal::pool pool(peal::pool_options(1));
    addresses found = pool.run(peal::net::resolve, "localhost", "7000");
    REQUIRE_FALSE(found.empty());
    for (const peal::net::address& each : found) {
        CHECK(each.port() == 7000);
        CHECK((each.host() == "::1" || each.host().starts_with("127.")));
    }
    CHECK(pool.run(worker_goes_on));
}

TEST_CASE("resolve: a failure names host and service and has the resolver's words") {
    peal::pool pool(peal::pool_options(1));
    std::string impossible(80, 'x');
    std::string said = pool.run(failure_of, impossible, "80");
    INFO(said);
    CHECK(said.starts_with("resolver: resolve " + impossible + ":80: "));
    // "Name or service not known", or "Temporary failure in name resolution" on a machine without any resolver.
    CHECK((said.ends_with(::gai_strerror(EAI_NONAME)) || said.ends_with(::gai_strerror(EAI_AGAIN)) ||
           said.ends_with(::gai_strerror(EAI_FAIL))));

    said = pool.run(failure_of, std::string("127.0.0.1\0.example.org", 22), "80");
    CHECK(said == "system: resolve 127.0.0.1?.example.org:80: Invalid argument");
    said = pool.run(failure_of, "127.0.0.1", "no-such-service-at-all");
    CHECK(said == std::string("resolver: resolve 127.0.0.1:no-such-service-at-all: ") + ::gai_strerror(EAI_SERVICE));
}

TEST_CASE("resolve: many at once share a few threads") {
    auto take = [](peal::join_handle<addresses> handle) -> peal::task<addresses> { co_return co_await handle; };
    peal::pool pool(peal::pool_options(2));
    std::vector<peal::join_handle<addresses>> asked;
    for (int i = 0; i < 200; ++i) asked.push_back(pool.spawn(peal::net::resolve, "127.0.0.1", std::to_string(1000 + i)));
    for (int i = 0; i < 200; ++i) {
        addresses found = pool.run(take, std::move(asked[static_cast<std::size_t>(i)]));
        REQUIRE(found.size() == 1);
        CHECK(found[0].port() == 1000 + i);
    }
}

// ---- resolver ----------------------------------------------------------------------------------------------------------------------------

namespace {

using peal::net::resolver;
using peal::net::resolver_options;

peal::task<addresses> ask(resolver& names, std::string host) { co_return co_await names.resolve(host, "80"); }

peal::task<std::string> ask_end(resolver& names, std::string host) {
    auto asking = names.resolve(host, "80");
    auto found = co_await peal::as_result(std::move(asking));
    co_return found ? found->front().to_string() : found.error().message();
}

}  // namespace

TEST_CASE("resolver: an answer is remembered for a time, a failure is not, and no more than the capacity") {
    peal::pool pool(peal::pool_options(2));
    resolver names(resolver_options().remember_for(1h).capacity(3));
    for (int i = 0; i < 5; ++i) CHECK(pool.run(ask_end, std::ref(names), "127.0.0.1") == "127.0.0.1:80");
    CHECK(names.lookups_total() == 1);
    CHECK(names.size() == 1);
    for (int i = 0; i < 2; ++i) CHECK_FALSE(pool.run(ask_end, std::ref(names), std::string(80, 'x')).starts_with("127."));
    CHECK(names.lookups_total() == 3);
    CHECK(names.size() == 1);
    for (const char* host : {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"}) pool.run(ask, std::ref(names), host);
    CHECK(names.size() == 3);
    pool.run(ask, std::ref(names), "127.0.0.1");  // the oldest had to go
    CHECK(names.lookups_total() == 8);
    names.forget_all();
    CHECK(names.size() == 0);

    resolver forgetful(resolver_options().remember_for(0ms));
    for (int i = 0; i < 3; ++i) pool.run(ask, std::ref(forgetful), "127.0.0.1");
    CHECK(forgetful.lookups_total() == 3);
    CHECK(forgetful.size() == 0);
}

TEST_CASE("resolver: addresses of one family only") {
    peal::pool pool(peal::pool_options(1));
    resolver ipv4(resolver_options().family(peal::net::address_family::ipv4));
    resolver ipv6(resolver_options().family(peal::net::address_family::ipv6));
    for (const peal::net::address& each : pool.run(ask, std::ref(ipv4), "localhost")) CHECK_FALSE(each.is_ipv6());
    CHECK(pool.run(ask, std::ref(ipv6), "::1").front().is_ipv6());
    CHECK(pool.run(ask_end, std::ref(ipv6), "127.0.0.1").starts_with("resolve 127.0.0.1:80: "));
}

TEST_CASE("resolver: those who ask at the same time share a lookup; the service is part of the question") {
    peal::pool pool(peal::pool_options(2));
    resolver names(resolver_options().remember_for(1h));
    std::vector<peal::join_handle<std::string>> asked;
    for (int i = 0; i < 200; ++i) asked.push_back(pool.spawn(ask_end, std::ref(names), "127.0.0.1"));
    auto take = [](peal::join_handle<std::string> handle) -> peal::task<std::string> { co_return co_await handle; };
    for (auto& each : asked) CHECK(pool.run(take, std::move(each)) == "127.0.0.1:80");
    CHECK(names.lookups_total() == 1);  // by sharing or by memory: no other was made
    auto other = [](resolver& with, std::string service) { return with.resolve("127.0.0.1", service); };
    pool.run(other, std::ref(names), "81");
    CHECK(names.lookups_total() == 2);
}

TEST_CASE("resolver: who is stopped costs the others nothing") {
    peal::pool pool(peal::pool_options(2));
    auto take = [](peal::join_handle<std::string> handle) -> peal::task<std::string> { co_return co_await handle; };
    for (int round = 0; round < 100; ++round) {
        resolver names(resolver_options().remember_for(0ms));
        std::vector<peal::join_handle<std::string>> asked;
        for (int i = 0; i < 8; ++i) asked.push_back(pool.spawn(ask_end, std::ref(names), "127.0.0.1"));
        for (std::size_t i = 0; i < 4; ++i) asked[i].request_stop();
        for (std::size_t i = 0; i < 8; ++i) {
            std::string end = pool.run(take, std::move(asked[i]));
            INFO(i << ": " << end);
            if (i >= 4) CHECK(end == "127.0.0.1:80");
            if (i < 4) CHECK((end == "127.0.0.1:80" || end.ends_with("Operation canceled")));
        }
    }
}
