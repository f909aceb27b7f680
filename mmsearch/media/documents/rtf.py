"""Reads RTF documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_archive import READ_ERRORS, UnpackedLimit
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.documents.rtf_reader import RtfReader
from mmsearch.media.strings import clean
from mmsearch.types import Metadata, Modality

_BLOCK_BYTES = 1 << 18
# Fonts, styles and the document information come before the text.
_HEAD_BYTES = 4 * 1024**2
_BYTES_PER_TOKEN = 128
_NO_DIGIT = re.compile(rb"[^0-9A-Fa-f]+")


class RtfLoader:
    """RTF: paragraphs, tables, notes, comments, headers and text boxes, in all code pages."""

    name = "rtf"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, passages, the larger pictures, and what was left out."""
        limits = options.limits
        with path.open("rb") as file:
            yield Described(Modality.TEXT, _read_metadata(file))
            file.seek(0)
            text = DocumentText(path, limits)
            reader = RtfReader(
                max_tokens=limits.text_bytes // _BYTES_PER_TOKEN,
                max_pictures=limits.picture_pages + 1,
            )
            blocks = _read_blocks(file, limits.text_bytes)
            yield from text.split(text.guard(reader.read(blocks), "the text"))
        pictures = EmbeddedPictures(options, text)
        for digits in reader.pictures:
            data = _NO_DIGIT.sub(b"", digits)
            yield from pictures.load(
                bytes.fromhex(data[: len(data) // 2 * 2].decode("ascii")), None
            )
        yield from text.finish()


def _read_metadata(file: BinaryIO) -> Metadata:
    reader = RtfReader(max_tokens=_HEAD_BYTES, max_pictures=0)
    with suppress(*READ_ERRORS):  # the fields before a fault are valid
        next(reader.read(_read_blocks(file, _HEAD_BYTES)), None)
    fields = reader.fields
    keywords = (clean(each) for each in re.split("[,;]", fields.get("keywords", "")))
    return Metadata(
        format="rtf",
        page_count=reader.page_count,
        title=clean(fields.get("title")),
        artist=clean(fields.get("author")),
        description=clean(fields.get("doccomm") or fields.get("subject")),
        keywords=tuple(dict.fromkeys(each for each in keywords if each)),
    )


def _read_blocks(file: BinaryIO, limit_bytes: int) -> Iterator[bytes]:
    left = limit_bytes
    while block := file.read(_BLOCK_BYTES):
        yield block[:left]
        left -= len(block)
        if left < 0:
            raise UnpackedLimit("too many bytes")
