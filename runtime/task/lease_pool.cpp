// SPDX-License-Identifier: MIT

#include "lease_pool.hpp"

#include <algorithm>
#include <mutex>

#include <peal/detail/config.hpp>

#include "../base/pages.hpp"
#include "../base/sanitizer.hpp"
#include "driver.hpp"

namespace peal::rt {

lease_pool::~lease_pool() {
    for (std::byte* each : chunks_) {
        if (each != nullptr) free_pages(each, chunk_bytes);
    }
}

unsigned lease_pool::take(wish wish, std::uint16_t* taken, unsigned most) noexcept {
    std::lock_guard guard(lock_);
    if (wish == wish::more || (wish == wish::some && free_count_ == 0)) static_cast<void>(grow());
    is_wanted_ = wish != wish::what_is_free && free_count_ == 0;
    unsigned count = std::min(most, free_count_);
    for (unsigned i = 0; i < count; ++i) taken[i] = free_[--free_count_];
    free_hint_.store(free_count_, std::memory_order_relaxed);
    return count;
}

bool lease_pool::grow() noexcept {
    if (made_ == limit) return false;
    auto& chunk = chunks_[made_ / at_once];
    chunk = static_cast<std::byte*>(allocate_pages(chunk_bytes));
    if (chunk == nullptr) return false;
    poison(chunk, chunk_bytes);
    unsigned place = place_of(reinterpret_cast<std::uintptr_t>(chunk));
    while (by_address_[place] != 0) place = (place + 1) % places;
    by_address_[place] = static_cast<std::uint16_t>(made_ / at_once + 1);
    for (unsigned i = at_once; i != 0; --i) free_[free_count_++] = static_cast<std::uint16_t>(made_ + i - 1);
    made_ += at_once;
    return true;
}

std::uint16_t lease_pool::index_of(const std::byte* buffer) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(buffer);
    const std::uintptr_t in_chunk = address % chunk_bytes;
    for (unsigned place = place_of(address - in_chunk);; place = (place + 1) % places) {
        const unsigned found = by_address_[place];
        PEAL_ASSERT(found != 0, "a lease came back to a pool that it is not of");
        if (reinterpret_cast<std::uintptr_t>(chunks_[found - 1]) == address - in_chunk) {
            return static_cast<std::uint16_t>((found - 1) * at_once + in_chunk / buffer_bytes);
        }
    }
}

void lease_pool::give_back(std::byte* buffer) noexcept {
    bool is_last;
    {
        std::lock_guard guard(lock_);
        poison(buffer, buffer_bytes);
        free_[free_count_++] = index_of(buffer);
        ++returned_;
        free_hint_.store(free_count_, std::memory_order_relaxed);
        if (is_wanted_ && home_ != nullptr) home_->wake();  // under the lock: it cannot leave meanwhile
        is_last = home_ == nullptr && free_count_ == made_;
    }
    if (is_last) delete this;
}

void lease_pool::leave(unsigned taken_and_not_lent) noexcept {
    bool is_last;
    {
        std::lock_guard guard(lock_);
        home_ = nullptr;
        made_ -= taken_and_not_lent;
        is_last = free_count_ == made_;
    }
    if (is_last) delete this;
}

}  // namespace peal::rt
