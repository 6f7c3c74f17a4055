// SPDX-License-Identifier: MIT
#pragma once

// tracked: an object that knows whether it was constructed and destroyed exactly once wherever it was. For arguments, captures and
// results of tasks: a leak leaves one alive, a double destruction or a construction over a living object is a mistake.
//
// Threads: any.

#include <mutex>
#include <set>
#include <utility>

namespace support {

class tracked {
  public:
    explicit tracked(int value = 0) : value_(value) { born(); }
    tracked(const tracked& other) : value_(other.value()) {
        born();
        book& all = the_book();
        std::lock_guard guard(all.mutex);
        ++all.copies;
    }
    tracked(tracked&& other) noexcept : value_(std::exchange(other.value_, moved_from)) { born(); }
    tracked& operator=(const tracked& other) = default;
    tracked& operator=(tracked&& other) noexcept {
        value_ = std::exchange(other.value_, moved_from);
        return *this;
    }
    ~tracked() {
        book& all = the_book();
        std::lock_guard guard(all.mutex);
        if (all.living.erase(this) == 0) ++all.mistakes;
        value_ = dead;
    }

    /// The number it was made with. `moved_from` after a move; counts as a mistake on a dead object.
    int value() const {
        book& all = the_book();
        std::lock_guard guard(all.mutex);
        if (!all.living.contains(this)) ++all.mistakes;
        return value_;
    }

    static constexpr int moved_from = -1;
    static constexpr int dead = -2;

    static std::size_t alive() {
        std::lock_guard guard(the_book().mutex);
        return the_book().living.size();
    }
    static unsigned long mistakes() {
        std::lock_guard guard(the_book().mutex);
        return the_book().mistakes;
    }
    static unsigned long copies() {
        std::lock_guard guard(the_book().mutex);
        return the_book().copies;
    }
    static unsigned long made() {
        std::lock_guard guard(the_book().mutex);
        return the_book().made;
    }
    /// Nothing is alive and nothing went wrong.
    static bool clean() { return alive() == 0 && mistakes() == 0; }
    static void forget_counts() {
        std::lock_guard guard(the_book().mutex);
        the_book().copies = the_book().made = 0;
    }

  private:
    struct book {
        std::mutex mutex;
        std::set<const tracked*> living;
        unsigned long mistakes = 0;
        unsigned long copies = 0;
        unsigned long made = 0;
    };
    static book& the_book() {
        static book instance;
        return instance;
    }
    void born() {
        book& all = the_book();
        std::lock_guard guard(all.mutex);
        ++all.made;
        if (!all.living.insert(this).second) ++all.mistakes;
    }

    int value_;
};

}  // namespace support
