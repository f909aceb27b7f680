"""Writes and reads the documents of the tests of document loaders."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mmsearch.media.base import Content, Described, Limits, Loader, LoadOptions, Passage, Picture
from mmsearch.types import Metadata, Modality, Omission


def write_zip(path: Path, members: Mapping[str, str | bytes]) -> Path:
    """Writes a zip file of these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def mark_encrypted(path: Path, member: str) -> Path:
    """Sets the flag of a password on one member of a zip file, wherever it is named."""
    data = bytearray(path.read_bytes())
    name = member.encode()
    at = data.find(name)
    while at >= 0:
        if data[at - 46 : at - 42] == b"PK\x01\x02":
            data[at - 38] |= 1
        elif data[at - 30 : at - 26] == b"PK\x03\x04":
            data[at - 24] |= 1
        at = data.find(name, at + 1)
    path.write_bytes(bytes(data))
    return path


def read_document(
    loader: Loader, path: Path, limits: Limits | None = None
) -> tuple[Metadata, list[Content]]:
    """Returns the metadata of a document, and its contents."""
    first, *rest = loader.load(path, LoadOptions(limits=limits or Limits()))
    assert isinstance(first, Described)
    assert first.modality is Modality.TEXT
    return first.metadata, rest


def lines_of(contents: list[Content]) -> list[tuple[int | None, str]]:
    """Returns the lines of the passages, each with its page."""
    return [
        (content.page, line)
        for content in contents
        if isinstance(content, Passage)
        for line in content.text.splitlines()
    ]


def omissions_of(contents: list[Content]) -> list[Omission]:
    """Returns the parts that were not read."""
    return [content for content in contents if isinstance(content, Omission)]


def picture_pages_of(contents: list[Content]) -> list[int | None]:
    """Returns the pages of the pictures."""
    return [content.place.page for content in contents if isinstance(content, Picture)]


def make_png(side: int, seed: int = 0) -> bytes:
    """Returns a square PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
