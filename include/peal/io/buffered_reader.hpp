// SPDX-License-Identifier: MIT
#pragma once

// buffered_reader: reads from a stream in large pieces, and gives them out in small ones: lines, bytes up to a delimiter, so many bytes.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <peal/detail/ready_or_task.hpp>
#include <peal/error.hpp>
#include <peal/io/stream.hpp>
#include <peal/task/task.hpp>

namespace peal::io {

namespace detail {

/// Where `wanted` begins in `bytes`, at `from` or behind it; bytes.size() if it does not.
PEAL_EXPORT std::size_t find(std::span<const std::byte> bytes, std::string_view wanted, std::size_t from) noexcept;

/// message_size: "read_line: more than 80 bytes".
[[noreturn]] PEAL_EXPORT void throw_too_long(const char* operation, std::size_t limit);
/// connection_aborted: "read_until: the stream ended after 7 bytes, before the delimiter".
[[noreturn]] PEAL_EXPORT void throw_cut_off(const char* operation, std::size_t bytes, const char* before);

}  // namespace detail

/// Reads from a stream by way of a buffer. Refers to the stream, so that a buffered_writer can stand beside it; the stream outlives it.
///
///     peal::io::buffered_reader lines(stream);
///     while (auto line = co_await lines.read_line(1024)) use(*line);
///
/// Views that it gives are valid until it reads or peeks again; consume() and buffered() leave them valid.
///
/// Threads:      one task at a time.
/// Cancellation: what has been read stays buffered, nothing is lost: the same call, or another, goes on from there. What is buffered
///               is given without a look at whether a stop was requested.
/// Lifetime:     the reader stays where it is, and so do buffers and delimiters, until the operation ends.
/// Errors:       those of the stream; message_size and connection_aborted as told below. After each of them the bytes that were not given
///               are still there, at the front of buffered().
/// Allocates:    its buffer, when it is made. What is buffered is given without a coroutine frame.   Kernel: what the stream needs.
template <readable Stream>
class buffered_reader {
    using view = std::span<const std::byte>;
    class read_request;
    class read_exactly_request;
    class peek_request;
    class read_until_request;
    class read_line_request;
    template <class T, class Request>
    using operation = peal::detail::ready_or_task<T, Request>;

  public:
    static constexpr std::size_t default_capacity = 8 * 1024;

