"""Reads mails (EML, EMLX), mailboxes (mbox) and saved web pages (MHTML)."""

from __future__ import annotations

import io
import itertools
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.mail.headers import get_content_type, read_date, read_field
from mmsearch.media.mail.mailbox import split_mailbox
from mmsearch.media.mail.message import MailMessageReader, is_wanted_part
from mmsearch.media.mail.mime import LINE_BYTES, MailPart, walk_parts
from mmsearch.media.strings import clean
from mmsearch.media.texts.encoding import detect_encoding, read_text
from mmsearch.media.texts.text import check_text_size
from mmsearch.types import Metadata, Modality, OmissionCause

logger = logging.getLogger(__name__)

_SAMPLE_BYTES = 8192
_EMLX_START = re.compile(rb"\s*(\d{1,12})[ \t]*\r?\n")
_PAGE_SUFFIXES = frozenset({".mht", ".mhtml"})
_MAIL_SUFFIXES = frozenset({".eml", ".emlx", *_PAGE_SUFFIXES})


class MailLoader:
    """Mails with their forwarded messages and attached texts; each message of a mailbox a page."""

    name = "mail"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then passages and pictures, and what could not be read."""
        with path.open("rb") as file:
            sample = file.read(_SAMPLE_BYTES)
            file.seek(0)
            lines = _read_lines(path, file, sample, options)
            is_mailbox = path.suffix.lower() not in _MAIL_SUFFIXES and sample.lstrip().startswith(
                b"From "
            )
            document = DocumentText(path, options.limits, "message")
            pictures = EmbeddedPictures(options, document)
            if is_mailbox:
                yield Described(Modality.TEXT, Metadata(format="mbox"))
                yield from _read_mailbox(lines, options, document, pictures)
            else:
                parts = walk_parts(lines, is_wanted_part)
                top = next(parts)
                metadata = _read_metadata(path, top)
                yield Described(Modality.TEXT, metadata)
                reader = MailMessageReader(document, pictures, options)
                is_page = metadata.format == "mhtml"
                yield from reader.read(itertools.chain([top], parts), is_page=is_page)
            yield from document.finish()


def _read_lines(path: Path, file: BinaryIO, sample: bytes, options: LoadOptions) -> Iterator[bytes]:
    """Yields the lines of a message as bytes in an encoding that keeps ASCII."""
    is_wide = detect_encoding(sample).startswith(("utf-16", "utf-32"))
    if is_wide or (b"\r" in sample and b"\n" not in sample):
        check_text_size(path, options.limits)
        file = io.BytesIO("".join(read_text(file)).removeprefix("\ufeff").encode())
    elif sample.startswith(b"\xef\xbb\xbf"):
        file.seek(3)
    match = _EMLX_START.match(sample)
    left = -1
    if match is not None:  # the length of the message, before a property list of Apple Mail
        file.seek(match.end())
        left = int(match[1])
    while left and (line := file.readline(min(left, LINE_BYTES) if left > 0 else LINE_BYTES)):
        left -= len(line) if left > 0 else 0
        yield line


def _read_mailbox(
    lines: Iterator[bytes],
    options: LoadOptions,
    document: DocumentText,
    pictures: EmbeddedPictures,
) -> Iterator[Content]:
    limit = options.limits.pages
    for number, message in enumerate(split_mailbox(lines), start=1):
        if number > limit:
            detail = f"messages after the first {limit:,}"
            document.note(OmissionCause.LIMIT, detail, name="pages", value=limit)
            return
        if document.is_full:
            return
        reader = MailMessageReader(document, pictures, options, page=number)
        try:
            yield from reader.read(walk_parts(message, is_wanted_part))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
            logger.debug("message %d not read: %s", number, exc)
            document.note(OmissionCause.DAMAGED, f"message {number:,} cannot be read")


def _read_metadata(path: Path, top: MailPart) -> Metadata:
    headers, suffix = top.headers, path.suffix.lower()
    url = read_field(headers, "Snapshot-Content-Location") or (
        read_field(headers, "Content-Location")
    )
    is_page = suffix in _PAGE_SUFFIXES or bool(url)
    is_page = is_page or (
        get_content_type(headers) == "multipart/related" and not read_field(headers, "To")
    )
    labels = read_field(headers, "Keywords").split(",")
    return Metadata(
        format="mhtml" if is_page else suffix[1:] if suffix in _MAIL_SUFFIXES else "eml",
        title=clean(read_field(headers, "Subject")),
        artist=None if is_page else clean(read_field(headers, "From")),
        taken_at=read_date(headers),
        description=clean(url) if is_page else None,
        keywords=tuple(word for label in labels if (word := clean(label, max_chars=100))),
    )
