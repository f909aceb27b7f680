"""Options of the command line that are read the same way everywhere."""

from __future__ import annotations

import pytest

from mmsearch.cli import options
from mmsearch.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "expected"),
    [("2GB", 2 * 10**9), ("2GiB", 2 * 2**30), ("512MiB", 512 * 2**20), (" 500 mb ", 500 * 10**6)],
)
def test_a_size_has_the_same_units_as_in_filters(written: str, expected: int) -> None:
    assert options.parse_size_bytes(written) == expected
    assert options.parse_index_config("auto", written).memory_bytes == expected


@pytest.mark.parametrize("written", ["much", "", "0", "0.1", "-1GB", "1XB"])
def test_what_is_no_size_is_told(written: str) -> None:
    with pytest.raises(ConfigError, match="no size"):
        options.parse_size_bytes(written)
