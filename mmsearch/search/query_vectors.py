"""A query as vectors: for each space that it can enter, what to look for there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.base import KnowsCeiling
from mmsearch.errors import QueryError
from mmsearch.query.algebra import Query, Term, TermKind

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.types import FloatArray, Tag


@dataclass(frozen=True, slots=True)
class QueryVector:
    """What one term looks for in one space: (n, dim) unit rows, any of which may match.

    `ceiling` is the similarity that the encoder gives the best match there could be, 0 where it
    cannot tell.
    """

    space: str
    source: str
    values: FloatArray
    ceiling: float = 0.0


@dataclass(frozen=True, slots=True)
class ExampleVectors:
    """A file taken as a query: its vectors by space, its spoken or written words, its tags.

    `asset_id` is the hash of its content, whether or not the library has it.
    """

    vectors: dict[str, FloatArray]
    texts: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()
    asset_id: str = ""


@dataclass(frozen=True, slots=True)
class WeightedQueryVector:
    """A probe and the weight of its term; a negative one pushes away.

    `term` is the number of the term in its query.
    """

    vector: QueryVector
    weight: float
    term: int = 0


ExampleEncoder = Callable[[Term], ExampleVectors]
MAX_EXAMPLE_VECTORS = 64
"""A long film has thousands of frames; an even sample of them says what it is like."""


def encode_query(
    query: Query, encoders: Encoders, encode_example: ExampleEncoder, spaces: Collection[str]
) -> list[WeightedQueryVector]:
    """Turn every term of a checked query into its probes; raises QueryError for a useless example.

    `spaces` are those with vectors: words are not encoded for others.
    """
    found: list[WeightedQueryVector] = []
    for number, term in enumerate(query.terms):
        made = (
            encode_texts([term.value.replace('"', " ")], encoders, spaces)
            if term.kind is TermKind.TEXT
            else enter_example(encode_example(term), encoders, spaces)
        )
        if not made and term.kind is not TermKind.TEXT and spaces:
            raise QueryError(f"{term.value}: there is nothing in this file to search by")
        found += [WeightedQueryVector(probe, term.weight, number) for probe in made]
    return found


def encode_texts(
    texts: Sequence[str], encoders: Encoders, spaces: Collection[str]
) -> list[QueryVector]:
    """Words enter every space whose model takes them."""
    entered = encoders.enter(texts, spaces)
    return [
        QueryVector(space, "text", vectors, _ceiling(space, vectors, encoders))
        for space, vectors in entered.items()
    ]


def _ceiling(space: str, vectors: FloatArray, encoders: Encoders) -> float:
    image = encoders.image
    if space != image.space.name or not isinstance(image, KnowsCeiling):
        return 0.0
    return image.ceiling(vectors)


def enter_example(
    example: ExampleVectors, encoders: Encoders, spaces: Collection[str]
) -> list[QueryVector]:
    """A file enters the spaces it has vectors in; its tags take a picture to texts."""
    found = []
    for space, vectors in example.vectors.items():
        if len(vectors) and space != encoders.text.space.name:
            step = -(-len(vectors) // MAX_EXAMPLE_VECTORS)
            found.append(QueryVector(space, space, vectors[::step]))
    if example.texts:
        found += encode_texts(list(example.texts)[:MAX_EXAMPLE_VECTORS], encoders, spaces)
    elif example.tags:
        names = ", ".join(tag.name for tag in example.tags[:3])
        vectors = encoders.text.encode_queries([names])
        found.append(QueryVector(encoders.text.space.name, "tags", vectors))
    return found


def combine_terms(parts: Sequence[tuple[FloatArray, float]]) -> FloatArray:
    """The weighted sum of terms as a (1, dim) unit row; a term of many vectors is their mean."""
    total = np.sum([weight * vectors.mean(axis=0) for vectors, weight in parts], axis=0)
    norm = float(np.linalg.norm(total))
    unit: FloatArray = (total / max(norm, 1e-12))[None].astype(np.float32)
    return unit
