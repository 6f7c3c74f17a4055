// SPDX-License-Identifier: MIT
#pragma once

// command: what program to start, and how.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <peal/detail/config.hpp>

namespace peal::process {

/// What a program finds as its standard input, output or errors.
class standard_stream {
  public:
    enum class kind : std::uint8_t { inherited, null, piped, descriptor, same_as_output };

    /// What this program has.
    static standard_stream inherit() noexcept { return standard_stream(kind::inherited, -1); }
    /// Nothing to read; what is written is dropped.
    static standard_stream null() noexcept { return standard_stream(kind::null, -1); }
    /// A pipe, whose other end the child object has.
    static standard_stream pipe() noexcept { return standard_stream(kind::piped, -1); }
    /// A descriptor of the caller's, which stays open until the program has started and stays the caller's: `log.native_handle()`.
    static standard_stream descriptor(int fd) noexcept { return standard_stream(kind::descriptor, fd); }
    /// For errors: wherever the output goes, in the order written.
    static standard_stream same_as_output() noexcept { return standard_stream(kind::same_as_output, -1); }

    kind what() const noexcept { return kind_; }
    int native_handle() const noexcept { return fd_; }

  private:
    standard_stream(kind what, int fd) noexcept : kind_(what), fd_(fd) {}
    kind kind_;
    int fd_;
};

/// A program and all that it is started with. Nothing is interpreted by a shell: each argument reaches the program as it is.
///
///     auto sort = peal::process::command("sort", "-n", path).environment("LC_ALL", "C").output(peal::process::standard_stream::pipe());
///
/// A program gets of this process: its environment and working directory unless told otherwise, its user, its limits, and standard
/// streams as said here. It gets no other descriptor, its signals all act by default (also those that are ignored here), and none is blocked.
class command {
  public:
    /// A name without a slash is looked for in the folders of PATH (of this process); one with a slash is a path, and if it is relative,
    /// then to the working directory that the program is given.
    template <class... Arguments>
    explicit command(std::string program, Arguments&&... arguments) : program_(std::move(program)) {
        (arguments_.emplace_back(std::forward<Arguments>(arguments)), ...);
    }

    command& argument(std::string value) & {
        arguments_.push_back(std::move(value));
        return *this;
    }
    command&& argument(std::string value) && { return std::move(argument(std::move(value))); }

    /// Sets a variable. One with `value` "" is set and empty.
    command& environment(std::string_view name, std::string_view value) & {
        changes_.emplace_back(std::string(name), '=' + std::string(value));
        return *this;
    }
    command&& environment(std::string_view name, std::string_view value) && { return std::move(environment(name, value)); }
    command& without_environment(std::string_view name) & {
        changes_.emplace_back(std::string(name), std::string());
        return *this;
    }
    command&& without_environment(std::string_view name) && { return std::move(without_environment(name)); }
    /// The program gets only the variables that are set here.
    command& clear_environment() & noexcept {
        inherits_environment_ = false;
        return *this;
    }
    command&& clear_environment() && noexcept { return std::move(clear_environment()); }

    command& directory(std::string path) & {
        directory_ = std::move(path);
        return *this;
    }
    command&& directory(std::string path) && { return std::move(directory(std::move(path))); }

    command& input(standard_stream from) & noexcept { return set(0, from); }
    command&& input(standard_stream from) && noexcept { return std::move(set(0, from)); }
    command& output(standard_stream to) & noexcept { return set(1, to); }
    command&& output(standard_stream to) && noexcept { return std::move(set(1, to)); }
    command& errors(standard_stream to) & noexcept { return set(2, to); }
    command&& errors(standard_stream to) && noexcept { return std::move(set(2, to)); }

    /// It leads a process group: child::kill() and what follows it then mean the programs that it has started, too, unless they left
    /// the group. A terminal's Ctrl-C does not reach it any more, and it stops when it reads from the terminal.
    command& own_group() & noexcept {
        own_group_ = true;
        return *this;
    }
    command&& own_group() && noexcept { return std::move(own_group()); }

    const std::string& program() const noexcept { return program_; }
    const std::vector<std::string>& arguments() const noexcept { return arguments_; }
    const std::string& directory() const noexcept { return directory_; }
    const standard_stream& stream(unsigned number) const noexcept { return streams_[number]; }
    /// input(), output() or errors() was called for it.
    bool has_stream(unsigned number) const noexcept { return (chosen_ >> number & 1) != 0; }
    bool has_own_group() const noexcept { return own_group_; }
    /// As `name=value` each: this process's with the changes, or those set here alone.
    PEAL_EXPORT std::vector<std::string> full_environment() const;

  private:
    command& set(unsigned number, standard_stream stream) noexcept {
        streams_[number] = stream;
        chosen_ |= 1u << number;
        return *this;
    }

    std::string program_;
    std::vector<std::string> arguments_;
    std::vector<std::pair<std::string, std::string>> changes_;  // name; "=value", or "" for one to leave out
    std::string directory_;
    standard_stream streams_[3] = {standard_stream::inherit(), standard_stream::inherit(), standard_stream::inherit()};
    unsigned chosen_ = 0;  // a bit for each of these
    bool inherits_environment_ = true;
    bool own_group_ = false;
};

}  // namespace peal::process
