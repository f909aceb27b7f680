"""Fetches what is shown of the best assets, once, for all of them together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsearch.index.base import NO_ROW
from mmsearch.runtime.concurrency import aside
from mmsearch.search.dense import Evidence
from mmsearch.search.explanation import why
from mmsearch.search.filter_mask import FilterMask, list_paths
from mmsearch.search.fusion import noisy_or
from mmsearch.search.moments import merged
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Box, Hit, Moment, Provenance, Segment, SpaceScore

MAX_MOMENTS = 5
FETCHED = 12
"""Segments of an asset that are fetched, to be joined to moments."""


@dataclass(frozen=True, slots=True)
class Found:
    """An asset that is a hit, by its row: its score, what says so, and its near-duplicates."""

    score: float
    asset: int
    evidence: tuple[Evidence, ...]
    duplicates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """A segment of a hit: its score, and where in the picture it matched."""

    segment: int
    score: float
    box: Box | None


def hits(
    snapshot: Snapshot,
    chosen: Sequence[Found],
    avoided: Collection[int],
    query: str,
    *,
    models: Mapping[str, Provenance],
    through: FilterMask | None,
    limit: int,
    is_grouped: bool = True,
) -> list[Hit]:
    """The hits to show, in their order.

    `avoided` are segments that are not shown; there is no evidence of them in `chosen`.
    """
    rows = [one.asset for one in chosen]
    # Each waits for the disk or for Lance, which works in threads of its own.
    assets = aside(lambda: snapshot.reader.assets(rows))
    paths = aside(lambda: list_paths(snapshot, rows, through))
    places = [_places(snapshot, one, avoided) for one in chosen]
    wanted = sorted({place.segment for listed in places for place in listed})
    segments = dict(zip(wanted, snapshot.reader.segments(wanted), strict=True))
    copies = iter(snapshot.paths([row for one in chosen for row in one.duplicates]))
    found: list[Hit] = []
    for one, asset, listed, at in zip(chosen, assets.result(), places, paths.result(), strict=True):
        duplicates = tuple(next(copies)[0] for _ in one.duplicates)
        moments = _moments([_moment(place, segments) for place in listed])
        if not moments:
            continue
        spaces = _spaces(one.evidence, models)
        path, *also_at = at
        found.append(
            Hit(
                rank=len(found) + 1,
                score=one.score,
                path=path,
                asset=asset,
                segment=moments[0].segment,
                spaces=spaces,
                moments=moments,
                also_at=tuple(also_at),
                duplicates=duplicates,
                why=why(spaces, moments[0], query),
            )
        )
    return found if is_grouped else _each_moment(found, query)[:limit]


def _moment(place: _Place, segments: Mapping[int, Segment]) -> Moment:
    segment = segments[place.segment]
    return Moment(segment, place.score, place.box, segment.span)


def _places(snapshot: Snapshot, one: Found, avoided: Collection[int]) -> list[_Place]:
    """The best segments of an asset, best first."""
    scores: dict[int, list[float]] = {}
    boxes: dict[int, tuple[float, Box]] = {}
    for part in one.evidence:
        best: dict[int, float] = {}
        for at, (segment, score) in enumerate(
            zip(part.segments.tolist(), part.scores.tolist(), strict=True)
        ):
            if segment == NO_ROW:
                continue
            best[segment] = max(score, best.get(segment, 0.0))
            known = boxes.get(segment)
            if part.boxes is not None and not np.isnan(part.boxes[at, 0]):
                near = float(part.similarities[at])
                if known is None or near > known[0]:
                    boxes[segment] = (near, Box(*(float(edge) for edge in part.boxes[at])))
        for segment, score in best.items():
            scores.setdefault(segment, []).append(score)
    found = [
        _Place(segment, noisy_or(listed), boxes[segment][1] if segment in boxes else None)
        for segment, listed in scores.items()
    ]
    found.sort(key=lambda place: (-place.score, place.segment))
    if not found:  # found by its name alone
        rows = [row for row in snapshot.segments_of(one.asset).tolist() if row not in avoided]
        found = [_Place(row, 0.0, None) for row in rows]
    return found[:FETCHED]


def _moments(listed: Sequence[Moment]) -> tuple[Moment, ...]:
    """What is shown of an asset: its best moments, or the first where none is better."""
    if any(one.score for one in listed):
        return merged(listed, MAX_MOMENTS)
    return tuple(sorted(listed, key=lambda one: one.span.start_s if one.span else 0.0)[:1])


def _spaces(
    evidence: Sequence[Evidence], models: Mapping[str, Provenance]
) -> dict[str, SpaceScore]:
    """What each space said, the surest first."""
    found: dict[str, SpaceScore] = {}
    for part in evidence:
        at = int(part.scores.argmax())
        score = float(part.scores[at])
        known = found.get(part.space)
        if known is None or score > known.score:
            found[part.space] = SpaceScore(
                part.rank, score, float(part.similarities[at]), models.get(part.space)
            )
    return dict(sorted(found.items(), key=lambda item: -item[1].score))


def _each_moment(found: Sequence[Hit], query: str) -> list[Hit]:
    """Every moment a hit of its own."""
    each = []
    for hit in found:
        best = max((moment.score for moment in hit.moments), default=0.0) or 1.0
        for moment in hit.moments:
            score = hit.score * (moment.score / best if moment.score else 1.0)
            each.append(
                replace(
                    hit,
                    score=score,
                    segment=moment.segment,
                    moments=(moment,),
                    why=why(hit.spaces, moment, query),
                )
            )
    each.sort(key=lambda hit: (-hit.score, hit.rank))
    return [replace(hit, rank=number) for number, hit in enumerate(each, start=1)]
