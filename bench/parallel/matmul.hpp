// SPDX-License-Identifier: MIT
#pragma once

// c += a * b for square matrices, by quarters: four products of half the size that may run at the same time, then the other four.

#include <cstddef>
#include <vector>

#include "support/sizes.hpp"

namespace matmul {

/// The leaf. In its own translation unit: inlined into a coroutine it would be other code than inlined into a function.
void multiply_block(const float* a, const float* b, float* c, int size, int stride) noexcept;
constexpr int block_size = 32;

struct block {
    const float* a;
    const float* b;
    float* c;
    int size;
    int stride;

    bool is_small() const noexcept { return size <= block_size; }
    void multiply() const noexcept { multiply_block(a, b, c, size, stride); }
    /// The quarter of c at (row, column), from the quarters number k of that row of a and that column of b.
    block quarter(int row, int column, int k) const noexcept {
        return {at(a, row, k), at(b, k, column), at(c, row, column), size / 2, stride};
    }

  private:
    template <class T>
    T* at(T* first, int row, int column) const noexcept {
        return first + static_cast<std::ptrdiff_t>(row) * (size / 2) * stride + column * (size / 2);
    }
};

/// `four(w, x, y, z)` calls all four functions, at the same time if it can.
template <class Four>
void multiply(const block& all, const Four& four) {
    if (all.is_small()) return all.multiply();
    for (int k = 0; k < 2; ++k) {
        four([&, k] { multiply(all.quarter(0, 0, k), four); }, [&, k] { multiply(all.quarter(0, 1, k), four); },
             [&, k] { multiply(all.quarter(1, 0, k), four); }, [&, k] { multiply(all.quarter(1, 1, k), four); });
    }
}

/// Two matrices whose product is known: a[i][j] = i % 8, b[i][j] = j % 8, so each element is (i % 8) * (j % 8) * size, exactly.
class problem {
  public:
    problem() : a_(count()), b_(count()), c_(count()) {
        for (std::size_t i = 0; i < count(); ++i) {
            a_[i] = static_cast<float>(i / static_cast<std::size_t>(size_) % 8);
            b_[i] = static_cast<float>(i % 8);
        }
    }
    /// `multiply` is called with the whole, which it adds to c.
    template <class Multiply>
    void solve(const Multiply& multiply) {
        c_.assign(count(), 0);
        multiply(block{a_.data(), b_.data(), c_.data(), size_, size_});
        for (std::size_t i = 0; i < count(); ++i) {
            bench::expect(c_[i] == a_[i] * b_[i] * static_cast<float>(size_), "matmul: wrong product");
        }
    }

  private:
    std::size_t count() const noexcept { return static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_); }

    const int size_ = static_cast<int>(bench::scaled(1024, 64));
    std::vector<float> a_, b_, c_;
};

}  // namespace matmul
