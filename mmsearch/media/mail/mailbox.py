"""Cuts a mailbox (mbox) into its messages while it is read, however large it is."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

from mmsearch.media.strings import split_words

_START = b"From "
_QUOTED_START = re.compile(rb">+From ")
# A time of day, as in: From a@example.org Wed May  1 10:00:00 2024
_TIME = re.compile(rb"\d\d:\d\d")
_HEADER = re.compile(rb"([!-9;-~]{1,100})[ \t]*:|>?From ")
_KNOWN_NAMES = frozenset(
    name.encode()
    for name in split_words("""
    from to subject date received return-path delivered-to message-id mime-version content-type
    status reply-to sender cc dkim-signature authentication-results x-mozilla-status x-status
    x-gmail-labels x-gm-thrid x-original-to x-account-key x-uid x-keywords list-id
    """)
)


def split_mailbox(lines: Iterable[bytes]) -> Iterator[Iterator[bytes]]:
    """Yields the lines of each message; those that are not consumed are passed over.

    A line with "From " begins a message if it has a time, or follows a blank line, and a header
    follows it. The mark of quoted lines with "From " is taken off.
    """
    reader = _MailboxReader(lines)
    while reader.has_more():
        message = reader.read_message()
        yield message
        for _ in message:
            pass


class _MailboxReader:
    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._pending: deque[bytes] = deque()

    def has_more(self) -> bool:
        """Returns False at the end of the mailbox."""
        line = self._read()
        if line is not None:
            self._pending.appendleft(line)
        return line is not None

    def read_message(self) -> Iterator[bytes]:
        """Yields the lines of one message, the first of which may have "From "."""
        first = self._read()
        if first is not None:
            yield first
        is_after_blank, is_line_start = False, True
        while (line := self._read()) is not None:
            if is_line_start and line.startswith(_START):
                following = self._read() or b""
                self._pending.appendleft(following)
                if _begins_message(line, following, is_after_blank=is_after_blank):
                    self._pending.appendleft(line)
                    return
            elif is_line_start and line[:1] == b">" and _QUOTED_START.match(line):
                line = line[1:]
            yield line
            is_after_blank = is_line_start and not line.strip()
            is_line_start = line.endswith(b"\n")

    def _read(self) -> bytes | None:
        return self._pending.popleft() if self._pending else next(self._lines, None)


def _begins_message(line: bytes, following: bytes, *, is_after_blank: bool) -> bool:
    header = _HEADER.match(following)
    if header is None:
        return False
    is_known = header[1] is not None and header[1].lower() in _KNOWN_NAMES
    return bool(_TIME.search(line[:300])) or (is_after_blank and is_known)
