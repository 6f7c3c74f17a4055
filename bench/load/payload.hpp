// SPDX-License-Identifier: MIT
//
// Self-proving payload. What a connection sends is one endless byte stream, cut into messages of equal size; every byte
// follows from (seed, connection, sequence, offset), so any piece can be written or checked without keeping a copy.
//
// A message is an 8 byte head, connection (24 bits) and sequence (40 bits), then a slice of a random pattern whose
// start depends on the head. Messages shorter than the head carry the low bytes of its hash. Bytes that are lost,
// doubled, reordered or delivered to another connection do not match; with 1 byte messages one such byte in 256 goes
// unnoticed.

#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

namespace load {

/// Place in the stream of one connection. `offset` is smaller than the message size.
struct stream_position {
    std::uint64_t sequence = 0;
    std::size_t offset = 0;

    void advance(std::size_t count_bytes, std::size_t message_bytes) noexcept
    {
        offset += count_bytes;
        if (offset >= message_bytes) {
            sequence += offset / message_bytes;
            offset %= message_bytes;
        }
    }

    friend auto operator<=>(const stream_position&, const stream_position&) = default;
};

struct mismatch {
    stream_position where;
    unsigned expected;
    unsigned received;
};

class payload {
public:
    static constexpr std::uint64_t connection_count_max = std::uint64_t{1} << 24;

    payload(std::size_t message_bytes, std::uint64_t seed)
        : message_bytes_(message_bytes), pattern_(message_bytes + slice_starts)
    {
        for (auto& byte : pattern_)
            byte = static_cast<unsigned char>(mix(seed++) >> 32);
    }

    [[nodiscard]] std::size_t message_bytes() const noexcept { return message_bytes_; }

    /// Writes the `count` bytes of the stream that begin at `at`.
    void fill(std::uint32_t connection, stream_position at, unsigned char* out, std::size_t count) const noexcept
    {
        while (count > 0) {
            const piece next = piece_at(connection, at, count);
            std::memcpy(out, next.bytes, next.count);
            out += next.count;
            count -= next.count;
            at.advance(next.count, message_bytes_);
        }
    }

    /// Compares `count` received bytes with the stream at `at`; the first difference, if there is one.
    [[nodiscard]] std::optional<mismatch> check(
        std::uint32_t connection, stream_position at, const unsigned char* in, std::size_t count) const noexcept
    {
        while (count > 0) {
            const piece next = piece_at(connection, at, count);
            if (std::memcmp(in, next.bytes, next.count) != 0) {
                const auto differing = std::mismatch(in, in + next.count, next.bytes);
                at.advance(static_cast<std::size_t>(differing.first - in), message_bytes_);
                return mismatch{at, *differing.second, *differing.first};
            }
            in += next.count;
            count -= next.count;
            at.advance(next.count, message_bytes_);
        }
        return std::nullopt;
    }

private:
    static constexpr std::size_t head_bytes = 8;
    static constexpr std::size_t slice_starts = 4096; // a power of two; the pattern stays in the first-level cache

    // A run of bytes that lies in memory in one piece: the rest of a head, or the rest of a slice.
    struct piece {
        const unsigned char* bytes;
        std::size_t count;
    };

    piece piece_at(std::uint32_t connection, stream_position at, std::size_t count_max) const noexcept
    {
        const std::uint64_t head = (std::uint64_t{connection} << 40) | at.sequence;
        const std::uint64_t hash = mix(head);
        const std::size_t rest = message_bytes_ - at.offset;
        if (at.offset >= head_bytes)
            return {pattern_.data() + (hash & (slice_starts - 1)) + at.offset, std::min(rest, count_max)};

        const std::uint64_t word = message_bytes_ < head_bytes ? hash : head;
        for (std::size_t i = 0; i < head_bytes; ++i)
            head_[i] = static_cast<unsigned char>(word >> (8 * i));
        return {head_ + at.offset, std::min({rest, count_max, head_bytes - at.offset})};
    }

    // The finalizer of splitmix64: neighbouring inputs give unrelated outputs.
    static std::uint64_t mix(std::uint64_t value) noexcept
    {
        value += 0x9e3779b97f4a7c15u;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
        return value ^ (value >> 31);
    }

    std::size_t message_bytes_;
    std::vector<unsigned char> pattern_;
    mutable unsigned char head_[head_bytes] = {}; // the latest head that piece_at() built
};

} // namespace load
