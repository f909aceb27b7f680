"""The layouts that queries with known answers come in, and telling which one a file has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from mmsearch.errors import ConfigError
from mmsearch.evaluation import captions, jsonl, readers, sounds
from mmsearch.evaluation.file_lookup import Finder, HeldFile
from mmsearch.evaluation.known_answers import KnownQuery

AUTO = "auto"
JSONL = "jsonl"
ESC50 = "esc50"
OPENING_BYTES = 1 << 16
"""A query a line is shorter; what is longer is a document."""

Reader = Callable[[Path, Finder, str | None], list[KnownQuery]]


READERS: Mapping[str, Reader] = {
    JSONL: jsonl.read,
    "coco": captions.coco,
    "flickr": captions.flickr,
    "clotho": sounds.clotho,
    "audiocaps": sounds.audiocaps,
    ESC50: sounds.esc50,
}
LAYOUTS = (AUTO, *READERS)


def read(
    path: Path,
    held: Mapping[str, HeldFile],
    *,
    layout: str = AUTO,
    media: Path | None = None,
    split: str | None = None,
) -> tuple[str, list[KnownQuery]]:
    """The layout of a file, and its queries, with the paths of the files as `held` has them.

    `media` is the folder below which the media lie, `split` a part of the annotation, as `test`.
    Raises ConfigError for a file that cannot be read as what it is said to be.
    """
    path = path.expanduser()
    if layout not in LAYOUTS:
        raise ConfigError(f"there is no layout {layout!r}: it can be {', '.join(LAYOUTS)}")
    found = detected(path) if layout == AUTO else layout
    known = READERS[found](path, Finder(held, path, media), split)
    if not known:
        raise ConfigError(f"{path} has no queries")
    return found, known


def read_queries(path: Path) -> list[KnownQuery]:
    """Read JSON lines, with the paths beside the file; raises ConfigError, which names the line."""
    return read(path, {}, layout=JSONL)[1]


def detected(path: Path) -> str:
    """The layout of a file by its name and how it begins; raises ConfigError."""
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return JSONL
    if suffix == ".json" and _is_document(path):
        return "coco"  # which reads Karpathy's splits too
    first = next((text for _, text in readers.lines(path)), "")
    columns = {name.strip() for name in first.split(",")}
    for layout, wanted in (
        ("clotho", sounds.CLOTHO_COLUMNS),
        ("audiocaps", sounds.AUDIOCAPS_COLUMNS),
        (ESC50, sounds.ESC50_COLUMNS),
    ):
        if columns.issuperset(wanted):
            return layout
    if captions.is_line(first):
        return "flickr"
    if first.lstrip().startswith("{"):
        return JSONL
    raise ConfigError(
        f"{path}: its layout is not recognised; name it with --layout, which can be "
        f"{', '.join(READERS)}"
    )


def _is_document(path: Path) -> bool:
    """Whether a file is one value of JSON, and no query a line in spite of its name."""
    first, _, _ = readers.opening(path, OPENING_BYTES).partition(b"\n")
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not (isinstance(row, dict) and "query" in row)
