"""Tests if two images are one image, resized, re-encoded, mirrored, greyed or cropped.

Each step is for the pairs that passed the one before: a hash of 64 bits; hashes of the remainder
when edges are cut off; the pixels as they are; the pixels once one picture was laid over the other.
The figures here are from 126 photographs with 25 alterations of each, and from slides, pages,
screenshots, charts and icons that are drawn alike; `python -m benchmarks.duplicates` counts what
they come to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.duplicates.alignment import WHOLE, align_boxes, measure_distance, normalize, overlay
from mmsearch.media.pictures.thumbprint import (
    HASH_SIDE,
    MIRROR,
    SIDE_PX,
    compute_dct_basis,
    compute_hashes,
    pack_signs,
    unpack_levels,
)

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray, RowMask
    from mmsearch.types import FloatArray

MAX_BITS = 20
"""Of 64, between whole pictures. Those that were not cropped differ in up to 5, those cropped by
5 % at each edge in up to 21; of pairs of different photographs 1 % are as near."""
MAX_WINDOW_BITS = 9
"""Between one picture and what is left of the other when its edges are cut off."""
BLOCKS = 8
"""Blocks along a side; differences count where they are, not over the whole picture."""
FLOOR = 0.02
"""Added to the variance within a block, where that of the picture is 1: noise in a flat block."""
MAX_PLAIN = 0.02
"""How far the worst block may differ, in variances of it, where nothing was cropped and there is
little detail: up to 0.02 between a drawn title and its copies in JPEG quality 40 or at half the
size. Slides with nothing but other words in the header make 0.03 and more."""
MAX_DETAILED = 0.15
"""The same where there is detail (`MIN_DETAIL`): 99 of 100 copies of photographs are below 0.06 at
JPEG quality 40, below 0.15 at half the size where an encoder cuts out the middle, half a pixel
beside it. Tables of other numbers make 0.23 and more, pages 0.8, slides 0.9."""
MAX_LAID = 2.0
"""The same where one was laid over the other, which pixels of a 32nd of a picture blur: 99 of 100
crops are below 1.7. An object put into the middle of the same scene makes 3.3 and more."""
MAX_MEAN_LAID = 0.33
"""The same on average: 98 of 100 crops are below 0.31."""
MAX_APART = 0.1
"""1 - correlation of all of it then: 99 of 100 crops are below 0.06, other photographs above 0.2.
"""
MIN_GAIN = 2.0
GAIN_PER_CUT = 50.0
"""How many times smaller it must have become by laying it over, and how much more than 1 for what
is missing at an edge, as a fraction of the side. Crops of 2.5 % at each edge gain 2.4 and more, of
5 % 4.6; slides of one deck, which lie over each other already, up to 1.3; receipts that were
stretched by 7 % gain 2.4."""
MIN_DETAIL = 0.35
"""Share of blocks in which there must be something where more than `MAX_PLAIN` is let pass: 0.38 to
1 in photographs, up to 0.23 where a title stands on an empty ground."""
MAX_CUT = 0.12
"""How much may be missing at one edge, as a fraction of the side."""

_HALF_PX = SIDE_PX // 2
_STIFFNESS = np.float32(1e-3)
# At 16 x 16, where a crop can be told from a slide at a third of the price.
_MIN_HALF_GAIN = 1.3
# The worst block of pictures that can lie half a pixel beside each other and no more.
_NUDGED = 0.5
_LEFT = ((0.0, 1.0), (0.025, 0.975), (0.05, 0.95), (0.04, 1.0), (0.0, 0.96))
"""What may be left of a side; with every crop of up to 5 % at each edge one of the 25 windows
differs in 5 bits at most, with 8 % in 8."""


class ThumbprintPairs:
    """Thumbprints that are compared with each other, known by their rows.

    `looks` is (n, 1024) uint8 as `mmsearch.media.pictures.thumbprint` makes them.
    """

    def __init__(self, looks: NDArray[np.uint8]) -> None:
        self._levels = unpack_levels(looks)
        self._hashes = compute_hashes(self._levels)

    @property
    def count(self) -> int:
        """The number of thumbprints."""
        return len(self._levels)

    def find_candidates(self, begin: int, end: int) -> tuple[RowArray, RowArray]:
        """Returns pairs of rows, a from `begin` to `end` and b above a, that may be the same image.

        They are in the order of a, then of b.
        """
        bits = _hamming(self._hashes[begin:end, None], self._hashes[begin:])
        ones, others = np.nonzero(np.triu(bits <= MAX_BITS, k=1))
        ones, others = ones + begin, others + begin
        if not len(ones):
            return ones, others
        rows, at = np.unique(np.concatenate([ones, others]), return_inverse=True)
        windows = _hash_windows(_halve(self._levels[rows]))
        one, other = windows[at[: len(ones)]], windows[at[len(ones) :]]
        bits = np.minimum(_hamming(one, other[:, :1]), _hamming(other, one[:, :1])).min(axis=1)
        is_near = bits <= MAX_WINDOW_BITS
        return ones[is_near], others[is_near]

    def check_pairs(self, ones: RowArray, others: RowArray) -> RowMask:
        """Returns a mask of the pairs that show the same."""
        first, second = self._levels[ones], self._levels[others]
        differing = self._hashes[ones] ^ self._hashes[others]
        is_turned = np.bitwise_count(differing ^ MIRROR) < np.bitwise_count(differing)
        second[is_turned] = second[is_turned, :, ::-1]
        whole = np.ones_like(first)
        first, second = normalize(first, whole), normalize(second, whole)
        worst, _ = _compare_blocks(_match_tone(first, second, whole), second, whole)
        pairs: RowMask = worst <= MAX_PLAIN
        has_detail = np.minimum(_measure_detail(first), _measure_detail(second)) >= MIN_DETAIL
        pairs |= has_detail & (worst <= MAX_DETAILED)
        rest = np.flatnonzero(has_detail & ~pairs)
        if len(rest):
            pairs[rest] = _check_crops(first[rest], second[rest], worst[rest] <= _NUDGED)
        return pairs


def _hamming(ones: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Counts the bits in which hashes differ, mirrored or not."""
    differing = ones ^ others
    bits: NDArray[np.uint8] = np.minimum(
        np.bitwise_count(differing), np.bitwise_count(differing ^ MIRROR)
    )
    return bits


