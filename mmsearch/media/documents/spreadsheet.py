"""Reads Excel workbooks (Office Open XML) sheet by sheet, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_archive import DocumentArchive
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.documents.office_package import (
    find_main_part,
    find_related,
    read_drawing,
    read_drawn_lines,
    read_properties,
)
from mmsearch.media.documents.sheet_rows import SheetRows
from mmsearch.media.documents.workbook import (
    CellDecoder,
    WorkbookSheet,
    find_sheets,
    read_formats,
    read_rows,
    read_sheets,
    read_strings,
)
from mmsearch.types import Modality, OmissionCause

_WORKBOOK = "xl/workbook.xml"
_COPY_OF_THREAD = "[Threaded comment]"


class SpreadsheetLoader:
    """XLSX, XLSM, XLTX: sheets as pages, rows as "header: value" lines, hidden ones too.

    Numbers and dates are as shown. Comments, text boxes, charts and page headers follow the rows.
    """

    name = "spreadsheet"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, passages and larger pictures of each sheet, and what was left out."""
        with DocumentArchive(path, options.limits) as archive:
            text = DocumentText(path, options.limits, "sheet")
            workbook = find_main_part(archive, _WORKBOOK)
            decoder = CellDecoder()
            named = text.guard(read_sheets(archive.parse(workbook), decoder), "the list of sheets")
            sheets = find_sheets(archive, workbook, named)
            yield Described(Modality.TEXT, read_properties(archive, "xlsx", len(sheets)))
            for part in find_related(archive, workbook, "styles"):
                formats = text.guard(read_formats(archive.parse(part)), "the formats of numbers")
                decoder.formats.extend(formats)
            for part in find_related(archive, workbook, "sharedStrings"):
                _read_shared_strings(archive, part, decoder, text)
            pictures = EmbeddedPictures(options, text)
            for at in text.limit_pages(len(sheets)):
                if not text.is_full:
                    lines = _read_sheet(archive, sheets[at], decoder, text)
                    yield from text.split(lines, at + 1)
                for drawing in find_related(archive, sheets[at].part, "drawing"):
                    for name in find_related(archive, drawing, "image"):
                        yield from pictures.load_member(archive, name, at + 1)
            yield from text.finish()


def _read_shared_strings(
    archive: DocumentArchive, part: str, decoder: CellDecoder, text: DocumentText
) -> None:
    # More than can be shown would only take memory.
    max_chars = text.limits.text_chars * 2
    strings = read_strings(archive.parse(part), decoder, max_chars)
    decoder.strings.extend(text.guard(strings, "the texts of cells"))
    if not decoder.has_all_strings:
        detail = "a part of the texts of cells"
        limit = text.limits.text_chars
        text.note(OmissionCause.LIMIT, detail, name="text_chars", value=limit)


def _read_sheet(
    archive: DocumentArchive, sheet: WorkbookSheet, decoder: CellDecoder, text: DocumentText
) -> Iterator[str]:
    part_name = f"the sheet {sheet.name}".strip()
    if sheet.name:
        yield sheet.name + "\n"
    headers: list[str] = []
    rows, formatter = read_rows(archive.parse(sheet.part), decoder, headers), SheetRows()
    for row in text.guard(rows, part_name):
        line = formatter.format(row)
        if line is not None:
            yield line
    yield from (header + "\n" for header in headers)
    threads = find_related(archive, sheet.part, "threadedComment")
    for part in chain(threads, find_related(archive, sheet.part, "comments")):
        for line in text.guard(read_drawn_lines(archive.parse(part)), f"comments of {part_name}"):
            if not (threads and line.startswith(_COPY_OF_THREAD)):
                yield line
    for drawing in find_related(archive, sheet.part, "drawing"):
        yield from text.guard(read_drawing(archive, drawing), f"drawings of {part_name}")
