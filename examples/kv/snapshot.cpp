// SPDX-License-Identifier: MIT

#include "snapshot.hpp"

#include <array>
#include <cstring>
#include <stdexcept>

namespace kv {
namespace {

constexpr std::string_view magic = "PEAL-KV1";
constexpr std::size_t head_bytes = 16;
constexpr std::size_t tail_bytes = 8;

// CRC-64 of ECMA-182, reflected, as in the xz format.
constexpr std::array<std::uint64_t, 256> crc_table = [] {
    std::array<std::uint64_t, 256> table{};
    for (std::uint64_t i = 0; i < table.size(); ++i) {
        std::uint64_t rest = i;
        for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ ((rest & 1) != 0 ? 0xc96c5795d7870f42u : 0);
        table[i] = rest;
    }
    return table;
}();

std::uint64_t crc_of(std::span<const std::byte> bytes) noexcept {
    std::uint64_t crc = ~std::uint64_t{0};
    for (std::byte byte : bytes) crc = crc_table[(crc ^ static_cast<std::uint64_t>(byte)) & 0xff] ^ crc >> 8;
    return ~crc;
}

class writer {
  public:
    void byte(char value) { bytes_.push_back(static_cast<std::byte>(value)); }
    void number(std::uint64_t value) {
        for (int shift = 0; shift < 64; shift += 8)
            bytes_.push_back(static_cast<std::byte>(value >> shift & 0xff));
    }
    void raw(std::string_view text) {
        auto bytes = std::as_bytes(std::span(text));
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    }
    void text(std::string_view text) {
        number(text.size());
        raw(text);
    }
    std::vector<std::byte> finish() && {
        std::uint64_t size = bytes_.size() - head_bytes;
        for (std::size_t i = 0; i < 8; ++i)
            bytes_[magic.size() + i] = static_cast<std::byte>(size >> 8 * i & 0xff);
        number(crc_of(bytes_));
        return std::move(bytes_);
    }

  private:
    std::vector<std::byte> bytes_;
};

class reader {
  public:
    explicit reader(std::span<const std::byte> bytes) noexcept : left_(bytes) {}
    bool at_end() const noexcept { return left_.empty(); }
    char byte() { return static_cast<char>(take(1)[0]); }
    std::uint64_t number() {
        std::uint64_t value = 0;
        auto bytes = take(8);
        for (std::size_t i = 8; i-- != 0;) value = value << 8 | static_cast<std::uint64_t>(bytes[i]);
        return value;
    }
    std::string_view text() {
        auto bytes = take(number());
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

  private:
    std::span<const std::byte> take(std::uint64_t count) {
        if (count > left_.size()) throw std::runtime_error("it is damaged: a record is longer than the file");
        auto taken = left_.first(count);
        left_ = left_.subspan(count);
        return taken;
    }

    std::span<const std::byte> left_;
};

value read_value(reader& in) {
    switch (in.byte()) {
        case 's': return std::string(in.text());
        case 'l': {
            auto elements = std::make_unique<list>();
            for (std::uint64_t left = in.number(); left != 0; --left) elements->emplace_back(in.text());
            return elements;
        }
        default: throw std::runtime_error("it is damaged: a record of unknown type");
    }
}

}  // namespace

std::vector<std::byte> to_snapshot(store& data) {
    writer out;
    out.raw(magic);
    out.number(0);  // the size, in finish()
    unix_ms now = now_ms();
    for (shard& part : data.shards()) {
        for (const shard::item& item : part.items()) {
            if (item.second.expires <= now) continue;
            out.number(static_cast<std::uint64_t>(item.second.expires));
            out.text(item.first);
            if (auto* text = std::get_if<std::string>(&item.second.content)) {
                out.byte('s');
                out.text(*text);
            } else {
                const list& elements = *std::get<std::unique_ptr<list>>(item.second.content);
                out.byte('l');
                out.number(elements.size());
                for (const std::string& element : elements) out.text(element);
            }
        }
    }
    return std::move(out).finish();
}

void from_snapshot(store& data, std::span<const std::byte> bytes) {
    if (bytes.size() < magic.size() || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
        throw std::runtime_error("it is no snapshot of kv_server");
    }
    std::uint64_t records_bytes = 0;
    if (bytes.size() >= head_bytes + tail_bytes) records_bytes = reader(bytes.subspan(magic.size())).number();
    if (bytes.size() < head_bytes + tail_bytes || bytes.size() - head_bytes - tail_bytes < records_bytes) {
        throw std::runtime_error("it is cut short");
    }
    auto checked = bytes.first(bytes.size() - tail_bytes);
    if (checked.size() - head_bytes != records_bytes ||
        reader(bytes.last(tail_bytes)).number() != crc_of(checked)) {
        throw std::runtime_error("it is damaged: the checksum is wrong");
    }
    for (reader in(checked.subspan(head_bytes)); !in.at_end();) {
        auto expires = static_cast<unix_ms>(in.number());
        hashed_key key(in.text());
        value content = read_value(in);
        shard& home = data.shard_of(key);
        std::lock_guard guard(home);
        shard::item* found = home.find(key);
        if (found != nullptr) throw std::runtime_error("it is damaged: a key occurs twice");
        home.expire_at(home.add(key, std::move(content)), expires);
    }
}

}  // namespace kv