def _hash_windows(halves: FloatArray) -> NDArray[np.uint64]:
    """Returns (n, 25) hashes of (n, 16, 16) with edges cut off; the first is of the whole."""
    shape = (len(halves), len(_LEFT), HASH_SIDE, len(_LEFT), HASH_SIDE)
    signs = (_CUT_WAVES @ halves @ _CUT_WAVES.T > 0).reshape(shape).transpose(0, 1, 3, 2, 4)
    return pack_signs(signs).reshape(len(halves), -1)


def _cut_waves() -> FloatArray:
    """Returns the (5 * 8, 16) transform of a side of 16 to the waves of each part in `_LEFT`."""
    edges = np.arange(_HALF_PX)
    tables = []
    for start, end in _LEFT:
        cells = np.linspace(start, end, _HALF_PX + 1) * _HALF_PX
        shared = np.minimum(cells[1:, None], edges + 1) - np.maximum(cells[:-1, None], edges)
        weights = np.clip(shared, 0, None) / (cells[1] - cells[0])
        tables.append(compute_dct_basis(_HALF_PX, HASH_SIDE) @ weights)
    return np.concatenate(tables).astype(np.float32)


_CUT_WAVES = _cut_waves()


def _measure_detail(normal: FloatArray) -> FloatArray:
    """Returns the share of blocks with detail, for each of (n, 32, 32)."""
    whole = np.ones_like(normal)
    varied = _block_variances(normal, whole, _block_means(whole)) > FLOOR
    share: FloatArray = varied.mean(axis=(1, 2), dtype=np.float32)
    return share


