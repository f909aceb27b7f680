"""Scores assets by exact words in names, titles and tags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from mmsearch.index.base import NO_ROW, RowMask
from mmsearch.index.word_index import split_words
from mmsearch.search.scores import METADATA_SPACE, TermScores
from mmsearch.snapshot.snapshot import Snapshot

MATCH_WEIGHT = 0.9
FILE_NAME_SCORE = 0.999
"""The score of a file whose name is the query and nothing else."""
FULL_SHARE, MAX_FULL = 0.999, 64


def score_metadata(snapshot: Snapshot, query: str, term: int, mask: RowMask | None) -> TermScores:
    """Scores the assets that pass `mask` by the words of a query in their names and tags."""
    matches = snapshot.names.match(split_words(query))
    passes = np.ones(len(matches.assets), dtype=np.bool_) if mask is None else mask[matches.assets]
    passes &= np.diff(snapshot.file_offsets)[matches.assets] > 0
    assets, shares = matches.assets[passes], matches.shares[passes]
    scores = MATCH_WEIGHT * shares**2
    full = np.flatnonzero(shares >= FULL_SHARE)
    if 0 < len(full) <= MAX_FULL:
        scores[full[_match_file_names(snapshot, assets[full].tolist(), query)]] = FILE_NAME_SCORE
    order = np.lexsort((assets, -scores))
    return TermScores(
        space=METADATA_SPACE,
        term=term,
        assets=assets[order],
        segments=np.full(len(order), NO_ROW),
        scores=scores[order].astype(np.float32),
        similarities=shares[order],
        boxes=None,
        is_complete=True,
    )


def _match_file_names(snapshot: Snapshot, assets: Sequence[int], query: str) -> RowMask:
    """Marks the assets with a file whose name is the query and nothing else."""
    sought = set(split_words(query))
    return np.array(
        [
            any(set(split_words(PurePath(path).stem)) == sought for path in paths)
            for paths in snapshot.paths(assets)
        ],
        dtype=np.bool_,
    )
