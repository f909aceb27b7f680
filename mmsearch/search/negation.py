"""Holds what was found against the terms of a query that are to be avoided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.word_index import words
from mmsearch.models.presets import Calibration
from mmsearch.search import dense, lexical
from mmsearch.search.query_vectors import WeightedQueryVector
from mmsearch.snapshot.snapshot import MODALITIES, Snapshot
from mmsearch.types import Modality

EXCLUDED = 0.35
"""What scores as much for a term that is to be avoided is out."""
MOST_WRITTEN = 4096


@dataclass(slots=True)
class Avoided:
    """What is out: whole assets, and segments of others, which `partly` has.

    `near` says how near to that the rest of an asset is.
    """

    assets: set[int] = field(default_factory=set)
    segments: set[int] = field(default_factory=set)
    partly: set[int] = field(default_factory=set)
    near: dict[int, float] = field(default_factory=dict)


def avoided(
    snapshot: Snapshot,
    probes: Sequence[WeightedQueryVector],
    texts: Sequence[tuple[str, float]],
    curves: Mapping[str, Calibration],
    assets: Sequence[int],
    found: Avoided,
) -> None:
    """Add to `found` what of these assets (rows) matches a term that is to be avoided.

    `probes` are those of such terms, `texts` their words with the size of their weight: a term that
    weighs 2 excludes what is half as near. Exact words exclude too, in texts, names and tags.
    """
    looked_at = np.unique(np.asarray(list(assets), dtype=np.int64))
    for one in probes:
        curve = curves.get(f"{one.vector.source}>{one.vector.space}")
        if curve is not None and one.vector.space in snapshot.filled and len(looked_at):
            _seen(snapshot, one, curve, looked_at, found)
    mask: RowMask = np.zeros(len(snapshot.modalities), dtype=np.bool_)
    mask[looked_at] = True
    for text, size in texts:
        named = snapshot.names.match(words(text), with_tags=False)
        for asset, share in zip(named.assets.tolist(), named.shares.tolist(), strict=True):
            if mask[asset] and size * share * share >= EXCLUDED:
                found.assets.add(asset)
        tagged = snapshot.names.tagged(words(text))
        out = mask[tagged.assets] & (size * tagged.shares**2 >= EXCLUDED)
        found.segments.update(tagged.segments[out].tolist())
        found.partly.update(tagged.assets[out].tolist())
        written = lexical.written(snapshot, text, MOST_WRITTEN, mask)
        out = size * written.shares**2 >= EXCLUDED
        found.segments.update(written.segments[out].tolist())
        found.partly.update(written.assets[out].tolist())


def is_out(snapshot: Snapshot, asset: int, out: Avoided) -> bool:
    """A picture goes with any part of it; of a recording or a film only what matches goes."""
    if asset not in out.partly:
        return asset in out.assets
    is_timed = MODALITIES[snapshot.modalities[asset]] in (Modality.AUDIO, Modality.VIDEO)
    return (
        not is_timed
        or asset in out.assets
        or out.segments.issuperset(snapshot.segments_of(asset).tolist())
    )


def _seen(
    snapshot: Snapshot,
    one: WeightedQueryVector,
    curve: Calibration,
    assets: RowArray,
    found: Avoided,
) -> None:
    space = one.vector.space
    arrays = snapshot.spaces[space]
    rows = _rows_of(snapshot, space, assets)
    if not len(rows):
        return
    nearest = np.max(arrays.matrix.take(rows) @ one.vector.values.T, axis=1)
    segments = snapshot.segments.of(arrays.segments.take(rows))
    owners = snapshot.owners(space)[rows]
    # By segment, for a picture is seen as a whole.
    order = np.argsort(segments, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(segments[order]) != 0))
    best = np.maximum.reduceat(nearest[order], begins)
    scores = abs(one.weight) * dense.calibrated(
        snapshot, space, curve, best, owners[order][begins], one.vector.ceiling
    )
    for segment, asset, score in zip(
        segments[order][begins].tolist(), owners[order][begins].tolist(), scores.tolist(),
        strict=True,
    ):  # fmt: skip
        if segment != NO_ROW and score >= EXCLUDED:
            found.segments.add(segment)
            found.partly.add(asset)
        elif segment != NO_ROW:
            found.near[asset] = max(score, found.near.get(asset, 0.0))


def _rows_of(snapshot: Snapshot, space: str, assets: RowArray) -> RowArray:
    """The vectors of these assets, by the order of all owners, which is made once."""
    owners = snapshot.owners(space)
    order: RowArray = snapshot.kept(f"by owner {space}", lambda: np.argsort(owners, kind="stable"))
    begins = np.searchsorted(owners, assets, side="left", sorter=order)
    ends = np.searchsorted(owners, assets, side="right", sorter=order)
    parts = [order[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    rows = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
    is_there = snapshot.spaces[space].is_there
    return rows if is_there is None else rows[is_there[rows]]