def _check_crops(first: FloatArray, others: FloatArray, is_near: RowMask) -> RowMask:
    """Returns a mask of the (n, 32, 32) normalized pairs that are crops of each other.

    Where they are near already, no more than a fraction of a pixel may lie between them.
    """
    crops = np.zeros(len(others), dtype=np.bool_)
    halves = _halve(first), _halve(others)
    unmoved = np.tile(WHOLE, (len(others), 1))
    boxes = align_boxes(*halves, unmoved, steps=4)
    gains = measure_distance(*overlay(*halves, unmoved)) / measure_distance(
        *overlay(*halves, boxes)
    )
    hopeful = np.flatnonzero(is_near | (gains >= _MIN_HALF_GAIN))
    if not len(hopeful):
        return crops
    first, others = first[hopeful], others[hopeful]
    boxes = align_boxes(first, others, boxes[hopeful], steps=2)
    before = measure_distance(*overlay(first, others, unmoved[hopeful]))
    seen, shown, inside = overlay(first, others, boxes)
    seen = _match_tone(seen, shown, inside)
    apart = measure_distance(seen, shown, inside)
    worst, mean = _compare_blocks(seen, shown, inside)
    cut = np.abs(boxes - WHOLE).max(axis=1)
    is_crop = (
        (before >= np.maximum(MIN_GAIN, 1 + GAIN_PER_CUT * cut) * apart)
        & (apart <= MAX_APART)
        & (worst <= MAX_LAID)
        & (mean <= MAX_MEAN_LAID)
        & (cut <= MAX_CUT)
    )
    crops[hopeful] = is_crop | (is_near[hopeful] & (worst <= MAX_DETAILED))
    return crops


def _match_tone(seen: FloatArray, shown: FloatArray, inside: FloatArray) -> FloatArray:
    """Applies to `seen` the tone curve, a parabola, that brings it nearest to `shown`."""
    powers = np.stack([inside, seen * inside, np.square(seen) * inside], axis=1)
    flat = powers.reshape(len(seen), 3, -1)
    square = flat @ flat.transpose(0, 2, 1)
    count = inside.sum(axis=(1, 2))[:, None, None]
    square += np.eye(3, dtype=np.float32) * (1e-6 + _STIFFNESS * count)
    curve = np.linalg.solve(square, flat @ (shown * inside).reshape(len(seen), -1, 1))
    tone: FloatArray = (flat * curve).sum(axis=1).reshape(seen.shape)
    return tone


def _compare_blocks(
    seen: FloatArray, shown: FloatArray, inside: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Returns the difference of each pair in its worst block, and the mean over blocks with detail.

    The unit is the variance within the block.
    """
    counts = _block_means(inside)
    share = np.maximum(counts, 1e-3)
    wrong = _block_means(np.square(seen - shown) * inside) / share
    varied = (_block_variances(seen, inside, share) + _block_variances(shown, inside, share)) / 2
    is_inside = counts > 0.5
    ratios = np.where(is_inside, wrong / (varied + FLOOR), 0).reshape(len(seen), -1)
    has_detail = (is_inside & (varied > FLOOR)).reshape(len(seen), -1)
    mean = (ratios * has_detail).sum(axis=1) / np.maximum(has_detail.sum(axis=1), 1)
    return ratios.max(axis=1).astype(np.float32), mean.astype(np.float32)


def _block_variances(levels: FloatArray, inside: FloatArray, share: FloatArray) -> FloatArray:
    squares = _block_means(np.square(levels) * inside) / share
    variances: FloatArray = squares - np.square(_block_means(levels * inside) / share)
    return variances


def _block_means(levels: FloatArray) -> FloatArray:
    """Returns the (n, 8, 8) block means of (n, 32, 32)."""
    return np.asarray(_BLOCK_MEANS @ levels @ _BLOCK_MEANS.T, dtype=np.float32)


_BLOCK_MEANS = np.kron(np.eye(BLOCKS), np.full((1, SIDE_PX // BLOCKS), BLOCKS / SIDE_PX)).astype(
    np.float32
)


def _halve(levels: FloatArray) -> FloatArray:
    rows = levels[:, ::2] + levels[:, 1::2]
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2]) / np.float32(4), dtype=np.float32)
