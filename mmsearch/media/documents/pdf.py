"""Reads PDF files page by page with PDFium: text, notes, typed-in values, scans and pictures."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions, Picture
from mmsearch.media.documents import pdf_notes, pdf_page_pictures, pdf_pictures
from mmsearch.media.documents.pdf_page_pictures import (
    MAX_REGIONS,
    MIN_SEGMENTS,
    WHOLE_PAGE,
    PageSurvey,
)
from mmsearch.media.page_ranges import format_pages
from mmsearch.media.strings import clean
from mmsearch.media.texts.paragraph_splitter import split_passages
from mmsearch.types import Box, Metadata, Modality, Omission, OmissionCause

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

logger = logging.getLogger(__name__)

# PDFium marks a hyphen at the end of a line in these ways.
_HYPHEN = re.compile("[\x02\ufffe\xad][ \r\n]*\n?")
_ENDS = re.compile(r"\r\n?")
# The text of a page is judged by its beginning. With fewer letters than `_NO_TEXT` there is no
# text layer, with fewer than `_STAMP` it may be a stamp on a scan, such as a page number.
_JUDGED_CHARS = 400
_NO_TEXT = 16
_STAMP = 50
# A picture with more letters on it needs no OCR.
_LETTERED = 100
_SCAN_COVERAGE = 0.5
_LEGIBLE_COVERAGE = 0.3
# Pictures amid text, for each of `Limits.picture_pages`.
_PICTURES_PER_PAGE = 10


class PdfLoader:
    """PDF: text, form values and notes of each page as passages, scans and larger pictures."""

    name = "pdf"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then the contents of each page; raises DecodeError if encrypted.

        With `options.page`, the picture of that page alone.
        """
        with closing(_open_document(path)) as document:
            reader = _PdfReader(path, document, options)
            yield Described(Modality.TEXT, _read_metadata(document, reader.page_count))
            if options.page is not None:
                yield reader.draw_page(options.page)
            else:
                yield from reader.read_pages()


