"""Queries whose answers are known, and what is judged of a hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmsearch.errors import ConfigError
from mmsearch.evaluation.file_lookup import HeldFile
from mmsearch.types import Hit, Span


@dataclass(frozen=True, slots=True)
class KnownQuery:
    """A query, the absolute paths that answer it, and for timed ones where the answer lies.

    With no path in `relevant` nothing answers it: the right thing is to find no match.
    """

    query: str
    relevant: frozenset[str]
    kinds: tuple[str, ...] = ()
    spans: tuple[tuple[str, Span], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A hit as far as it is judged: where it lies, its score, and its moments, best first."""

    paths: tuple[str, ...]
    score: float
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, hit: Hit) -> Answer:
        """Copies and near-duplicates that are shown under a hit are found with it."""
        spans = (moment.span or moment.segment.span for moment in hit.moments)
        return cls(
            paths=(hit.path, *hit.also_at, *hit.duplicates),
            score=hit.score,
            spans=tuple(span for span in spans if span is not None),
        )


@dataclass(frozen=True, slots=True)
class Located:
    """Queries held against the files of a library.

    `missing` are the right files that are not in it, sorted: they are taken out of what is
    expected. `left_out` counts the queries of which no right file remained.
    """

    queries: tuple[KnownQuery, ...]
    missing: tuple[str, ...] = ()
    left_out: int = 0


def located(queries: Sequence[KnownQuery], held: Mapping[str, HeldFile]) -> Located:
    """Take out what the library cannot find because it does not have it; copies become one.

    Raises ConfigError where no right file is in the library.
    """
    kept: list[KnownQuery] = []
    missing: set[str] = set()
    for query in queries:
        there = sorted(path for path in query.relevant if path in held)
        missing |= query.relevant.difference(there)
        by_asset = {held[path].asset_id: path for path in reversed(there)}
        if by_asset or not query.relevant:
            spans = tuple((path, span) for path, span in query.spans if path in held)
            kept.append(replace(query, relevant=frozenset(by_asset.values()), spans=spans))
    expected = sum(bool(query.relevant) for query in queries)
    if expected and not any(query.relevant for query in kept):
        raise ConfigError(
            f"none of the {len(missing):,} right files is in the library, such as "
            f"{min(missing)}: index them, or name the folder they lie in with --media"
        )
    return Located(tuple(kept), tuple(sorted(missing)), len(queries) - len(kept))
