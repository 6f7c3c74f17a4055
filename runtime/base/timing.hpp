// SPDX-License-Identifier: MIT
#pragma once

// timing: a histogram that one thread keeps and any thread may read, as a tally is a count. What is read may lack what is being recorded.

#include <chrono>
#include <cstdint>

#include <peal/histogram.hpp>

#include "tally.hpp"

namespace peal::rt {

class timing {
  public:
    void record(std::chrono::nanoseconds length) noexcept {
        length = std::max(length, std::chrono::nanoseconds(0));
        sum_ns_.add(static_cast<std::uint64_t>(length.count()));
        counts_[histogram::bucket_of(length)].add();
    }
    void add_to(histogram& sum) const noexcept {
        for (std::size_t i = 0; i < histogram::buckets; ++i) {
            if (const std::uint64_t count = counts_[i].value()) sum.add(i, count, {});
        }
        sum.add(0, 0, std::chrono::nanoseconds(sum_ns_.value()));
    }

  private:
    tally counts_[histogram::buckets];
    tally sum_ns_;
};

}  // namespace peal::rt
