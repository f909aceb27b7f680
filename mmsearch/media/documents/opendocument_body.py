"""Turns the XML of an OpenDocument body into lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mmsearch.media.base import Limits
from mmsearch.media.documents.sheet_rows import SheetCell, SheetRows
from mmsearch.media.texts.markup import MarkupEvent
from mmsearch.media.texts.paragraph_splitter import PASSAGE_CHARS

# Elements whose text is a line of its own: paragraphs, and the names of pictures and of authors.
_LINES = frozenset({"p", "h", "title", "desc", "creator", "header-decl", "footer-decl"})
_SKIPPED = frozenset(
    {"tracked-changes", "content-validations", "meta", "note-citation", "creator-initials"}
)
_CELLS = frozenset({"table-cell", "covered-table-cell"})
_PAGED = {"spreadsheet": "table", "presentation": "page", "drawing": "page"}
_KINDS = frozenset({*_PAGED, "text", "chart"})
_MARKS = {"tab": "\t", "line-break": "\n"}
# Fields of headers that LibreOffice writes by itself.
_HEADER_FIELDS = frozenset({"page-number", "page-count", "sheet-name", "date", "time", "file-name"})
_SPACE = re.compile(r"[ \t\r\n]+")
_MAX_SPACES = 100
# A value that is repeated over more columns fills a row and is no data.
_MAX_REPEATS = 64
_MAX_COLUMNS = 16_384
_MAX_LINKS = 1000
_MAX_INLINE_CHARS = 64 * 1024**2


class PageLine(NamedTuple):
    """A line of text, and its sheet or slide from 1; None in a text, which has no pages."""

    page: int | None
    text: str


class BodyReader:
    """Reads the body of a document, or with `is_styles` its headers and footers.

    `pictures` and `objects` are members that it refers to, `inline_pictures` are base64, each with
    its page. `page` is the last page; `is_cut` tells that there are more than `limits.pages`.
    """

    def __init__(self, limits: Limits, *, is_styles: bool = False) -> None:
        self.page: int | None = None
        self.is_cut = False
        self.pictures: list[tuple[int | None, str]] = []
        self.objects: list[tuple[int | None, str]] = []
        self.inline_pictures: list[tuple[int | None, str]] = []
        self._max_pages = limits.pages
        # A paragraph or row of more characters passes the limit of the document, which is noted.
        self._max_chars = limits.text_chars + PASSAGE_CHARS
        self._held_chars = 0
        self._dropped = _SKIPPED | ({"body", *_HEADER_FIELDS} if is_styles else {"master-styles"})
        self._kind = ""
        self._skipped = self._tables = self._rows = self._annotations = 0
        # Open paragraphs: their words, and the position of their line among those pending.
        self._open: list[tuple[list[str], int]] = []
        self._pending: list[str] = []
        self._cell: list[str] | None = None
        self._row: dict[int, SheetCell] = {}
        self._column = self._repeats = 0
        self._is_number = False
        self._sheet = SheetRows()
        self._inline: list[str] | None = None
        self._inline_chars = 0

    def read(self, events: Iterable[MarkupEvent]) -> Iterator[PageLine]:
        """Yields the lines of the document in order."""
        for event in events:
            kind, name, _ = event.kind, event.value, event.attributes
            if kind == "text":
                self._take_text(name)
                continue
            if name in self._dropped or name.endswith("-source"):
                self._skipped += 1 if kind == "start" else -1
            elif not self._skipped and kind == "start":
                self._start(name, event)
                if self.is_cut:
                    return
            elif not self._skipped:
                self._end(name)
            if self._pending and not self._open and not self._rows:
                yield from (PageLine(self.page, line + "\n") for line in self._pending)
                self._pending.clear()
            if not self._open and not self._rows:
                self._held_chars = 0

    def _take_text(self, text: str) -> None:
        if self._inline is not None:
            self._inline_chars += len(text)
            if self._inline_chars <= _MAX_INLINE_CHARS:
                self._inline.append(text)
        elif self._open and not self._skipped:
            room = max(0, self._max_chars - self._held_chars)
            self._held_chars += len(text)
            self._open[-1][0].append(_SPACE.sub(" ", text[:room]))

    def _start(self, name: str, event: MarkupEvent) -> None:
        attributes = event.attributes
        if name in _LINES or name == "annotation":
            self._open.append(([], len(self._pending)))
            self._annotations += name == "annotation"
        elif name == "s":
            self._add(" " * _parse_count(attributes.get("c"), _MAX_SPACES))
        elif name in _MARKS:
            self._add(_MARKS[name])
        elif name in _KINDS and not self._kind:
            self._kind = name
            self.page = 1 if name in _PAGED else None
            self._page_count = 0
        elif name == "table-row":
            self._rows += 1
            if self._rows == 1:
                self._row, self._column = {}, 0
        elif name in _CELLS and self._rows == 1:
            self._cell = []
            self._repeats = _parse_count(attributes.get("number-columns-repeated"), _MAX_COLUMNS)
            self._is_number = attributes.get("value-type", "string") != "string"
        elif name == "binary-data":
            self._inline = []
        elif name in ("image", "object") and "href" in attributes:
            links = self.pictures if name == "image" else self.objects
            if len(links) < _MAX_LINKS:
                links.append((self.page, attributes["href"]))
        if name == _PAGED.get(self._kind) and not self._tables:
            self._begin_page(attributes.get("name", ""))
        self._tables += name == "table"

    def _begin_page(self, name: str) -> None:
        self._page_count += 1
        self.is_cut = self._page_count > self._max_pages
        if self.is_cut:
            return
        self.page = self._page_count
        self._sheet = SheetRows()
        # Slides are named "page1" unless their author named them.
        if name and not (self._kind != "spreadsheet" and name[-1:].isdigit()):
            self._pending.append(name)

    def _end(self, name: str) -> None:
        self._tables -= name == "table"
        if name == "annotation" and self._open:
            self._annotations -= 1
            self._open.pop()
        elif name in _LINES and self._open:
            words, at = self._open.pop()
            line = "".join(words).strip()
            if self._cell is not None and not self._annotations:
                self._cell.append(line)
            elif line:
                self._pending.insert(at, line)
        elif name in _CELLS and self._rows == 1 and self._cell is not None:
            cell = SheetCell("\n".join(self._cell).strip(), not self._is_number)
            if cell.text:
                for column in range(self._column, self._column + min(self._repeats, _MAX_REPEATS)):
                    self._row[column] = cell
            self._column = min(self._column + self._repeats, _MAX_COLUMNS)
            self._cell = None
        elif name == "table-row":
            self._rows -= 1
            if self._rows == 0 and (line := self._format_row()):
                self._pending.insert(0, line)
        elif name == "binary-data" and self._inline is not None:
            if self._inline_chars <= _MAX_INLINE_CHARS and len(self.inline_pictures) < _MAX_LINKS:
                self.inline_pictures.append((self.page, "".join(self._inline)))
            self._inline = None

    def _format_row(self) -> str:
        if self._kind == "spreadsheet":
            return (self._sheet.format(self._row) or "").rstrip("\n")
        return " | ".join(" ".join(cell.text.split()) for cell in self._row.values())

    def _add(self, text: str) -> None:
        if self._open:
            self._open[-1][0].append(text)


def _parse_count(text: str | None, limit: int) -> int:
    """Returns a repetition of an attribute, 1 if there is none."""
    return min(int(text), limit) if text and text.isascii() and text.isdigit() else 1
