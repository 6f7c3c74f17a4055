// SPDX-License-Identifier: MIT
#pragma once

// store: keys and their values, in shards that sessions on different workers use at the same time.
//
// A shard is locked by a plain std::mutex. That a coroutine must not hold one over a co_await goes without
// saying; but may a worker wait for one at all? Here it may: whoever holds it looks something up and copies
// one value, which takes tens of nanoseconds (about 0.1 ms per MiB of a large value), does no I/O, and with
// 64 shards rarely meets another. A lock that is held longer must be one that suspends the task.
//
// A command of several keys (MSET, MGET, DEL, EXISTS) locks all their shards, in the order of their index, so
// that no two commands can wait for each other, and others see all of it or nothing.
//
// Keys that expire do so when somebody looks at them (find()) or when the sweep comes by (remove_expired()),
// whatever is first. The hash is not keyed: peers who choose their keys so that they collide can make the
// server slow.

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace kv {

/// Wall-clock time, because expiry times outlive the process: milliseconds since 1970.
using unix_ms = std::int64_t;
inline constexpr unix_ms never = std::numeric_limits<unix_ms>::max();

inline unix_ms now_ms() noexcept {
    auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::floor<std::chrono::milliseconds>(since_1970).count();
}

using list = std::deque<std::string>;
/// A list is never empty. In a pointer, because it is larger than a string.
using value = std::variant<std::string, std::unique_ptr<list>>;

/// A key and its hash, which is computed once, before any lock.
struct hashed_key {
    explicit hashed_key(std::string_view key) noexcept
        : text(key), hash(std::hash<std::string_view>()(key)) {}
    std::string_view text;
    std::size_t hash;
};

class shard {
    struct entry {
        explicit entry(value initial) noexcept : content(std::move(initial)) {}
        value content;
        unix_ms expires = never;
    };
    struct hash_of {
        using is_transparent = void;
        // Not noexcept: then the standard library keeps the hash in the node instead of computing it again.
        std::size_t operator()(const std::string& key) const { return std::hash<std::string_view>()(key); }
        std::size_t operator()(const hashed_key& key) const { return key.hash; }
    };
    struct same_key {
        using is_transparent = void;
        bool operator()(const std::string& a, const std::string& b) const noexcept { return a == b; }
        bool operator()(const hashed_key& a, const std::string& b) const noexcept { return a.text == b; }
        bool operator()(const std::string& a, const hashed_key& b) const noexcept { return a == b.text; }
    };
    using map = std::unordered_map<std::string, entry, hash_of, same_key>;

  public:
    /// A key with what belongs to it. Stays where it is until it is removed.
    using item = map::value_type;
    /// What was taken out. Make one before you lock, so that its memory is freed after you unlocked.
    using removed = map::node_type;

    // ---- any thread --------------------------------------------------------------------------------------
    void lock() { mutex_.lock(); }
    void unlock() noexcept { mutex_.unlock(); }

    // ---- while it is locked ------------------------------------------------------------------------------
    /// Null if there is no such key, or if its time is over.
    item* find(const hashed_key& key) {
        auto found = items_.find(key);
        if (found == items_.end()) return nullptr;
        if (found->second.expires != never && found->second.expires <= now_ms()) {
            remove(*found);
            return nullptr;
        }
        return &*found;
    }
    /// Requires: find(key) gave null.
    item& add(const hashed_key& key, value content) {
        return *items_.try_emplace(std::string(key.text), std::move(content)).first;
    }
    removed remove(item& gone) {
        expire_at(gone, never);
        return items_.extract(items_.find(hashed_key(gone.first)));
    }
    void expire_at(item& entry, unix_ms when) {
        if (entry.second.expires != never) due_.erase({entry.second.expires, &entry});
        if (when != never) due_.insert({when, &entry});
        entry.second.expires = when;
    }

    /// Takes out at most `most` keys whose time is over. The caller frees them after it unlocked.
    std::vector<removed> remove_expired(std::size_t most) {
        std::vector<removed> gone;
        if (due_.empty()) return gone;
        for (unix_ms now = now_ms(); gone.size() < most && !due_.empty() && due_.begin()->first <= now;) {
            gone.push_back(remove(*due_.begin()->second));
        }
        return gone;
    }

    const map& items() const noexcept { return items_; }

  private:
    std::mutex mutex_;
    map items_;
    std::set<std::pair<unix_ms, item*>> due_;  // exactly the items that expire, the next first
};

class store {
  public:
    static constexpr std::size_t shard_count = 64;

    shard& shard_of(const hashed_key& key) noexcept {
        return shards_[key.hash >> 58];  // the upper bits: the map within takes the rest
    }
    std::span<shard> shards() noexcept { return shards_; }

    /// Locks the shards of several keys: words[0], words[step], ...
    class several_locked {
      public:
        several_locked(store& locked, std::span<const std::string_view> words, std::size_t step)
            : store_(locked) {
            for (std::size_t i = 0; i < words.size(); i += step) {
                mask_ |= std::uint64_t{1} << (hashed_key(words[i]).hash >> 58);
            }
            for (std::size_t i = 0; i < shard_count; ++i) {
                if (mask_ >> i & 1) store_.shards_[i].lock();
            }
        }
        several_locked(const several_locked&) = delete;
        several_locked& operator=(const several_locked&) = delete;
        ~several_locked() {
            for (std::size_t i = 0; i < shard_count; ++i) {
                if (mask_ >> i & 1) store_.shards_[i].unlock();
            }
        }

      private:
        store& store_;
        std::uint64_t mask_ = 0;  // bit i: shard i is locked
    };

  private:
    std::array<shard, shard_count> shards_;
};

}  // namespace kv
