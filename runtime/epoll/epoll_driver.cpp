// SPDX-License-Identifier: MIT

#include "epoll_driver.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <new>
#include <system_error>

#include "../base/own_descriptor.hpp"
#include "../base/sanitizer.hpp"
#include "../task/blocking_threads.hpp"
#include "../task/faults.hpp"
#include "../task/perform.hpp"

namespace peal::rt {

namespace {

constexpr int events_at_once = 64;
constexpr std::int32_t no_buffer = must_block + 1;  // beside the answers of attempt()

bool is_writing(detail::operation_kind kind) noexcept {
    using enum detail::operation_kind;
    return kind == send || kind == send_zero_copy || kind == send_many || kind == write || kind == write_many || kind == connect || kind == wait_writable;
}

bool is_receiving(detail::operation_kind kind) noexcept {
    using enum detail::operation_kind;
    return kind == receive || is_lent(kind) || kind == receive_many;
}

bool can_be_tried(detail::operation_kind kind) noexcept {
    using enum detail::operation_kind;
    return is_writing(kind) || is_receiving(kind) || kind == accept || kind == read || kind == read_many || kind == wait_readable;
}

}  // namespace

epoll_driver::epoll_driver(blocking_pool& elsewhere) : driver(elsewhere) {
    try_first();
    epoll_fd_ = own_descriptor(::epoll_create1(EPOLL_CLOEXEC));
    if (epoll_fd_ < 0) throw std::system_error(errno, std::system_category(), "epoll_create1 for a worker (raise `ulimit -n`?)");
    epoll_event woken{};
    woken.events = EPOLLIN | EPOLLET;
    woken.data.fd = wake_.native_handle();
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_.native_handle(), &woken) != 0) {
        int error_number = errno;
        ::close(epoll_fd_);
        throw std::system_error(error_number, std::system_category(), "epoll_ctl for a worker");
    }
}

epoll_driver::~epoll_driver() {
    ::close(epoll_fd_);
}

detail::work_list& epoll_driver::watch::list_of(const detail::operation& operation) noexcept {
    return is_writing(operation.kind) ? writing : reading;
}

// ---- the owner submits --------------------------------------------------------------------------------------------------------

void epoll_driver::do_submit(detail::operation& operation) noexcept {
    while (!submitted_.try_push(operation)) {
        std::lock_guard guard(lock_);
        hand_over();
    }
}

void epoll_driver::close_under_lock(int fd) noexcept {
    // By a thread: the last close of a file may write it back first.
    struct closing final : blocking_job {
        explicit closing(int fd) noexcept : blocking_job(&closing::perform), fd(fd) {}
        static void perform(blocking_job& self) noexcept {
            auto& me = static_cast<closing&>(self);
            ::close(me.fd);
            delete &me;
        }
        int fd;
    };
    if (auto* made = new (std::nothrow) closing(fd)) {
        elsewhere().files.run(*made);
    } else {
        ::close(fd);
    }
}

// ---- under the lock -----------------------------------------------------------------------------------------------------------

void epoll_driver::hand_over() noexcept {
    submitted_.take_all([this](detail::operation& operation) { begin(operation); });
}

void epoll_driver::begin(detail::operation& operation) noexcept {
    if (operation.cancel_requested) return has_happened(operation, -ECANCELED);  // the request overtook the hand-over
    if (operation.kind == detail::operation_kind::nop) return has_happened(operation, 0);
    if (std::int32_t wrong = fault_of(operation)) return has_happened(operation, wrong);
    if (!can_be_tried(operation.kind)) return perform_elsewhere(operation);
    if (operation.fd < 0) return has_happened(operation, -EBADF);
    // What is received has mostly not come yet: a try would cost a system call for nothing.
    if (operation.kind == detail::operation_kind::receive || is_lent(operation.kind)) {
        watch* watched = watch_of(operation.fd);
        if (watched != nullptr && !watched->try_first) return wait_for_readiness(operation);
    }
    go_on_with(operation, try_with_buffer(operation, readiness::unknown));
}

/// Requires: it stands in no list.
void epoll_driver::go_on_with(detail::operation& operation, std::int32_t outcome) noexcept {
    switch (outcome) {
        case would_wait: return wait_for_readiness(operation);
        case must_block: return perform_elsewhere(operation);
        case no_buffer: return without_buffer_.push_back(operation);
        default: has_happened(operation, outcome);
    }
}

