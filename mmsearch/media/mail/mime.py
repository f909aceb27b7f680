"""Walks through the parts of a mail line by line, in memory that does not grow with the file."""

from __future__ import annotations

import quopri
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from email.message import Message

from mmsearch.media.mail.headers import (
    MAX_HEADER_BYTES,
    decode_base64,
    get_content_type,
    get_parameter,
    parse_headers,
)

MESSAGE = "message/rfc822"
LINE_BYTES = 1 << 16
MAX_DEPTH = 50
MAX_PART_BYTES = 64 * 1024**2
_PREAMBLE_BYTES = 1024**2
_MESSAGE_TYPES = frozenset({MESSAGE, "message/global", "message/news"})
_ENCODED = frozenset({"base64", "quoted-printable", "uuencode", "x-uuencode", "x-uue", "uue"})
_PREAMBLE = "preamble"
_HEADER_LINE = re.compile(rb"[!-9;-~]{1,100}[ \t]*:|[ \t]+\S")


@dataclass(frozen=True, slots=True)
class PartContainer:
    """A multipart, or a message, that holds other parts; `serial` tells those of one mail apart."""

    content_type: str
    serial: int
    boundary: bytes | None = None


@dataclass(frozen=True, slots=True)
class MailPart:
    """A part without parts of its own, or the headers of a message (`message/rfc822`, no body).

    `body` is decoded from its transfer encoding; empty where it was not wanted, or is too large.
    `parents` begin with the outermost. A multipart that nests too deep comes as a part.
    """

    headers: Message
    content_type: str
    body: bytes
    parents: tuple[PartContainer, ...]
    is_cut: bool = False


def walk_parts(
    lines: Iterable[bytes], is_wanted: Callable[[Message, str], bool]
) -> Iterator[MailPart]:
    """Yields the message itself and then its parts, in order.

    `lines` are those of the file with their ends; longer ones than `LINE_BYTES` may come in pieces.
    `is_wanted` gets the headers and content type of a part and tells if its body is to be kept.
    Broken structure costs no text: a multipart whose boundary never comes is read as text.
    """
    walker = _PartWalker(is_wanted)
    for line in lines:
        yield from walker.feed(line)
    yield from walker.finish()


