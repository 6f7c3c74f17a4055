// SPDX-License-Identifier: MIT

// Shows: what happens to all others while tasks keep their workers by computing without awaiting anything: their timers fire, and the tasks go on, because another worker
//        stands in, or the spare one if all are kept; the report of it; and, with --rescue off, what it would be like without.
// Run:   stuck_worker --workers 2 --keep 2 --ms 300     Expect: how many heartbeats there were before, meanwhile and after, how late the latest was, and which tasks
//        kept their workers. Without rescue there is none meanwhile, and the next come 300 ms late.

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <peal/peal.hpp>

using namespace std::chrono_literals;

struct settings {
    unsigned workers = 2;
    unsigned keep = 2;
    unsigned ms = 300;
    bool rescue = true;
};

class pulse {
  public:
    void add(peal::clock::duration late) {
        std::lock_guard guard(mutex_);
        ++beats_;
        latest_ = std::max(latest_, late);
    }
    /// Says what came since it was asked last.
    void print(const char* when) {
        std::lock_guard guard(mutex_);
        if (beats_ == 0) {
            std::printf("%-10s no heartbeat\n", when);
        } else {
            std::printf("%-10s %u heartbeats, the latest %.1f ms late\n", when, beats_, std::chrono::duration<double, std::milli>(latest_).count());
        }
        beats_ = 0;
        latest_ = {};
    }
    void forget() {
        std::lock_guard guard(mutex_);
        beats_ = 0;
        latest_ = {};
    }

  private:
    std::mutex mutex_;  // held for moments, never across a co_await
    unsigned beats_ = 0;
    peal::clock::duration latest_{};
};

/// Begins on that worker: there lies its first timer.
peal::task<> beat(unsigned worker, pulse& seen) {
    co_await peal::pool::current()->schedule_on(worker);
    for (;;) {
        const auto next = peal::clock::now() + 5ms;
        co_await peal::sleep_until(next);
        seen.add(peal::clock::now() - next);
    }
}

struct keepers {
    const unsigned count;
    std::atomic<unsigned> begun{0};
    std::atomic<unsigned> ended{0};
};

/// Says what was heard while all of them were at it: from the beginning of the last to the first end.
void count_primes(std::chrono::milliseconds length, keepers& all, pulse& seen) {
    if (++all.begun == all.count) seen.forget();
    unsigned long found = 0;
    const auto until = std::chrono::steady_clock::now() + length;
    for (unsigned long candidate = 3; std::chrono::steady_clock::now() < until; candidate += 2) {
        bool is_prime = true;
        for (unsigned long divisor = 3; divisor * divisor <= candidate && is_prime; divisor += 2) is_prime = candidate % divisor != 0;
        if (is_prime) ++found;
    }
    if (++all.ended == 1) {
        std::printf("(%lu primes)\n", found);
        seen.print("meanwhile");
    }
}

peal::task<> keep(unsigned worker, std::chrono::milliseconds length, keepers& all, pulse& seen) {
    co_await peal::pool::current()->schedule_on(worker);
    count_primes(length, all, seen);  // no co_await from here on: that is what keeps the worker
}

peal::task<> show(const settings& how) {
    pulse seen;
    peal::scope hearts;
    for (unsigned i = 0; i < how.workers; ++i) hearts.spawn(beat, i, std::ref(seen));
    co_await peal::sleep_for(200ms);
    seen.print("before");
    keepers all{how.keep};
    peal::scope keeping;
    for (unsigned i = 0; i < how.keep; ++i) {
        keeping.spawn(peal::spawn_options("counts primes"), keep, i, std::chrono::milliseconds(how.ms), std::ref(all), std::ref(seen));
    }
    co_await keeping.join();
    co_await peal::sleep_for(200ms);
    seen.print("after");
    hearts.request_stop();
    try {
        co_await hearts.join();
    } catch (const std::system_error& stopped) {
        if (!peal::is_canceled(stopped)) throw;
    }
}

int main(int argc, char** argv) {
    settings how;
    auto usage = [](const std::string& wrong) {
        std::fprintf(stderr, "stuck_worker: %s\nusage: stuck_worker [--workers N] [--keep N] [--ms MS] [--rescue on|off]\n", wrong.c_str());
        return 2;
    };
    for (int i = 1; i < argc; i += 2) {
        std::string_view option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
        if (option == "--rescue" && (value == "on" || value == "off")) {
            how.rescue = value == "on";
            continue;
        }
        unsigned* number = option == "--workers" ? &how.workers : option == "--keep" ? &how.keep : option == "--ms" ? &how.ms : nullptr;
        if (number == nullptr) return usage(std::string(option) + " " + std::string(value) + ": no such option");
        auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
        if (error != std::errc() || end != value.data() + value.size() || *number == 0 || *number > 60'000) {
            return usage(std::string(option) + ": a number from 1 on");
        }
    }
    if (how.keep > how.workers) return usage("--keep: there are only " + std::to_string(how.workers) + " workers");
    try {
        std::vector<std::string> told;  // by the watchdog's thread, which ends before the pool
        {
            peal::pool_options options(how.workers);
            if (!how.rescue) options.rescue_after = 0ns;
            options.on_stall = [&told](const peal::stall& stall) { told.push_back(stall.to_string()); };
            peal::pool pool(options);
            pool.run(show, std::cref(how));
        }
        for (const std::string& line : told) std::printf("%s\n", line.c_str());
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "stuck_worker: %s\n", failure.what());
        return 1;
    }
}
