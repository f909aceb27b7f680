"""Reads the text of Word documents (Office Open XML)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mmsearch.errors import MediaError
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_archive import DocumentArchive, UnpackedLimit
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.docx_body import format_lines
from mmsearch.media.documents.docx_chunks import MAX_BYTES, read_chunk_lines
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.documents.office_package import (
    find_main_part,
    find_related,
    read_drawn_lines,
    read_properties,
)
from mmsearch.types import Modality, OmissionCause

_BODY = "word/document.xml"
_OTHER_BODY = re.compile(r"(?:.*/)?document[^/]*\.xml", re.IGNORECASE)
# Parts beside the body in the order in which they are read, and their nouns.
_ASIDES = {
    "footnotes": "the footnotes",
    "endnotes": "the endnotes",
    "comments": "the comments",
    "header": "a header",
    "footer": "a footer",
    "diagramData": "a diagram",
    "chart": "a chart",
}
_DRAWINGS = frozenset({"diagramData", "chart"})
_MAX_ASIDES = 1000
_MAX_CHUNKS = 500
_MAX_DEPTH = 3


class DocxLoader:
    """DOCX, DOCM, DOTX: body, notes, comments, headers, text boxes, imported documents."""

    name = "docx"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, passages, the larger pictures, and what was left out.

        Raises DecodeError if nothing can be read.
        """
        with DocumentArchive(path, options.limits) as archive:
            metadata = replace(read_properties(archive, "docx", 0), page_count=None)
            yield Described(Modality.TEXT, metadata)
            text = DocumentText(path, options.limits, "part")
            reader = _DocxReader(text)
            yield from text.split(reader.read(archive))
            pictures = EmbeddedPictures(options, text)
            for part in reader.parts:
                for name in find_related(archive, part, "image"):
                    yield from pictures.load_member(archive, name, None)
            yield from text.finish()


class _DocxReader:
    """Reads one document and those that it imports; `parts` are the parts of the outer one."""

    def __init__(self, text: DocumentText) -> None:
        self._text = text
        self._depth = self._chunk_count = 0
        self.parts: list[str] = []

    def read(self, archive: DocumentArchive) -> Iterator[str]:
        """Yields the lines of the body and then of the parts beside it."""
        body = _find_body(archive)
        asides = _find_asides(archive, body)
        if not self._depth:
            self.parts = [body, *(part for _, part in asides)]
        yield from self._read_part(archive, body, "the text")
        # Sections repeat the headers of those before them.
        seen: set[str] = set()
        for kind, part in asides:
            if self._text.is_full:
                return
            if kind in _DRAWINGS:
                lines = self._text.guard(read_drawn_lines(archive.parse(part)), _ASIDES[kind])
            else:
                lines = self._read_part(archive, part, _ASIDES[kind])
            yield from _drop_repeated(lines, seen) if kind in ("header", "footer") else lines

    def _read_part(self, archive: DocumentArchive, part: str, noun: str) -> Iterator[str]:
        lines = format_lines(archive.parse(part), self._make_chunk_reader(archive, part))
        yield from self._text.guard(lines, noun)

    def _make_chunk_reader(
        self, archive: DocumentArchive, part: str
    ) -> Callable[[str], Iterator[str]]:
        targets = {
            each.id: each.target
            for each in archive.read_relationships(part)
            if each.kind == "aFChunk"
        }

        def read_chunk(id_: str) -> Iterator[str]:
            if id_ in targets:
                yield from self._read_chunk(archive, targets[id_])

        return read_chunk

    def _read_chunk(self, archive: DocumentArchive, name: str) -> Iterator[str]:
        self._chunk_count += 1
        if self._chunk_count > _MAX_CHUNKS or self._depth >= _MAX_DEPTH:
            self._text.note(OmissionCause.DAMAGED, "imported documents nest too deep")
            return
        noun = f"the imported document {posixpath.basename(name)}"
        self._depth += 1
        try:
            yield from self._text.guard(self._read_imported(archive, name), noun)
        except MediaError:  # a broken archive
            self._text.note(OmissionCause.DAMAGED, f"{noun} cannot be read")
        finally:
            self._depth -= 1

    def _read_imported(self, archive: DocumentArchive, name: str) -> Iterator[str]:
        if archive.read_start(name, 4).startswith(b"PK"):
            with archive.open_nested(name) as nested:
                yield from self.read(nested)
            return
        blocks: list[bytes] = []
        size_bytes = 0
        for block in archive.read_blocks(name):
            blocks.append(block)
            size_bytes += len(block)
            if size_bytes > MAX_BYTES:
                raise UnpackedLimit(f"{name} is too large")
        yield from read_chunk_lines(b"".join(blocks), name)


def _find_body(archive: DocumentArchive) -> str:
    names = filter(_OTHER_BODY.fullmatch, archive.list_names())
    return find_main_part(archive, _BODY if _BODY in archive else next(names, _BODY))


def _find_asides(archive: DocumentArchive, body: str) -> list[tuple[str, str]]:
    """Returns kind and name of the parts beside the body, those of one kind in a row."""
    if archive.read_relationships(body):
        found = [(kind, part) for kind in _ASIDES for part in find_related(archive, body, kind)]
    else:  # a damaged package
        folder = re.escape(posixpath.dirname(body))
        found = [
            (kind, name)
            for kind in _ASIDES
            for name in archive.list_names()
            if re.fullmatch(rf"{folder}/{kind}\d*\.xml", name)
        ]
    return list(dict.fromkeys(found))[:_MAX_ASIDES]


def _drop_repeated(lines: Iterable[str], seen: set[str]) -> Iterator[str]:
    for line in lines:
        if line not in seen:
            seen.add(line)
            yield line
