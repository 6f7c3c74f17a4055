// SPDX-License-Identifier: MIT
#pragma once

// scripted_stream: a stream whose pieces a test chooses: so many bytes a read, so many a write; then the end, an error, or a wait that
// only a stop ends.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <peal/task/task.hpp>
#include <peal/time/sleep.hpp>

namespace support {

class scripted_stream {
  public:
    enum class at_end { end, error, wait };

    scripted_stream() {}
    scripted_stream(std::string_view text, std::vector<std::size_t> pieces, at_end last = at_end::end)
        : text_(text), pieces_(pieces.begin(), pieces.end()), last_(last) {}

    /// The next piece: of the next size in the list, of all if there is none.
    peal::task<std::size_t> read(std::span<std::byte> into) {
        ++reads;
        largest_read = std::max(largest_read, into.size());
        std::size_t count = next_size(std::min(into.size(), text_.size() - given_));
        if (count == 0 && !into.empty()) co_await go_without();
        std::copy_n(reinterpret_cast<const std::byte*>(text_.data()) + given_, count, into.begin());
        given_ += count;
        co_return count;
    }

    peal::task<std::size_t> write(std::span<const std::byte> bytes) {
        ++writes;
        if (room == 0) co_await go_without();
        std::size_t count = next_size(std::min(bytes.size(), room));
        take(bytes.first(count));
        co_return count;
    }
    peal::task<std::size_t> write_all(std::span<const std::byte> bytes) {
        ++writes;
        if (room < bytes.size()) co_await go_without();
        take(bytes);
        co_return bytes.size();
    }
    void shutdown_write() { is_shut_down = true; }

    /// More comes after all.
    void append(std::string_view text) { text_ += text; }
    void set_last(at_end last) { last_ = last; }

    std::string written;
    std::size_t room = ~std::size_t{0};
    bool is_shut_down = false;
    unsigned reads = 0;
    unsigned writes = 0;
    std::size_t largest_read = 0;

  private:
    /// Not 0 unless `most` is.
    std::size_t next_size(std::size_t most) {
        if (most == 0 || pieces_.empty()) return most;
        std::size_t size = pieces_.front();
        pieces_.pop_front();
        return std::min(most, std::max<std::size_t>(size, 1));
    }
    peal::task<> go_without() {
        switch (last_) {
            case at_end::end: break;
            case at_end::error: throw std::system_error(std::make_error_code(std::errc::connection_reset), "scripted");
            case at_end::wait: co_await peal::sleep_for(std::chrono::hours(1)); break;
        }
    }
    void take(std::span<const std::byte> bytes) {
        written.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        room -= bytes.size();
    }

    std::string text_;
    std::size_t given_ = 0;
    std::deque<std::size_t> pieces_;
    at_end last_ = at_end::end;
};

}  // namespace support
