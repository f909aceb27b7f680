"""Reads the text of Word documents (Office Open XML)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.markup import MarkupError, MarkupEvent, extract_fields, parse_events
from mmsearch.media.paragraph_splitter import split_passages
from mmsearch.media.strings import clean
from mmsearch.types import Metadata, Modality

_BODY = "word/document.xml"
_PROPERTIES = "docProps/core.xml"
_MAX_PROPERTIES_BYTES = 1024**2
_BLOCK_BYTES = 1 << 16
# Fallback content for older readers, deleted text and field codes.
_SKIPPED = frozenset({"Fallback", "del", "instrText"})


class DocxLoader:
    """DOCX: paragraphs and headings as lines, rows of tables as lines of cells."""

    name = "docx"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then passages; raises DecodeError, or MediaTooLarge for zip bombs."""
        try:
            with zipfile.ZipFile(path) as archive:
                yield Described(Modality.TEXT, _read_metadata(archive))
                with archive.open(_BODY) as body:
                    blocks = _read_blocks(path, body, options.limits.text_bytes)
                    yield from split_passages(_format_lines(parse_events(blocks)), options.limits)
        except (zipfile.BadZipFile, KeyError, NotImplementedError, MarkupError) as exc:
            raise DecodeError(path, clean(f"broken document: {exc}") or "broken document") from exc
        except RuntimeError as exc:
            reason = "the document is encrypted: save it without a password"
            raise DecodeError(path, reason) from exc


def _read_metadata(archive: zipfile.ZipFile) -> Metadata:
    names = ("title", "creator", "description", "subject", "language")
    properties: dict[str, str] = {}
    if _PROPERTIES in archive.namelist():
        with archive.open(_PROPERTIES) as file:
            properties = extract_fields([file.read(_MAX_PROPERTIES_BYTES)], names)
    return Metadata(
        format="docx",
        title=clean(properties.get("title")),
        artist=clean(properties.get("creator")),
        description=clean(properties.get("description") or properties.get("subject")),
        language=clean(properties.get("language"), max_chars=20),
    )


def _read_blocks(path: Path, body: IO[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Yields blocks of the unpacked XML, counted, since the size in the directory may be false."""
    total = 0
    while block := body.read(_BLOCK_BYTES):
        total += len(block)
        if total > limit_bytes:
            raise MediaTooLarge(path, f"more than {limit_bytes} bytes of text when unpacked")
        yield block


def _format_lines(parsed: Iterator[MarkupEvent]) -> Iterator[str]:
    words: list[str] = []
    is_text = False
    skipped = cells = 0
    for event in parsed:
        name = event.value
        if event.kind == "text":
            if is_text and not skipped:
                words.append(name)
        elif event.kind == "start":
            skipped += name in _SKIPPED
            is_text = name == "t"
            if name == "tab":
                words.append("\t")
            elif name in ("br", "cr"):
                words.append("\n")
            elif name == "tc":
                cells += 1
        else:
            skipped -= name in _SKIPPED
            is_text = False
            if name == "tc":
                cells -= 1
                words.append(" | ")
            elif name == "p" and cells:
                words.append(" ")
            elif name == "p" or (name == "tr" and not cells):
                line = "".join(words).strip(" |\t") if name == "tr" else "".join(words).rstrip()
                words.clear()
                if line:
                    yield line + "\n"
    if words:
        yield "".join(words)
