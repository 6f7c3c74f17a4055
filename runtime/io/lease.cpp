// SPDX-License-Identifier: MIT

#include <peal/io/lease.hpp>

#include <new>

#include "../task/lease_pool.hpp"

namespace peal::io {

void lease::release() noexcept {
    std::byte* data = std::exchange(data_, nullptr);
    size_ = 0;
    if (data == nullptr) return;
    if (from_ == nullptr) {
        ::operator delete(data);
    } else {
        from_->give_back(data);
    }
}

}  // namespace peal::io
