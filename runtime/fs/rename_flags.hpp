// SPDX-License-Identifier: MIT
#pragma once

#include <stdio.h>

#include <cstdint>

#include <peal/fs/names.hpp>

namespace peal::fs {

inline std::uint32_t flags_of(if_exists what) noexcept {
    switch (what) {
        case if_exists::replace: return 0;
        case if_exists::fail: return RENAME_NOREPLACE;
        case if_exists::exchange: return RENAME_EXCHANGE;
    }
    return 0;
}

}  // namespace peal::fs
