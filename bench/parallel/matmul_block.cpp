// SPDX-License-Identifier: MIT

#include "parallel/matmul.hpp"

namespace matmul {

void multiply_block(const float* a, const float* b, float* c, int size, int stride) noexcept {
    for (int i = 0; i < size; ++i) {
        for (int k = 0; k < size; ++k) {
            float factor = a[i * stride + k];
            for (int j = 0; j < size; ++j) c[i * stride + j] += factor * b[k * stride + j];
        }
    }
}

}  // namespace matmul
