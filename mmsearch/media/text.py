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
    """Everything that reads as text and is no markup; the name tells tables and JSON."""

    name = "text"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yield Described, then passages in order. Raises MediaTooLarge past `text_bytes`."""
        check_text_size(path, options.limits)
        suffix = path.suffix.lower()
        if suffix in _TABLES:
            yield Described(Modality.TEXT, Metadata(format="csv"))
            with path.open("rb") as file:
                yield from split_passages(format_table(read_text(file)), options.limits)
        elif suffix in _JSON:
            yield Described(Modality.TEXT, Metadata(format="json"))
            with path.open("rb") as file:
                size_bytes = path.stat().st_size
                yield from split_passages(format_json(read_text(file), size_bytes), options.limits)
        else:
            name = "markdown" if suffix in _MARKDOWN else "text"
            yield Described(Modality.TEXT, Metadata(format=name))
            yield from read_passages(path, options.limits)


def read_passages(path: Path, limits: Limits) -> Iterator[Passage]:
    """The text of a file as it stands."""
    with path.open("rb") as file:
        yield from split_passages(read_text(file), limits)


def check_text_size(path: Path, limits: Limits) -> None:
    """Raise MediaTooLarge where the file is larger than a text may be."""
    size_bytes = path.stat().st_size
    if size_bytes > limits.text_bytes:
        raise MediaTooLarge(path, f"text of {size_bytes} bytes, the limit is {limits.text_bytes}")
