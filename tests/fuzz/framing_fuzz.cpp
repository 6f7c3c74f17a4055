// SPDX-License-Identifier: MIT

// Frames: any bytes in any pieces are read as a reference reads them; and what is written as frames is read back.

#include <peal/io/framing.hpp>

#include <bit>

#include <peal/task/as_result.hpp>
#include <peal/task/sync_wait.hpp>

#include "input.hpp"
#include "support/reader_model.hpp"
#include "support/scripted_stream.hpp"

namespace {

using peal::io::frame_prefix;
using support::scripted_stream;
using support::told;
using reader = peal::io::buffered_reader<scripted_stream>;
using writer = peal::io::buffered_writer<scripted_stream>;

/// The next frame of `left`, which loses it.
std::string reference(std::string_view& left, std::size_t limit, std::size_t prefix, bool is_big) {
    if (left.empty()) return "nothing";
    if (left.size() < prefix) return "cut off";
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < prefix; ++i) {
        std::size_t place = is_big ? prefix - 1 - i : i;
        length += std::uint64_t{static_cast<unsigned char>(left[place])} << (8 * i);
    }
    if (length > limit) return "too long";
    if (left.size() - prefix < length) return "cut off";
    std::string frame = told(left.substr(prefix, length));
    left.remove_prefix(prefix + length);
    return frame;
}

peal::task<std::string> next_frame(reader& in, std::size_t limit, frame_prefix prefix) {
    std::string how = told(co_await peal::as_result(peal::io::read_frame(in, limit, prefix)));
    co_return how;
}

peal::task<> write_frames(writer& to, std::string_view bytes, std::vector<std::string_view>& frames, std::size_t limit, frame_prefix prefix,
                          fuzz::input& input) {
    while (!bytes.empty()) {
        std::size_t size = std::min<std::size_t>({bytes.size(), limit, input.below(100)});
        std::string_view frame = bytes.substr(0, size);
        std::size_t count = co_await peal::io::write_frame(to, peal::io::bytes_of(frame), limit, prefix);
        fuzz::require_equal(told(count), told(size), "write_frame");
        frames.push_back(frame);
        bytes.remove_prefix(size);
        if (size == 0) bytes.remove_prefix(1);  // an empty frame in the place of a byte
        if (input.below(4) == 1) co_await to.flush();
    }
    co_await to.flush();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input input(bytes, size);
    std::size_t prefix_size = 1 + input.below(8);
    bool is_big = input.below(2) == 0;
    frame_prefix prefix(prefix_size, is_big ? std::endian::big : std::endian::little);
    std::size_t limit = input.below(200);
    std::size_t capacity = prefix_size + limit + input.below(50);

    scripted_stream stream(input.data(), input.pieces());
    reader in(stream, capacity);
    std::string_view left = input.data();
    for (std::string how = told(left); how.starts_with('\'');) {
        how = reference(left, limit, prefix_size, is_big);
        fuzz::require_equal(peal::sync_wait(next_frame(in, limit, prefix)), how, "read_frame");
        fuzz::require_equal(told(left.substr(0, in.buffered().size())), told(in.buffered()), "what is left");
    }

    scripted_stream sent;
    writer to(sent, capacity);
    std::vector<std::string_view> frames;
    peal::sync_wait(write_frames(to, input.data(), frames, limit, prefix, input));
    scripted_stream received(sent.written, input.pieces());
    reader back(received, capacity);
    for (std::string_view each : frames) fuzz::require_equal(peal::sync_wait(next_frame(back, limit, prefix)), told(each), "a frame that was written");
    fuzz::require_equal(peal::sync_wait(next_frame(back, limit, prefix)), "nothing", "the end");
    return 0;
}
