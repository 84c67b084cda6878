"""Ranks of the magnitudes in each row of a matrix, in loops that numba compiles; merge.arithmetic.sparse says what for.

Magnitudes are put into bins by their upper bits: twice as many bins as a row has numbers, so that few bins hold more
than one. What is still in the wrong order differs little, and is put right in place. Equal magnitudes rank in the order
of their positions, as in numpy's stable argsort. It takes two to three nanoseconds an element.

    rank_rows(rows.view(np.uint32), factor, least, chances)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from merge.arithmetic.kernels import compile_loop

MAGNITUDE = 0x7FFFFFFF  # the bits of a float32 without its sign
FRACTION = 23  # bits of a float32's fraction
FEWEST_BINS, MOST_BINS = 6, 15  # as powers of two
OCTAVES = 4  # as a power of two: the binary orders, from a row's largest magnitude down, that the bins divide
STRIDE = 8  # bins whose beginnings are found in one step
# Passes that swap neighbours have no jumps, and pay where more than one neighbour of so many is in the wrong order
SWAPS, MANY = 3, 16
MOVES = 8  # sorting by insertion gives up where it moves a row's numbers more often than this on average


def _rank_rows(rows: Any, factor: Any, least: Any, chances: Any) -> None:
    """chances[row, place] = rank * factor + least; rows: the bits of float32 numbers, as uint32."""
    length = rows.shape[1]
    digits = min(max(bit_length(length) + 1, FEWEST_BINS), MOST_BINS)
    shift = np.uint32(FRACTION + OCTAVES - digits)
    counts, bins = np.empty((1 << digits) + STRIDE, np.uint32), np.empty(length, np.uint16)
    packed = np.empty(length, np.int64)  # the bits of a magnitude, then its place

    for row in range(rows.shape[0]):
        find_bins(rows[row], shift, 1 << digits, bins)
        counts[:] = 0
        for k in range(length):
            counts[bins[k]] += np.uint32(1)
        begin_at(counts)
        put_in_bins(rows[row], bins, counts, packed)

        wrong = count_wrong(packed)
        if wrong > length // MANY:
            for _ in range(SWAPS):
                swap_neighbours(packed[: length // 2 * 2])
                swap_neighbours(packed[1 : 1 + (length - 1) // 2 * 2])
        if wrong and not sort_by_insertion(packed):
            sort_by_digits(rows[row], packed)

        give_chances(packed, factor, least, chances[row])


def _bit_length(number: Any) -> Any:
    """The least power of two that is not below a number, as its exponent."""
    digits = 0
    while (1 << digits) < number:
        digits += 1
    return digits


def _find_bins(bits: Any, shift: Any, count: Any, bins: Any) -> None:
    """The bin of each number: 0 for zeros, 1 for all that is smaller than the bins divide, `count` for the largest."""
    largest = np.uint32(0)
    for k in range(bits.size):
        largest = max(largest, np.uint32(bits[k] & np.uint32(MAGNITUDE)))
    below = np.int32(largest >> shift) - np.int32(count)
    for k in range(bits.size):
        size = np.uint32(bits[k] & np.uint32(MAGNITUDE))
        number = max(np.int32(size >> shift) - below, np.int32(1))
        bins[k] = np.uint16(number) if size != np.uint32(0) else np.uint16(0)


def _begin_at(counts: Any) -> None:
    """Turn the count of each bin into the place where it begins.

    STRIDE bins in one step, added as a tree: an addition that waits for the one before it costs most of the time.
    """
    place = np.uint32(0)
    for n in range(0, counts.size, STRIDE):
        a, b, c, d = counts[n], counts[n + 1], counts[n + 2], counts[n + 3]
        e, f, g, h = counts[n + 4], counts[n + 5], counts[n + 6], counts[n + 7]
        two, four, six = a + b, (a + b) + (c + d), (a + b) + (c + d) + (e + f)
        counts[n], counts[n + 1], counts[n + 2], counts[n + 3] = place, place + a, place + two, place + (two + c)
        counts[n + 4], counts[n + 5] = place + four, place + (four + e)
        counts[n + 6], counts[n + 7] = place + six, place + (six + g)
        place += six + (g + h)


def _put_in_bins(bits: Any, bins: Any, places: Any, packed: Any) -> None:
    """Put the magnitudes of a row, each with its place there, in the order of their bins."""
    for k in range(bits.size):
        place = places[bins[k]]
        packed[place] = (np.int64(bits[k] & np.uint32(MAGNITUDE)) << 32) | np.int64(k)
        places[bins[k]] = place + np.uint32(1)


def _count_wrong(packed: Any) -> Any:
    """How many neighbours are in the wrong order."""
    wrong = 0
    for k in range(packed.size - 1):
        wrong += packed[k] > packed[k + 1]
    return wrong


def _give_chances(packed: Any, factor: Any, least: Any, chances: Any) -> None:
    """To each place of a row what its rank gives; the place stands in the lower half of a packed number."""
    for rank in range(packed.size):
        chances[np.uint32(packed[rank])] = np.float32(rank) * factor + least


def _swap_neighbours(packed: Any) -> None:
    """Put each pair of neighbours in order, without jumps."""
    for k in range(packed.size // 2):
        first, second = packed[2 * k], packed[2 * k + 1]
        packed[2 * k], packed[2 * k + 1] = min(first, second), max(first, second)


def _sort_by_insertion(packed: Any) -> bool:
    """Sort a row that is nearly in order. False: it has given up, since many numbers are far from their places."""
    moves = 0
    for k in range(1, packed.size):
        if packed[k - 1] > packed[k]:
            item, at = packed[k], k
            while at > 0 and packed[at - 1] > item:
                packed[at] = packed[at - 1]
                at -= 1
            packed[at] = item
            moves += k - at
            if moves > MOVES * packed.size:
                return False
    return True


def _sort_by_digits(bits: Any, packed: Any) -> None:
    """Sort a row, from its numbers on, by the lower and then the upper 16 bits of the magnitudes."""
    counts = np.empty(1 << 16, np.uint32)
    for k in range(bits.size):
        packed[k] = (np.int64(bits[k] & np.uint32(MAGNITUDE)) << 32) | np.int64(k)
    source, target = packed, np.empty_like(packed)
    for shift in (32, 48):
        counts[:] = 0
        for k in range(source.size):
            counts[(source[k] >> shift) & 0xFFFF] += np.uint32(1)
        begin_at(counts)
        for k in range(source.size):
            value = (source[k] >> shift) & 0xFFFF
            target[counts[value]] = source[k]
            counts[value] += np.uint32(1)
        source, target = target, source


bit_length, find_bins, begin_at = compile_loop(_bit_length), compile_loop(_find_bins), compile_loop(_begin_at)
put_in_bins, count_wrong = compile_loop(_put_in_bins), compile_loop(_count_wrong)
swap_neighbours, give_chances = compile_loop(_swap_neighbours), compile_loop(_give_chances)
sort_by_insertion, sort_by_digits = compile_loop(_sort_by_insertion), compile_loop(_sort_by_digits)
rank_rows = compile_loop(_rank_rows)
