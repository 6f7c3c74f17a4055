// SPDX-License-Identifier: MIT
#pragma once

// parallel_reduce: one value out of a range, on as many workers as are free.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <ranges>
#include <utility>

#include <peal/parallel/parallel_for.hpp>

namespace peal {

namespace detail {

template <class Iterator, class T, class Combine, class Map>
T reduce_part(Iterator first, std::size_t size, std::size_t grain, const T& neutral, Combine& combine, Map& map) {
    if (this_task::stop_requested()) throw_canceled("parallel_reduce");
    if (size > grain) {
        std::size_t half = size / 2;
        auto middle = first + static_cast<std::iter_difference_t<Iterator>>(half);
        auto [left, right] = join([&] { return reduce_part(first, half, grain, neutral, combine, map); },
                                  [&] { return reduce_part(middle, size - half, grain, neutral, combine, map); });
        return std::invoke(combine, std::move(left), std::move(right));
    }
    T sum = neutral;
    for (; size != 0; --size, ++first) sum = std::invoke(combine, std::move(sum), std::invoke(map, *first));
    return sum;
}

}  // namespace detail

/// Combines what `map` gives for every element, in the order of the elements, in groups that `neutral` begins:
///
///     double length = std::sqrt(peal::parallel_reduce(numbers, 0.0, std::plus<>(), [](double x) { return x * x; }));
///
/// The sum has the type of `neutral`: 0 for a vector of double adds integers, as std::accumulate() does.
/// `combine` must be associative, and leave a value as it is when it combines it with `neutral`; both functions may run on several workers
/// at once.
/// `grain`: elements that are handled in one go, at least 1; it stands before `neutral`, as in parallel_for(). Say nothing, and it is found.
/// A plain call, on the calling worker's stack, in a coroutine too; both functions are plain ones.
///
/// Errors, cancellation and the rest as parallel_for().
template <detail::dividable Range, std::integral Grain, class T, class Combine, class Map = std::identity>
    requires std::invocable<Combine&, T, T>  // a neutral value may be of the type of a grain
T parallel_reduce(Range&& range, Grain grain, T neutral, Combine combine, Map map = {}) {
    std::size_t size = std::ranges::size(range);
    std::size_t elements = grain < 1 ? 1 : static_cast<std::size_t>(grain);
    return detail::reduce_part(std::ranges::begin(range), size, elements, neutral, combine, map);
}
template <detail::dividable Range, class T, class Combine, class Map = std::identity>
    requires(!std::integral<Combine> && std::invocable<Combine&, T, T>)
T parallel_reduce(Range&& range, T neutral, Combine combine, Map map = {}) {
    std::size_t grain = detail::automatic_grain(std::ranges::size(range));
    return peal::parallel_reduce(range, grain, std::move(neutral), std::move(combine), std::move(map));
}

}  // namespace peal
