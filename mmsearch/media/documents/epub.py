"""Reads EPUB books, chapter by chapter."""

from __future__ import annotations

import codecs
import html
import io
import posixpath
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_archive import READ_ERRORS, DocumentArchive
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.documents.epub_package import find_encrypted, read_package
from mmsearch.media.documents.office_parts import resolve_target
from mmsearch.media.texts.encoding import read_text
from mmsearch.media.texts.html import extract_lines
from mmsearch.types import Modality, OmissionCause

_MAX_CHAPTER_BYTES = 16 * 1024**2
# The tree of a page takes some fifty times its size: long ones are read in parts.
_PART_CHARS = 2 * 1024**2
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp")
_MAX_PICTURES = 1000
_ENCODING = re.compile(rb"\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]{2,40})")
# XML has empty elements where HTML waits for their end, and would drop all that follows.
_EMPTY = re.compile(
    r"<(title|script|style|textarea|iframe|noscript|template|object|a|p|div|span)"
    r"((?:\s[^<>]{0,2000}?)?)/>",
    re.IGNORECASE,
)
_PICTURE = re.compile(
    r"<(?:svg:)?(?:img|image)\s(?:[^<>]{0,2000}?\s)?(?:xlink:href|href|src)\s*=\s*"
    r"(?:\"([^\"<>]{1,1000})\"|'([^'<>]{1,1000})')",
    re.IGNORECASE,
)


class EpubLoader:
    """EPUB 2 and 3: the chapters in reading order as pages, and their larger pictures."""

    name = "epub"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, passages and pictures; raises DecodeError for a book with DRM."""
        with DocumentArchive(path, options.limits) as archive:
            package, encrypted = read_package(archive), find_encrypted(archive)
            chapters = package.chapters
            if chapters and encrypted.issuperset(chapters):
                reason = "the book is encrypted by its seller (DRM): index a copy without it"
                raise DecodeError(path, reason)
            if not chapters:
                raise DecodeError(path, "broken book: there are no chapters in it")
            yield Described(Modality.TEXT, package.make_metadata())
            text = DocumentText(path, options.limits, "chapter")
            pictures = EmbeddedPictures(options, text)
            if package.cover and package.cover not in encrypted:
                yield from pictures.load_member(archive, package.cover, None)
            for at in text.limit_pages(len(chapters)):
                if text.is_full:
                    break
                name, page = chapters[at], at + 1
                names: list[str] = []
                if name.lower().endswith(_PICTURE_SUFFIXES):
                    names.append(name)
                else:
                    if name in encrypted:
                        text.note(OmissionCause.ENCRYPTED, f"chapter {page} is encrypted")
                        continue
                    sources = text.guard(
                        _read_chapter(archive, name, page, text), f"chapter {page}"
                    )
                    yield from text.split(_read_lines(sources, name, names), page)
                for each in names:
                    if each not in encrypted:
                        yield from pictures.load_member(archive, each, page)
            yield from text.finish()


def _read_chapter(
    archive: DocumentArchive, name: str, page: int, text: DocumentText
) -> Iterator[str]:
    """Yields the HTML of a chapter in parts; as far as it goes if it is damaged."""
    data = bytearray()
    try:
        for block in archive.read_blocks(name):
            data += block
            if len(data) > _MAX_CHAPTER_BYTES:
                detail = f"chapter {page}: what comes after {_MAX_CHAPTER_BYTES:,} bytes"
                text.note(OmissionCause.LIMIT, detail)
                break
    except READ_ERRORS:
        yield from _split_source(_decode(bytes(data)))
        raise
    yield from _split_source(_decode(bytes(data)))


def _split_source(source: str) -> Iterator[str]:
    """Yields HTML in parts that end with a paragraph or at least with a tag."""
    at = 0
    while len(source) - at > _PART_CHARS:
        middle, limit = at + _PART_CHARS // 2, at + _PART_CHARS
        ends = (source.rfind(mark, middle, limit) + len(mark) for mark in ("</p>", "</div>", ">"))
        end = next((end for end in ends if end > middle), limit)
        yield source[at:end]
        at = end
    yield source[at:]


def _decode(data: bytes) -> str:
    match = _ENCODING.match(data)
    if match is not None:
        try:
            return codecs.decode(data, match[1].decode("ascii"), "replace")
        except (LookupError, ValueError, TypeError):
            pass  # the encoding is guessed
    return "".join(read_text(io.BytesIO(data), is_markup=True))


def _read_lines(sources: Iterable[str], name: str, pictures: list[str]) -> Iterator[str]:
    """Yields the lines of a chapter; adds the names of its pictures."""
    for source in sources:
        for match in islice(_PICTURE.finditer(source), _MAX_PICTURES):
            target = html.unescape(match[1] or match[2])
            pictures.append(resolve_target(posixpath.dirname(name), target))
        yield from extract_lines(_EMPTY.sub(r"<\1\2></\1>", source))
