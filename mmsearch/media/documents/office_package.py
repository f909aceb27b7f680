"""Reads what all parts of Office packages have in common: properties, paragraphs, pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from mmsearch.media.documents.document_archive import READ_ERRORS, DocumentArchive
from mmsearch.media.strings import clean
from mmsearch.media.texts.markup import MarkupEvent, extract_fields
from mmsearch.types import Metadata

_PROPERTIES = "docProps/core.xml"
_MAX_PROPERTIES_BYTES = 1024**2
_MAX_KEYWORDS = 100
_MAX_NAMES = 1000
_MAX_HELD_CHARS = 1 << 20
_FIELDS = ("title", "creator", "description", "subject", "language", "keywords")


def read_properties(archive: DocumentArchive, format_name: str, page_count: int) -> Metadata:
    """Reads title, author and the like of an Office package, up to the first fault."""
    related = archive.read_relationships("")
    names = [each.target for each in related if each.kind == "core-properties"]
    fields: dict[str, str] = {}
    try:
        part = archive.read_start(names[0] if names else _PROPERTIES, _MAX_PROPERTIES_BYTES)
        fields = extract_fields([part], _FIELDS)
    except READ_ERRORS:
        pass  # a document without properties
    keywords = (clean(word) for word in fields.get("keywords", "").replace(";", ",").split(","))
    return Metadata(
        format=format_name,
        page_count=page_count,
        title=clean(fields.get("title")),
        artist=clean(fields.get("creator")),
        description=clean(fields.get("description") or fields.get("subject")),
        language=clean(fields.get("language"), max_chars=20),
        keywords=tuple(dict.fromkeys(word for word in keywords if word))[:_MAX_KEYWORDS],
    )


def find_main_part(archive: DocumentArchive, default: str) -> str:
    """Returns the name of the main part of a package, `default` if it is not stated."""
    related = archive.read_relationships("")
    targets = (each.target for each in related if each.kind == "officeDocument")
    return next((target for target in targets if target in archive), default)


def find_related(archive: DocumentArchive, part: str, *kinds: str) -> list[str]:
    """Returns the names of the parts of these kinds that `part` refers to, in its order."""
    related = archive.read_relationships(part)
    return [each.target for each in related if each.kind in kinds and each.target in archive]


def read_drawn_lines(events: Iterable[MarkupEvent]) -> Iterator[str]:
    """Yields the paragraphs and table rows of DrawingML: slides, notes, charts, diagrams.

    Alternative content for older readers, fields with the number of a slide, and the placeholders
    of headers are left out.
    """
    words: list[str] = []
    cells: list[str] = []
    skipped = tables = held_chars = 0
    is_text = is_field = False
    placeholder = ""
    for event in events:
        kind, name = event.kind, event.value
        if kind == "text":
            if is_text and not skipped and not is_field and placeholder != "sldNum":
                words.append(event.value)
                held_chars += len(event.value)
                if held_chars > _MAX_HELD_CHARS:
                    yield "".join(words)
                    words.clear()
                    held_chars = 0
        elif kind == "start":
            is_text = name in ("t", "text")
            if name == "Fallback":
                skipped += 1
            elif name == "fld":
                is_field = event.attributes.get("type") == "slidenum"
            elif name == "br":
                words.append("\n" if not tables else " ")
            elif name == "tab":
                words.append("\t")
            elif name == "sp":
                placeholder = ""
            elif name == "ph":
                placeholder = event.attributes.get("type", "")
            elif name == "tbl":
                tables += 1
            elif name == "cNvPr" and not skipped and (words_of := _find_description(event)):
                yield words_of + "\n"
        else:
            is_text = False
            if name == "Fallback":
                skipped -= 1
            elif name == "fld":
                is_field = False
            elif name == "tbl":
                tables -= 1
            elif name == "tc" and tables:
                cells.append(" ".join("".join(words).split()))
                words.clear()
            elif name == "tr" and tables:
                if any(cells):
                    yield " | ".join(cells).strip(" |") + "\n"
                cells.clear()
            elif name in ("p", "text"):
                if tables:
                    words.append(" ")
                    continue
                line = "".join(words).strip()
                words.clear()
                held_chars = 0
                if line:
                    yield line + "\n"


def read_drawing(archive: DocumentArchive, part: str) -> Iterator[str]:
    """Yields the lines of a slide or drawing, then those of its charts and diagrams."""
    yield from read_drawn_lines(archive.parse(part))
    for diagram in find_related(archive, part, "diagramData"):
        yield from read_drawn_lines(archive.parse(diagram))
    for chart in find_related(archive, part, "chart", "chartEx"):
        yield from read_drawn_lines(archive.parse(chart))
        yield from _read_chart_names(archive.parse(chart))


def _read_chart_names(events: Iterable[MarkupEvent]) -> Iterator[str]:
    """Yields the names of the series and categories of a chart, each once."""
    names: dict[str, None] = {}
    words: list[str] = []
    caches = 0
    is_value = False
    for event in events:
        if event.kind == "text":
            if is_value and caches and len(words) < _MAX_NAMES:
                words.append(event.value)
            continue
        is_value = event.kind == "start" and event.value == "v"
        if event.value == "strCache":
            caches += 1 if event.kind == "start" else -1
        elif event.kind == "end" and event.value == "v" and words:
            if len(names) < _MAX_NAMES:
                names["".join(words).strip()] = None
            words.clear()
    if names:
        yield ", ".join(filter(None, names)) + "\n"


def _find_description(event: MarkupEvent) -> str:
    """Returns the alternative text of a picture that is no name of a file."""
    text = " ".join(event.attributes.get("descr", "").split())
    return "" if " " not in text or posixpath.splitext(text)[1][1:].isalpha() else text