/// attempt(), or no_buffer.
std::int32_t epoll_driver::try_with_buffer(detail::operation& operation, readiness known) noexcept {
    if (!is_lent(operation.kind)) return attempt(operation, known);
    if (lent_.pool == nullptr) {
        if ((lent_.pool = new (std::nothrow) lease_pool(*this)) == nullptr) return -ENOMEM;
        note_lending(*lent_.pool);
    }
    std::uint16_t index;
    if (lent_.pool->take(lease_pool::wish::some, &index, 1) == 0) {
        if (lent_.pool->has_none()) return -ENOMEM;
        count_refused();
        return no_buffer;
    }
    ++lent_.taken;
    std::byte* buffer = lent_.pool->address_of(index);
    unpoison(buffer, lease_pool::buffer_bytes);
    operation.address = buffer;
    std::int32_t outcome = attempt(operation, known);
    --lent_.taken;
    count_lent();
    if (outcome > 0) {
        operation.extra = lent_.pool;
    } else {
        operation.address = nullptr;
        lent_.pool->give_back(buffer);
    }
    return outcome;
}

/// Those that had no buffer try again. When this returns and some still have none, the next lease that comes back wakes this driver.
void epoll_driver::feed() noexcept {
    if (without_buffer_.empty()) return;
    detail::work_list waiting;
    waiting.append(without_buffer_);
    bool are_left = true;
    while (!waiting.empty()) {
        auto& operation = static_cast<detail::operation&>(waiting.pop_front());
        std::int32_t outcome = operation.cancel_requested ? -ECANCELED
                               : are_left                 ? try_with_buffer(operation, readiness::unknown)
                                                          : no_buffer;
        are_left = outcome != no_buffer;
        go_on_with(operation, outcome);
    }
}

void epoll_driver::wait_for_readiness(detail::operation& operation) noexcept {
    watch* watched = watch_of(operation.fd);
    if (watched == nullptr) return has_happened(operation, -ENOMEM);
    watched->list_of(operation).push_back(operation);
    operation.in_kernel = true;
    ++watching_;
    int refused = arm(operation.fd, *watched);
    if (refused == 0) return;
    take_out(operation);
    if (refused == EPERM && can_perform(operation.kind)) return perform_elsewhere(operation);  // a file: it does not know of waiting
    has_happened(operation, -refused);
}

/// Requires: it stands in a list.
void epoll_driver::take_out(detail::operation& operation) noexcept {
    watch& watched = *watch_of(operation.fd);
    detail::work_list& waiting = watched.list_of(operation);
    detail::work_list others;
    while (!waiting.empty()) {
        detail::work_item& each = waiting.pop_front();
        if (&each != &operation) others.push_back(each);
    }
    waiting.append(others);
    operation.in_kernel = false;
    --watching_;
    // The kernel must not go on looking for what nobody waits for any more: the file may outlive this number (a copy elsewhere), and would then be
    // told of under the name of what has the number next. Now the number is the operation's still.
    if (watched.reading.empty() && watched.writing.empty()) {
        ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, operation.fd, nullptr);
        watched.is_known = false;
        watched.armed = 0;
    } else {
        watched.armed = 0;
        static_cast<void>(arm(operation.fd, watched));  // for what is left; it was armed, and is less now
    }
}

void epoll_driver::has_happened(detail::operation& operation, std::int32_t outcome) noexcept {
    if (is_receiving(operation.kind) && outcome >= 0) {
        if (watch* watched = watch_of(operation.fd)) watched->try_first = static_cast<std::uint64_t>(outcome) == operation.length;
    }
    operation.outcome = outcome;
    ++operation.outstanding;
    happened_.push_back(operation);
}

void epoll_driver::complete(detail::work_list& ready, std::size_t room) noexcept {
    while (!happened_.empty() && ready.size() < room) {
        auto& operation = static_cast<detail::operation&>(happened_.pop_front());
        completed(operation, operation.outcome, ready);
    }
}

void epoll_driver::cancel_in_flight(detail::operation& operation) noexcept {
    take_out(operation);
    has_happened(operation, -ECANCELED);
}

