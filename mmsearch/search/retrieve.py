"""Answers a query: nearest neighbours in every space, calibrated, fused, one hit an asset."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmsearch.index.base import NO_ROW, RowMask, near_any
from mmsearch.index.words import words
from mmsearch.presets import Calibration
from mmsearch.search.explain import why
from mmsearch.search.fusion import noisy_or
from mmsearch.search.probe import Probe, WeightedProbe, combined
from mmsearch.search.snapshot import MODALITIES, Snapshot
from mmsearch.store.schema import FILES
from mmsearch.types import Box, Hit, Modality, Moment, Provenance, SpaceScore

NAMES = "name"
"""The pseudo-space of file names, folder names and titles."""
NAME_WEIGHT = 0.9
MAX_MOMENTS = 5
DEPTH = 32
"""Segments that are taken from each space for every hit that is asked for."""
MIN_DEPTH = 256


@dataclass(frozen=True, slots=True)
class Filter:
    """Which assets may be hits."""

    kinds: frozenset[Modality] = frozenset()
    under: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()  # asset ids

    @property
    def is_open(self) -> bool:
        """Whether it lets everything pass."""
        return not (self.kinds or self.under or self.without)


@dataclass(slots=True)
class _Found:
    """What is known of one asset while a ranking is made."""

    spaces: dict[str, SpaceScore] = field(default_factory=dict)
    moments: dict[int, tuple[float, Box | None]] = field(default_factory=dict)  # by segment row

    def add_space(self, name: str, score: SpaceScore) -> None:
        known = self.spaces.get(name)
        if known is None or score.score > known.score:
            self.spaces[name] = score

    def name_makers(self, models: Mapping[str, Provenance]) -> None:
        """Say for each space which model made its vectors."""
        for name, score in self.spaces.items():
            self.spaces[name] = replace(score, provenance=models.get(name))

    def add_moment(self, segment_row: int, score: float, box: Box | None) -> None:
        known = self.moments.get(segment_row)
        if known is None or score > known[0]:
            self.moments[segment_row] = (score, box)


def allowed_assets(snapshot: Snapshot, passing: Filter) -> RowMask | None:
    """Which assets pass, by asset row; None where all do."""
    if passing.is_open:
        return None
    allowed = np.ones(len(snapshot.modalities), dtype=np.bool_)
    if passing.kinds:
        codes = [MODALITIES.index(kind) for kind in passing.kinds]
        allowed &= np.isin(snapshot.modalities, codes)
    if passing.under:
        allowed &= _under(snapshot, passing.under)
    if passing.without:
        for asset_id in passing.without:
            row = snapshot.asset_row(asset_id)
            if row is not None:
                allowed[row] = False
    return allowed


def _under(snapshot: Snapshot, folders: Sequence[str]) -> RowMask:
    import pyarrow.compute as pc

    paths = snapshot.reader.column(FILES, "path").column("path")
    inside = np.zeros(len(paths), dtype=np.bool_)
    for folder in folders:
        below = pc.starts_with(paths, folder.rstrip(os.sep) + os.sep)
        inside |= np.asarray(pc.or_(below, pc.equal(paths, folder)))
    owners = np.repeat(np.arange(len(snapshot.modalities)), np.diff(snapshot.file_offsets))
    mask = np.zeros(len(snapshot.modalities), dtype=np.bool_)
    mask[owners[inside[snapshot.file_rows]]] = True
    return mask


def rank(
    snapshot: Snapshot,
    wanted: Sequence[WeightedProbe],
    calibrations: Mapping[str, Calibration],
    *,
    models: Mapping[str, Provenance] | None = None,
    name_query: str = "",
    passing: Filter | None = None,
    limit: int = 10,
    min_score: float = 0.0,
) -> list[Hit]:
    """The best `limit` assets with a score of at least `min_score`.

    Every (asked, space) pair that the preset calibrates is searched by itself; an asset's score in
    a space is that of its best segment there; scores of several spaces are joined by `noisy_or`.
    `models` are the makers of the spaces, by name, for those who want to know.
    """
    mask = allowed_assets(snapshot, passing or Filter())
    found: defaultdict[int, _Found] = defaultdict(_Found)
    depth = max(MIN_DEPTH, limit * DEPTH)
    for probe in _joined(wanted):
        calibration = calibrations.get(f"{probe.asked}>{probe.space}")
        if calibration is not None and probe.space in snapshot.filled:
            _search_space(snapshot, probe, calibration, mask, depth, found)
    if name_query:
        _search_names(snapshot, name_query, mask, found)
    scored = [
        (noisy_or(score.score for score in one.spaces.values()), asset)
        for asset, one in found.items()
    ]
    scored = [pair for pair in scored if pair[0] >= min_score]
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    best = scored[:limit]
    for _, asset in best:
        found[asset].name_makers(models or {})
    return _hits(snapshot, [(score, asset, found[asset]) for score, asset in best], name_query)


def _joined(wanted: Sequence[WeightedProbe]) -> list[Probe]:
    """One probe for each (asked, space); several terms are summed, one keeps all its vectors."""
    parts: defaultdict[tuple[str, str], list[WeightedProbe]] = defaultdict(list)
    for one in wanted:
        parts[(one.probe.asked, one.probe.space)].append(one)
    joined = []
    for (asked, space), together in parts.items():
        if all(one.weight <= 0 for one in together):
            continue
        if len(together) == 1:
            joined.append(together[0].probe)
        else:
            vectors = combined([(one.probe.vectors, one.weight) for one in together])
            joined.append(Probe(space, asked, vectors))
    return joined


def _search_space(
    snapshot: Snapshot,
    probe: Probe,
    calibration: Calibration,
    mask: RowMask | None,
    depth: int,
    found: defaultdict[int, _Found],
) -> None:
    arrays = snapshot.spaces[probe.space]
    allowed = None if mask is None else _owned(snapshot, probe.space, mask)
    near = near_any(arrays.index, probe.vectors, depth, allowed=allowed)
    owners = snapshot.asset_rows(arrays.assets.take(near.rows))
    if allowed is None and (owners == NO_ROW).any():
        # An asset without a file is being removed, or was never finished: it is not found.
        everything = np.ones(len(snapshot.modalities), dtype=np.bool_)
        return _search_space(snapshot, probe, calibration, everything, depth, found)
    segments = snapshot.segments.of(arrays.segments.take(near.rows))
    boxes = arrays.boxes.take(near.rows)
    ranks: dict[int, int] = {}
    for asset, segment, box, similarity in zip(
        owners.tolist(), segments.tolist(), boxes, near.similarities.tolist(), strict=True
    ):
        if segment == NO_ROW:  # it was being written when the writer was killed
            continue
        score = calibration.score(similarity)
        one = found[asset]
        position = ranks.setdefault(asset, len(ranks) + 1)
        one.add_space(probe.space, SpaceScore(position, score, similarity))
        place = None if np.isnan(box[0]) else Box(*(float(edge) for edge in box))
        one.add_moment(segment, score, place)
    return None


def _owned(snapshot: Snapshot, space: str, mask: RowMask) -> RowMask:
    """Which vectors of a space belong to an asset that passes."""
    owners = snapshot.owners(space)
    return np.append(mask, False)[owners]


def _search_names(
    snapshot: Snapshot, query: str, mask: RowMask | None, found: defaultdict[int, _Found]
) -> None:
    covered = snapshot.words.match(words(query))
    listed = [
        (share, asset) for asset, share in covered.items() if mask is None or bool(mask[asset])
    ]
    listed.sort(key=lambda pair: (-pair[0], pair[1]))
    for position, (share, asset) in enumerate(listed, start=1):
        # The square: half of the words is far less than half of a match.
        score = NAME_WEIGHT * share * share
        found[asset].add_space(NAMES, SpaceScore(position, score, share))


def _hits(snapshot: Snapshot, best: Sequence[tuple[float, int, _Found]], query: str) -> list[Hit]:
    """Fetch what is shown, once, for all hits together."""
    assets = snapshot.reader.assets([asset for _, asset, _ in best])
    chosen = [
        sorted(one.moments.items(), key=lambda item: (-item[1][0], item[0]))[:MAX_MOMENTS]
        for _, _, one in best
    ]
    for (_, asset, _), moments in zip(best, chosen, strict=True):
        if not moments:  # found by its name alone: shown by its first segment
            moments += [(row, (0.0, None)) for row in _first_segment(snapshot, asset)]
    rows = sorted({row for moments in chosen for row, _ in moments})
    segments = dict(zip(rows, snapshot.reader.segments(rows), strict=True))
    places = snapshot.paths([asset for _, asset, _ in best])
    hits: list[Hit] = []
    for (score, _, one), found_asset, moments, paths in zip(
        best, assets, chosen, places, strict=True
    ):
        listed = tuple(
            Moment(segments[segment_row], moment_score, box)
            for segment_row, (moment_score, box) in moments
        )
        if not listed:
            continue
        path, *also_at = paths
        spaces = dict(sorted(one.spaces.items(), key=lambda item: -item[1].score))
        hits.append(
            Hit(
                rank=len(hits) + 1,
                score=score,
                path=path,
                asset=found_asset,
                segment=listed[0].segment,
                spaces=spaces,
                moments=listed,
                also_at=tuple(also_at),
                why=why(spaces, listed[0], query),
            )
        )
    return hits


def _first_segment(snapshot: Snapshot, asset: int) -> list[int]:
    return [int(row) for row in snapshot.segments_of(asset)[:1]]
