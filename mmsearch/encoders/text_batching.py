"""Batches texts of similar length, since padding costs as much as words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKENS = 4096
"""The most tokens of a batch, padding included."""


def batch_by_length(lengths: Sequence[int], *, tokens: int = TOKENS) -> Iterator[list[int]]:
    """Yields batches of indices of `lengths`, the shortest first, of at most `tokens` with padding.

    A longer text has a batch of its own.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def pad_token_rows(rows: Sequence[Sequence[int]], *, pad_id: int) -> dict[str, NDArray[np.int64]]:
    """Returns `input_ids` and `attention_mask`, (n, longest) int64 each."""
    shape = (len(rows), max(map(len, rows)))
    tokens = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


def truncate_ids(ids: list[int], limit: int, *, last: int) -> list[int]:
    """Cuts ids to at most `limit`, keeping the `last` ones, which are the end marks."""
    if len(ids) <= limit:
        return ids
    return [*ids[: limit - last], *ids[len(ids) - last :]]
