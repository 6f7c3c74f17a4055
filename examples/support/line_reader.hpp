// SPDX-License-Identifier: MIT
#pragma once

// Lines from a connection. Nothing of a line that is too long is kept.

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <peal/peal.hpp>

namespace examples {

class line_reader {
  public:
    static constexpr std::size_t longest = 1024;

    explicit line_reader(peal::net::tcp_stream& from) noexcept : from_(from) {}

    /// The next line without its end; nothing at the end of the stream, or after a line of more than `longest` bytes.
    peal::task<std::optional<std::string>> next() {
        for (;;) {
            std::size_t end = received_.find('\n');
            if (end != std::string::npos) {
                std::string line = received_.substr(0, end);
                received_.erase(0, end + 1);
                if (!line.empty() && line.back() == '\r') line.pop_back();
                co_return line;
            }
            if (received_.size() > longest) co_return std::nullopt;
            std::array<std::byte, 512> part;
            std::size_t bytes = co_await from_.read(part);
            if (bytes == 0) co_return std::nullopt;
            received_.append(reinterpret_cast<const char*>(part.data()), bytes);
        }
    }

  private:
    peal::net::tcp_stream& from_;
    std::string received_;
};

}  // namespace examples
