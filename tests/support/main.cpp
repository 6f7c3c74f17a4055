// SPDX-License-Identifier: MIT

// Runs the cases, then checks that nothing is left of them: no coroutine frame or task, no descriptor.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include "catch.hpp"

#include <chrono>
#include <cstdio>
#include <thread>

#include <peal/detail/frame_memory.hpp>

#include "leaks.hpp"

int main(int argc, char** argv) {
    std::size_t descriptors = support::open_descriptors();
    int failed = Catch::Session().run(argc, argv);
    descriptors += support::expected_descriptors;
    // A ring's descriptors go a moment after it was closed.
    for (int i = 0; i < 100 && support::open_descriptors() > descriptors; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (support::open_descriptors() > descriptors) {
        std::printf("LEAK: %zu descriptors are open, %zu expected\n", support::open_descriptors(), descriptors);
        failed += 1;
    }
    if (peal::detail::live_frames() != support::expected_frames) {
        std::printf("LEAK: %lld frames or tasks are alive, %lld expected\n", static_cast<long long>(peal::detail::live_frames()),
                    static_cast<long long>(support::expected_frames));
        failed += 1;
    }
    return failed == 0 ? 0 : 1;
}
