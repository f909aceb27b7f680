"""Photographs with captions: the annotations of COCO, of Flickr8k and of Flickr30k.

Every caption is a query that its own photograph answers, among all photographs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsearch.errors import ConfigError
from mmsearch.evaluation import readers
from mmsearch.evaluation.file_lookup import Finder
from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.types import Modality

KINDS = (Modality.IMAGE.value,)
TEST = "test"
# 1000092795.jpg#0<TAB>caption; 1000092795.jpg| 0| caption, where one row of the file that is
# passed around lacks its second bar.
TOKEN = re.compile(r"(?P<name>[^\t#]+)#\d+\t(?P<caption>.*)")
BARRED = re.compile(r"(?P<name>[^|]+)\|\s*\d+\s*\|?(?P<caption>.*)")
BARRED_HEADER = "image_name|"
COMMA_COLUMNS = ("image", "caption")


def captioned(finder: Finder, name: str, caption: object) -> KnownQuery:
    """One caption of one photograph; raises ValueError, and ConfigError for a name."""
    return KnownQuery(readers.query(caption), frozenset([finder.named(name)]), KINDS)


def coco(path: Path, finder: Finder, split: str | None) -> list[KnownQuery]:
    """`captions_val2017.json`: images with a file name, and annotations with a caption each.

    The splits of Karpathy are read too. Raises ConfigError.
    """
    told = readers.document(path)
    if _has_sentences(told):
        return _split(path, told, finder, split)
    readers.refuse_split(path, split)
    names: dict[int, str] = {}
    for number, image in enumerate(_objects(path, told, "images")):
        names[_field(path, "images", number, image, "id", int)] = _field(
            path, "images", number, image, "file_name", str
        )
    known = []
    for number, note in enumerate(_objects(path, told, "annotations")):
        image = _field(path, "annotations", number, note, "image_id", int)
        if image not in names:
            raise readers.trouble(path, f"annotations[{number}]", f"there is no image {image}")
        caption = _field(path, "annotations", number, note, "caption", str)
        with readers.placed(path, f"annotations[{number}]"):
            known.append(captioned(finder, names[image], caption))
    return known


def flickr(path: Path, finder: Finder, split: str | None) -> list[KnownQuery]:
    """Karpathy's `dataset_flickr30k.json`, or captions a line: `.token`, `captions.txt`, `.csv`.

    Raises ConfigError.
    """
    if path.suffix.lower() == ".json":
        return _split(path, readers.document(path), finder, split)
    readers.refuse_split(path, split)
    known = []
    for number, name, caption in _lines(path):
        with readers.placed(path, number):
            known.append(captioned(finder, name, caption))
    return known


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    first = next((text for _, text in readers.lines(path)), "")
    if [name.strip() for name in first.split(",")] == list(COMMA_COLUMNS):
        for number, row in readers.table(path, columns=COMMA_COLUMNS):
            yield number, row["image"], row["caption"]
        return
    for number, text in readers.lines(path):
        if not text.strip() or (number == 1 and text.startswith(BARRED_HEADER)):
            continue
        found = TOKEN.fullmatch(text) or BARRED.fullmatch(text)
        if found is None:
            raise readers.trouble(path, number, "is no name of a photograph with its caption")
        yield number, found["name"].strip(), found["caption"]


def is_line(text: str) -> bool:
    """Whether a file that begins so has captions a line."""
    columns = [name.strip() for name in text.split(",")]
    return (
        columns == list(COMMA_COLUMNS)
        or text.startswith(BARRED_HEADER)
        or TOKEN.fullmatch(text) is not None
    )


def _has_sentences(told: object) -> bool:
    images = told.get("images") if isinstance(told, dict) else None
    first = images[0] if isinstance(images, list) and images else None
    return isinstance(first, dict) and "sentences" in first


def _split(path: Path, told: object, finder: Finder, split: str | None) -> list[KnownQuery]:
    """The splits of Karpathy and Fei-Fei (CVPR 2015): images with sentences and a split."""
    images = list(_objects(path, told, "images"))
    splits = sorted({str(image.get("split", "")) for image in images} - {""})
    wanted = split or (TEST if TEST in splits else readers.EVERY_SPLIT)
    if wanted not in (*splits, readers.EVERY_SPLIT):
        there = ", ".join([*splits, readers.EVERY_SPLIT])
        raise ConfigError(f"{path}: there is no split {wanted!r}: it can be {there}")
    known = []
    for number, image in enumerate(images):
        if wanted in (readers.EVERY_SPLIT, image.get("split")):
            name = _field(path, "images", number, image, "filename", str)
            for sentence in _objects(path, image, "sentences"):
                caption = _field(path, "images", number, sentence, "raw", str)
                with readers.placed(path, f"images[{number}]"):
                    known.append(captioned(finder, name, caption))
    return known


def _objects(path: Path, told: object, name: str) -> Iterator[dict[str, Any]]:
    listed = told.get(name) if isinstance(told, dict) else None
    if not isinstance(listed, list):
        raise readers.trouble(path, None, f'there is no list "{name}"')
    for number, one in enumerate(listed):
        if not isinstance(one, dict):
            raise readers.trouble(path, f"{name}[{number}]", "is no object")
        yield one


def _field(path: Path, place: str, number: int, row: dict[str, Any], name: str, kind: type) -> Any:
    found = row.get(name)
    if not isinstance(found, kind) or isinstance(found, bool):
        what = f'"{name}" is missing, or is no {_NAMES[kind]}'
        raise readers.trouble(path, f"{place}[{number}]", what)
    return found


_NAMES = {int: "number", str: "text"}
