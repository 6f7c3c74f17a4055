// SPDX-License-Identifier: MIT

#include <peal/net/serve.hpp>

namespace peal::net {

std::vector<tcp_listener> bind_for_each_worker(pool& on, const address& local, listen_options options) {
    options.reuse_port();
    std::vector<tcp_listener> listeners;
    listeners.push_back(tcp_listener::bind(local, options));
    address chosen = listeners.front().local_address();
    while (listeners.size() < on.size()) listeners.push_back(tcp_listener::bind(chosen, options));
    return listeners;
}

}  // namespace peal::net
