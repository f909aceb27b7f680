"""The full-text index over speech, OCR and documents, which Lance stores with its table."""

from __future__ import annotations

from typing import Any

from mmsearch.store.schema import TEXT_INDEX

UNINDEXED_ROWS = 2000
"""New rows are searched one by one: 2,000 in a few milliseconds."""
# Words as they are: vectors cover meaning. Positions find phrases; accents do not count.
# A word may be as long as the hex digits of a SHA-512; Lance omits those of more than 40.
_SETTINGS: dict[str, Any] = {
    "base_tokenizer": "simple",
    "lower_case": True,
    "ascii_folding": True,
    "stem": False,
    "remove_stop_words": False,
    "with_position": True,
    "max_token_length": 128,
}


def has_index(dataset: Any) -> bool:
    """Returns True if a table of segments has the index."""
    return any(index.name == TEXT_INDEX for index in dataset.describe_indices())


def is_update_due(dataset: Any) -> bool:
    """Returns True if the index of a table of segments is missing or out of date."""
    if not has_index(dataset):
        return bool(dataset.count_rows())
    statistics = dataset.stats.index_stats(TEXT_INDEX)
    return int(statistics.get("num_unindexed_rows", 0)) > UNINDEXED_ROWS


def update_index(dataset: Any) -> None:
    """Creates the index, or adds new rows to it; the caller must hold the Lock of the library."""
    if has_index(dataset):
        dataset.optimize.optimize_indices(index_names=[TEXT_INDEX])
    else:
        dataset.create_scalar_index("text", "INVERTED", name=TEXT_INDEX, **_SETTINGS)
