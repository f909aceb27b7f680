"""Labels the segments of a library from their stored vectors, in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.unit_rows import normalize_rows
from mmsearch.errors import ConfigError
from mmsearch.labels import AT_MOST, MIN_PROBABILITY
from mmsearch.labels.classifier import Classifier
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.store import label_tags as stored
from mmsearch.store.label_tags import SegmentTags
from mmsearch.types import Tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch.snapshot.array_cache import SpaceArrays
    from mmsearch.types import FloatArray

MAX_TAGS = 20
WRITE_BATCH = 32_768
"""Segments; each batch is one version of their table."""
READ_BATCH = 2_048
"""Segments whose vectors are read at once: 19 MB of six crops of 384 dimensions."""
MAX_PROBABILITIES = 1 << 22
"""Held at once: 16 MB."""


@dataclass(frozen=True, slots=True)
class TaggingThresholds:
    """The least probability of a label of a segment, and the most labels of it."""

    min_probability: float = MIN_PROBABILITY
    at_most: int = AT_MOST

    def validate(self) -> TaggingThresholds:
        """Returns itself; raises ConfigError for numbers that make no sense."""
        if not 0.0 < self.min_probability <= 1.0:
            raise ConfigError(
                f"the least probability must be above 0 and at most 1, not {self.min_probability}"
            )
        if not 1 <= self.at_most <= MAX_TAGS:
            raise ConfigError(f"at most 1 to {MAX_TAGS} tags are kept, not {self.at_most}")
        return self


@dataclass(frozen=True, slots=True)
class TaggingReport:
    """Counts of the segments that were read, labelled, and written because their tags changed.

    `labels` counts the segments of each label, the most frequent first; `left_out` has the reasons
    for contents without labels.
    """

    segments: int
    tagged: int
    changed: int
    labels: dict[str, int]
    left_out: tuple[str, ...] = ()


def tag(
    classifiers: Sequence[Classifier],
    open_snapshot: Callable[[], Snapshot],
    write: Callable[[Sequence[SegmentTags]], None],
    thresholds: TaggingThresholds,
) -> TaggingReport:
    """Labels every segment that has vectors in the classifiers' spaces.

    `write` is called with a batch of segments whose tags changed, and must write it atomically; a
    further run finds them unchanged. `open_snapshot` opens the newest version of the library.
    """
    segments = tagged = changed = 0
    counts: Counter[str] = Counter()
    for classifier in classifiers:
        snapshot = open_snapshot()
        labels = {label.casefold() for label in classifier.labels}
        waiting: list[SegmentTags] = []
        for rows, row_tags in _label_segments(classifier, snapshot, thresholds):
            for old, tags in zip(stored.read_tags(snapshot.reader, rows), row_tags, strict=True):
                new = old.replace_labels(labels, tags)
                if not _has_same_tags(new, old):
                    waiting.append(new)
                if len(waiting) == WRITE_BATCH:
                    write(waiting)
                    changed += len(waiting)
                    waiting = []
            segments += len(rows)
            tagged += sum(map(bool, row_tags))
            counts.update(tag.name for tags in row_tags for tag in tags)
        if waiting:
            write(waiting)
            changed += len(waiting)
    return TaggingReport(segments, tagged, changed, dict(counts.most_common()))


def untag(snapshot: Snapshot, write: Callable[[Sequence[SegmentTags]], None]) -> int:
    """Removes every tag that labels gave; returns the number of changed segments."""
    count = 0
    for batch in stored.iter_labelled(snapshot.reader, WRITE_BATCH):
        write([SegmentTags(segment.segment_id, segment.encoder_tags, ()) for segment in batch])
        count += len(batch)
    return count


def _has_same_tags(new: SegmentTags, old: SegmentTags) -> bool:
    """Tests if there is nothing to write; float32 keeps seven digits of a probability."""
    return len(new.label_tags) == len(old.label_tags) and all(
        left.name == right.name and abs(left.probability - right.probability) < 1e-4
        for left, right in zip(new.label_tags, old.label_tags, strict=True)
    )


def _label_segments(
    classifier: Classifier, snapshot: Snapshot, thresholds: TaggingThresholds
) -> Iterator[tuple[list[int], list[tuple[Tag, ...]]]]:
    """Yields batches of rows of segments, and the labels of each."""
    for keys, vectors in _read_segments(snapshot.spaces[classifier.space]):
        rows = snapshot.segments.find(keys)
        is_there = rows >= 0  # else it was being written when the writer was killed
        tags: list[tuple[Tag, ...]] = []
        step = max(1, MAX_PROBABILITIES // len(classifier.labels))
        vectors = vectors[is_there]
        for start in range(0, len(vectors), step):
            tags += [
                classifier.select_best(
                    row, at_most=thresholds.at_most, at_least=thresholds.min_probability
                )
                for row in classifier.compute_probabilities(vectors[start : start + step])
            ]
        yield rows[is_there].tolist(), tags


def _read_segments(arrays: SpaceArrays) -> Iterator[tuple[NDArray[np.uint64], FloatArray]]:
    """Yields keys of segments and (n, dim) unit rows, the mean direction of the vectors of each.

    The best of a picture's crops does no better than their mean (66 against 64 % of 56 photographs
    with 30 labels, one photograph), and a file as an example is compared by its mean as well.
    """
    if not arrays.keys.count:
        return
    owners = arrays.segments.to_array()
    rows = np.arange(len(owners)) if arrays.is_there is None else np.flatnonzero(arrays.is_there)
    # The vectors of a segment follow each other where they are written; sorting costs nothing then.
    rows = rows[np.argsort(_number_groups(owners[rows]), kind="stable")]
    owners = owners[rows]
    begins = np.flatnonzero(np.append(True, owners[1:] != owners[:-1])) if len(owners) else owners
    for first in range(0, len(begins), READ_BATCH):
        batch = begins[first : first + READ_BATCH]
        after = first + len(batch)
        end = begins[after] if after < len(begins) else len(rows)
        vectors = arrays.matrix.take(rows[batch[0] : end])
        yield owners[batch], normalize_rows(np.add.reduceat(vectors, batch - batch[0], axis=0))


def _number_groups(owners: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Numbers the owners in the order of their first rows."""
    _, first, inverse = np.unique(owners, return_index=True, return_inverse=True)
    return first[inverse]
