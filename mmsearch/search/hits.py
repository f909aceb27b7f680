"""Builds hits of ranked assets, fetching their rows once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsearch.index.base import NO_ROW
from mmsearch.runtime.concurrency import submit
from mmsearch.search.explanation import explain
from mmsearch.search.filter_mask import FilterMask, list_paths
from mmsearch.search.fusion import noisy_or
from mmsearch.search.moments import merge_moments
from mmsearch.search.scores import TermScores
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Box, Hit, Moment, Provenance, Segment, SpaceScore

MAX_MOMENTS = 5
FETCHED = 12
"""Segments of an asset that are fetched, to be merged to moments."""


@dataclass(frozen=True, slots=True)
class RankedAsset:
    """A ranked asset by its row, with its scores by space and its near-duplicates."""

    score: float
    asset: int
    scores: tuple[TermScores, ...]
    duplicates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _ScoredSegment:
    """A segment of a hit, its score and the matching box of its image."""

    segment: int
    score: float
    box: Box | None


def build_hits(
    snapshot: Snapshot,
    ranked: Sequence[RankedAsset],
    removed: Collection[int],
    query: str,
    *,
    models: Mapping[str, Provenance],
    through: FilterMask | None,
    limit: int,
    is_grouped: bool = True,
) -> list[Hit]:
    """Builds the hits of ranked assets, in order.

    `removed` are rows of segments that are not shown and have no scores in `ranked`.
    """
    rows = [ranked_asset.asset for ranked_asset in ranked]
    # Each waits for the disk or for Lance, which works in threads of its own.
    assets = submit(lambda: snapshot.reader.read_assets(rows))
    paths = submit(lambda: list_paths(snapshot, rows, through))
    selected = [_select_segments(snapshot, ranked_asset, removed) for ranked_asset in ranked]
    numbers = sorted({part.segment for parts in selected for part in parts})
    segments = dict(zip(numbers, snapshot.reader.read_segments(numbers), strict=True))
    copies = iter(snapshot.paths([row for each in ranked for row in each.duplicates]))
    hits: list[Hit] = []
    for ranked_asset, asset, parts, places in zip(
        ranked, assets.result(), selected, paths.result(), strict=True
    ):
        duplicates = tuple(next(copies)[0] for _ in ranked_asset.duplicates)
        moments = _select_moments([_build_moment(part, segments) for part in parts])
        if not moments:
            continue
        spaces = _summarize_spaces(ranked_asset.scores, models)
        path, *also_at = places
        hits.append(
            Hit(
                rank=len(hits) + 1,
                score=ranked_asset.score,
                path=path,
                asset=asset,
                segment=moments[0].segment,
                spaces=spaces,
                moments=moments,
                also_at=tuple(also_at),
                duplicates=duplicates,
                why=explain(spaces, moments[0], query),
            )
        )
    return hits if is_grouped else _split_moments(hits, query)[:limit]


def _build_moment(part: _ScoredSegment, segments: Mapping[int, Segment]) -> Moment:
    segment = segments[part.segment]
    return Moment(segment, part.score, part.box, segment.span)


def _select_segments(
    snapshot: Snapshot, ranked: RankedAsset, removed: Collection[int]
) -> list[_ScoredSegment]:
    """Returns the best segments of an asset, best first."""
    scores: dict[int, list[float]] = {}
    boxes: dict[int, tuple[float, Box]] = {}
    for space in ranked.scores:
        best: dict[int, float] = {}
        for entry, (segment, score) in enumerate(
            zip(space.segments.tolist(), space.scores.tolist(), strict=True)
        ):
            if segment == NO_ROW:
                continue
            best[segment] = max(score, best.get(segment, 0.0))
            if space.boxes is not None and not np.isnan(space.boxes[entry, 0]):
                similarity = float(space.similarities[entry])
                if segment not in boxes or similarity > boxes[segment][0]:
                    box = Box(*(float(edge) for edge in space.boxes[entry]))
                    boxes[segment] = (similarity, box)
        for segment, score in best.items():
            scores.setdefault(segment, []).append(score)
    parts = [
        _ScoredSegment(segment, noisy_or(listed), boxes[segment][1] if segment in boxes else None)
        for segment, listed in scores.items()
    ]
    parts.sort(key=lambda part: (-part.score, part.segment))
    if not parts:  # it matches by its name alone
        rows = [row for row in snapshot.segments_of(ranked.asset).tolist() if row not in removed]
        parts = [_ScoredSegment(row, 0.0, None) for row in rows]
    return parts[:FETCHED]


def _select_moments(moments: Sequence[Moment]) -> tuple[Moment, ...]:
    """Returns the best moments of an asset, or the first where none has a score."""
    if any(moment.score for moment in moments):
        return merge_moments(moments, MAX_MOMENTS)
    return tuple(sorted(moments, key=lambda each: each.span.start_s if each.span else 0.0)[:1])


def _summarize_spaces(
    scores: Sequence[TermScores], models: Mapping[str, Provenance]
) -> dict[str, SpaceScore]:
    """Returns the best score in each space, the highest first."""
    spaces: dict[str, SpaceScore] = {}
    for part in scores:
        best = int(part.scores.argmax())
        score = float(part.scores[best])
        if part.space not in spaces or score > spaces[part.space].score:
            similarity = float(part.similarities[best])
            model = models.get(part.space)
            spaces[part.space] = SpaceScore(part.rank, score, similarity, model)
    return dict(sorted(spaces.items(), key=lambda item: -item[1].score))


def _split_moments(hits: Sequence[Hit], query: str) -> list[Hit]:
    """Makes a hit of every moment."""
    split = []
    for hit in hits:
        best = max((moment.score for moment in hit.moments), default=0.0) or 1.0
        for moment in hit.moments:
            score = hit.score * (moment.score / best if moment.score else 1.0)
            split.append(
                replace(
                    hit,
                    score=score,
                    segment=moment.segment,
                    moments=(moment,),
                    why=explain(hit.spaces, moment, query),
                )
            )
    split.sort(key=lambda hit: (-hit.score, hit.rank))
    return [replace(hit, rank=number) for number, hit in enumerate(split, start=1)]
