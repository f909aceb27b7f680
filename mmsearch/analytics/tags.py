"""Counts the tags of assets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.analytics import asset_rows
from mmsearch.analytics.asset_counts import AT_MOST, NamedCount, TopValues
from mmsearch.snapshot.keys import compute_keys
from mmsearch.store.schema import SEGMENTS

if TYPE_CHECKING:
    from mmsearch.snapshot.snapshot import Snapshot

MIN_PROBABILITY = 0.2
"""Tags with a lower probability are not counted: most of them are wrong."""
BATCH_ROWS = 16_384


def count_top_tags(snapshot: Snapshot) -> TopValues:
    """Counts the assets of each tag; `unknown` counts those without a tag."""
    return snapshot.memoize("survey.tags", lambda: _count_top_tags(snapshot))


def _count_top_tags(snapshot: Snapshot) -> TopValues:
    codes: dict[str, int] = {}
    pairs = np.empty(0, dtype=np.uint64)
    waiting: list[NDArray[np.uint64]] = []
    for batch_pairs in _read_pairs(snapshot, codes):
        waiting.append(batch_pairs)
        # An asset counts once for a tag, whatever the number of frames that have it.
        if sum(map(len, waiting)) > max(len(pairs), 1 << 20):
            pairs, waiting = np.unique(np.concatenate([pairs, *waiting])), []
    pairs = np.unique(np.concatenate([pairs, *waiting]))
    tags = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    tagged = len(np.unique(pairs >> np.uint64(32)))
    totals = np.bincount(tags, minlength=len(codes)).tolist()
    ranked = sorted(
        zip(codes, totals, strict=True), key=lambda tag_count: (-tag_count[1], tag_count[0])
    )
    return TopValues(
        named=tuple(NamedCount(name, count) for name, count in ranked[:AT_MOST]),
        distinct=len(ranked),
        unknown=len(asset_rows.list_rows(snapshot)) - tagged,
    )


def _read_pairs(snapshot: Snapshot, codes: dict[str, int]) -> Iterator[NDArray[np.uint64]]:
    """Yields (n,) of asset row << 32 | code of the tag, a batch at a time; adds to `codes`."""
    import pyarrow.compute as pc

    for batch in snapshot.reader.iter_batches(SEGMENTS, "asset_id", "tags", batch_size=BATCH_ROWS):
        tags = batch.column("tags")
        flat = pc.list_flatten(tags)
        if not len(flat):
            continue
        owners = snapshot.asset_rows(compute_keys(batch.column("asset_id")))
        parents = np.asarray(pc.list_parent_indices(tags), dtype=np.int64)
        is_sure = np.asarray(flat.field("probability")) >= MIN_PROBABILITY
        is_counted = is_sure & (owners[parents] >= 0)
        yield np.unique(
            (owners[parents].astype(np.uint64) << np.uint64(32))[is_counted]
            | _encode_tags(flat.field("name"), codes)[is_counted]
        )


def _encode_tags(names: Any, codes: dict[str, int]) -> NDArray[np.uint64]:
    encoded = names.dictionary_encode()
    names_in_batch = encoded.dictionary.to_pylist()
    batch_codes = np.array(
        [codes.setdefault(name, len(codes)) for name in names_in_batch], dtype=np.uint64
    )
    tags: NDArray[np.uint64] = batch_codes[np.asarray(encoded.indices)]
    return tags
