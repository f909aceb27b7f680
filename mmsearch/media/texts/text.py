"""Reads plain text, source code, tables and JSON as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mmsearch.errors import MediaTooLarge
from mmsearch.media.base import Content, Described, Limits, LoadOptions
from mmsearch.media.texts.encoding import read_text
from mmsearch.media.texts.paragraph_splitter import split_text
from mmsearch.media.texts.tabular import format_json, format_table
from mmsearch.types import Metadata, Modality, Omission, OmissionCause

_TABLES = frozenset({".csv", ".tsv", ".tab"})
_JSON = frozenset({".json", ".jsonl", ".ndjson", ".geojson", ".webmanifest"})
_MARKDOWN = frozenset({".md", ".markdown"})


class TextLoader:
    """Plain text, and tables and JSON by their suffixes."""

    name = "text"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then passages in order, then an Omission if a limit was passed."""
        limits = options.limits
        suffix = path.suffix.lower()
        with path.open("rb") as file:
            blocks = read_text(file, max_bytes=limits.text_bytes)
            name = "markdown" if suffix in _MARKDOWN else "text"
            if suffix in _TABLES:
                name, blocks = "csv", format_table(blocks)
            elif suffix in _JSON:
                name, blocks = "json", format_json(blocks, path.stat().st_size)
            yield Described(Modality.TEXT, Metadata(format=name))
            yield from split_file_text(path, blocks, limits)


def read_passages(path: Path, limits: Limits) -> Iterator[Content]:
    """Yields the text of a file as passages, and an Omission if a limit was passed."""
    with path.open("rb") as file:
        blocks = read_text(file, max_bytes=limits.text_bytes)
        yield from split_file_text(path, blocks, limits)


def split_file_text(path: Path, blocks: Iterable[str], limits: Limits) -> Iterator[Content]:
    """Yields passages of the text of a file, which was read up to `limits.text_bytes`."""
    for content in split_text(blocks, limits):
        yield content
        if isinstance(content, Omission):
            return
    if path.stat().st_size > limits.text_bytes:
        detail = f"text after the first {limits.text_bytes:,} bytes"
        yield Omission(OmissionCause.LIMIT, detail, "text_bytes", limits.text_bytes)


def check_text_size(path: Path, limits: Limits) -> None:
    """Raises MediaTooLarge if the file is larger than a text may be."""
    size_bytes = path.stat().st_size
    if size_bytes > limits.text_bytes:
        raise MediaTooLarge(path, f"text of {size_bytes} bytes, the limit is {limits.text_bytes}")
