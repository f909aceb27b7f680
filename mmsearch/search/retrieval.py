"""Answers a query: evidence from every space, fused, one hit an asset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mmsearch.duplicates.grouping import collapsed
from mmsearch.index.base import RowMask
from mmsearch.models.presets import Calibration
from mmsearch.query.ranking import NO_CUTOFF, RRF, DEFAULT_RANKING, Cutoff, Ranking
from mmsearch.runtime.concurrency import Crowd, aside
from mmsearch.search import dense, fusion
from mmsearch.search.dense import Evidence
from mmsearch.search.filter_mask import Filter, build_filter_mask
from mmsearch.search.hits import Found, hits
from mmsearch.search.negation import Avoided, avoided, is_out
from mmsearch.search.query_vectors import WeightedQueryVector
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Hit, Provenance

DEPTH = 32
"""Segments that are taken from each space for every hit that is asked for."""
MIN_DEPTH = 256
DEEPER = 4
LOOKED_AT = 4
"""Assets that are held against what is to be avoided, for every hit that is asked for."""
_SEEING = Crowd()


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it is looked for: its words by the number of their term, and their weights.

    `encode` gives its probes: words are looked up while it runs.
    """

    encode: Callable[[], Sequence[WeightedQueryVector]]
    texts: Mapping[int, str]
    weights: tuple[float, ...]

    @property
    def avoids(self) -> bool:
        """Whether there is anything to avoid."""
        return any(weight < 0 for weight in self.weights)

    @property
    def sought(self) -> dict[int, str]:
        """The words that are looked for, by the number of their term."""
        return {at: text for at, text in self.texts.items() if self.weights[at] > 0}

    @property
    def shunned(self) -> list[tuple[str, float]]:
        """The words that are to be avoided, with the size of their weight."""
        return [
            (text, -self.weights[at]) for at, text in self.texts.items() if self.weights[at] < 0
        ]

    @property
    def words(self) -> str:
        """All of them."""
        return " ".join(self.sought.values())


def rank(
    snapshot: Snapshot,
    asked: Asked,
    curves: Mapping[str, Calibration],
    *,
    models: Mapping[str, Provenance] | None = None,
    where: Filter | None = None,
    limit: int = 10,
    cutoff: Cutoff = NO_CUTOFF,
    ranking: Ranking = DEFAULT_RANKING,
) -> list[Hit]:
    """The best `limit` assets that pass the cut-off.

    Every space that a term can enter is searched by itself. An asset's score there is that of its
    best segment; scores of several spaces are joined by `noisy_or`, those of several terms are
    averaged by their weights; what matches a term to be avoided goes. It is searched deeper until
    there are as many hits as are wanted, or nothing more can pass. `models` are the makers of the
    spaces, by name, for those who want to know.
    """
    if ranking.fusion == RRF:
        cutoff = NO_CUTOFF  # a rank says nothing of how near something is
    through = build_filter_mask(snapshot, where or Filter())
    # What all pass is no filter: indexes are asked for everything, not for a list of it.
    mask = None if through is None or through.assets.all() else through.assets
    depth = max(MIN_DEPTH, limit * DEPTH)
    texts = asked.sought if ranking.words else {}
    written = aside(lambda: _said(snapshot, texts, mask, depth))
    called = aside(lambda: [dense.named(snapshot, text, at, mask) for at, text in texts.items()])
    probes = [one for one in asked.encode() if ranking.vectors]
    while True:
        found = [*_seen(snapshot, probes, curves, mask, depth), *written.result(), *called.result()]
        scores = fusion.fused(found, asked.weights, is_by_rank=ranking.fusion == RRF)
        best = _best(scores, cutoff.rest)
        out = Avoided()
        if asked.avoids:
            best, out = _without(
                snapshot, asked, probes, curves, best, found,
                limit=limit, least=cutoff.rest, ranking=ranking,
            )  # fmt: skip
        if best and best[0][0] < cutoff.first:
            best = []
        groups = _grouped(snapshot, best, limit, ranking)
        if len(groups) >= limit or not _goes_on(found, cutoff.rest):
            break
        depth *= DEEPER
        written = aside(partial(_said, snapshot, texts, mask, depth))
    left = _left(found, out)
    chosen = [
        Found(score, asset, _of_asset(left, asset), tuple(under))
        for score, asset, under in groups[:limit]
    ]
    shown = hits(
        snapshot,
        chosen,
        out.segments,
        asked.words,
        models=models or {},
        through=through,
        limit=limit,
        is_grouped=ranking.group,
    )
    # Without groups a moment is a hit, and those of an asset are not all as good as the best.
    return [hit for hit in shown if hit.score >= cutoff.rest]


