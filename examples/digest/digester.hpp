// SPDX-License-Identifier: MIT
#pragma once

// digester: reads one file at a time and collects lines for sha256sum, and messages about what went wrong.
//
// A digester works in shifts: work() ends when there is enough to write, the one who awaits it takes the
// lines and starts the next shift. So the lines need no lock, and a slow reader of the output stops the
// reading of files.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <peal/peal.hpp>

#include "file_list.hpp"
#include "sha256.hpp"
#include "text.hpp"

namespace examples {

struct totals {
    std::atomic<std::uint64_t> files{0};  // relaxed: shown to people
    std::atomic<std::uint64_t> bytes{0};
};

class digester {
  public:
    static constexpr std::size_t buffer_bytes = 64 * 1024;
    static constexpr std::size_t lines_enough = 32 * 1024;  // bytes

    digester(const sha256_algorithm& algorithm, file_list& files, totals& done)
        : files_(files), done_(done), hash_(algorithm), buffer_(buffer_bytes) {}

    /// One shift. True: there may be more files.
    peal::task<bool> work() {
        while (lines.size() < lines_enough && messages.size() < lines_enough) {
            std::optional<peal::fs::entry> found = co_await files_.next();
            if (!found) co_return false;
            if (found->error_number != 0) {
                complain(found->path, std::error_code(found->error_number, std::system_category()));
            } else {
                co_await digest(found->path);
            }
        }
        co_return true;
    }

    std::string lines;
    std::string messages;

  private:
    peal::task<void> digest(const std::string& path) {
        peal::result<peal::fs::file> opened = co_await open(path);
        if (!opened) {
            complain(path, opened.error().code());
            co_return;
        }
        peal::fs::file source = std::move(*opened);  // closes itself, without waiting
        hash_.begin();
        std::uint64_t offset = 0;
        std::size_t count = 0;
        do {
            // Fills the buffer or sees the end of the file. A single read that gave less would not tell: it
            // might have met a bad block, and the digest of half a file would look like any other.
            peal::result<std::size_t> got = co_await peal::as_result(source.read_exactly_at(offset, buffer_));
            if (!got) {
                complain(path, got.error().code());
                co_return;
            }
            count = *got;
            hash_.add(std::span(buffer_).first(count));
            offset += count;
            done_.bytes.fetch_add(count, std::memory_order_relaxed);
        } while (count == buffer_.size());
        append_digest_line(lines, hash_.end(), path);
        done_.files.fetch_add(1, std::memory_order_relaxed);
    }

    /// Waits about a second for a descriptor when there is none: others give some back. Where that was in
    /// vain, the next files do not wait again, so a lasting shortage ends in messages and not in hours.
    peal::task<peal::result<peal::fs::file>> open(const std::string& path) {
        for (std::chrono::milliseconds pause(1);; pause *= 2) {
            peal::result<peal::fs::file> opened = co_await peal::as_result(peal::fs::file::open(path));
            bool none_free = !opened && (opened.error().code() == std::errc::too_many_files_open ||
                                         opened.error().code() == std::errc::too_many_files_open_in_system);
            if (none_free && patient_ && pause < std::chrono::milliseconds(1000)) {
                co_await peal::sleep_for(pause);
                continue;
            }
            patient_ = !none_free;
            co_return opened;
        }
    }

    void complain(const std::string& path, std::error_code why) {
        if (why == std::errc::operation_canceled) throw std::system_error(why, path);  // asked to stop
        append_message(messages, path, why.message());
    }

    file_list& files_;
    totals& done_;
    sha256 hash_;
    std::vector<std::byte> buffer_;
    bool patient_ = true;
};

}  // namespace examples
