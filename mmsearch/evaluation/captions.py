"""Reads photographs with captions: the annotations of COCO, of Flickr8k and of Flickr30k.

Every caption is a query that its own photograph answers, among all photographs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import ConfigError
from mmsearch.evaluation import readers
from mmsearch.evaluation.file_lookup import FileFinder
from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.types import Modality

KINDS = (Modality.IMAGE.value,)
TEST = "test"
# 1000092795.jpg#0<TAB>caption; 1000092795.jpg| 0| caption (in the published file one row lacks its
# second bar).
TOKEN = re.compile(r"(?P<name>[^\t#]+)#\d+\t(?P<caption>.*)")
BARRED = re.compile(r"(?P<name>[^|]+)\|\s*\d+\s*\|?(?P<caption>.*)")
BARRED_HEADER = "image_name|"
COMMA_COLUMNS = ("image", "caption")


def build_caption_query(finder: FileFinder, name: str, caption: object) -> KnownQuery:
    """Builds the query of one caption; raises ValueError, or ConfigError for an invalid name."""
    return KnownQuery(readers.parse_query(caption), frozenset([finder.find(name)]), KINDS)


def read_coco(path: Path, finder: FileFinder, split: str | None) -> list[KnownQuery]:
    """Reads `captions_val2017.json`: images with a file name, and annotations with a caption each.

    Karpathy's splits of COCO are read as well. Raises ConfigError.
    """
    document = readers.read_document(path)
    if _has_sentences(document):
        return _select_split(path, document, finder, split)
    readers.refuse_split(path, split)
    names: dict[int, str] = {}
    for number, image in enumerate(_read_objects(path, document, "images")):
        names[_read_field(path, "images", number, image, "id", int)] = _read_field(
            path, "images", number, image, "file_name", str
        )
    queries = []
    for number, note in enumerate(_read_objects(path, document, "annotations")):
        image = _read_field(path, "annotations", number, note, "image_id", int)
        if image not in names:
            raise readers.file_error(path, f"annotations[{number}]", f"there is no image {image}")
        caption = _read_field(path, "annotations", number, note, "caption", str)
        with readers.add_location(path, f"annotations[{number}]"):
            queries.append(build_caption_query(finder, names[image], caption))
    return queries


def read_flickr(path: Path, finder: FileFinder, split: str | None) -> list[KnownQuery]:
    """Reads Karpathy's `dataset_flickr30k.json`, or a caption a line: `.token`, `.txt`, `.csv`.

    Raises ConfigError.
    """
    if path.suffix.lower() == ".json":
        return _select_split(path, readers.read_document(path), finder, split)
    readers.refuse_split(path, split)
    queries = []
    for number, name, caption in _read_lines(path):
        with readers.add_location(path, number):
            queries.append(build_caption_query(finder, name, caption))
    return queries


def _read_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    first = next((text for _, text in readers.read_lines(path)), "")
    if [name.strip() for name in first.split(",")] == list(COMMA_COLUMNS):
        for number, row in readers.read_table(path, columns=COMMA_COLUMNS):
            yield number, row["image"], row["caption"]
        return
    for number, text in readers.read_lines(path):
        if not text.strip() or (number == 1 and text.startswith(BARRED_HEADER)):
            continue
        match = TOKEN.fullmatch(text) or BARRED.fullmatch(text)
        if match is None:
            raise readers.file_error(path, number, "is no name of a photograph with its caption")
        yield number, match["name"].strip(), match["caption"]


def is_caption_line(text: str) -> bool:
    """Tests if a line holds a caption, or the header of a file with a caption a line."""
    columns = [name.strip() for name in text.split(",")]
    return (
        columns == list(COMMA_COLUMNS)
        or text.startswith(BARRED_HEADER)
        or TOKEN.fullmatch(text) is not None
    )


def _has_sentences(document: object) -> bool:
    images = document.get("images") if isinstance(document, dict) else None
    first = images[0] if isinstance(images, list) and images else None
    return isinstance(first, dict) and "sentences" in first


def _select_split(
    path: Path, document: object, finder: FileFinder, split: str | None
) -> list[KnownQuery]:
    """Selects one split of images with sentences (Karpathy and Fei-Fei, CVPR 2015)."""
    images = list(_read_objects(path, document, "images"))
    splits = sorted({str(image.get("split", "")) for image in images} - {""})
    selected = split or (TEST if TEST in splits else readers.EVERY_SPLIT)
    if selected not in (*splits, readers.EVERY_SPLIT):
        choices = ", ".join([*splits, readers.EVERY_SPLIT])
        raise ConfigError(f"{path}: there is no split {selected!r}: it can be {choices}")
    queries = []
    for number, image in enumerate(images):
        if selected in (readers.EVERY_SPLIT, image.get("split")):
            name = _read_field(path, "images", number, image, "filename", str)
            for sentence in _read_objects(path, image, "sentences"):
                caption = _read_field(path, "images", number, sentence, "raw", str)
                with readers.add_location(path, f"images[{number}]"):
                    queries.append(build_caption_query(finder, name, caption))
    return queries


def _read_objects(path: Path, parent: object, name: str) -> Iterator[dict[str, Any]]:
    rows = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(rows, list):
        raise readers.file_error(path, None, f'there is no list "{name}"')
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise readers.file_error(path, f"{name}[{number}]", "is no object")
        yield row


def _read_field(
    path: Path, place: str, number: int, row: dict[str, Any], name: str, kind: type
) -> Any:
    field = row.get(name)
    if not isinstance(field, kind) or isinstance(field, bool):
        fault = f'"{name}" is missing, or is no {"number" if kind is int else "text"}'
        raise readers.file_error(path, f"{place}[{number}]", fault)
    return field