/// Null: there is no memory.
epoll_driver::watch* epoll_driver::watch_of(int fd) noexcept {
    auto number = static_cast<std::size_t>(fd);
    try {
        if (number >= watches_.size()) watches_.resize(std::max(number + 1, watches_.size() * 2));
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
    return &watches_[number];
}

/// Gives 0 or the errno.
int epoll_driver::arm(int fd, watch& watched) noexcept {
    std::uint32_t wanted = (watched.reading.empty() ? 0u : EPOLLIN | EPOLLRDHUP) | (watched.writing.empty() ? 0u : EPOLLOUT + 0u);
    if ((wanted & ~watched.armed) == 0) return 0;
    epoll_event event{};
    event.events = wanted | EPOLLONESHOT;
    event.data.fd = fd;
    bool known = std::exchange(watched.is_known, true);
    int refused = ::epoll_ctl(epoll_fd_, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (refused != 0 && errno == (known ? ENOENT : EEXIST)) {
        refused = ::epoll_ctl(epoll_fd_, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    }
    watched.armed = refused == 0 ? wanted : 0;
    return refused == 0 ? 0 : errno;
}

/// `has_ended`: in both directions. Sockets of datagrams, and Unix listeners, say that they would wait even then; on a ring a receive ends with 0,
/// and an accept with EINVAL.
void epoll_driver::try_again(detail::work_list& waiting, bool has_ended) noexcept {
    detail::work_list still;
    while (!waiting.empty()) {
        auto& operation = static_cast<detail::operation&>(waiting.pop_front());
        std::int32_t outcome = still.empty() ? try_with_buffer(operation, readiness::told) : would_wait;
        if (outcome == would_wait && has_ended && is_receiving(operation.kind)) outcome = 0;
        if (outcome == would_wait && has_ended && operation.kind == detail::operation_kind::accept) outcome = -EINVAL;
        if (outcome == would_wait) {
            still.push_back(operation);
            continue;
        }
        operation.in_kernel = false;
        --watching_;
        go_on_with(operation, outcome);
    }
    waiting.append(still);
}

void epoll_driver::use_events(const epoll_event* events, int count) noexcept {
    for (int i = 0; i < count; ++i) {
        int fd = events[i].data.fd;
        if (fd == wake_.native_handle()) continue;
        watch& watched = *watch_of(fd);
        watched.armed = 0;
        constexpr std::uint32_t both = EPOLLERR | EPOLLHUP;
        bool has_ended = (events[i].events & EPOLLHUP) != 0;
        if ((events[i].events & (EPOLLIN | EPOLLRDHUP | both)) != 0) try_again(watched.reading, has_ended);
        if ((events[i].events & (EPOLLOUT | both)) != 0) try_again(watched.writing, has_ended);
        if (watched.reading.empty() && watched.writing.empty()) continue;
        if (int refused = arm(fd, watched)) {
            for (detail::work_list* waiting : {&watched.reading, &watched.writing}) {
                while (!waiting->empty()) {
                    auto& operation = static_cast<detail::operation&>(waiting->pop_front());
                    operation.in_kernel = false;
                    --watching_;
                    has_happened(operation, -refused);
                }
            }
        }
    }
}

// ---- rounds -------------------------------------------------------------------------------------------------------------------

int epoll_driver::wait_for_events(epoll_event* events, int most, time_point deadline) noexcept {
    count_enter();
    if (deadline == time_point::min()) return ::epoll_wait(epoll_fd_, events, most, 0);
    if (deadline == time_point::max()) return ::epoll_wait(epoll_fd_, events, most, -1);
    auto left = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(deadline - now()));
    if (has_fine_timeout_) {
        timespec limit{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        int count = ::epoll_pwait2(epoll_fd_, events, most, &limit, nullptr);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
        has_fine_timeout_ = false;  // Linux before 5.11, or a filter
    }
    auto rounded_up = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    return ::epoll_wait(epoll_fd_, events, most, static_cast<int>(std::min<std::int64_t>(rounded_up, 1'000'000'000)));
}

void epoll_driver::reap(detail::work_list& ready) noexcept {
    std::lock_guard guard(lock_);
    if (!has_messages() && submitted_.empty() && happened_.empty() && without_buffer_.empty()) return;
    hand_over();
    take_messages(ready);
    feed();
    complete(ready, room());
}

void epoll_driver::poll(detail::work_list& ready) noexcept {
    std::lock_guard guard(lock_);
    poll_under_lock(ready, room());
}

bool epoll_driver::poll_for_owner(detail::work_list& ready, std::size_t room) noexcept {
    if (!lock_.try_lock()) return false;
    std::lock_guard guard(lock_, std::adopt_lock);
    poll_under_lock(ready, room);
    return true;
}

void epoll_driver::poll_under_lock(detail::work_list& ready, std::size_t room) noexcept {
    hand_over();
    take_messages(ready);
    feed();
    complete(ready, room);
    if (watching_ == 0) return;
    std::array<epoll_event, events_at_once> events;
    use_events(events.data(), wait_for_events(events.data(), events_at_once, time_point::min()));
    complete(ready, room);
}

void epoll_driver::do_wait(detail::work_list& ready, time_point deadline) noexcept {
    std::lock_guard guard(lock_);
    hand_over();
    take_messages(ready);
    feed();
    complete(ready, room());
    std::array<epoll_event, events_at_once> events;
    use_events(events.data(), wait_for_events(events.data(), events_at_once, ready.empty() && parked() ? deadline : time_point::min()));
    complete(ready, room());
}

}  // namespace peal::rt
