"""Turns the bodies of mail parts into readable text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from email.message import Message

from mmsearch.media.mail.headers import decode_charset, get_parameter
from mmsearch.media.texts.html import extract_lines

_HTML_START = re.compile(r"\s*<(!doctype\s+html|html|head|body)\b", re.I)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,500})</title", re.I)
_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.I
)
_TITLE_CHARS = 64 * 1024
_PGP_START = re.compile(r"-----BEGIN PGP ([A-Z ]{3,30}?)-----\s*")
_SIGNED = "SIGNED MESSAGE"
_ARMOR_LINE = re.compile(r"\s*|[A-Za-z0-9+/=]+\s*|(Version|Comment|Hash|Charset|MessageID): .*")
_UU_START = re.compile(r"begin [0-7]{3,4} \S")
_UU_LINE = re.compile(r"[ -`]+")


def read_plain(body: bytes, headers: Message) -> tuple[str, bool]:
    """Returns the text of a `text/plain` body, and True if a part of it is encrypted.

    Lines that were wrapped for transport are joined; encoded files and signatures are left out.
    """
    text = decode_charset(body, get_parameter(headers, "charset"))
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")
    if _HTML_START.match(text):
        return "".join(extract_lines(text)), False
    if get_parameter(headers, "format").lower() == "flowed":
        is_glued = get_parameter(headers, "delsp").lower() == "yes"
        text = join_flowed(text, is_glued=is_glued)
    return remove_encoded(text)


def read_html(body: bytes, headers: Message, *, with_title: bool = False) -> str:
    """Returns the visible text of an HTML body, after its title if that is wanted."""
    charset = get_parameter(headers, "charset")
    if not charset and (match := _META_CHARSET.search(body[:4096])):
        charset = match[1].decode("ascii")
    source = decode_charset(body, charset)
    text = "".join(extract_lines(source))
    title = _TITLE.search(source[:_TITLE_CHARS]) if with_title else None
    return f"{html.unescape(title[1]).strip()}\n\n{text}" if title else text


def join_flowed(text: str, *, is_glued: bool = False) -> str:
    """Joins the lines of `format=flowed`, which end with a blank where a paragraph goes on.

    `is_glued` leaves that blank out (DelSp=yes), as languages without blanks need.
    """
    joined: list[str] = []
    is_open, depth = False, 0
    for line in text.split("\n"):
        bare = line.lstrip(">")
        quoted = len(line) - len(bare)
        bare = bare.removeprefix(" ")
        flows = bare.endswith(" ") and bare != "-- "
        if flows and is_glued:
            bare = bare[:-1]
        if is_open and quoted == depth and bare != "-- ":
            joined.append(bare)
        else:
            joined.append(("\n" if joined else "") + ">" * quoted + (" " if quoted else "") + bare)
        is_open, depth = flows, quoted
    return "".join(joined)


def remove_encoded(text: str) -> tuple[str, bool]:
    """Leaves out PGP blocks and uuencoded files; True if a message was encrypted.

    The words of a signed message stay.
    """
    if "-----BEGIN PGP " not in text and "begin " not in text:
        return text, False
    kept: list[str] = []
    lines = text.split("\n")
    is_encrypted, at = False, 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("-----") and (match := _PGP_START.fullmatch(line)):
            if match[1] != _SIGNED:
                is_encrypted = is_encrypted or match[1] == "MESSAGE"
                at = _skip_while(_is_armor, lines, at)
                at += at < len(lines) and lines[at].startswith("-----END PGP ")
        elif _UU_START.match(line) and at < len(lines) and _is_uuencoded(lines[at]):
            at = _skip_while(_is_uuencoded, lines, at)
            at += lines[at : at + 1] == ["end"]
        else:
            kept.append(line)
    return "\n".join(kept), is_encrypted


def _skip_while(is_data: Callable[[str], bool], lines: list[str], at: int) -> int:
    while at < len(lines) and is_data(lines[at]):
        at += 1
    return at


def _is_armor(line: str) -> bool:
    return bool(_ARMOR_LINE.fullmatch(line))


def _is_uuencoded(line: str) -> bool:
    """Tests if the first character of a line states the number of bytes in the rest."""
    line = line.rstrip("\r")
    count = (ord(line[0]) - 32) & 63 if line else -1
    return (
        count >= 0
        and len(line.rstrip()) <= 1 + (count + 2) // 3 * 4 <= 61 + 2
        and bool(_UU_LINE.fullmatch(line))
        and (len(line) > count or count == 0)
    )
