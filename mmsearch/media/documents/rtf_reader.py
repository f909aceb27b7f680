"""Turns RTF into lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from mmsearch.media.documents.document_archive import READ_ERRORS, UnpackedLimit
from mmsearch.media.documents.rtf_tokens import RtfToken, find_codec, find_font_codec, split_tokens
from mmsearch.media.strings import split_words
from mmsearch.media.texts.markup import MarkupError

_MAX_DEPTH = 1000
_MAX_FIELD_CHARS = 10_000
_MAX_FONTS = 10_000
_MAX_HELD_CHARS = 1 << 16
_MAX_HEADERS = 1000
_MAX_PICTURE_CHARS = 64 * 1024**2
_SKIPPED = frozenset(
    split_words("""
    colortbl stylesheet listtext pntext pntxta pntxtb filetbl xe tc tcn rxe txe fldinst nonshppict
    objdata sn sv listtable listoverridetable rsidtbl themedata datastore falt panose revtbl
    """)
)
# Destinations behind \* that hold words of the document.
_READ = frozenset(split_words("shpinst ud annotation footnote shppict shptxt mmath moMath"))
# Destinations whose paragraphs stand apart from the paragraph that they are in.
_ASIDES = frozenset(
    split_words("""
    footnote annotation shptxt header headerl headerr headerf footer footerl footerr footerf
    """)
)
_FIELDS = frozenset(split_words("title subject author keywords doccomm"))
_PARAGRAPH_ENDS = frozenset(split_words("par sect page column"))
_CHARACTERS = {
    "tab": "\t",
    "line": "\n",
    "emdash": "\u2014",
    "endash": "\u2013",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "ldblquote": "\u201c",
    "rdblquote": "\u201d",
    "bullet": "\u2022",
    "emspace": " ",
    "enspace": " ",
    "qmspace": " ",
}
_SYMBOLS = {b"~": "\xa0", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}"}
_CODE_PAGE_WORDS = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
_PRIVATE = range(0xF000, 0xF100)  # signs of symbol fonts


class _Group(NamedTuple):
    """The state that a group inherits and that ends with it.

    `destination` is "body", a field of the document information, or one whose text is dropped.
    `aside` is the note or header that begins with the group.
    """

    destination: str = "body"
    codec: str = ""
    replacements: int = 1
    is_deleted: bool = False
    is_starred: bool = False
    aside: str = ""


class RtfReader:
    """Reads the paragraphs of RTF as lines, rows of tables as lines of cells.

    `fields` are those of the document information, `page_count` the number of pages it states,
    `pictures` the PNG and JPEG pictures in hexadecimal digits.
    """

    def __init__(self, *, max_tokens: int, max_pictures: int) -> None:
        self.fields: dict[str, str] = {}
        self.page_count: int | None = None
        self.pictures: list[bytes] = []
        self._max_tokens, self._max_pictures = max_tokens, max_pictures
        self._default_codec = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = self._default_font = 0
        self._group = _Group()
        self._stack: list[_Group] = []
        self._raw = bytearray()
        self._has_unescaped = False
        self._unread = 0  # characters that stand for one of Unicode, in older readers
        self._high = 0
        # Open paragraphs: that of the body, and of notes and headers inside it.
        self._paragraphs: list[list[str]] = [[]]
        self._held_chars = 0
        self._lines: list[str] = []
        self._asides: list[str] = []
        self._headers: set[str] = set()
        self._in_table = self._has_cells = False
        self._picture = bytearray()
        self._is_picture = False

    def read(self, blocks: Iterable[bytes]) -> Iterator[str]:
        """Yields the lines; raises MarkupError if groups nest too deep, or UnpackedLimit."""
        error: Exception | None = None
        try:
            count = 0
            for token in split_tokens(blocks):
                # Escaped characters are text, which has a limit of its own.
                count += token.kind != "hex"
                if count > self._max_tokens:
                    raise UnpackedLimit("too many control words")
                self._take(token)
                if self._lines:
                    yield from self._lines
                    self._lines.clear()
        except READ_ERRORS as exc:
            error = exc
        self._flush()
        while len(self._paragraphs) > 1:
            self._end_paragraph("")
            self._paragraphs.pop()
        self._end_paragraph("")
        yield from self._lines
        if error is not None:
            raise error

    def _take(self, token: RtfToken) -> None:
        kind, data, number = token
        if kind == "hex":
            self._add_bytes(bytes.fromhex(data.decode("ascii")))
        elif kind == "text":
            self._has_unescaped = self._has_unescaped or not data.isascii()
            self._add_bytes(data)
        else:
            self._unread = 0
            if kind == "word":
                self._take_word(data.decode("ascii"), number)
            elif kind == "brace":
                self._flush()
                if data == b"{":
                    self._begin_group()
                else:
                    self._end_group()
            elif data == b"*":
                self._group = self._group._replace(is_starred=True)
            elif data in _SYMBOLS:
                self._add(_SYMBOLS[data])
            elif data in (b"\n", b"\r", b"\r\n"):
                self._end_paragraph(self._group.aside)

    def _begin_group(self) -> None:
        if len(self._stack) >= _MAX_DEPTH:
            raise MarkupError("groups nest too deep")
        self._stack.append(self._group)
        if self._group.aside:
            self._group = self._group._replace(aside="")

    def _end_group(self) -> None:
        ended = self._group
        if self._stack:
            self._group = self._stack.pop()
        if ended.aside and len(self._paragraphs) > 1:
            self._end_paragraph(ended.aside)
            self._paragraphs.pop()
            if not self._paragraphs[0]:
                self._take_asides()
        if ended.destination == "pict" != self._group.destination:
            if self._is_picture and len(self.pictures) < self._max_pictures:
                self.pictures.append(bytes(self._picture))
            self._picture.clear()
            self._is_picture = False

    def _take_word(self, word: str, number: int | None) -> None:
        group = self._group
        if group.is_starred:
            group = self._group = group._replace(is_starred=False)
            if word not in _READ:
                self._group = group._replace(destination="unknown")
                return
        if word == "u" and number is not None:
            self._add_unicode(number % 0x10000)
        elif word == "uc":
            self._group = group._replace(replacements=min(max(number or 0, 0), 100))
        elif word in _SKIPPED or word in ("pict", "fonttbl", "info", "upr"):
            self._group = group._replace(destination=word)
        elif group.destination == "info":
            if word in _FIELDS:
                self._group = group._replace(destination=word)
            elif word == "nofpages":
                self.page_count = number or None
        elif group.destination == "fonttbl":
            self._take_font_word(word, number)
        elif group.destination == "pict":
            self._is_picture = self._is_picture or word in ("pngblip", "jpegblip")
        elif word == "ud" and self._stack and self._stack[-1].destination == "upr":
            outer = self._stack[-2] if len(self._stack) > 1 else _Group()
            self._group = group._replace(destination=outer.destination)
        elif group.destination == "body" or group.destination in _FIELDS:
            self._take_body_word(word, number)

    def _take_font_word(self, word: str, number: int | None) -> None:
        if word == "f":
            self._font = number or 0
        elif word in ("fcharset", "cpg") and number is not None and len(self._fonts) < _MAX_FONTS:
            is_page = word == "cpg"
            codec = find_codec(number) if is_page else find_font_codec(number, self._default_codec)
            self._fonts[self._font] = codec

    def _take_body_word(self, word: str, number: int | None) -> None:
        group = self._group
        if word in _CHARACTERS:
            self._add(_CHARACTERS[word])
        elif word in _PARAGRAPH_ENDS:
            if word == "par" and self._in_table:
                self._add(" ")
            else:
                self._end_paragraph(group.aside)
        elif word in ("cell", "nestcell"):
            self._add(" | ")
            self._has_cells = True
        elif word in ("row", "nestrow"):
            self._end_paragraph(group.aside)
        elif word in ("pard", "intbl"):
            self._in_table = word == "intbl"
        elif word in _ASIDES and not group.aside:
            self._flush()
            self._group = group._replace(aside=word)
            self._paragraphs.append([])
        elif word in ("f", "plain"):
            self._flush()
            codec = self._fonts.get(number or 0, "") if word == "f" else ""
            is_deleted = group.is_deleted and word == "f"
            self._group = group._replace(codec=codec, is_deleted=is_deleted)
        elif word == "deleted":
            self._flush()
            self._group = group._replace(is_deleted=number != 0)
        elif word == "deff":
            self._default_font = number or 0
        elif word == "ansicpg" and number is not None:
            self._default_codec = find_codec(number)
        elif word in _CODE_PAGE_WORDS:
            self._default_codec = _CODE_PAGE_WORDS[word]

    def _add_unicode(self, code: int) -> None:
        self._unread = self._group.replacements
        if 0xD800 <= code < 0xDC00:
            self._high = code
            return
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((self._high - 0xD800) << 10) + code - 0xDC00 if self._high else 0xFFFD
        self._high = 0
        if code and code not in _PRIVATE:
            self._add(chr(code))

    def _add_bytes(self, data: bytes) -> None:
        if self._unread:
            unread = min(self._unread, len(data))
            self._unread -= unread
            data = data[unread:]
        destination = self._group.destination
        if destination == "pict":
            if len(self._picture) <= _MAX_PICTURE_CHARS:
                self._picture += data
        elif destination == "body" or destination in _FIELDS:
            self._raw += data
            if len(self._raw) > _MAX_HELD_CHARS:
                self._flush()

    def _add(self, text: str) -> None:
        self._flush()
        self._emit(text)

    def _flush(self) -> None:
        """Decodes the bytes read so far, whose characters may take two."""
        if not self._raw:
            self._has_unescaped = False
            return
        default = self._fonts.get(self._default_font, self._default_codec)
        data, text = bytes(self._raw), None
        self._raw.clear()
        if self._has_unescaped:
            # Programs that do not escape write UTF-8.
            with suppress(UnicodeDecodeError):
                text = data.decode("utf-8")
        self._has_unescaped = False
        self._emit(data.decode(self._group.codec or default, "replace") if text is None else text)

    def _emit(self, text: str) -> None:
        destination = self._group.destination
        if destination in _FIELDS:
            self.fields[destination] = (self.fields.get(destination, "") + text)[:_MAX_FIELD_CHARS]
        elif destination == "body" and not self._group.is_deleted:
            self._paragraphs[-1].append(text)
            self._held_chars += len(text)
            if self._held_chars > _MAX_HELD_CHARS:
                self._lines.append("".join(self._paragraphs[-1]))
                self._paragraphs[-1].clear()
                self._held_chars = 0

    def _end_paragraph(self, aside: str) -> None:
        self._flush()
        line = "".join(self._paragraphs[-1]).strip()
        if self._has_cells:
            line = line.strip(" |")
        self._has_cells = False
        self._paragraphs[-1].clear()
        self._held_chars = 0
        is_repeated = aside.startswith(("header", "footer")) and line in self._headers
        if line and not is_repeated and len(self._paragraphs) > 1:
            self._asides.append(line + "\n")
        elif line and not is_repeated:
            self._lines.append(line + "\n")
        if aside and len(self._headers) < _MAX_HEADERS:
            self._headers.add(line)
        if len(self._paragraphs) == 1 or len(self._asides) > _MAX_HEADERS:
            self._take_asides()

    def _take_asides(self) -> None:
        self._lines += self._asides
        self._asides.clear()
