"""Tells the kinds of documents that are zip files, by their members."""

from __future__ import annotations

from pathlib import Path

from mmsearch.errors import DecodeError, UnsupportedMedia
from mmsearch.media.base import Limits
from mmsearch.media.documents.document_archive import (
    MAX_DIRECTORY_BYTES,
    READ_ERRORS,
    DocumentArchive,
    read_directory_size,
)
from mmsearch.media.strings import split_words

_STARTS = split_words("[Content_Types] _rels/ docProps/ word/ xl/ ppt/ customXml mimetype META-INF")
# Archives that begin with anything else are seldom documents: only small ones are looked into.
_MAX_OTHER_DIRECTORY_BYTES = 1024**2
_MAX_MIMETYPE_BYTES = 200
_LOADERS_BY_MIMETYPE = (
    ("application/epub+zip", "epub"),
    ("application/vnd.oasis.opendocument.", "opendocument"),
    ("application/vnd.sun.xml.", "opendocument"),
)
_LOADERS_BY_MAIN_TYPE = (
    ("wordprocessingml", "docx"),
    ("ms-word", "docx"),
    ("presentationml", "presentation"),
    ("ms-powerpoint", "presentation"),
    ("spreadsheetml", "spreadsheet"),
    ("ms-excel", "spreadsheet"),
)
_LOADERS_BY_MEMBER = (
    ("word/document.xml", "docx"),
    ("ppt/presentation.xml", "presentation"),
    ("xl/workbook.xml", "spreadsheet"),
    ("META-INF/container.xml", "epub"),
)
_REFUSALS = (
    ("xl/workbook.bin", "binary Excel workbooks are not read: save it as XLSX"),
    ("visio/document.xml", "Visio drawings are not read: export it as PDF"),
    ("Index/Document.iwa", "Pages, Numbers and Keynote files are not read: export it as PDF"),
    ("AndroidManifest.xml", "an Android package"),
)


def detect_zip_loader(path: Path, head: bytes) -> str:
    """Returns the name of the loader of a zip file that begins with `head`.

    Raises UnsupportedMedia for an archive that is no document, DecodeError for a damaged one.
    """
    first_name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
    # A directory can have millions of entries.
    is_likely = first_name.startswith(_STARTS)
    limit_bytes = MAX_DIRECTORY_BYTES if is_likely else _MAX_OTHER_DIRECTORY_BYTES
    if read_directory_size(path) > limit_bytes:
        raise UnsupportedMedia(path, "a zip archive")
    try:
        with DocumentArchive(path, Limits()) as archive:
            loader = _detect_loader(archive)
            refusals = [reason for member, reason in _REFUSALS if member in archive]
    except DecodeError:
        if is_likely:
            raise
        raise UnsupportedMedia(path, "a zip archive") from None
    if loader is None:
        raise UnsupportedMedia(path, refusals[0] if refusals else "a zip archive")
    return loader


def _detect_loader(archive: DocumentArchive) -> str | None:
    mimetype = ""
    if "mimetype" in archive:
        try:
            data = archive.read_start("mimetype", _MAX_MIMETYPE_BYTES)
            mimetype = data.decode("ascii", "replace").strip().lower()
        except READ_ERRORS:
            pass  # the other members decide
    for start, name in _LOADERS_BY_MIMETYPE:
        if mimetype.startswith(start):
            return name
    for member, name in _LOADERS_BY_MEMBER:
        if member in archive:
            return name
    if "content.xml" in archive and ("META-INF/manifest.xml" in archive or "meta.xml" in archive):
        return "opendocument"
    main_type = archive.read_main_type()
    is_binary = "binary" in main_type
    names = (name for word, name in _LOADERS_BY_MAIN_TYPE if word in main_type and not is_binary)
    return next(names, None)
