"""Reads plain text, source code, tables and JSON as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmsearch.errors import MediaTooLarge
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Passage
from mmsearch.media.encoding import read_text
from mmsearch.media.paragraph_splitter import split_passages
from mmsearch.media.tabular import format_json, format_table
from mmsearch.types import Metadata, Modality

_TABLES = frozenset({".csv", ".tsv", ".tab"})
_JSON = frozenset({".json", ".jsonl", ".ndjson", ".geojson", ".webmanifest"})
_MARKDOWN = frozenset({".md", ".markdown"})


class TextLoader:
    """Plain text, and tables and JSON by their suffixes."""

    name = "text"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then passages in order; raises MediaTooLarge past `text_bytes`."""
        check_text_size(path, options.limits)
        suffix = path.suffix.lower()
        with path.open("rb") as file:
            name, blocks = "markdown" if suffix in _MARKDOWN else "text", read_text(file)
            if suffix in _TABLES:
                name, blocks = "csv", format_table(blocks)
            elif suffix in _JSON:
                name, blocks = "json", format_json(blocks, path.stat().st_size)
            yield Described(Modality.TEXT, Metadata(format=name))
            yield from split_passages(blocks, options.limits)


def read_passages(path: Path, limits: Limits) -> Iterator[Passage]:
    """Yields the unchanged text of a file."""
    with path.open("rb") as file:
        yield from split_passages(read_text(file), limits)


def check_text_size(path: Path, limits: Limits) -> None:
    """Raises MediaTooLarge if the file is larger than a text may be."""
    size_bytes = path.stat().st_size
    if size_bytes > limits.text_bytes:
        raise MediaTooLarge(path, f"text of {size_bytes} bytes, the limit is {limits.text_bytes}")
