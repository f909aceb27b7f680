"""Reads header fields of mails: encoded words, wrong character sets, parameters, dates."""

from __future__ import annotations

import binascii
import quopri
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import Compat32
from email.utils import collapse_rfc2231_value, parsedate_to_datetime

from mmsearch.media.strings import clean
from mmsearch.media.texts.encoding import detect_encoding

MAX_HEADER_BYTES = 1024**2
_MAX_FIELD_CHARS = 20_000
_DECLARED_CHARS = 8_192
_MAX_QUOTES = 200
_MAX_PIECES = 1000
_MARKED_BYTES = 200
_GUESSED_BYTES = 24
_ENCODED_WORD = re.compile(
    r"=\?([\w.:+-]{1,40})(?:\*[\w-]*)?\?([bq])\?((?:(?!=\?\w).)*?)\?=", re.I | re.S
)
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_PADDING = re.compile(rb"=+")
_BLANKS = re.compile(r"\s+")
# Codecs of Python that no mail means, and that are slow, or execute escapes.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
_ALIASES = {
    # Supersets that writers mean by the names of smaller sets.
    "ascii": "cp1252",
    "us_ascii": "cp1252",
    "ansi_x3.4_1968": "cp1252",
    "iso_8859_1": "cp1252",
    "iso8859_1": "cp1252",
    "latin_1": "cp1252",
    "latin1": "cp1252",
    "iso_8859_9": "cp1254",
    "iso_8859_11": "cp874",
    "tis_620": "cp874",
    "windows_874": "cp874",
    "iso_8859_8_i": "cp1255",
    "iso_8859_8": "cp1255",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "gb_2312_80": "gb18030",
    "big5": "big5hkscs",
    "x_x_big5": "big5hkscs",
    "shift_jis": "cp932",
    "x_sjis": "cp932",
    "sjis": "cp932",
    "windows_31j": "cp932",
    "x_euc_jp": "euc_jp",
    "euc_kr": "cp949",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601": "cp949",
    "unicode_1_1_utf_7": "utf_7",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "iso_2022_jp": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "utf8mb4": "utf_8",
    "unicode": "utf_16",
}
_SINGLE_BYTE = re.compile(
    r"(?:cp|windows_)125\d|iso_?8859_\d+|koi8_[ru]|cp874|mac_roman|cp437|cp850"
)


