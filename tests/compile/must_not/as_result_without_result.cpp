// SPDX-License-Identifier: MIT
// What cannot report an error as a value: schedule().
// expect: reports_result

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

peal::task<> outer(peal::pool& pool) {
#ifdef WRONG
    co_await peal::as_result(pool.schedule());
#else
    static_cast<void>(pool);
    static_cast<void>(co_await peal::as_result(peal::sleep_for(std::chrono::seconds(1))));
#endif
}
