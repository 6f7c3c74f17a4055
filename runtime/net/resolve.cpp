// SPDX-License-Identifier: MIT

#include <peal/net/resolve.hpp>

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include <peal/detail/blocking_call.hpp>

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

std::vector<address> look_up(const std::string& host, const std::string& service) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    int code = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
    // A machine with nothing but loopback has "no address configured": ask again for any.
    if (code == EAI_NONAME || code == EAI_ADDRFAMILY) {
        hints.ai_flags = 0;
        code = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
    }
    std::string what = "resolve " + host + ':' + service;
    if (code == EAI_SYSTEM) throw std::system_error(errno, std::system_category(), what);
    if (code != 0) throw std::system_error(code, the_resolver_category(), what);
    std::vector<address> addresses;
    for (addrinfo* each = found; each != nullptr; each = each->ai_next) {
        if (each->ai_family == AF_INET || each->ai_family == AF_INET6) {
            addresses.push_back(address::from_system(each->ai_addr, each->ai_addrlen));
        }
    }
    ::freeaddrinfo(found);
    if (addresses.empty()) throw std::system_error(EAI_NONAME, the_resolver_category(), what);
    return addresses;
}

}  // namespace

task<std::vector<address>> resolve(std::string host, std::string service) {
    auto ask = [&host, &service] { return look_up(host, service); };
    std::stop_source unused;  // the system's resolver cannot be interrupted; a lookup that waits for a thread can
    peal::detail::blocking_call asking(ask, peal::detail::blocking_class::names, &unused);
    co_return co_await asking;
}

}  // namespace peal::net