class _RawHeaders(Compat32):
    """Keeps the bytes of 8-bit fields, which the standard policies replace by question marks."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value


def parse_headers(block: bytes) -> Message:
    """Parses the header lines of a message or part; never fails."""
    return BytesHeaderParser(policy=_RawHeaders()).parsebytes(block.replace(b"\0", b" "))


def decode_charset(data: bytes, label: str | None) -> str:
    """Decodes text that claims the character set `label`; never fails.

    UTF-8 that is declared as an 8-bit set is read as UTF-8, and text of no known set is guessed.
    """
    if b"\0" in data[:_MARKED_BYTES] or data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return _guess(data).removeprefix("\ufeff")
    name = (label or "").strip(" '\"").lower().replace("-", "_")
    codec = _ALIASES.get(name, name)
    if b"\x1b$" in data and codec in ("", "cp1252", "utf_8"):
        codec = "iso2022_jp_ext"
    elif codec in ("", "cp1252", "utf_8") and data.isascii():
        return data.decode("ascii")
    if not codec or codec in _NO_CHARSETS or _SINGLE_BYTE.fullmatch(codec):
        text = _try_decode(data, "utf_8")
        if text is not None:
            return text.removeprefix("\ufeff")
    if codec == "cp1252":
        return _try_decode(data, codec) or _guess(data)
    text = _try_decode(data, codec) if codec and codec not in _NO_CHARSETS else None
    if text is None and codec.startswith("iso2022_jp"):
        return data.decode("iso2022_jp_2004", "replace")
    return (_guess(data) if text is None else text).removeprefix("\ufeff")


def _try_decode(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, LookupError, ValueError):
        return None


def _guess(data: bytes) -> str:
    # Statistics over a word or two name Chinese for a single umlaut.
    codec = detect_encoding(data) if len(data) >= _GUESSED_BYTES else "cp1252"
    return data.decode(codec, "replace")


def decode_field(value: object) -> str:
    """Decodes the value of a header field: encoded words, and 8-bit characters without any.

    Words of one set that follow each other are joined before they are decoded: writers part
    characters of several bytes. One line; never fails.
    """
    source = _decode_raw(str(value)[:_MAX_FIELD_CHARS])
    decoded: list[str] = []
    held, charset, at = b"", "", 0
    for match in _ENCODED_WORD.finditer(source):
        between = source[at : match.start()]
        if held and (between.strip() or match[1].lower() != charset):
            decoded.append(decode_charset(held, charset))
            held = b""
        if between.strip() or (not decoded and not held):
            decoded.append(between)
        held += _decode_word(match[2].lower(), match[3])
        charset, at = match[1].lower(), match.end()
    if held:
        decoded.append(decode_charset(held, charset))
    decoded.append(source[at:])
    return _BLANKS.sub(" ", "".join(decoded)).strip()


def _decode_raw(value: str) -> str:
    """Decodes the bytes that the parser has kept as surrogates, and ISO-2022 escapes."""
    if value.isascii() and "\x1b$" not in value:
        return value
    return decode_charset(value.encode("utf-8", "surrogateescape"), None)


def _decode_word(encoding: str, source: str) -> bytes:
    data = source.encode("ascii", "replace")
    return decode_base64(data) if encoding == "b" else quopri.decodestring(data, header=True)


def decode_base64(data: bytes) -> bytes:
    """Decodes Base64 with missing padding, padding between pieces, line breaks and stray bytes."""
    pieces = []
    for piece in _PADDING.split(_NO_BASE64.sub(b"", data), maxsplit=_MAX_PIECES):
        piece = piece.replace(b"=", b"")
        piece = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
        pieces.append(binascii.a2b_base64(piece + b"=" * (-len(piece) % 4)))
    return b"".join(pieces)


def read_field(headers: Message, name: str) -> str:
    """Returns the decoded field `name`, or ""; of several, the first."""
    value = headers.get(name)
    return "" if value is None else decode_field(value)


def get_content_type(headers: Message, default: str = "text/plain") -> str:
    """Returns the content type in lower case, `default` where none is declared."""
    value = str(headers.get("Content-Type", ""))[:_DECLARED_CHARS]
    kind = re.sub(r"\s+", "", value.partition(";")[0]).strip("\"'").lower()
    return kind if kind.count("/") == 1 else {"text": "text/plain"}.get(kind, default)


def get_parameter(headers: Message, name: str, field: str = "Content-Type") -> str:
    """Returns a decoded parameter of a field, or ""; continued and encoded ones too."""
    value = str(headers.get(field, ""))
    # The standard library counts the quotes before each semicolon again.
    if not value or len(value) > _DECLARED_CHARS or value.count('"') > _MAX_QUOTES:
        return ""
    try:
        found = headers.get_param(name, "", field)
        return decode_field(collapse_rfc2231_value(found)) if found else ""
    except (LookupError, ValueError, TypeError, AttributeError):
        return ""


def get_file_name(headers: Message) -> str:
    """Returns the name of an attached file as one short line without folders, or ""."""
    name = get_parameter(headers, "filename", "Content-Disposition")
    name = name or get_parameter(headers, "name")
    return clean(re.split(r"[/\\]", name)[-1], max_chars=200) or ""


def read_date(headers: Message) -> datetime | None:
    """Returns when a message was sent, aware; None without a date that can be read."""
    for name in ("Date", "Resent-Date", "Delivery-date"):
        try:
            date = parsedate_to_datetime(read_field(headers, name)[:200])
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            date.astimezone(UTC)  # a date at the edge of the calendar cannot be converted
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
            continue
        return date
    return None
