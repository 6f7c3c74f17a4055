// SPDX-License-Identifier: MIT
#pragma once

// SHA-256 by libcrypto. The algorithm is looked up once for the program, a context is made once per digester
// and reused: for a small file either would cost as much as its hash. Nothing of peal is shown here.

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace examples {

class sha256_algorithm {
  public:
    sha256_algorithm() : fetched_(EVP_MD_fetch(nullptr, "SHA256", nullptr)) {
        if (!fetched_) throw std::runtime_error("libcrypto offers no SHA-256 (see its openssl.cnf)");
    }
    const EVP_MD* get() const noexcept { return fetched_.get(); }

  private:
    struct free_algorithm {
        void operator()(EVP_MD* algorithm) const noexcept { EVP_MD_free(algorithm); }
    };
    std::unique_ptr<EVP_MD, free_algorithm> fetched_;
};

/// One message after another: begin(), add() as often as needed, end().
class sha256 {
  public:
    explicit sha256(const sha256_algorithm& algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
        if (!context_) throw std::bad_alloc();
    }
    void begin() { expect(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr)); }
    void add(std::span<const std::byte> bytes) {
        expect(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
    }

    /// The digest in hexadecimal.
    std::string end() {
        std::array<unsigned char, 32> digest;
        unsigned size_bytes = digest.size();
        expect(EVP_DigestFinal_ex(context_.get(), digest.data(), &size_bytes));
        std::string text;
        text.reserve(2 * digest.size());
        for (unsigned byte : digest) {
            text += "0123456789abcdef"[byte >> 4];
            text += "0123456789abcdef"[byte & 15];
        }
        return text;
    }

  private:
    static void expect(int success) {
        if (success != 1) throw std::runtime_error("libcrypto failed to compute SHA-256");
    }
    struct free_context {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };

    const sha256_algorithm& algorithm_;
    std::unique_ptr<EVP_MD_CTX, free_context> context_;
};

}  // namespace examples