class _PdfReader:
    """Reads the pages of one document, and collects what could not be read."""

    def __init__(self, path: Path, document: PdfDocument, options: LoadOptions) -> None:
        self._path, self._document, self._options = path, document, options
        self._chars = self._picture_count = 0
        self._digests: set[bytes] = set()
        self._seen: set[tuple[int, int, int]] = set()
        self._lines: list[str] = []
        self._skipped: dict[tuple[OmissionCause, str, str, float], list[int]] = {}
        self.page_count = len(document)

    @cached_property
    def _image_count(self) -> int:
        return pdf_page_pictures.count_images(self._path)

    @cached_property
    def _titles(self) -> dict[int, list[str]]:
        return pdf_notes.read_bookmarks(self._document)

    def draw_page(self, number: int) -> Picture:
        """Draws one page; raises DecodeError if there is none of that number, or it is broken."""
        count = self.page_count
        if number > count:
            raise DecodeError(self._path, f"there is no page {number} in it, it has {count}")
        try:
            with closing(self._document[number - 1]) as page:
                return pdf_pictures.draw_page(self._document, page, self._options, number=number)
        except Exception as exc:  # an error of PDFium, or of ctypes
            raise DecodeError(self._path, f"page {number} cannot be drawn") from exc

    def read_pages(self) -> Iterator[Content]:
        limits, count = self._options.limits, self.page_count
        failed: Exception | None = None
        read = 0
        last = min(count, limits.pages)
        for at in range(last):
            if self._chars >= limits.text_chars:
                break
            try:
                with closing(self._document[at]) as page, closing(page.get_textpage()) as words:
                    yield from self._read_page(page, words, at)
            except Exception as exc:  # an error of PDFium, or of ctypes
                logger.debug("%s: page %d not read: %s", self._path, at + 1, exc)
                failed = exc
                self._skip(at, OmissionCause.DAMAGED, "{} cannot be read")
                continue
            read += 1
        if failed is not None and not read:
            raise DecodeError(self._path, "no page of the PDF can be read") from failed
        yield from self._read_extras()
        if count > last:
            detail = f"{format_pages(range(last + 1, count + 1))} of {count:,}"
            yield Omission(OmissionCause.LIMIT, detail, "pages", limits.pages)
        for (cause, phrase, name, value), pages in self._skipped.items():
            yield Omission(cause, phrase.format(format_pages(pages)), name, value)

    def _skip(
        self, at: int, cause: OmissionCause, phrase: str, name: str = "", value: float = 0.0
    ) -> None:
        """Notes that something on a page was left out; `{}` in the phrase stands for the pages."""
        self._skipped.setdefault((cause, phrase, name, value), []).append(at + 1)

    def _read_page(self, page: PdfPage, words: PdfTextPage, at: int) -> Iterator[Content]:
        text = _read_page_text(words)
        lines = self._read_lines(page, text, at)
        whole = "\n\n".join(filter(None, (text, "\n".join(lines)))) if lines else text
        limits = self._options.limits
        remaining = limits.text_chars - self._chars
        yield from split_passages([whole], replace(limits, text_chars=remaining), page=at + 1)
        self._chars += len(whole)
        if len(whole) > remaining or (len(whole) == remaining and at + 1 < self.page_count):
            phrase = f"text from page {at + 1:,} on"
            self._skip(at, OmissionCause.LIMIT, phrase, "text_chars", limits.text_chars)
        if not _has_letters(text) or len(self._seen) < self._image_count:
            try:
                yield from self._read_pictures(page, words, at, text)
            except pdf_pictures.DrawingTimeout:
                phrase = "the pictures of {} take too long to draw"
                self._skip(at, OmissionCause.LIMIT, phrase, "stall_s", limits.stall_s)
            except MemoryError:
                phrase = "the pictures of {} take more memory than allowed"
                value = limits.memory_bytes
                self._skip(at, OmissionCause.LIMIT, phrase, "memory_bytes", value)
            except Exception as exc:  # an error of PDFium, ctypes or OpenCV
                logger.debug("%s: pictures of page %d: %s", self._path, at + 1, exc)
                self._skip(at, OmissionCause.DAMAGED, "the pictures of {} cannot be read")

    def _read_lines(self, page: PdfPage, text: str, at: int) -> list[str]:
        """Returns what belongs to a page and is not in its text: notes, values, bookmarks."""
        lines: list[str] = []
        try:
            lines += pdf_notes.read_page_notes(self._document, page)
            if titles := self._titles.get(at):
                lines += pdf_notes.find_missing_titles(titles, text)
        except Exception as exc:  # an error of PDFium, or of ctypes
            logger.debug("%s: notes of page %d: %s", self._path, at + 1, exc)
            self._skip(at, OmissionCause.DAMAGED, "the notes on {} cannot be read")
        self._lines += lines
        return lines

    def _read_extras(self) -> Iterator[Content]:
        """Yields what belongs to no page: names of attached files, values of an XFA form."""
        lines: list[str] = []
        try:
            lines += pdf_notes.read_attachments(self._document)
            found = "\n".join(self._lines)
            for name, value in pdf_notes.read_form_data(self._document):
                lines += [f"{name}: {value}"] if value not in found else []
        except Exception as exc:  # an error of PDFium, or of ctypes
            logger.debug("%s: extras: %s", self._path, exc)
        limits = self._options.limits
        remaining = max(0, limits.text_chars - self._chars)
        yield from split_passages(["\n".join(lines)], replace(limits, text_chars=remaining))

    def _read_pictures(
        self, page: PdfPage, words: PdfTextPage, at: int, text: str
    ) -> Iterator[Content]:
        """Yields a page without text as a whole, of others the larger pictures."""
        survey, limits = pdf_page_pictures.survey_page(page), self._options.limits
        self._seen |= survey.seen
        if survey.image_px > limits.pixels:
            phrase = f"pictures on {{}} with over {limits.pixels / 1e6:g} megapixels"
            self._skip(at, OmissionCause.LIMIT, phrase, "pixels", limits.pixels)
            return
        if _is_scan(survey, text):
            picture = self._draw(page, at, WHOLE_PAGE)
            is_legible = survey.coverage >= _LEGIBLE_COVERAGE or survey.segments >= MIN_SEGMENTS
            if picture is not None and is_legible and not self._options.legible_px:
                self._skip(at, OmissionCause.EXTRA, "no text layer: {}", "ocr")
            yield from () if picture is None else (picture,)
            return
        if survey.is_text_hidden and survey.coverage >= _SCAN_COVERAGE:
            return  # the text is that of the scan
        regions = [region for region in survey.regions if region.digest not in self._digests]
        self._digests.update(region.digest for region in regions)
        boxes = [region.box for region in regions]
        for box in boxes if len(boxes) <= MAX_REGIONS else [WHOLE_PAGE]:
            if self._picture_count >= limits.picture_pages * _PICTURES_PER_PAGE:
                phrase = "further pictures amid the text of {}"
                self._skip(at, OmissionCause.LIMIT, phrase, "picture_pages", limits.picture_pages)
                return
            is_lettered = pdf_pictures.count_letters(page, words, box) >= _LETTERED
            picture = self._draw(page, at, box, with_ocr=not is_lettered)
            if picture is not None:
                self._picture_count += 1
                yield picture

    def _draw(self, page: PdfPage, at: int, box: Box, with_ocr: bool = True) -> Picture | None:
        return pdf_pictures.draw_picture(
            self._document, page, box, self._options, number=at + 1, with_ocr=with_ocr
        )


