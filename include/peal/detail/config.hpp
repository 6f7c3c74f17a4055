// SPDX-License-Identifier: MIT
#pragma once

// The few macros of peal: export, assertion, and which sanitizer the code is built for.

#if defined(PEAL_BUILD_SHARED)
#define PEAL_EXPORT [[gnu::visibility("default")]]
#else
#define PEAL_EXPORT
#endif

#if defined(__SANITIZE_THREAD__)
#define PEAL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PEAL_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PEAL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PEAL_ASAN 1
#endif
#endif

namespace peal::detail {

/// Prints "peal: `what` (file:line)" to standard error and aborts. A broken contract ends here.
[[noreturn]] PEAL_EXPORT void assertion_failed(const char* what, const char* file, int line) noexcept;

}  // namespace peal::detail

/// Checks a contract in every build: `what` tells the reader which rule was broken and what to do instead.
#define PEAL_ASSERT(condition, what)                                       \
    (__builtin_expect(static_cast<bool>(condition), 1)                     \
         ? static_cast<void>(0)                                            \
         : ::peal::detail::assertion_failed(what, __FILE__, __LINE__))
