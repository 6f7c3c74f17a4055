// SPDX-License-Identifier: MIT

#include "mutants.hpp"

#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace model {

const char* name_of(std::memory_order order) noexcept {
    switch (order) {
        case std::memory_order_relaxed: return "relaxed";
        case std::memory_order_consume: return "consume";
        case std::memory_order_acquire: return "acquire";
        case std::memory_order_release: return "release";
        case std::memory_order_acq_rel: return "acq_rel";
        case std::memory_order_seq_cst: return "seq_cst";
    }
    return "?";
}

namespace {

struct mutation {
    bool is_set = false;
    std::string file;
    unsigned line = 0;
    unsigned column = 0;
    std::string what;
    std::memory_order order = std::memory_order_relaxed;

    bool is_at(const place& where) const noexcept {
        if (!is_set || where.line() != line || where.column() != column) return false;
        std::string_view written(where.file_name());
        return written.size() >= file.size() && written.substr(written.size() - file.size()) == file;
    }
};
mutation mutant;

bool notes = false;
std::set<std::string>& operations() {
    static std::set<std::string> all;
    return all;
}
std::set<std::pair<const char*, std::uint64_t>> noted_places;

void note_operation(const place& where, const char* name, std::memory_order order, std::memory_order failure) {
    if (!noted_places.insert({where.file_name(), std::uint64_t{where.line()} << 32 | where.column()}).second) return;
    operations().insert(std::string(where.file_name()) + ' ' + std::to_string(where.line()) + ' ' + std::to_string(where.column()) + ' ' + name + ' ' +
                        name_of(order) + ' ' + name_of(failure));
}

}  // namespace

bool adjust_watched(const place& where, const char* name, std::memory_order& order, std::memory_order* failure) {
    if (notes) note_operation(where, name, order, failure != nullptr ? *failure : order);
    if (!mutant.is_at(where)) return false;
    if (mutant.what == "torn") return true;
    if (mutant.what == "success") order = mutant.order;
    if (mutant.what == "failure" && failure != nullptr) *failure = mutant.order;
    return false;
}

bool mutate(const std::string& text) {
    std::istringstream words(text);
    std::string order;
    words >> mutant.file >> mutant.line >> mutant.column >> mutant.what >> order;
    bool is_order = false;
    for (auto each : {std::memory_order_relaxed, std::memory_order_acquire, std::memory_order_release, std::memory_order_acq_rel}) {
        if (order != name_of(each)) continue;
        mutant.order = each;
        is_order = true;
    }
    mutant.is_set = mutant.what == "torn" || (is_order && (mutant.what == "success" || mutant.what == "failure"));
    operations_are_watched = notes || mutant.is_set;
    return mutant.is_set;
}

void note_operations() {
    notes = true;
    operations_are_watched = true;
    operations().clear();
    noted_places.clear();
}

std::string noted_operations() {
    std::string all;
    for (const std::string& each : operations()) all += each + '\n';
    return all;
}

}  // namespace model
