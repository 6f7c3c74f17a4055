// SPDX-License-Identifier: MIT
#pragma once

// The one error vocabulary of peal.
//
// Expected failure (a peer reset the connection, a file is missing): the operation throws std::system_error with the errno and
//   the name of the operation, or `co_await peal::as_result(op)` gives a peal::result instead and throws nothing.
// End of stream: the value 0, no error. Cancellation: std::errc::operation_canceled.
// Broken contract (a task awaited twice): an assertion with a message, in every build.
// An exception of a user's function: carried by its task to whoever awaits it; of a detached task: to the pool's handler.

#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <peal/detail/config.hpp>

namespace peal {

/// What went wrong (an errno) and in which operation ("recv", "openat /etc/x").
class [[nodiscard]] error {
  public:
    error(std::error_code code, std::string operation) : code_(code), operation_(std::move(operation)) {}

    /// From a positive errno value.
    static error from_errno(int errno_value, std::string operation) {
        return error(std::error_code(errno_value, std::system_category()), std::move(operation));
    }

    /// From what an operation threw. Its text ends with the message of the code, which is not part of the operation's name.
    static error from_exception(const std::system_error& thrown) {
        std::string operation = thrown.what();
        std::string message = ": " + thrown.code().message();
        if (operation.ends_with(message)) operation.resize(operation.size() - message.size());
        return error(thrown.code(), std::move(operation));
    }

    const std::error_code& code() const noexcept { return code_; }
    const std::string& operation() const noexcept { return operation_; }
    std::string message() const { return operation_ + ": " + code_.message(); }
    bool is_canceled() const noexcept { return code_ == std::errc::operation_canceled; }

    [[noreturn]] void raise() const { throw std::system_error(code_, operation_); }

  private:
    std::error_code code_;
    std::string operation_;
};

/// A value or an error. Like std::expected, which the oldest supported compiler lacks.
template <class T>
class [[nodiscard]] result {
  public:
    using value_type = T;

    result(T value) : value_(std::move(value)) {}
    result(peal::error failure) : error_(std::move(failure)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value; throws std::system_error when there is none.
    T& value() & {
        if (!value_) error_->raise();
        return *value_;
    }
    T&& value() && {
        if (!value_) error_->raise();
        return std::move(*value_);
    }
    const T& value() const& {
        if (!value_) error_->raise();
        return *value_;
    }
    T& operator*() & noexcept { return *value_; }
    const T& operator*() const& noexcept { return *value_; }
    T&& operator*() && noexcept { return std::move(*value_); }
    T* operator->() noexcept { return &*value_; }
    const T* operator->() const noexcept { return &*value_; }

    /// Requires: !has_value() (asserted).
    const peal::error& error() const {
        PEAL_ASSERT(error_, "result::error() called on a result that holds a value: test has_value() first");
        return *error_;
    }

  private:
    std::optional<T> value_;
    std::optional<peal::error> error_;
};

template <>
class [[nodiscard]] result<void> {
  public:
    using value_type = void;

    result() = default;
    result(peal::error failure) : error_(std::move(failure)) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const {
        if (error_) error_->raise();
    }
    const peal::error& error() const {
        PEAL_ASSERT(error_, "result::error() called on a result that holds a value: test has_value() first");
        return *error_;
    }

  private:
    std::optional<peal::error> error_;
};

/// True for the system_error that a canceled operation throws.
PEAL_EXPORT bool is_canceled(const std::exception& failure) noexcept;
PEAL_EXPORT bool is_canceled(const std::exception_ptr& failure) noexcept;

}  // namespace peal
