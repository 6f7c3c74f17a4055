// SPDX-License-Identifier: MIT

// buffered_reader: any operations on any bytes in any pieces give what the reference gives (support/reader_model.hpp).

#include <peal/io/buffered_reader.hpp>

#include <peal/task/sync_wait.hpp>

#include "input.hpp"
#include "support/reader_model.hpp"
#include "support/scripted_stream.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input input(bytes, size);
    std::size_t capacity = 1 + input.below(200);
    support::scripted_stream stream(input.data(), input.pieces());
    peal::io::buffered_reader in(stream, capacity);
    fuzz::require_equal(peal::sync_wait(support::read_against_model(in, input.data(), input)), "", "buffered_reader");
    return 0;
}
