// SPDX-License-Identifier: MIT
#pragma once

#include <peal/detail/work_item.hpp>
#include <peal/task/context.hpp>

namespace peal::rt {

inline constexpr unsigned priorities = 3;
inline constexpr priority every_priority[] = {priority::high, priority::normal, priority::low};
constexpr unsigned index_of(priority urgency) noexcept { return static_cast<unsigned>(urgency); }
inline priority priority_of(const detail::work_item& item) noexcept {
    return item.owner != nullptr ? item.owner->priority() : priority::normal;
}

/// It has no place before or after others: it lines up.
inline bool is_plain(const detail::work_item& item) noexcept {
    return item.owner == nullptr || (item.owner->priority() == priority::normal && !item.owner->share());
}

}  // namespace peal::rt
