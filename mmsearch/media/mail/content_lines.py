"""Parses the content lines of vCard and iCalendar, the old and the new."""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mmsearch.media.mail.headers import decode_charset

_MAX_VALUE_BYTES = 256 * 1024
_NAME = re.compile(
    rb"(?:[\w-]{1,60}\.)?([A-Za-z][\w-]{0,60})((?:;(?:[^\":;]|\"[^\"]*\")*)*)[ \t]*:"
)
_PARAMETER = re.compile(r';\s*([\w-]+)(?:\s*=((?:"[^"]*"|[^;"])*))?')
_ESCAPE = re.compile(r"\\([nN,;:\\])")
_TOKEN = re.compile(r"\\.|[^\\;,]+|.", re.S)
_CARETS = {"^n": "\n", "^'": '"', "^^": "^"}
_CARET = re.compile(r"\^[n'^]")
_SOFT_BREAK = b"="


@dataclass(frozen=True, slots=True)
class ContentLine:
    """A property: `name` and the names of `parameters` in upper case, `value` still escaped.

    Parameters without a name, as old writers have them, are gathered under TYPE.
    """

    name: str
    parameters: dict[str, str]
    value: str


def parse_content_lines(lines: Iterable[bytes], charset: str = "") -> Iterator[ContentLine]:
    """Yields the properties of a file; lines that are none, as of old pictures, are passed over.

    `charset` is that of values that do not name one. Values in Base64 come empty.
    """
    for name, source, value in _unfold(lines):
        parameters = _parse_parameters(decode_charset(source, charset)) if source else {}
        encoding = parameters.get("ENCODING", "").upper()
        types = parameters.get("TYPE", "").upper().split(",")
        if encoding in ("B", "BASE64") or "BASE64" in types:
            value = b""
        elif encoding == "QUOTED-PRINTABLE" or "QUOTED-PRINTABLE" in types:
            value = quopri.decodestring(value)
        text = decode_charset(value, parameters.get("CHARSET") or charset)
        yield ContentLine(name.decode("ascii", "replace").upper(), parameters, text.strip())


def _unfold(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields name, parameters and value of each property, joined from its lines."""
    held: list[bytes] = []
    held_bytes = 0
    is_quoted = is_old = False
    for line in lines:
        line = line.rstrip(b"\r\n")
        is_soft = bool(held) and is_quoted and held[-1].endswith(_SOFT_BREAK)
        if is_soft or (held and line[:1] in (b" ", b"\t")):
            if is_soft:
                held[-1] = held[-1][:-1]
            held_bytes += len(line)
            if held_bytes <= _MAX_VALUE_BYTES:
                # Version 2.1 breaks lines at blanks, which belong to the value.
                held.append(line if is_old or is_soft else line[1:])
            elif is_soft:
                held.append(_SOFT_BREAK)
            continue
        yield from _split_property(b"".join(held))
        held, held_bytes = [line], len(line)
        upper = line[:400].upper()
        is_quoted = b"QUOTED-PRINTABLE" in upper
        if upper.startswith(b"VERSION:"):
            is_old = upper.strip() in (b"VERSION:2.1", b"VERSION:1.0")
    yield from _split_property(b"".join(held))


def _split_property(line: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    match = _NAME.match(line)
    if match is not None:
        yield match[1], match[2], line[match.end() :]


def _parse_parameters(source: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(source):
        name, value = match[1].upper(), match[2]
        if value is None:
            name, value = "TYPE", match[1]
        value = _CARET.sub(lambda caret: _CARETS[caret[0]], value.replace('"', "").strip())
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def unescape_text(value: str) -> str:
    """Replaces the escapes of line breaks, commas, semicolons and backslashes."""
    return _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)


def split_fields(value: str, separator: str = ";") -> list[str]:
    """Splits a structured value at separators that are not escaped; returns unescaped fields."""
    fields: list[list[str]] = [[]]
    for token in _TOKEN.findall(value):
        if token == separator:
            fields.append([])
        else:
            fields[-1].append(token)
    return [unescape_text("".join(tokens)).strip() for tokens in fields]