def _has_letters(text: str) -> bool:
    """Tests if a page has a text layer; quick where the text begins with words."""
    return _count_letters(text[: 4 * _NO_TEXT]) >= _NO_TEXT or _count_letters(text) >= _NO_TEXT


def _count_letters(text: str) -> int:
    """Returns the number of letters and digits in the beginning of a text."""
    return sum(map(str.isalnum, text[:_JUDGED_CHARS]))


def _is_scan(survey: PageSurvey, text: str) -> bool:
    """Tests if a page is a picture by itself, perhaps with a stamp on it."""
    letters = _count_letters(text)
    if letters >= _NO_TEXT:
        return letters < _STAMP and survey.coverage >= _SCAN_COVERAGE
    if survey.regions or survey.segments >= MIN_SEGMENTS:
        return True
    # A font may not say which letters its shapes are.
    marks = len("".join(text[:_JUDGED_CHARS].split()))
    return survey.has_text and (not marks or marks >= _NO_TEXT / 2 > letters)


def _open_document(path: Path) -> PdfDocument:
    import pypdfium2
    from pypdfium2.raw import FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY

    # It warns of what is read otherwise here, such as forms of XFA.
    logging.getLogger("pypdfium2").setLevel(logging.ERROR)
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as exc:
        code = getattr(exc, "err_code", None)
        if code == FPDF_ERR_PASSWORD:
            reason = "the PDF is encrypted with a password: save it without one"
            raise DecodeError(path, reason) from exc
        if code == FPDF_ERR_SECURITY:
            reason = "the PDF is encrypted for certain readers: save it without protection"
            raise DecodeError(path, reason) from exc
        raise DecodeError(path, clean(f"broken PDF: {exc}") or "broken PDF") from exc
    try:
        document.init_forms()
    except pypdfium2.PdfiumError as exc:
        logger.debug("%s: form not read: %s", path, exc)
    return document


def _read_metadata(document: PdfDocument, count: int) -> Metadata:
    values: dict[str, str | None] = {}
    for key in ("Title", "Author", "Subject", "Keywords"):
        try:
            values[key] = clean(document.get_metadata_value(key))
        except (ValueError, RuntimeError):
            values[key] = None
    keywords = re.split(r"\s*[,;]\s*", values["Keywords"] or "")
    return Metadata(
        format="pdf",
        page_count=count,
        title=values["Title"],
        artist=values["Author"],
        description=values["Subject"],
        keywords=tuple(dict.fromkeys(filter(None, keywords))),
    )


def _read_page_text(words: PdfTextPage) -> str:
    text: str = words.get_text_bounded()
    return _HYPHEN.sub("", _ENDS.sub("\n", text)).replace("\0", " ")
