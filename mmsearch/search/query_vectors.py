"""Encodes the terms of a query as vectors of every space that they can enter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.base import CeilingEncoder
from mmsearch.errors import QueryError
from mmsearch.query.algebra import Query, Term, TermKind

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.types import FloatArray, Tag

MAX_EXAMPLE_VECTORS = 64
"""A long film has thousands of frames; an even sample of them says what it is like."""


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A term in one space: (n, dim) unit rows, any of which may match.

    `source` is what was encoded: "text", "tags", or the space of an example. `ceiling` is the
    similarity that the encoder gives the best match there could be, 0 where it cannot tell.
    """

    space: str
    source: str
    values: FloatArray
    ceiling: float = 0.0


@dataclass(frozen=True, slots=True)
class WeightedQueryVector:
    """A query vector with the weight and the number of its term; a negative weight avoids."""

    vector: QueryVector
    weight: float
    term: int = 0


@dataclass(frozen=True, slots=True)
class ExampleVectors:
    """A file taken as a query: its vectors by space, its spoken or written words, its tags.

    `asset_id` is the hash of its content, whether or not the library has it.
    """

    vectors: dict[str, FloatArray]
    texts: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()
    asset_id: str = ""


ExampleEncoder = Callable[[Term], ExampleVectors]


def encode_query(
    query: Query, encoders: Encoders, encode_example: ExampleEncoder, spaces: Collection[str]
) -> tuple[WeightedQueryVector, ...]:
    """Encodes every term of a checked query; raises QueryError for an example of no use.

    `spaces` are those with vectors: words are not encoded for others.
    """
    weighted: list[WeightedQueryVector] = []
    for number, term in enumerate(query.terms):
        vectors = (
            encode_texts([term.value.replace('"', " ")], encoders, spaces)
            if term.kind is TermKind.TEXT
            else enter_example(encode_example(term), encoders, spaces)
        )
        if not vectors and term.kind is not TermKind.TEXT and spaces:
            raise QueryError(f"{term.value}: there is nothing in this file to search by")
        weighted += [WeightedQueryVector(vector, term.weight, number) for vector in vectors]
    return tuple(weighted)


def encode_texts(
    texts: Sequence[str], encoders: Encoders, spaces: Collection[str]
) -> list[QueryVector]:
    """Encodes words for every space whose model takes them."""
    image = encoders.image
    vectors = []
    for space, values in encoders.encode_query_texts(texts, spaces).items():
        is_image = space == image.space.name
        ceiling = image.ceiling(values) if is_image and isinstance(image, CeilingEncoder) else 0.0
        vectors.append(QueryVector(space, "text", values, ceiling))
    return vectors


def enter_example(
    example: ExampleVectors, encoders: Encoders, spaces: Collection[str]
) -> list[QueryVector]:
    """Returns an example in the spaces it has vectors in; its tags take an image to texts."""
    vectors = []
    for space, values in example.vectors.items():
        if len(values) and space != encoders.text.space.name:
            step = -(-len(values) // MAX_EXAMPLE_VECTORS)
            vectors.append(QueryVector(space, space, values[::step]))
    if example.texts:
        vectors += encode_texts(example.texts[:MAX_EXAMPLE_VECTORS], encoders, spaces)
    elif example.tags:
        names = ", ".join(tag.name for tag in example.tags[:3])
        values = encoders.text.encode_queries([names])
        vectors.append(QueryVector(encoders.text.space.name, "tags", values))
    return vectors


def combine_terms(parts: Sequence[tuple[FloatArray, float]]) -> FloatArray:
    """Returns the weighted sum of terms as a (1, dim) unit row; a term of many rows is their mean.

    `parts` are the rows of the terms with their weights.
    """
    total = np.sum([weight * values.mean(axis=0) for values, weight in parts], axis=0)
    norm = float(np.linalg.norm(total))
    unit: FloatArray = (total / max(norm, 1e-12))[None].astype(np.float32)
    return unit
