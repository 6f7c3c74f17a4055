// SPDX-License-Identifier: MIT

#include "driver_choice.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "../epoll/epoll_driver.hpp"
#include "../uring/uring_driver.hpp"

namespace peal::rt {

namespace {

/// The system has no rings for this process. (When descriptors run out, epoll would get none either.)
bool is_refusal(const std::error_code& code) noexcept {
    switch (code.value()) {
        case EPERM:
        case EACCES:
        case ENOSYS:
        case EOPNOTSUPP:
        case EINVAL:
        case ENOMEM: return true;
        default: return false;
    }
}

void report_once(const char* why) noexcept {
    static std::once_flag reported;
    std::call_once(reported, [why] {
        std::fprintf(stderr,
                     "peal: using epoll, which takes more system calls. %s. (PEAL_DRIVER=epoll chooses epoll without this line, "
                     "PEAL_DRIVER=uring makes it an error.)\n",
                     why);
    });
}

}  // namespace

driver_choice driver_choice_for(const pool_options& options) {
    const char* said = std::getenv("PEAL_DRIVER");
    if (options.driver != driver_choice::automatic || said == nullptr || *said == '\0') return options.driver;
    std::string_view name = said;
    if (name == "uring") return driver_choice::uring;
    if (name == "epoll") return driver_choice::epoll;
    throw std::invalid_argument("pool: the environment says PEAL_DRIVER=" + std::string(name) + "; it must be uring or epoll, or be unset");
}

std::unique_ptr<driver> make_driver(driver_choice choice, const pool_options& options, blocking_pool& elsewhere) {
    if (choice != driver_choice::epoll) {
        try {
            auto ring_use = options.ring_mode == ring_mode::exclusive ? ring::use::exclusive : ring::use::shared;
            return std::make_unique<uring_driver>(options.ring_entries, ring_use, elsewhere);
        } catch (const std::system_error& refused) {
            if (choice == driver_choice::uring || !is_refusal(refused.code())) throw;
            report_once(refused.what());
        }
    }
    return std::make_unique<epoll_driver>(elsewhere);
}

}  // namespace peal::rt
