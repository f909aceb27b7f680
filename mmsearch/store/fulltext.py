"""The full-text index over what is said and written, which Lance keeps with its table."""

from __future__ import annotations

from typing import Any

from mmsearch.store.schema import TEXT_INDEX

UNINDEXED_ROWS = 2000
"""What was written since is searched row by row: 2,000 in a few milliseconds."""
# Words as they are: meaning is what vectors are for. Positions find phrases; accents do not count.
# A word may be as long as the hex digits of a SHA-512; Lance leaves out those of more than 40.
_SETTINGS: dict[str, Any] = {
    "base_tokenizer": "simple",
    "lower_case": True,
    "ascii_folding": True,
    "stem": False,
    "remove_stop_words": False,
    "with_position": True,
    "max_token_length": 128,
}


def is_there(dataset: Any) -> bool:
    """Whether a table of segments has the index."""
    return any(one.name == TEXT_INDEX for one in dataset.describe_indices())


def is_due(dataset: Any) -> bool:
    """Whether the index of a table of segments is missing, or behind."""
    if not is_there(dataset):
        return bool(dataset.count_rows())
    statistics = dataset.stats.index_stats(TEXT_INDEX)
    return int(statistics.get("num_unindexed_rows", 0)) > UNINDEXED_ROWS


def bring_up(dataset: Any) -> None:
    """Make the index, or take in what was written since; under the Lock of the library."""
    if is_there(dataset):
        dataset.optimize.optimize_indices(index_names=[TEXT_INDEX])
    else:
        dataset.create_scalar_index("text", "INVERTED", name=TEXT_INDEX, **_SETTINGS)
