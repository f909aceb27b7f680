"""Reads what an OpenDocument says about itself: its kind, title, author and number of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mmsearch.media.documents.document_archive import READ_ERRORS, DocumentArchive
from mmsearch.media.strings import clean
from mmsearch.media.texts.markup import MarkupEvent
from mmsearch.types import Metadata

_FORMATS = {"text": "odt", "spreadsheet": "ods", "presentation": "odp", "drawing": "odg"}
_FIELDS = frozenset(
    {"title", "subject", "description", "initial-creator", "creator", "language", "keyword"}
)
_PAGES = {"spreadsheet": "table", "presentation": "page", "drawing": "page"}
_COUNTS = {"text": "page-count", "spreadsheet": "table-count"}
_MAX_KEYWORDS = 100
_MAX_FIELD_CHARS = 10_000

_Parse = Callable[[str], Iterator[MarkupEvent]]


def is_encrypted(archive: DocumentArchive) -> bool:
    """Tests if the manifest of a document says that its content needs a password."""
    if "encrypted-package" in archive:
        return True
    manifest = "META-INF/manifest.xml"
    entry = ""
    try:
        for event in archive.parse(manifest) if manifest in archive else ():
            if event.kind == "start" and event.value == "file-entry":
                entry = event.attributes.get("full-path", "")
            elif event.kind == "start" and event.value == "encryption-data":
                return entry in ("content.xml", "encrypted-package")
    except READ_ERRORS:
        pass  # the content decides
    return False


def detect_kind(parse: _Parse) -> str:
    """Returns "text", "spreadsheet", "presentation" or "drawing"; "" without a body."""
    in_body = False
    try:
        for event in parse("content.xml"):
            if event.kind == "start" and in_body:
                return event.value
            in_body = in_body or (event.kind == "start" and event.value == "body")
    except READ_ERRORS:
        pass  # it breaks off before its body
    return ""


def read_metadata(parse: _Parse, kind: str) -> Metadata:
    """Reads title, author and the like, up to the first fault.

    Counts the sheets or slides if the document does not state their number.
    """
    fields: dict[str, str] = {}
    keywords: list[str] = []
    page_count: int | None = None
    inside = ""
    try:
        for event in parse("meta.xml"):
            if event.kind == "start":
                if event.value == "body":
                    break
                inside = event.value if event.value in _FIELDS else ""
                if event.value == "keyword" and len(keywords) < _MAX_KEYWORDS:
                    keywords.append("")
                count = event.attributes.get(_COUNTS.get(kind, ""), "")
                if event.value == "document-statistic" and count.isdecimal():
                    page_count = int(count[:9])
            elif event.kind == "end":
                inside = ""
            elif inside == "keyword":
                keywords[-1] += event.value[:_MAX_FIELD_CHARS]
            elif inside:
                fields[inside] = (fields.get(inside, "") + event.value)[:_MAX_FIELD_CHARS]
    except READ_ERRORS:
        pass  # the fields before the fault are valid
    if page_count is None and kind in _PAGES:
        page_count = _count_pages(parse, kind)
    return Metadata(
        format=_FORMATS.get(kind, "opendocument"),
        page_count=page_count,
        title=clean(fields.get("title")),
        artist=clean(fields.get("initial-creator") or fields.get("creator")),
        description=clean(fields.get("description") or fields.get("subject")),
        language=clean(fields.get("language"), max_chars=20),
        keywords=tuple(dict.fromkeys(word for each in keywords if (word := clean(each)))),
    )


def _count_pages(parse: _Parse, kind: str) -> int:
    """Counts the sheets or slides up to the first fault; tables of slides do not count."""
    count = depth = 0
    try:
        for event in parse("content.xml"):
            if event.kind == "start" and (depth or event.value == kind):
                count += depth == 1 and event.value == _PAGES[kind]
                depth += 1
            elif event.kind == "end" and depth:
                depth -= 1
                if not depth:
                    break
    except READ_ERRORS:
        pass
    return count
