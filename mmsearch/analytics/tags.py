"""Which tags most assets have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.analytics.asset_counts import AT_MOST, Named, Ranked
from mmsearch.snapshot.snapshot import keys_of
from mmsearch.store.schema import SEGMENTS

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot

MIN_PROBABILITY = 0.2
"""Tags that are less sure are not counted: most of them are wrong."""
BATCH_ROWS = 16_384


def top_tags(snapshot: Snapshot) -> Ranked:
    """The tags of segments by how many assets have them; `unknown` have none."""
    return snapshot.kept("survey.tags", lambda: _top_tags(snapshot))


def _top_tags(snapshot: Snapshot) -> Ranked:
    codes: dict[str, int] = {}
    pairs = np.empty(0, dtype=np.uint64)
    waiting: list[NDArray[np.uint64]] = []
    for found in _pairs(snapshot, codes):
        waiting.append(found)
        # An asset has a tag once, in however many of its frames it is seen.
        if sum(map(len, waiting)) > max(len(pairs), 1 << 20):
            pairs, waiting = np.unique(np.concatenate([pairs, *waiting])), []
    pairs = np.unique(np.concatenate([pairs, *waiting]))
    tags = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    tagged = len(np.unique(pairs >> np.uint64(32)))
    totals = np.bincount(tags, minlength=len(codes)).tolist()
    ranked = sorted(zip(codes, totals, strict=True), key=lambda one: (-one[1], one[0]))
    is_listed = np.diff(snapshot.file_offsets) > 0
    return Ranked(
        named=tuple(Named(name, count) for name, count in ranked[:AT_MOST]),
        distinct=len(ranked),
        unknown=int(np.count_nonzero(is_listed)) - tagged,
    )


def _pairs(snapshot: Snapshot, codes: dict[str, int]) -> Iterator[NDArray[np.uint64]]:
    """(n,) of asset row << 32 | code of the tag, a batch at a time; `codes` grows."""
    import pyarrow.compute as pc

    for batch in snapshot.reader.batches(SEGMENTS, "asset_id", "tags", batch_size=BATCH_ROWS):
        tags = batch.column("tags")
        flat = pc.list_flatten(tags)
        if not len(flat):
            continue
        owners = snapshot.asset_rows(keys_of(batch.column("asset_id")))
        at = np.asarray(pc.list_parent_indices(tags), dtype=np.int64)
        is_sure = np.asarray(flat.field("probability")) >= MIN_PROBABILITY
        is_meant = is_sure & (owners[at] >= 0)
        yield np.unique(
            (owners[at].astype(np.uint64) << np.uint64(32))[is_meant]
            | _coded(flat.field("name"), codes)[is_meant]
        )


def _coded(names: Any, codes: dict[str, int]) -> NDArray[np.uint64]:
    encoded = names.dictionary_encode()
    listed = encoded.dictionary.to_pylist()
    known = np.array([codes.setdefault(name, len(codes)) for name in listed], dtype=np.uint64)
    found: NDArray[np.uint64] = known[np.asarray(encoded.indices)]
    return found