def _seen(
    snapshot: Snapshot,
    probes: Sequence[WeightedQueryVector],
    curves: Mapping[str, Calibration],
    mask: RowMask | None,
    depth: int,
) -> list[Evidence]:
    by_space: defaultdict[str, list[WeightedQueryVector]] = defaultdict(list)
    for one in probes:
        if one.weight > 0 and one.vector.space in snapshot.filled:
            by_space[one.vector.space].append(one)
    searches = [
        partial(dense.seen, snapshot, listed, curves, mask, depth) for listed in by_space.values()
    ]
    with _SEEING as count:
        # Side by side a search is done sooner, several at a time are done later.
        if count > 1:
            return [one for search in searches for one in search()]
        others = [aside(search) for search in searches[1:]]
        first = searches[0]() if searches else []
        return [*first, *(one for other in others for one in other.result())]


def _said(
    snapshot: Snapshot, texts: Mapping[int, str], mask: RowMask | None, depth: int
) -> list[Evidence]:
    return [dense.said(snapshot, text, term, mask, depth) for term, text in texts.items()]


def _best(scores: Mapping[int, float], least: float) -> list[tuple[float, int]]:
    kept = [(score, asset) for asset, score in scores.items() if score >= least]
    kept.sort(key=lambda pair: (-pair[0], pair[1]))
    return kept


def _without(
    snapshot: Snapshot,
    asked: Asked,
    probes: Sequence[WeightedQueryVector],
    curves: Mapping[str, Calibration],
    best: Sequence[tuple[float, int]],
    found: Sequence[Evidence],
    *,
    limit: int,
    least: float,
    ranking: Ranking,
) -> tuple[list[tuple[float, int]], Avoided]:
    """Those that match no term that is to be avoided; near misses lose some of their score.

    They are held against these terms in lots, best first, until as many are left as are wanted.
    """
    texts = asked.shunned if ranking.words else []
    pushed = [one for one in probes if one.weight < 0]
    out = Avoided()
    kept: list[tuple[float, int]] = []
    lot = max(MIN_DEPTH, limit * LOOKED_AT)
    for first in range(0, len(best), lot):
        looked_at = {asset: score for score, asset in best[first : first + lot]}
        avoided(snapshot, pushed, texts, curves, list(looked_at), out)
        if out.partly.intersection(looked_at):  # what is left of them must match by itself
            left = fusion.fused(_left(found, out), asked.weights, is_by_rank=ranking.fusion == RRF)
            looked_at |= {asset: left.get(asset, 0.0) for asset in out.partly & set(looked_at)}
        for asset, score in looked_at.items():
            lowered = score * (1.0 - min(1.0, out.near.get(asset, 0.0)))
            if lowered > 0.0 and lowered >= least and not is_out(snapshot, asset, out):
                kept.append((lowered, asset))
        if len(kept) >= limit:
            break
    kept.sort(key=lambda pair: (-pair[0], pair[1]))
    return kept, out


def _left(found: Sequence[Evidence], out: Avoided) -> Sequence[Evidence]:
    """The evidence without that of segments that are out."""
    if not out.segments:
        return found
    gone = np.array(sorted(out.segments), dtype=np.int64)
    return [one.without(gone) for one in found]


def _grouped(
    snapshot: Snapshot, best: Sequence[tuple[float, int]], limit: int, ranking: Ranking
) -> list[tuple[float, int, list[int]]]:
    """Near-duplicates under the best of them."""
    if not ranking.dedupe:
        return [(score, asset, []) for score, asset in best]
    scores = {asset: score for score, asset in best}
    ranked = [asset for _, asset in best[: max(MIN_DEPTH, limit * LOOKED_AT)]]
    found = collapsed(snapshot, ranked, limit=limit)
    return [(scores[asset], asset, under) for asset, under in found]


def _goes_on(found: Sequence[Evidence], least: float) -> bool:
    """Whether a deeper search might bring what passes."""
    return any(not one.is_all and one.beyond >= least for one in found)


def _of_asset(found: Sequence[Evidence], asset: int) -> tuple[Evidence, ...]:
    """The entries of one asset."""
    parts = []
    for one in found:
        here = np.flatnonzero(one.assets == asset)
        if len(here):
            parts.append(one.at(here))
    return tuple(parts)
