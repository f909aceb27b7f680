"""Reads documents of other kinds that a Word document imports: HTML, MHTML, RTF, plain text."""

from __future__ import annotations

import io
from collections.abc import Iterator

from mmsearch.media.documents.docx_body import format_lines
from mmsearch.media.documents.rtf_reader import RtfReader
from mmsearch.media.mail.bodies import read_html, read_plain
from mmsearch.media.mail.mime import walk_parts
from mmsearch.media.texts.encoding import read_text
from mmsearch.media.texts.html import extract_lines
from mmsearch.media.texts.markup import parse_events

MAX_BYTES = 24 * 1024**2
_BYTES_PER_TOKEN = 8
_MAIL_STARTS = (b"mime-version:", b"from:", b"content-type:", b"date:", b"subject:")
_MARKUP_SUFFIXES = frozenset({"html", "htm", "xhtml", "xht"})
_PACKAGE = b"<pkg:package"


def read_chunk_lines(data: bytes, name: str) -> Iterator[str]:
    """Yields the lines of an imported document, whose kind its content says more than its name."""
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    suffix = name.rpartition(".")[2].lower()
    if start.startswith(b"{\\rtf"):
        reader = RtfReader(max_tokens=len(data) // _BYTES_PER_TOKEN + 1000, max_pictures=0)
        yield from reader.read([data])
    elif start.startswith(_MAIL_STARTS) or suffix in ("mht", "mhtml"):
        yield from _read_web_archive(data)
    elif _PACKAGE in start:
        yield from format_lines(parse_events([data]))
    else:
        source = "".join(read_text(io.BytesIO(data), is_markup=True))
        is_markup = suffix in _MARKUP_SUFFIXES or (suffix != "txt" and start.startswith(b"<"))
        yield from extract_lines(source) if is_markup else (source, "\n")


def _read_web_archive(data: bytes) -> Iterator[str]:
    """Yields the visible text of the pages in MHTML, of the plain texts where it has no page."""
    plain, pages = [], []
    for part in walk_parts(
        data.splitlines(keepends=True), lambda _, kind: kind.startswith("text/")
    ):
        if part.content_type in ("text/html", "application/xhtml+xml"):
            pages.append(read_html(part.body, part.headers))
        elif part.content_type == "text/plain":
            plain.append(read_plain(part.body, part.headers)[0])
    for page in pages or plain:
        yield page + "\n"
