// SPDX-License-Identifier: MIT

#include <peal/net/receiver.hpp>

#include <peal/error.hpp>

#include "../task/arrivals.hpp"
#include "../task/lease_pool.hpp"

namespace peal::net {

namespace detail {

arrival_operation::~arrival_operation() { static_cast<void>(take()); }

/// The lease, once.
io::lease arrival_operation::take() noexcept {
    auto size = static_cast<std::size_t>(outcome() > 0 ? outcome() : 0);
    return io::lease(lent_by(), take_buffer(), size);
}

io::lease arrival_operation::await_resume() { return result().value(); }

peal::result<io::lease> arrival_operation::result() {
    if (was_canceled()) return peal::error::from_errno(ECANCELED, "recv");
    if (outcome() < 0) return peal::error::from_errno(-outcome(), "recv");
    return take();
}

}  // namespace detail

receiver::receiver(const stream_socket& from) : state_(new rt::arrivals(from.native_handle())) {}

receiver::~receiver() {
    if (state_ != nullptr) state_->drop();
}

}  // namespace peal::net