    /// Requires: capacity_bytes != 0 (asserted).
    explicit buffered_reader(Stream& from, std::size_t capacity_bytes = default_capacity)
        : from_(from), capacity_(capacity_bytes), bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity_bytes)) {
        PEAL_ASSERT(capacity_bytes != 0, "a buffered_reader needs a capacity");
    }
    buffered_reader(const buffered_reader&) = delete;
    buffered_reader& operator=(const buffered_reader&) = delete;

    /// Gives a std::size_t: at most `into.size()` bytes, at least one; 0 at the end of the stream (and for an empty span). Reads past the
    /// buffer if that is empty and no larger than `into`.
    auto read(std::span<std::byte> into) noexcept { return operation<std::size_t, read_request>(*this, into); }

    /// Gives a std::size_t: reads until `into` is full; less at the end of the stream, and if it is canceled after some.
    auto read_exactly(std::span<std::byte> into) noexcept { return operation<std::size_t, read_exactly_request>(*this, into); }

    /// Gives a std::span<const std::byte> of the next `count` bytes, which stay there; fewer at the end of the stream.
    /// Requires: count <= capacity() (asserted).
    auto peek(std::size_t count) noexcept {
        PEAL_ASSERT(count <= capacity_, "peek() of more bytes than a buffered_reader has room for: give it that capacity");
        return operation<view, peek_request>(*this, count);
    }

    /// Gives a std::optional<std::span<const std::byte>>: the bytes before `delimiter`, of which there are `limit` at most. They
    /// and the delimiter are consumed. Nothing at the end of the stream.
    ///
    /// Errors:   message_size if there are more, connection_aborted if the stream ends in the middle. Nothing is consumed then.
    /// Requires: a delimiter; limit + its size <= capacity() (asserted).
    auto read_until(std::string_view delimiter, std::size_t limit) noexcept {
        PEAL_ASSERT(!delimiter.empty(), "read_until() needs a delimiter");
        PEAL_ASSERT(delimiter.size() <= capacity_ && limit <= capacity_ - delimiter.size(),
                    "read_until(): the limit and the delimiter are more than the buffered_reader has room for: give it that capacity");
        return operation<std::optional<view>, read_until_request>(*this, delimiter, limit);
    }

    /// Gives a std::optional<std::string_view>: the next line, of `limit` bytes at most, without the "\n" or "\r\n" at its end, which is consumed
    /// with it. What stands behind the last "\n" is a line, too, if it is not empty. Nothing at the end of the stream.
    ///
    /// Errors:   message_size if the line is longer: nothing is consumed then, and a larger limit, or read(), goes on at its begin.
    /// Requires: limit + 2 <= capacity() (asserted).
    auto read_line(std::size_t limit) noexcept {
        PEAL_ASSERT(capacity_ >= 2 && limit <= capacity_ - 2,
                    "read_line(): the limit and the end of the line are more than the buffered_reader has room for: give it that capacity");
        return operation<std::optional<std::string_view>, read_line_request>(*this, limit);
    }

    /// What has been read from the stream and not been given or consumed.
    view buffered() const noexcept { return view(bytes_.get() + begin_, end_ - begin_); }
    /// Drops so many of them. Requires: count <= buffered().size() (asserted).
    void consume(std::size_t count) noexcept {
        PEAL_ASSERT(count <= end_ - begin_, "consume() of more bytes than are buffered");
        begin_ += count;
    }
    std::size_t capacity() const noexcept { return capacity_; }

  private:
    enum class found : unsigned char { no, yes, too_long };

    std::size_t size() const noexcept { return end_ - begin_; }
    /// Copies what is buffered, as far as there is room.
    std::size_t copy_into(std::span<std::byte> into) noexcept {
        std::size_t count = std::min(into.size(), size());
        if (count != 0) std::memcpy(into.data(), bytes_.get() + begin_, count);
        begin_ += count;
        return count;
    }
    view take(std::size_t count, std::size_t with_delimiter) noexcept {
        view taken = buffered().first(count);
        begin_ += with_delimiter;
        return taken;
    }
    /// Where the stream reads to. Not empty unless all of the buffer is in use. What is buffered moves to the front if there is no room
    /// behind it, or if it is less than was given out before it: so a byte moves about once.
    std::span<std::byte> room() noexcept {
        if (begin_ != 0 && (end_ == capacity_ || size() <= begin_)) {
            std::memmove(bytes_.get(), bytes_.get() + begin_, size());
            end_ = size();
            begin_ = 0;
        }
        return std::span(bytes_.get() + end_, capacity_ - end_);
    }

    task<std::size_t> read_more(std::span<std::byte> into) {
        if (into.size() >= capacity_) co_return co_await from_.read(into);
        std::size_t count = co_await from_.read(room());
        end_ += count;
        co_return copy_into(into);
    }
    task<std::size_t> fill(std::span<std::byte> into) {
        std::size_t filled = copy_into(into);
        while (filled < into.size()) {
            std::span<std::byte> left = into.subspan(filled);
            try {
                std::size_t count = 0;
                if (left.size() >= capacity_) {
                    count = co_await from_.read(left);
                    filled += count;
                } else {
                    count = co_await from_.read(room());
                    end_ += count;
                    filled += copy_into(left);
                }
                if (count == 0) break;
            } catch (const std::system_error& failure) {
                if (filled == 0 || !is_canceled(failure)) throw;
                co_return filled;
            }
        }
        co_return filled;
    }
    task<view> gather(std::size_t wanted) {
        while (size() < wanted) {
            std::size_t count = co_await from_.read(room());
            if (count == 0) break;
            end_ += count;
        }
        co_return buffered().first(std::min(wanted, size()));
    }
    /// `search` is what look() needs to know: it goes on where it has ended before.
    template <class Search>
    task<std::optional<typename Search::value>> search_on(Search search) {
        for (;;) {
            typename Search::value taken;
            switch (search.look(*this, taken)) {
                case found::yes: co_return taken;
                case found::too_long: detail::throw_too_long(Search::name, search.limit);
                case found::no: break;
            }
            std::size_t count = co_await from_.read(room());
            if (count == 0) co_return search.at_end(*this);
            end_ += count;
        }
    }

    class until {
      public:
        using value = view;
        static constexpr const char* name = "read_until";
        until(std::string_view delimiter, std::size_t limit) noexcept : limit(limit), delimiter_(delimiter) {}

        found look(buffered_reader& in, view& taken) noexcept {
            std::size_t at = detail::find(in.buffered(), delimiter_, searched_);
            if (at == in.size()) {
                // Its first bytes may be there.
                searched_ = at - std::min(at, delimiter_.size() - 1);
                return at >= limit + delimiter_.size() ? found::too_long : found::no;
            }
            searched_ = at;
            if (at > limit) return found::too_long;
            taken = in.take(at, at + delimiter_.size());
            return found::yes;
        }
        std::optional<view> at_end(buffered_reader& in) {
            if (in.size() != 0) detail::throw_cut_off(name, in.size(), "the delimiter");
            return std::nullopt;
        }
        const std::size_t limit;

      private:
        std::string_view delimiter_;
        std::size_t searched_ = 0;  // it does not begin before that
    };

    class line {
      public:
        using value = std::string_view;
        static constexpr const char* name = "read_line";
        explicit line(std::size_t limit) noexcept : limit(limit) {}

        found look(buffered_reader& in, std::string_view& taken) noexcept {
            std::string_view text = text_of(in.buffered());
            const void* newline = searched_ == text.size() ? nullptr : std::memchr(text.data() + searched_, '\n', text.size() - searched_);
            if (newline == nullptr) {
                searched_ = text.size();
                bool may_end_here = text.size() == limit + 1 && text.back() == '\r';
                return text.size() > limit && !may_end_here ? found::too_long : found::no;
            }
            searched_ = static_cast<std::size_t>(static_cast<const char*>(newline) - text.data());
            std::size_t length = searched_;
            if (length != 0 && text[length - 1] == '\r') --length;
            if (length > limit) return found::too_long;
            taken = text_of(in.take(length, searched_ + 1));
            return found::yes;
        }
        std::optional<std::string_view> at_end(buffered_reader& in) {
            if (in.size() == 0) return std::nullopt;
            if (in.size() > limit) detail::throw_too_long(name, limit);
            return text_of(in.take(in.size(), in.size()));
        }
        const std::size_t limit;

      private:
        static std::string_view text_of(view bytes) noexcept {
            return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
        std::size_t searched_ = 0;  // no "\n" before that
    };

    Stream& from_;
    const std::size_t capacity_;
    const std::unique_ptr<std::byte[]> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

template <readable Stream>
class buffered_reader<Stream>::read_request {
  public:
    read_request(buffered_reader& in, std::span<std::byte> into) noexcept : in_(in), into_(into) {}
    std::optional<std::size_t> at_once() noexcept {
        if (in_.size() == 0 && !into_.empty()) return std::nullopt;
        return in_.copy_into(into_);
    }
    task<std::size_t> rest() { return in_.read_more(into_); }

  private:
    buffered_reader& in_;
    std::span<std::byte> into_;
};

template <readable Stream>
class buffered_reader<Stream>::read_exactly_request {
  public:
    read_exactly_request(buffered_reader& in, std::span<std::byte> into) noexcept : in_(in), into_(into) {}
    std::optional<std::size_t> at_once() noexcept {
        if (in_.size() < into_.size()) return std::nullopt;
        return in_.copy_into(into_);
    }
    task<std::size_t> rest() { return in_.fill(into_); }

  private:
    buffered_reader& in_;
    std::span<std::byte> into_;
};

template <readable Stream>
class buffered_reader<Stream>::peek_request {
  public:
    peek_request(buffered_reader& in, std::size_t count) noexcept : in_(in), count_(count) {}
    std::optional<view> at_once() noexcept {
        if (in_.size() < count_) return std::nullopt;
        return in_.buffered().first(count_);
    }
    task<view> rest() { return in_.gather(count_); }

  private:
    buffered_reader& in_;
    std::size_t count_;
};

template <readable Stream>
class buffered_reader<Stream>::read_until_request {
  public:
    read_until_request(buffered_reader& in, std::string_view delimiter, std::size_t limit) noexcept : in_(in), search_(delimiter, limit) {}
    std::optional<std::optional<view>> at_once() noexcept {
        view taken;
        if (search_.look(in_, taken) != found::yes) return std::nullopt;
        return std::optional<view>(taken);
    }
    task<std::optional<view>> rest() { return in_.search_on(search_); }

  private:
    buffered_reader& in_;
    until search_;
};

template <readable Stream>
class buffered_reader<Stream>::read_line_request {
  public:
    read_line_request(buffered_reader& in, std::size_t limit) noexcept : in_(in), search_(limit) {}
    std::optional<std::optional<std::string_view>> at_once() noexcept {
        std::string_view taken;
        if (search_.look(in_, taken) != found::yes) return std::nullopt;
        return std::optional<std::string_view>(taken);
    }
    task<std::optional<std::string_view>> rest() { return in_.search_on(search_); }

  private:
    buffered_reader& in_;
    line search_;
};

}  // namespace peal::io
