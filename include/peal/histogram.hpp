// SPDX-License-Identifier: MIT
#pragma once

// histogram: how long things took, in buckets that grow with the values. Two of them can be merged: what many workers have counted, or many hours.
//
// After HdrHistogram: values below 16 ns have a bucket each; above, every power of two is divided into eight. So a quantile is at most an eighth too high, and
// never too low. 2.5 KiB; needs no memory otherwise.

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace peal {

/// Threads: one at a time.
class histogram {
  public:
    static constexpr std::size_t buckets = 320;
    static constexpr std::chrono::nanoseconds longest{(std::int64_t{1} << 42) - 1};  // 73 minutes; what is longer counts as that

    /// Below zero counts as zero: a clock that was read out of order.
    void record(std::chrono::nanoseconds length) noexcept {
        add(bucket_of(length), 1, std::max(length, std::chrono::nanoseconds(0)));
    }
    /// `times` of them in one bucket, which took `sum` together. Requires: bucket < buckets.
    void add(std::size_t bucket, std::uint64_t times, std::chrono::nanoseconds sum) noexcept {
        counts_[bucket] += times;
        count_ += times;
        sum_ += sum;
    }
    void merge(const histogram& other) noexcept {
        for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
        count_ += other.count_;
        sum_ += other.sum_;
    }

    std::uint64_t count() const noexcept { return count_; }
    std::chrono::nanoseconds sum() const noexcept { return sum_; }
    /// Zero if nothing was recorded.
    std::chrono::nanoseconds mean() const noexcept { return count_ == 0 ? sum_ : sum_ / static_cast<std::int64_t>(count_); }
    /// The length that `fraction` (0 to 1) of them do not exceed; zero if nothing was recorded.
    std::chrono::nanoseconds quantile(double fraction) const noexcept {
        if (count_ == 0) return std::chrono::nanoseconds(0);
        const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_))));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets; ++i) {
            seen += counts_[i];
            if (seen >= rank) return longest_of(i);
        }
        return longest;
    }
    /// How many of them took at most `length`, in buckets that are no longer than that.
    std::uint64_t count_up_to(std::chrono::nanoseconds length) const noexcept {
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets && longest_of(i) <= length; ++i) seen += counts_[i];
        return seen;
    }

    static constexpr std::size_t bucket_of(std::chrono::nanoseconds length) noexcept {
        const auto value = static_cast<std::uint64_t>(std::clamp(length, std::chrono::nanoseconds(0), longest).count());
        if (value < 2 * per_octave) return static_cast<std::size_t>(value);
        const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - (precision_bits + 1);
        return shift * per_octave + static_cast<std::size_t>(value >> shift);
    }
    /// The longest that falls into it.
    static constexpr std::chrono::nanoseconds longest_of(std::size_t bucket) noexcept {
        if (bucket < 2 * per_octave) return std::chrono::nanoseconds(bucket);
        const std::size_t shift = bucket / per_octave - 1;
        const std::uint64_t top = per_octave + bucket % per_octave;
        return std::chrono::nanoseconds(static_cast<std::int64_t>((top << shift) + ((std::uint64_t{1} << shift) - 1)));
    }

  private:
    static constexpr unsigned precision_bits = 3;
    static constexpr std::size_t per_octave = std::size_t{1} << precision_bits;

    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t count_ = 0;
    std::chrono::nanoseconds sum_{0};
};

static_assert(histogram::longest_of(histogram::buckets - 1) == histogram::longest);

}  // namespace peal
