"""Reads the parts of Excel workbooks: sheets, shared strings, styles, rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mmsearch.media.documents.document_archive import DocumentArchive
from mmsearch.media.documents.number_format import BUILT_IN_FORMATS, format_number
from mmsearch.media.documents.sheet_rows import SheetCell
from mmsearch.media.texts.markup import MarkupEvent

_REFERENCE = re.compile(r"([A-Za-z]{1,3})\d*")
_SHEET_PART = re.compile(r"xl/worksheets/[^/]+\.xml")
_MAX_COLUMNS = 16_384
_MAX_FORMATS = 100_000
_MAX_STRINGS = 1_000_000
_MAX_CELL_CHARS = 32_767
_HEADERS = frozenset(
    f"{page}{part}" for page in ("odd", "even", "first") for part in ("Header", "Footer")
)
# Codes of headers: parts, fonts, sizes, colours and fields.
_HEADER_CODE = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{6}|\d+|[A-Za-z&])')


@dataclass(frozen=True, slots=True)
class WorkbookSheet:
    """The name of a sheet and of its part in the archive; "" if the part is missing."""

    name: str
    part: str


@dataclass(slots=True)
class CellDecoder:
    """Decodes the values of cells: shared strings, number formats and the epoch of dates.

    `has_all_strings` is False if there are more shared strings than may be kept.
    """

    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    is_1904: bool = False
    has_all_strings: bool = True

    def decode(self, kind: str, style: str, value: str) -> SheetCell:
        """Returns a cell of the type `kind` as it is shown."""
        if kind == "s":
            at = int(value) if value.isascii() and value.isdigit() else -1
            return SheetCell(self.strings[at] if 0 <= at < len(self.strings) else "", True)
        if kind in ("str", "inlineStr", "e"):
            return SheetCell(value[:_MAX_CELL_CHARS], True)
        if kind == "b":
            return SheetCell("TRUE" if value == "1" else "FALSE", False)
        if kind == "d":
            return SheetCell(value.removesuffix("T00:00:00").replace("T", " ")[:40], False)
        try:
            number = float(value)
            at = int(style) if style.isascii() and style.isdigit() else -1
            code = self.formats[at] if 0 <= at < len(self.formats) else "General"
            return SheetCell(format_number(number, code, is_1904=self.is_1904), False)
        except (ValueError, OverflowError):
            return SheetCell(value[:_MAX_CELL_CHARS], True)


def read_sheets(events: Iterable[MarkupEvent], decoder: CellDecoder) -> Iterator[tuple[str, str]]:
    """Yields name and relationship of all sheets, hidden ones too; sets the epoch of dates."""
    for event in events:
        if event.kind == "start" and event.value == "sheet":
            yield event.attributes.get("name", ""), event.attributes.get("id", "")
        elif event.kind == "start" and event.value == "workbookPr":
            decoder.is_1904 = event.attributes.get("date1904") in ("1", "true", "on")


def read_formats(events: Iterable[MarkupEvent]) -> Iterator[str]:
    """Yields the number format of each style of cells, in order."""
    own: dict[str, str] = {}
    in_cells = False
    count = 0
    for event in events:
        name, values = event.value, event.attributes
        if name == "cellXfs":
            in_cells = event.kind == "start"
        elif event.kind != "start" or count >= _MAX_FORMATS:
            continue
        elif name == "numFmt":
            own[values.get("numFmtId", "")] = values.get("formatCode", "")
        elif name == "xf" and in_cells:
            count += 1
            number = values.get("numFmtId", "0")
            built_in = BUILT_IN_FORMATS.get(int(number) if number.isdecimal() else 0, "General")
            yield own.get(number, built_in)


def read_strings(
    events: Iterable[MarkupEvent], decoder: CellDecoder, max_chars: int
) -> Iterator[str]:
    """Yields the shared strings, up to `max_chars` of them; tells `decoder` if there are more."""
    words: list[str] = []
    is_text = False
    readings = chars = count = chars_of_cell = 0
    for event in events:
        kind, name = event.kind, event.value
        if kind == "text":
            if is_text and not readings and chars_of_cell < _MAX_CELL_CHARS:
                words.append(name[:_MAX_CELL_CHARS])
                chars_of_cell += len(name)
        elif kind == "start":
            is_text = name == "t"
            readings += name == "rPh"
            chars_of_cell = 0 if name == "si" else chars_of_cell
        else:
            is_text = False
            readings -= name == "rPh"
            if name == "si":
                text = "".join(words)[:_MAX_CELL_CHARS]
                words.clear()
                chars += len(text)
                count += 1
                if chars > max_chars or count > _MAX_STRINGS:
                    decoder.has_all_strings = False
                    return
                yield text


def read_rows(
    events: Iterable[MarkupEvent], decoder: CellDecoder, headers: list[str]
) -> Iterator[dict[int, SheetCell]]:
    """Yields the filled cells of each row by their columns; adds the headers of printed pages."""
    row: dict[int, SheetCell] = {}
    words: list[str] = []
    kind_of_cell = style = ""
    column = -1
    is_value = False
    readings = chars_of_cell = 0
    for event in events:
        kind, name = event.kind, event.value
        if kind == "text":
            if is_value and not readings and chars_of_cell < _MAX_CELL_CHARS:
                words.append(name[:_MAX_CELL_CHARS])
                chars_of_cell += len(name)
        elif kind == "start":
            is_value = name in ("v", "t") or name in _HEADERS
            readings += name == "rPh"
            if name in _HEADERS or name == "c":
                words.clear()
                chars_of_cell = 0
            if name == "c":
                column = _parse_column(event.attributes.get("r", ""), column + 1)
                kind_of_cell = event.attributes.get("t", "n")
                style = event.attributes.get("s", "0")
            elif name == "row":
                row, column = {}, -1
        else:
            is_value = False
            readings -= name == "rPh"
            if name == "c" and words:
                cell = decoder.decode(kind_of_cell, style, "".join(words).strip())
                if cell.text and column < _MAX_COLUMNS:
                    row[column] = cell
                words.clear()
            elif name == "row":
                if row:
                    yield row
                row = {}
            elif name in _HEADERS:
                text = " ".join(_HEADER_CODE.sub(" ", "".join(words)).split())
                headers.extend([text] if any(map(str.isalnum, text)) else [])
                words.clear()
    if row:
        yield row


def _parse_column(reference: str, default: int) -> int:
    """Returns the column of a cell such as "AB12", from 0."""
    match = _REFERENCE.match(reference)
    if match is None:
        return default
    column = 0
    for letter in match[1].upper():
        column = column * 26 + ord(letter) - 64
    return column - 1


def find_sheets(
    archive: DocumentArchive, workbook: str, named: Iterable[tuple[str, str]]
) -> list[WorkbookSheet]:
    """Returns the named sheets with their parts; where none is named, all parts that are sheets."""
    parts = {each.id: each.target for each in archive.read_relationships(workbook)}
    sheets = [WorkbookSheet(name, parts.get(id_, "")) for name, id_ in named]
    if sheets:
        return sheets
    names = sorted(filter(_SHEET_PART.fullmatch, archive.list_names()), key=lambda n: (len(n), n))
    return [WorkbookSheet("", name) for name in names]
