"""Reads the text of PDF files, page by page, with PDFium."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.paragraph_splitter import split_passages
from mmsearch.media.strings import clean
from mmsearch.types import Metadata, Modality

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

logger = logging.getLogger(__name__)

# PDFium marks a hyphen at the end of a line in these ways.
_HYPHEN = re.compile("[\x02\ufffe\xad][ \r\n]*\n?")
_ENDS = re.compile(r"\r\n?")


class PdfLoader:
    """PDF with text; a scan without text yields no passages."""

    name = "pdf"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then the passages of each page; raises DecodeError if encrypted."""
        with closing(_open_document(path)) as document:
            count = len(document)
            yield Described(Modality.TEXT, _read_metadata(document, count))
            limits = options.limits
            failed: Exception | None = None
            chars = read = 0
            for at in range(min(count, limits.pages)):
                try:
                    text = _read_page_text(document, at)
                except Exception as exc:  # an error of PDFium, or of ctypes
                    logger.debug("%s: page %d not read: %s", path, at + 1, exc)
                    failed = exc
                    continue
                read += 1
                remaining = replace(limits, text_chars=limits.text_chars - chars)
                yield from split_passages([text], remaining, page=at + 1)
                chars += len(text)
                if chars >= limits.text_chars:
                    return
            if failed is not None and not read:
                raise DecodeError(path, "no page of the PDF can be read") from failed


def _open_document(path: Path) -> PdfDocument:
    import pypdfium2
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as exc:
        if getattr(exc, "err_code", None) == FPDF_ERR_PASSWORD:
            raise DecodeError(path, "the PDF is encrypted: save it without a password") from exc
        raise DecodeError(path, clean(f"broken PDF: {exc}") or "broken PDF") from exc


def _read_metadata(document: PdfDocument, count: int) -> Metadata:
    values: dict[str, str | None] = {}
    for key in ("Title", "Author", "Subject"):
        try:
            values[key] = clean(document.get_metadata_value(key))
        except (ValueError, RuntimeError):
            values[key] = None
    return Metadata(
        format="pdf",
        page_count=count,
        title=values["Title"],
        artist=values["Author"],
        description=values["Subject"],
    )


def _read_page_text(document: PdfDocument, at: int) -> str:
    with closing(document[at]) as page, closing(page.get_textpage()) as words:
        text: str = words.get_text_bounded()
    return _HYPHEN.sub("", _ENDS.sub("\n", text)).replace("\0", " ")
