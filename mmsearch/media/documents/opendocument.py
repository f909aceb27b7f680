"""Reads OpenDocument texts, sheets and slides, zipped or as flat XML."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, Limits, LoadOptions
from mmsearch.media.documents.document_archive import (
    DocumentArchive,
    ElementCounter,
    drop_document_type,
)
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.documents.office_parts import resolve_target
from mmsearch.media.documents.opendocument_body import BodyReader
from mmsearch.media.documents.opendocument_meta import detect_kind, is_encrypted, read_metadata
from mmsearch.media.texts.markup import MarkupEvent, parse_events
from mmsearch.types import Metadata, Modality, OmissionCause

_BLOCK_BYTES = 1 << 16
_MAX_OBJECTS = 200
_UNITS = {"spreadsheet": "sheet", "presentation": "slide"}

_Parse = Callable[[str], Iterator[MarkupEvent]]
"""Parses a member; of flat XML, the whole file."""


class OpenDocumentLoader:
    """ODT, ODS, ODP, ODG, their templates, and the flat FODT, FODS, FODP.

    Sheets and slides are pages. Notes, comments, headers and the words of charts are read too.
    """

    name = "opendocument"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, passages, the larger pictures, and what was left out."""
        kind, metadata = _describe(path, options.limits)
        yield Described(Modality.TEXT, metadata)
        with _open_archive(path, options.limits) as archive:
            yield from _read_document(path, kind, archive, options)


@contextmanager
def _open_archive(path: Path, limits: Limits) -> Iterator[DocumentArchive | None]:
    """Opens the zip of a document; None for flat XML."""
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if not is_zip:
        yield None
        return
    with DocumentArchive(path, limits) as archive:
        yield archive


def _make_parser(path: Path, archive: DocumentArchive | None, limits: Limits) -> _Parse:
    def parse_flat(_: str) -> Iterator[MarkupEvent]:
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(_BLOCK_BYTES), b"")
            yield from ElementCounter(limits).count(parse_events(drop_document_type(blocks)))

    return parse_flat if archive is None else archive.parse


def _describe(path: Path, limits: Limits) -> tuple[str, Metadata]:
    """Returns the kind of a document and its metadata; pages are counted by reading it once."""
    with _open_archive(path, limits) as archive:
        if archive is not None and is_encrypted(archive):
            raise DecodeError(path, "the document is encrypted: save it without a password")
        parse = _make_parser(path, archive, limits)
        kind = detect_kind(parse)
        return kind, read_metadata(parse, kind)


def _read_document(
    path: Path, kind: str, archive: DocumentArchive | None, options: LoadOptions
) -> Iterator[Content]:
    limits = options.limits
    parse = _make_parser(path, archive, limits)
    text = DocumentText(path, limits, _UNITS.get(kind, "page"))
    body = BodyReader(limits)
    lines = text.guard(body.read(parse("content.xml")), "the content")
    for page, group in groupby(lines, key=lambda line: line.page):
        yield from text.split((line.text for line in group), page)
        if text.is_full:
            break
    if body.is_cut:
        detail = f"{text.unit}s after the first {limits.pages:,}"
        text.note(OmissionCause.LIMIT, detail, name="pages", value=limits.pages)
    parts = [("styles.xml", body.page, "headers and footers")] if kind != "presentation" else []
    if archive is not None:
        objects = [(resolve_target("", href), page) for page, href in body.objects[:_MAX_OBJECTS]]
        parts += [(f"{name}/content.xml", page, "an embedded object") for name, page in objects]
        parts = [part for part in parts if part[0] in archive]
    for member, page, part in parts:
        if not text.is_full:
            reader = BodyReader(limits, is_styles=member == "styles.xml")
            lines = text.guard(reader.read(parse(member)), part)
            yield from text.split((line.text for line in lines), page)
    yield from _load_pictures(archive, body, EmbeddedPictures(options, text))
    yield from text.finish()


def _load_pictures(
    archive: DocumentArchive | None, body: BodyReader, pictures: EmbeddedPictures
) -> Iterator[Content]:
    for page, encoded in body.inline_pictures:
        try:
            data = base64.b64decode(encoded)
        except (binascii.Error, ValueError):
            continue
        yield from pictures.load(data, page)
    if archive is None:
        return
    for page, href in body.pictures:
        yield from pictures.load_member(archive, resolve_target("", href), page)
