"""Labels written to a library: from the vectors it has, a batch of segments at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import ConfigError
from mmsearch.labels import AT_MOST, MIN_PROBABILITY
from mmsearch.labels.classifier import Classifier, unit_rows
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.store import label_tags as stored
from mmsearch.store.label_tags import Tagged
from mmsearch.types import Tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch.snapshot.snapshot import SpaceArrays
    from mmsearch.types import FloatArray

MAX_TAGS = 20
WRITTEN_AT_A_TIME = 32_768
"""Segments; each batch is one version of their table."""
SEGMENTS_AT_A_TIME = 2_048
"""Whose vectors are read at once: 19 MB of six crops of 384 dimensions."""
SCORED_AT_A_TIME = 1 << 22
"""Probabilities that are held at once: 16 MB."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Which labels are kept of a segment: those as probable as that, and at most so many."""

    min_probability: float = MIN_PROBABILITY
    at_most: int = AT_MOST

    def checked(self) -> Keep:
        """Itself; raises ConfigError for numbers that make no sense."""
        if not 0.0 < self.min_probability <= 1.0:
            raise ConfigError(
                f"the least probability must be above 0 and at most 1, not {self.min_probability}"
            )
        if not 1 <= self.at_most <= MAX_TAGS:
            raise ConfigError(f"at most 1 to {MAX_TAGS} tags are kept, not {self.at_most}")
        return self


@dataclass(frozen=True, slots=True)
class Report:
    """What was done: segments looked at, given a label, and written because their tags changed.

    `labels` counts the segments of each label that was given, the most frequent first; `left_out`
    says what got none, and why.
    """

    segments: int
    tagged: int
    changed: int
    labels: dict[str, int]
    left_out: tuple[str, ...] = ()


def tag(
    classifiers: Sequence[Classifier],
    open_snapshot: Callable[[], Snapshot],
    write: Callable[[Sequence[Tagged]], None],
    keep: Keep,
) -> Report:
    """Label every segment that has vectors in the classifiers' spaces.

    `write` is called with a batch of segments whose tags changed, and must write it in one go; what
    was written before is found unchanged by the next run. `open_snapshot` gives the library as it
    is now.
    """
    segments = tagged = changed = 0
    counts: Counter[str] = Counter()
    for classifier in classifiers:
        snapshot = open_snapshot()
        labels = {label.casefold() for label in classifier.labels}
        waiting: list[Tagged] = []
        for rows, found in _labelled(classifier, snapshot, keep):
            for old, tags in zip(stored.tagged(snapshot.reader, rows), found, strict=True):
                new = old.relabelled(labels, tags)
                if not _is_alike(new, old):
                    waiting.append(new)
                if len(waiting) == WRITTEN_AT_A_TIME:
                    write(waiting)
                    changed += len(waiting)
                    waiting = []
            segments += len(rows)
            tagged += sum(1 for tags in found if tags)
            counts.update(tag.name for tags in found for tag in tags)
        if waiting:
            write(waiting)
            changed += len(waiting)
    return Report(segments, tagged, changed, dict(counts.most_common()))


def untag(snapshot: Snapshot, write: Callable[[Sequence[Tagged]], None]) -> int:
    """Take away every tag that labels gave; returns from how many segments."""
    count = 0
    for batch in stored.labelled(snapshot.reader, WRITTEN_AT_A_TIME):
        write([Tagged(one.segment_id, one.made, ()) for one in batch])
        count += len(batch)
    return count


def _is_alike(one: Tagged, other: Tagged) -> bool:
    """Whether there is nothing to write; float32 keeps seven digits of a probability."""
    if [tag.name for tag in one.given] != [tag.name for tag in other.given]:
        return False
    pairs = zip(one.given, other.given, strict=True)
    return all(abs(new.probability - old.probability) < 1e-4 for new, old in pairs)


def _labelled(
    classifier: Classifier, snapshot: Snapshot, keep: Keep
) -> Iterator[tuple[list[int], list[tuple[Tag, ...]]]]:
    """The rows of segments and the labels of each, a batch at a time."""
    for keys, vectors in _segments(snapshot.spaces[classifier.space]):
        rows = snapshot.segments.of(keys)
        there = rows >= 0  # else it was being written when the writer was killed
        found: list[tuple[Tag, ...]] = []
        step = max(1, SCORED_AT_A_TIME // len(classifier.labels))
        known = vectors[there]
        for start in range(0, len(known), step):
            found += [
                classifier.best(one, at_most=keep.at_most, at_least=keep.min_probability)
                for one in classifier.probabilities(known[start : start + step])
            ]
        yield rows[there].tolist(), found


def _segments(arrays: SpaceArrays) -> Iterator[tuple[NDArray[np.uint64], FloatArray]]:
    """The keys of segments and (n, dim) unit rows, the mean direction of the vectors of each.

    The best of a picture's crops does no better than their mean (66 against 64 % of 56 photographs
    with 30 labels, one photograph), and the mean is what a file taken as an example is compared by.
    """
    if not arrays.keys.count:
        return
    owners = arrays.segments.whole()
    rows = np.arange(len(owners)) if arrays.is_there is None else np.flatnonzero(arrays.is_there)
    # The vectors of a segment follow each other where they are written; sorting costs nothing then.
    rows = rows[np.argsort(_group_of(owners[rows]), kind="stable")]
    owners = owners[rows]
    begins = np.flatnonzero(np.append(True, owners[1:] != owners[:-1])) if len(owners) else owners
    for first in range(0, len(begins), SEGMENTS_AT_A_TIME):
        some = begins[first : first + SEGMENTS_AT_A_TIME]
        after = first + len(some)
        end = begins[after] if after < len(begins) else len(rows)
        vectors = arrays.matrix.take(rows[some[0] : end])
        yield owners[some], unit_rows(np.add.reduceat(vectors, some - some[0], axis=0))


def _group_of(owners: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A number for each owner, in the order in which they first come."""
    _, first, inverse = np.unique(owners, return_index=True, return_inverse=True)
    return first[inverse]
