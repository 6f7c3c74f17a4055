// SPDX-License-Identifier: MIT

// By posix_spawn: this process has threads, and what runs between fork and exec may only be what the C library does there. All that can
// fail for a reason of its own (a folder, a descriptor, /dev/null) is opened here first, so that its error is not taken for that of exec.
//
// Every descriptor that the child's numbers 0 to 2 are made of has a number above them: else making one could destroy the source of another.

#include "launch.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "../base/pipe_ends.hpp"
#include "../base/zero_bytes.hpp"
#include "reaper.hpp"

namespace peal::process {

std::vector<std::string> command::full_environment() const {
    std::vector<std::string> full;
    auto is_changed = [this](std::string_view variable) {
        for (const auto& change : changes_) {
            if (variable.substr(0, variable.find('=')) == change.first) return true;
        }
        return false;
    };
    for (char** each = ::environ; inherits_environment_ && each != nullptr && *each != nullptr; ++each) {
        if (!is_changed(*each)) full.emplace_back(*each);
    }
    for (std::size_t i = 0; i < changes_.size(); ++i) {
        bool changed_again = false;
        for (std::size_t later = i + 1; later < changes_.size(); ++later) changed_again |= changes_[later].first == changes_[i].first;
        if (!changed_again && !changes_[i].second.empty()) full.push_back(changes_[i].first + changes_[i].second);
    }
    return full;
}

}  // namespace peal::process

namespace peal::rt {

using process::command;
using process::standard_stream;

descriptor::~descriptor() {
    if (fd_ >= 0) ::close(fd_);
}

launched::~launched() {
    if (pidfd.get() < 0) return;
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    reap_later(pidfd.release());
}

namespace {

constexpr int first_free = 3;  // after the standard streams

void check(int error_number, const std::string& what) {
    if (error_number != 0) throw std::system_error(error_number, std::system_category(), what);
}

descriptor opened(const char* path, int flags, const std::string& what) {
    int fd = ::open(path, flags | O_CLOEXEC);
    check(fd < 0 ? errno : 0, what);
    return descriptor(fd);
}

/// The same file under a number above the standard streams.
descriptor above_standard(int fd, const std::string& what) {
    int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, first_free);
    check(copy < 0 ? errno : 0, what);
    return descriptor(copy);
}

class file_actions {
  public:
    file_actions() { check(posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init"); }
    file_actions(const file_actions&) = delete;
    file_actions& operator=(const file_actions&) = delete;
    ~file_actions() { posix_spawn_file_actions_destroy(&actions_); }

    void copy(int from, int to) { check(posix_spawn_file_actions_adddup2(&actions_, from, to), "posix_spawn_file_actions_adddup2"); }
    void change_folder(int fd) { check(posix_spawn_file_actions_addfchdir_np(&actions_, fd), "posix_spawn_file_actions_addfchdir_np"); }
    void close_the_rest() {
        // Not all C libraries have it. Without it the program inherits descriptors that were not opened with O_CLOEXEC; those of peal are.
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
        check(posix_spawn_file_actions_addclosefrom_np(&actions_, first_free), "posix_spawn_file_actions_addclosefrom_np");
#endif
    }
    const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_;
};

class attributes {
  public:
    explicit attributes(bool own_group) {
        check(posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
        sigset_t signals;
        sigemptyset(&signals);
        posix_spawnattr_setsigmask(&attributes_, &signals);  // workers and blocking threads block all
        sigfillset(&signals);
        posix_spawnattr_setsigdefault(&attributes_, &signals);
        posix_spawnattr_setflags(&attributes_, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                                  (own_group ? POSIX_SPAWN_SETPGROUP : 0)));  // group 0: its own
    }
    attributes(const attributes&) = delete;
    attributes& operator=(const attributes&) = delete;
    ~attributes() { posix_spawnattr_destroy(&attributes_); }
    const posix_spawnattr_t* get() const noexcept { return &attributes_; }

  private:
    posix_spawnattr_t attributes_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& each : texts) pointers.push_back(each.data());
    pointers.push_back(nullptr);
    return pointers;
}

/// What becomes descriptor `number` of the program; nothing if that is inherited.
descriptor source_of(const command& what, unsigned number, descriptor& ours) {
    const standard_stream& stream = what.stream(number);
    switch (stream.what()) {
        case standard_stream::kind::inherited:
        case standard_stream::kind::same_as_output:
            break;
        case standard_stream::kind::null:
            return above_standard(opened("/dev/null", number == 0 ? O_RDONLY : O_WRONLY, "open /dev/null for " + what.program()).get(), "fcntl for " + what.program());
        case standard_stream::kind::descriptor:
            return above_standard(stream.native_handle(), "standard stream " + std::to_string(number) + " of " + what.program());
        case standard_stream::kind::piped: {
            int ends[2];
            check(make_pipe_ends(ends) != 0 ? errno : 0, "pipe2 for " + what.program());
            descriptor reading(ends[0]);
            descriptor writing(ends[1]);
            ours = std::move(number == 0 ? writing : reading);
            return above_standard((number == 0 ? reading : writing).get(), "fcntl for " + what.program());
        }
    }
    return descriptor();
}

/// No text may hold a zero byte: it would be cut there, and be another one.
void check_texts(const std::vector<std::string>& texts, const command& what) {
    for (const std::string& each : texts) {
        check(holds_zero(each) ? EINVAL : 0, "an argument or variable with a zero byte in it, for " + what.program());
    }
}

}  // namespace

launched launch(const command& what) {
    std::vector<std::string> arguments = what.arguments();
    arguments.insert(arguments.begin(), what.program());
    std::vector<std::string> environment = what.full_environment();
    check_texts(arguments, what);
    check_texts(environment, what);

    launched made;
    file_actions actions;
    descriptor folder;
    if (!what.directory().empty()) {
        std::string doing = "working directory " + what.directory();
        check_whole(doing);
        folder = above_standard(opened(what.directory().c_str(), O_PATH | O_DIRECTORY, doing).get(), doing);
        actions.change_folder(folder.get());
    }
    descriptor sources[3];
    for (unsigned number = 0; number < 3; ++number) {
        sources[number] = source_of(what, number, made.pipes[number]);
        if (sources[number].get() >= 0) actions.copy(sources[number].get(), static_cast<int>(number));
    }
    if (what.stream(2).what() == standard_stream::kind::same_as_output) actions.copy(1, 2);
    actions.close_the_rest();
    attributes how(what.has_own_group());

    std::vector<char*> argument_pointers = pointers_to(arguments);
    std::vector<char*> environment_pointers = pointers_to(environment);
    std::string doing = "posix_spawn " + what.program();  // no memory is asked for once the program runs
    check(::posix_spawnp(&made.pid, what.program().c_str(), actions.get(), how.get(), argument_pointers.data(), environment_pointers.data()),
          doing);

    made.pidfd = descriptor(static_cast<int>(::syscall(SYS_pidfd_open, made.pid, 0)));  // close-on-exec by itself
    if (made.pidfd.get() < 0) {
        int error_number = errno;
        ::kill(made.pid, SIGKILL);
        while (::waitpid(made.pid, nullptr, 0) < 0 && errno == EINTR) {
        }
        check(error_number, "pidfd_open for " + what.program() +
                                " (peal::process needs Linux 5.4, a free descriptor, and that SIGCHLD is not ignored)");
    }
    return made;
}

}  // namespace peal::rt
