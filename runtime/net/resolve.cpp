// SPDX-License-Identifier: MIT

#include <peal/net/resolve.hpp>

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>

#include <peal/detail/blocking_call.hpp>
#include <peal/error.hpp>
#include <peal/sync/event.hpp>

#include "../base/zero_bytes.hpp"

namespace peal::net {
namespace {

class resolver_category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "resolver"; }
    std::string message(int code) const override { return ::gai_strerror(code); }
};

const std::error_category& the_resolver_category() {
    static const resolver_category category;
    return category;
}

int family_of(address_family family) noexcept {
    switch (family) {
        case address_family::any: return AF_UNSPEC;
        case address_family::ipv4: return AF_INET;
        case address_family::ipv6: return AF_INET6;
    }
    return AF_UNSPEC;
}

std::vector<address> look_up(const std::string& host, const std::string& service, address_family family) {
    addrinfo hints{};
    hints.ai_family = family_of(family);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    const std::string what = "resolve " + host + ':' + service;
    rt::check_whole(what);
    addrinfo* found = nullptr;
    int code = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
    // A machine with nothing but loopback has "no address configured": ask again for any.
    if (code == EAI_NONAME || code == EAI_ADDRFAMILY) {
        hints.ai_flags = 0;
        code = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
    }
    std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
    if (code == EAI_SYSTEM) throw std::system_error(errno, std::system_category(), what);
    if (code != 0) throw std::system_error(code, the_resolver_category(), what);
    std::vector<address> addresses;
    for (addrinfo* each = found; each != nullptr; each = each->ai_next) {
        if (each->ai_family == AF_INET || each->ai_family == AF_INET6) {
            addresses.push_back(address::from_system(each->ai_addr, each->ai_addrlen));
        }
    }
    if (addresses.empty()) throw std::system_error(EAI_NONAME, the_resolver_category(), what);
    return addresses;
}

task<std::vector<address>> ask_system(std::string host, std::string service, address_family family) {
    auto ask = [&host, &service, family] { return look_up(host, service, family); };
    std::stop_source unused;  // the system's resolver cannot be interrupted; a lookup that waits for a thread can
    peal::detail::blocking_call asking(ask, peal::detail::blocking_class::names, &unused);
    co_return co_await asking;
}

}  // namespace

task<std::vector<address>> resolve(std::string host, std::string service) {
    return ask_system(std::move(host), std::move(service), address_family::any);
}

// ---- resolver -----------------------------------------------------------------------------------------------------------------
//
// The first who asks for a name puts a lookup into the table and performs it; whoever comes meanwhile waits for it. It leaves the table, for the
// memory or for nothing, before those who wait hear of it: who asks later begins anew.

namespace {

/// One question to the system. What it found is written before `over` is set, and read after.
class lookup {
  public:
    event over;
    std::vector<address> found;
    std::optional<error> failure;  // not the exception itself: each who asked throws one of its own
    bool is_abandoned = false;     // without an answer for all: one of those who wait asks anew
};

}  // namespace

class resolver::memory {
  public:
    using time_point = std::chrono::steady_clock::time_point;
    struct answer {
        std::vector<address> addresses;
        time_point good_until;
    };

    explicit memory(const resolver_options& options) : options_(options) {}

    /// What is remembered; else the lookup to wait for; else a new one, which the caller performs.
    struct advice {
        std::vector<address> addresses;
        std::shared_ptr<lookup> shared;
        bool is_new = false;
    };
    advice ask(const std::string& key) {
        advice given;
        std::lock_guard guard(mutex_);
        if (auto known = answers_.find(key); known != answers_.end()) {
            if (std::chrono::steady_clock::now() < known->second.good_until) {
                given.addresses = known->second.addresses;
                return given;
            }
            answers_.erase(known);
        }
        std::shared_ptr<lookup>& running = running_[key];
        given.is_new = running == nullptr;
        if (given.is_new) running = std::make_shared<lookup>();
        given.shared = running;
        return given;
    }

    void end(const std::string& key, lookup& ended) noexcept {
        std::lock_guard guard(mutex_);
        running_.erase(key);
        try {
            remember(key, ended);
        } catch (const std::bad_alloc&) {
            // It is asked for again the next time. Those who wait for this answer must hear of it.
        }
    }

    address_family family() const noexcept { return options_.family(); }
    std::size_t size() const {
        std::lock_guard guard(mutex_);
        return answers_.size();
    }
    void forget_all() {
        std::lock_guard guard(mutex_);
        answers_.clear();
    }

    std::atomic<std::uint64_t> lookups_total{0};  // metric: orders nothing

  private:
    /// Requires: mutex_ is held.
    void remember(const std::string& key, const lookup& ended) {
        if (ended.found.empty() || options_.remember_for().count() <= 0 || options_.capacity() == 0) return;
        if (answers_.size() >= options_.capacity()) {
            answers_.erase(std::min_element(answers_.begin(), answers_.end(),
                                            [](const auto& a, const auto& b) { return a.second.good_until < b.second.good_until; }));
        }
        answer known{ended.found, std::chrono::steady_clock::now() + options_.remember_for()};
        answers_.insert_or_assign(key, std::move(known));
    }

    const resolver_options options_;
    mutable std::mutex mutex_;  // held for some lines, never across an await
    std::map<std::string, answer> answers_;                      // guarded by mutex_
    std::map<std::string, std::shared_ptr<lookup>> running_;     // guarded by mutex_
};

resolver::resolver(const resolver_options& options) : memory_(std::make_unique<memory>(options)) {}
resolver::~resolver() = default;

task<std::vector<address>> resolver::resolve(std::string host, std::string service) {
    std::string key = host + '\0' + service;
    for (;;) {
        memory::advice given = memory_->ask(key);
        if (!given.shared) co_return std::move(given.addresses);
        lookup& shared = *given.shared;
        if (given.is_new) {
            memory_->lookups_total.fetch_add(1, std::memory_order_relaxed);
            std::exception_ptr other;
            try {
                try {
                    shared.found = co_await ask_system(host, service, memory_->family());
                } catch (const std::system_error& failure) {
                    shared.failure = error::from_exception(failure);
                    shared.is_abandoned = shared.failure->is_canceled();
                }
            } catch (...) {  // no memory, perhaps for the text of the error
                other = std::current_exception();
                shared.is_abandoned = true;
            }
            memory_->end(key, shared);  // throws nothing: others wait for the next line
            shared.over.set();
            if (other) std::rethrow_exception(std::move(other));
        } else {
            co_await shared.over.wait();
            if (shared.is_abandoned) continue;
        }
        if (shared.failure) shared.failure->raise();
        co_return shared.found;
    }
}

std::size_t resolver::size() const { return memory_->size(); }
std::uint64_t resolver::lookups_total() const noexcept { return memory_->lookups_total.load(std::memory_order_relaxed); }
void resolver::forget_all() { memory_->forget_all(); }

}  // namespace peal::net
