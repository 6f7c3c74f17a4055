// SPDX-License-Identifier: MIT

#include <peal/combine/retry.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>

namespace peal::detail {

clock::duration pause_after(const retry_policy& policy, unsigned number) noexcept {
    thread_local std::minstd_rand dice(static_cast<unsigned>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
                                       static_cast<unsigned>(std::hash<std::thread::id>()(std::this_thread::get_id())));
    double longest = static_cast<double>(policy.longest_pause.count());
    double whole = std::min(longest, static_cast<double>(policy.first_pause.count()) * std::pow(policy.factor, number - 1));
    double part = std::uniform_real_distribution<double>(0.5, 1.0)(dice);
    return std::chrono::duration_cast<clock::duration>(std::chrono::duration<double, std::milli>(whole * part));
}

}  // namespace peal::detail
