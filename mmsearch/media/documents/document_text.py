"""Cuts the pages of a document into passages, and notes what was left out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mmsearch.errors import DecodeError
from mmsearch.media.base import Limits, Passage
from mmsearch.media.documents.document_archive import READ_ERRORS, EncryptedMember, UnpackedLimit
from mmsearch.media.texts.paragraph_splitter import split_passages
from mmsearch.types import Omission, OmissionCause

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_MAX_OMISSIONS = 100


class DocumentText:
    """The text of one document: passages of its pages, `limits.text_chars` in all.

    `unit` is the noun for a page: "slide", "sheet", "chapter". `is_full` tells that no more text is
    wanted, `has_content` that some part could be read.
    """

    def __init__(self, path: Path, limits: Limits, unit: str = "page") -> None:
        self._path, self.limits, self.unit = path, limits, unit
        self._omissions: dict[Omission, None] = {}
        self._page_chars: dict[int | None, int] = {}
        self._chars = 0
        self.is_full = self.has_content = False

    def note(
        self, cause: OmissionCause, detail: str, *, name: str = "", value: float = 0.0
    ) -> None:
        """Notes a part that was not read, once."""
        if len(self._omissions) < _MAX_OMISSIONS:
            self._omissions[Omission(cause, detail, name, value)] = None

    def guard(self, items: Iterable[_Item], part: str) -> Iterator[_Item]:
        """Yields items up to the first error of `part`, and notes that one."""
        try:
            yield from items
        except EncryptedMember:
            self.note(OmissionCause.ENCRYPTED, f"{part} is encrypted")
        except UnpackedLimit:
            self.is_full = True
            size_bytes = self.limits.text_bytes
            detail = f"{part}: what comes after {size_bytes:,} bytes"
            self.note(OmissionCause.LIMIT, detail, name="text_bytes", value=size_bytes)
        except READ_ERRORS as exc:
            logger.debug("%s: %s not read: %s", self._path, part, exc)
            self.note(OmissionCause.DAMAGED, f"{part} cannot be read to its end")

    def limit_pages(self, count: int) -> range:
        """Returns the indices of the pages to read, and notes those past the limit."""
        limit = self.limits.pages
        if count > limit:
            is_one = count == limit + 1
            pages = f" {count:,}" if is_one else f"s {limit + 1:,} to {count:,}"
            detail = f"{self.unit}{pages} of {count:,}"
            self.note(OmissionCause.LIMIT, detail, name="pages", value=limit)
        return range(min(count, limit))

    def split(self, lines: Iterable[str], page: int | None = None) -> Iterator[Passage]:
        """Yields the passages of lines that follow those already read of the same page."""
        start_char = self._page_chars.get(page, 0)
        left = replace(self.limits, text_chars=self.limits.text_chars - self._chars)
        counted = self._count(lines, page)
        for passage in split_passages(counted, left, page=page, start_char=start_char):
            self.has_content = True
            yield passage

    def _count(self, lines: Iterable[str], page: int | None) -> Iterator[str]:
        limit = self.limits.text_chars
        for line in lines:
            self._chars += len(line)
            self._page_chars[page] = self._page_chars.get(page, 0) + len(line)
            # Noted first, since the text may not be asked for more.
            if self._chars > limit:
                self.is_full = True
                detail = f"text after the first {limit:,} characters"
                self.note(OmissionCause.LIMIT, detail, name="text_chars", value=limit)
            yield line
            if self.is_full:
                return

    def finish(self) -> Iterator[Omission]:
        """Yields what was left out; raises DecodeError if nothing could be read because of it."""
        causes = {omission.cause for omission in self._omissions}
        if not self.has_content and OmissionCause.ENCRYPTED in causes:
            reason = "the document is encrypted: save it without a password"
            raise DecodeError(self._path, reason)
        if not self.has_content and OmissionCause.DAMAGED in causes:
            details = ", ".join(each.detail for each in list(self._omissions)[:3])
            raise DecodeError(self._path, f"broken document: {details}")
        yield from self._omissions
