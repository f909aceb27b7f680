"""The layouts of queries with known answers, and their detection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from mmsearch.errors import ConfigError
from mmsearch.evaluation import captions, jsonl, readers, sounds
from mmsearch.evaluation.file_lookup import FileFinder, LibraryFile
from mmsearch.evaluation.known_answers import KnownQuery

AUTO = "auto"
JSONL = "jsonl"
ESC50 = "esc50"
OPENING_BYTES = 1 << 16
"""One query a line is shorter than this; a longer first line is a JSON document."""

READERS: Mapping[str, Callable[[Path, FileFinder, str | None], list[KnownQuery]]] = {
    JSONL: jsonl.read_jsonl,
    "coco": captions.read_coco,
    "flickr": captions.read_flickr,
    "clotho": sounds.read_clotho,
    "audiocaps": sounds.read_audiocaps,
    ESC50: sounds.read_esc50,
}
LAYOUTS = (AUTO, *READERS)


def read_layout(
    path: Path,
    files: Mapping[str, LibraryFile],
    *,
    layout: str = AUTO,
    media: Path | None = None,
    split: str | None = None,
) -> tuple[str, list[KnownQuery]]:
    """Reads a file: its layout and its queries, with the paths of the files as in `files`.

    `media` is the folder below which the media lie, `split` a part of the annotation, as `test`.
    Raises ConfigError for a file that cannot be read in that layout.
    """
    path = path.expanduser()
    if layout not in LAYOUTS:
        raise ConfigError(f"there is no layout {layout!r}: it can be {', '.join(LAYOUTS)}")
    detected = detect_layout(path) if layout == AUTO else layout
    queries = READERS[detected](path, FileFinder(files, path, media), split)
    if not queries:
        raise ConfigError(f"{path} has no queries")
    return detected, queries


def read_queries(path: Path) -> list[KnownQuery]:
    """Reads JSON lines with paths relative to the file; raises ConfigError with the line."""
    return read_layout(path, {}, layout=JSONL)[1]


def detect_layout(path: Path) -> str:
    """Returns the layout of a file by its name and beginning; raises ConfigError."""
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return JSONL
    if suffix == ".json" and _is_document(path):
        return "coco"  # which reads Karpathy's splits too
    first = next((text for _, text in readers.read_lines(path)), "")
    columns = {name.strip() for name in first.split(",")}
    for layout, required in (
        ("clotho", sounds.CLOTHO_COLUMNS),
        ("audiocaps", sounds.AUDIOCAPS_COLUMNS),
        (ESC50, sounds.ESC50_COLUMNS),
    ):
        if columns.issuperset(required):
            return layout
    if captions.is_caption_line(first):
        return "flickr"
    if first.lstrip().startswith("{"):
        return JSONL
    raise ConfigError(
        f"{path}: its layout is not recognised; name it with --layout, which can be "
        f"{', '.join(READERS)}"
    )


def _is_document(path: Path) -> bool:
    """Tests if a file is one JSON value, not a query a line."""
    first, _, _ = readers.read_opening(path, OPENING_BYTES).partition(b"\n")
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not (isinstance(row, dict) and "query" in row)
