"""Queries with known answers, and the parts of a hit that are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmsearch.errors import ConfigError
from mmsearch.evaluation.file_lookup import LibraryFile
from mmsearch.types import Hit, Span


@dataclass(frozen=True, slots=True)
class KnownQuery:
    """A query, the absolute paths that answer it, and the spans of timed answers.

    With an empty `relevant` no file answers it, and the right result is no match.
    """

    query: str
    relevant: frozenset[str]
    kinds: tuple[str, ...] = ()
    spans: tuple[tuple[str, Span], ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """The judged parts of a hit: its paths, its score, and its moments, best first."""

    paths: tuple[str, ...]
    score: float
    spans: tuple[Span, ...]

    @classmethod
    def from_hit(cls, hit: Hit) -> JudgedHit:
        """Builds it from a hit; copies and near-duplicates count as found with it."""
        spans = (moment.span or moment.segment.span for moment in hit.moments)
        return cls(
            paths=(hit.path, *hit.also_at, *hit.duplicates),
            score=hit.score,
            spans=tuple(span for span in spans if span is not None),
        )


@dataclass(frozen=True, slots=True)
class LocatedQueries:
    """Queries matched with the files of a library.

    `missing` are the relevant files that are not in it, sorted; they are not expected. `left_out`
    counts the queries without a remaining relevant file.
    """

    queries: tuple[KnownQuery, ...]
    missing: tuple[str, ...] = ()
    left_out: int = 0


def locate_queries(
    queries: Sequence[KnownQuery], files: Mapping[str, LibraryFile]
) -> LocatedQueries:
    """Drops relevant files that the library does not have; copies become one.

    Raises ConfigError where no right file is in the library.
    """
    kept: list[KnownQuery] = []
    missing: set[str] = set()
    for query in queries:
        present = sorted(path for path in query.relevant if path in files)
        missing |= query.relevant.difference(present)
        by_asset = {files[path].asset_id: path for path in reversed(present)}
        if by_asset or not query.relevant:
            spans = tuple((path, span) for path, span in query.spans if path in files)
            kept.append(replace(query, relevant=frozenset(by_asset.values()), spans=spans))
    expected = sum(bool(query.relevant) for query in queries)
    if expected and not any(query.relevant for query in kept):
        raise ConfigError(
            f"none of the {len(missing):,} right files is in the library, such as "
            f"{min(missing)}: index them, or name the folder they lie in with --media"
        )
    return LocatedQueries(tuple(kept), tuple(sorted(missing)), len(queries) - len(kept))
