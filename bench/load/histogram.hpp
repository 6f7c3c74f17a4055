// SPDX-License-Identifier: MIT
//
// Log-linear histogram of durations in nanoseconds, after the idea of HdrHistogram: values below 128 have a bucket
// each; above, every power of two is split into 128 equal buckets. A bucket is at most 1/128 of its values wide, so a
// quantile is at most 0.8 % too high and never too low. Fixed size (58 KiB), no allocation when recording, one thread.

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace load {

class histogram {
public:
    /// Counts one duration; negative ones (a clock read out of order) count as zero.
    void record(std::int64_t nanoseconds) noexcept
    {
        const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0));
        ++buckets_[bucket_of(value)];
        ++count_;
        sum_ += static_cast<double>(value);
        max_ = std::max(max_, value);
    }

    void reset() noexcept { *this = histogram{}; }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
    [[nodiscard]] double mean() const noexcept { return count_ == 0 ? 0.0 : sum_ / static_cast<double>(count_); }

    /// Smallest recorded bound that `fraction` (0 to 1) of the values do not exceed; 0 when empty.
    [[nodiscard]] std::uint64_t quantile(double fraction) const noexcept
    {
        const auto wanted = std::ceil(fraction * static_cast<double>(count_));
        const auto rank = std::max<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1);
        std::uint64_t seen = 0;
        for (std::size_t index = 0; index < buckets_.size(); ++index) {
            seen += buckets_[index];
            if (seen >= rank)
                return std::min(highest_value_of(index), max_);
        }
        return max_;
    }

private:
    static constexpr int precision_bits = 7;
    static constexpr std::size_t per_octave = std::size_t{1} << precision_bits;
    static constexpr std::size_t bucket_count = (64 - precision_bits + 1) * per_octave;

    // The top eight bits of a value, leading one included, select the bucket within its octave (128..255).
    static std::size_t bucket_of(std::uint64_t value) noexcept
    {
        if (value < per_octave)
            return static_cast<std::size_t>(value);
        const int shift = std::bit_width(value) - (precision_bits + 1);
        return static_cast<std::size_t>(shift) * per_octave + static_cast<std::size_t>(value >> shift);
    }

    static std::uint64_t highest_value_of(std::size_t index) noexcept
    {
        if (index < 2 * per_octave)
            return index;
        const std::size_t shift = index / per_octave - 1;
        const std::uint64_t top = per_octave + index % per_octave;
        return (top << shift) + ((std::uint64_t{1} << shift) - 1);
    }

    std::array<std::uint64_t, bucket_count> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
    double sum_ = 0;
};

} // namespace load