class _PartWalker:
    def __init__(self, is_wanted: Callable[[Message, str], bool]) -> None:
        self._is_wanted = is_wanted
        self._parents: list[PartContainer] = []
        self._serial = 0
        self._is_line_start = True
        # The lines of the header that is being read; None in a body.
        self._header: list[bytes] | None = []
        self._header_bytes = 0
        self._opens_message = True
        # The part whose body is being read, and None between parts.
        self._part: tuple[Message, str] | None = None
        self._body: list[bytes] = []
        self._body_bytes = self._max_bytes = 0

    def feed(self, line: bytes) -> Iterator[MailPart]:
        """Takes the next line; yields the parts that are complete by it."""
        is_line_start, self._is_line_start = self._is_line_start, line.endswith(b"\n")
        if is_line_start and self._parents and line.startswith(b"--"):
            level, is_last = self._find_boundary(line[2:].rstrip())
            if level is not None:
                yield from self._close_part(level)
                del self._parents[level + (not is_last) :]
                if not is_last:
                    self._start_header(opens_message=False)
                return
        if self._header is not None:
            yield from self._feed_header(line, self._header, is_line_start)
        elif self._part is not None:
            self._body_bytes += len(line)
            if self._body_bytes <= self._max_bytes:
                self._body.append(line)

    def finish(self) -> Iterator[MailPart]:
        """Yields what the end of the file completes."""
        yield from self._close_part(-1)

    def _find_boundary(self, mark: bytes) -> tuple[int | None, bool]:
        """Returns the index of the parent that a boundary parts, and if it is the last one."""
        stem = mark[:-2] if mark.endswith(b"--") else mark
        for level in range(len(self._parents) - 1, -1, -1):
            boundary = self._parents[level].boundary
            if boundary in (mark, stem):
                return level, boundary != mark
        innermost = self._parents[-1]
        is_first = self._part is not None and self._part[1] == _PREAMBLE
        is_mark = 2 <= len(mark) <= 200 and not mark.endswith(b"--")
        if is_first and innermost.boundary is None and is_mark:
            self._parents[-1] = replace(innermost, boundary=mark)
            return len(self._parents) - 1, False
        return None, False

    def _start_header(self, *, opens_message: bool) -> None:
        self._header, self._header_bytes, self._part = [], 0, None
        self._opens_message = opens_message

    def _feed_header(
        self, line: bytes, header: list[bytes], is_line_start: bool
    ) -> Iterator[MailPart]:
        if not is_line_start or (_HEADER_LINE.match(line) and (header or line[:1] not in b" \t")):
            self._header_bytes += len(line)
            if self._header_bytes <= MAX_HEADER_BYTES:
                header.append(line)
            return
        is_blank = not line.strip()
        if self._opens_message and not header and (is_blank or b"From " in line[:6]):
            return  # the line of a mailbox, and blank lines before a message
        yield from self._open_part(header)
        if not is_blank:  # the text begins without a blank line before it
            self._is_line_start = True
            yield from self.feed(line)

    def _open_part(self, header: list[bytes]) -> Iterator[MailPart]:
        headers = parse_headers(b"".join(header))
        self._header = None
        if self._opens_message:
            yield MailPart(headers, MESSAGE, b"", tuple(self._parents))
        is_digest = bool(self._parents) and self._parents[-1].content_type == "multipart/digest"
        content_type = get_content_type(headers, MESSAGE if is_digest else "text/plain")
        if self._opens_message and content_type == MESSAGE:
            content_type = "text/plain"  # or a chain of header blocks would nest
        is_multipart = content_type.startswith("multipart/")
        is_message = content_type in _MESSAGE_TYPES and _get_encoding(headers) not in _ENCODED
        if (is_multipart or is_message) and len(self._parents) >= MAX_DEPTH:
            yield MailPart(headers, content_type, b"", tuple(self._parents))
            return
        self._body, self._body_bytes = [], 0
        if is_message:
            self._add_parent(MESSAGE)
            self._start_header(opens_message=True)
            return
        if is_multipart:
            boundary = get_parameter(headers, "boundary").encode("latin-1", "replace")
            self._add_parent(content_type, boundary or None)
            content_type, self._max_bytes = _PREAMBLE, _PREAMBLE_BYTES
        else:
            self._max_bytes = MAX_PART_BYTES if self._is_wanted(headers, content_type) else 0
        self._part = (headers, content_type)

    def _add_parent(self, content_type: str, boundary: bytes | None = None) -> None:
        self._serial += 1
        self._parents.append(PartContainer(content_type, self._serial, boundary))

    def _close_part(self, level: int) -> Iterator[MailPart]:
        """Yields the part that ends at a boundary of the parent `level`, or at the file's end."""
        if self._header is not None and (self._header or self._opens_message):
            yield from self._open_part(self._header)
        part, self._part, self._header = self._part, None, None
        if part is None:
            return
        headers, content_type = part
        body, is_cut = b"".join(self._body), self._body_bytes > self._max_bytes > 0
        self._body = []
        parents = tuple(self._parents)
        if content_type != _PREAMBLE:
            body = decode_transfer(body, _get_encoding(headers))
            yield MailPart(headers, content_type, body, parents, is_cut)
        elif level < len(parents) - 1 and body.strip():
            # The boundary never came: all of it is the text.
            yield MailPart(Message(), "text/plain", body, parents[:-1], is_cut)


def _get_encoding(headers: Message) -> str:
    declared = str(headers.get("Content-Transfer-Encoding", ""))[:100].strip().lower()
    return declared.partition(";")[0].strip("\"' ")


def decode_transfer(body: bytes, encoding: str) -> bytes:
    """Decodes the transfer encoding of a body; uuencoded ones are left out."""
    if encoding == "base64":
        return decode_base64(body)
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    return b"" if encoding in _ENCODED else body
