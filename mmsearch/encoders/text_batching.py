"""Texts of like length put together: padding would be computed as if it were words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKENS = 4096
"""A batch has at most so many tokens, padding included."""


def by_length(lengths: Sequence[int], *, tokens: int = TOKENS) -> Iterator[list[int]]:
    """Batches of places in `lengths`, the shortest first, of at most `tokens` padded tokens.

    What is longer than that has a batch of its own.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], *, pad_id: int) -> dict[str, NDArray[np.int64]]:
    """Token ids as `input_ids` and `attention_mask`, (n, longest) int64 each."""
    shape = (len(rows), max(map(len, rows)))
    tokens = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


def cut(ids: list[int], limit: int, *, last: int) -> list[int]:
    """At most `limit` ids; of those that are too many the `last` ones, the end marks, are kept."""
    if len(ids) <= limit:
        return ids
    return [*ids[: limit - last], *ids[len(ids) - last :]]


def valid(text: str) -> str:
    """Without lone surrogates, which a command line or a broken file can hold."""
    return text.encode("utf-8", "replace").decode()
