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
