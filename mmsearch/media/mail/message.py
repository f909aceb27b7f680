"""Reads one mail as text and pictures: chooses among alternatives, names what is attached."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import PurePath

from mmsearch.errors import MediaError
from mmsearch.media.base import Content, LoadOptions, Passage, Picture
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.mail.attached_documents import DOCUMENT_SUFFIXES, DOCUMENT_TYPES, load_attached
from mmsearch.media.mail.bodies import read_html, read_plain
from mmsearch.media.mail.cards import format_cards
from mmsearch.media.mail.headers import get_file_name, get_parameter, read_field
from mmsearch.media.mail.mime import MAX_PART_BYTES, MESSAGE, MailPart, walk_parts
from mmsearch.media.mail.rtf_mail import read_rtf
from mmsearch.media.mail.signed_data import find_signed_content
from mmsearch.media.signatures import IMAGE_SUFFIXES
from mmsearch.media.strings import split_words
from mmsearch.media.texts.encoding import decode_if_text
from mmsearch.types import Omission, OmissionCause

_SHOWN_FIELDS = ("Subject", "From", "To", "Cc", "Date")
_LABEL_FIELDS = ("Keywords", "X-Gmail-Labels", "X-Label")
_MAX_PARTS = 10_000
_MAX_NESTED = 8
_CARD_TYPES = frozenset(
    split_words("text/calendar text/vcard text/x-vcard text/directory application/ics")
)
_CARD_SUFFIXES = frozenset({".ics", ".vcf", ".vcs"})
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/enriched"})
_RTF_TYPES = frozenset({"text/rtf", "application/rtf"})
_HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
# Styles and programs of saved pages, a second body for one reader, and signatures.
_SKIPPED_TYPES = frozenset(
    split_words("""
    text/css text/javascript application/javascript application/x-javascript text/x-amp-html
    text/watch-html application/pgp-signature application/pgp-keys application/pkcs7-signature
    application/x-pkcs7-signature application/pgp-encrypted message/external-body
    """)
)
_SEALED_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_PROTECTED_SUFFIXES = frozenset({".rpmsg"})
_TEXT_SUFFIXES = frozenset(
    split_words("""
    .txt .text .md .markdown .rst .csv .tsv .log .json .xml .yml .yaml .ini .cfg .conf .toml
    .tex .srt .vtt .sql .py .js .ts .c .h .cpp .java .rb .go .rs .sh .diff .patch .asc
    """)
)
_READ_TYPES = _CARD_TYPES | _HTML_TYPES | _RTF_TYPES | _SEALED_TYPES | DOCUMENT_TYPES
_READ_SUFFIXES = frozenset(
    {
        *DOCUMENT_SUFFIXES,
        *IMAGE_SUFFIXES,
        *_TEXT_SUFFIXES,
        *_CARD_SUFFIXES,
        *_HTML_SUFFIXES,
        ".eml",
        ".p7m",
        ".rtf",
    }
)
_TEXT_TYPES = frozenset({"message/delivery-status", "message/disposition-notification"})


@dataclass(frozen=True, slots=True)
class _Section:
    """Text of a part; `alternative` tells the bodies of one text apart from all else."""

    text: str
    alternative: tuple[int, int] | None = None
    is_html: bool = False


class MailMessageReader:
    """Reads the parts of one mail, or of one message in a mailbox.

    What is left out is noted in `document`. `is_page` is True for a saved web page (MHTML), whose
    parts are the page and its frames and not attachments.
    """

    def __init__(
        self,
        document: DocumentText,
        pictures: EmbeddedPictures,
        options: LoadOptions,
        *,
        page: int | None = None,
    ) -> None:
        self._document, self._pictures, self._options = document, pictures, options
        self._page = page
        self._sections: list[_Section] = []
        self._prefers_html: dict[tuple[int, int], bool] = {}
        self._chars = 0
        self._depth = self._walk = self._walk_count = 0

    def read(self, parts: Iterable[MailPart], *, is_page: bool = False) -> Iterator[Content]:
        """Yields the pictures and then the passages of a message with these parts."""
        yield from self._read_parts(parts, is_page=is_page)
        yield from self._split_sections()

    def _read_parts(self, parts: Iterable[MailPart], *, is_page: bool = False) -> Iterator[Content]:
        for count, part in enumerate(parts):
            if count >= _MAX_PARTS:
                detail = f"parts of a message after the first {_MAX_PARTS:,}"
                self._document.note(OmissionCause.UNSUPPORTED, detail)
                break
            if part.content_type == MESSAGE and not part.body:
                is_inner = bool(part.parents) or self._depth > 0
                self._add(_format_headers(part.headers, is_inner=is_inner, is_page=is_page))
            else:
                yield from self._read_part(part, is_page=is_page)

    def _read_part(self, part: MailPart, *, is_page: bool) -> Iterator[Content]:
        kind, name = part.content_type, get_file_name(part.headers)
        suffix = PurePath(name).suffix.lower()
        is_sealed = any(parent.content_type == "multipart/encrypted" for parent in part.parents)
        if is_sealed or suffix in _PROTECTED_SUFFIXES:
            self._note_encrypted()
        elif kind in _SEALED_TYPES or suffix == ".p7m":
            yield from self._read_sealed(part)
        elif kind in _SKIPPED_TYPES or suffix == ".p7s":
            return
        else:
            self._add(f"Attachment: {name}\n" if name else "")
            if part.is_cut:
                detail = f"{_describe(name)} is larger than {MAX_PART_BYTES:,} bytes"
                self._document.note(OmissionCause.UNSUPPORTED, detail)
            elif kind.startswith("image/") or suffix in IMAGE_SUFFIXES:
                yield from self._pictures.load(part.body, self._page)
            elif kind in DOCUMENT_TYPES or suffix in DOCUMENT_SUFFIXES:
                yield from self._read_document(part.body, name, suffix)
            elif kind == MESSAGE or suffix == ".eml":
                yield from self._read_nested(part.body)
            elif kind.startswith(("multipart/", "message/")) and kind not in _TEXT_TYPES:
                detail = "parts of a message that nest too deep"
                self._document.note(OmissionCause.UNSUPPORTED, detail)
            else:
                self._read_text(part, kind, name, suffix, is_page=is_page)

    def _read_text(
        self, part: MailPart, kind: str, name: str, suffix: str, *, is_page: bool
    ) -> None:
        is_attached = bool(name) or _is_attachment(part.headers)
        serial = None if is_attached else _find_alternative(part)
        alternative = None if serial is None else (self._walk, serial)
        if kind in _CARD_TYPES or suffix in _CARD_SUFFIXES:
            charset = get_parameter(part.headers, "charset")
            cards = format_cards(io.BytesIO(part.body), charset)
            self._add("".join(card.text for card in cards))
        elif kind in _HTML_TYPES or suffix in _HTML_SUFFIXES:
            text = read_html(part.body, part.headers, with_title=is_page or is_attached)
            self._add(text, alternative, is_html=True)
        elif kind in _RTF_TYPES or suffix == ".rtf":
            self._add(read_rtf(part.body), alternative, is_html=True)
        elif kind.startswith("text/") or kind in _TEXT_TYPES or suffix in _TEXT_SUFFIXES:
            if decode_if_text(part.body[:4096] or b" ") is None and is_attached:
                self._note_unread(name)
                return
            text, is_encrypted = read_plain(part.body, part.headers)
            self._add(text, alternative)
            if is_encrypted:
                self._note_encrypted()
        elif is_attached:
            self._note_unread(name)

    def _read_document(self, body: bytes, name: str, suffix: str) -> Iterator[Content]:
        """Yields the text so far, and then the passages and pictures of an attached document."""
        note, who = self._document.note, _describe(name)
        yield from self._split_sections()
        try:
            for content in load_attached(body, suffix, self._options):
                if self._document.is_full:
                    break
                if isinstance(content, Passage):
                    yield from self._document.split([content.text.rstrip() + "\n\n"], self._page)
                elif isinstance(content, Picture):
                    yield replace(content, place=self._pictures.place_next(self._page))
                elif isinstance(content, Omission):
                    detail = f"{who}: {content.detail}"
                    note(content.cause, detail, name=content.name, value=content.value)
        except MediaError as exc:
            is_sealed = "encrypted" in exc.reason
            cause = OmissionCause.ENCRYPTED if is_sealed else OmissionCause.DAMAGED
            note(cause, f"{who}: {exc.reason}")
        except ImportError:
            self._note_unread(name)

    def _read_nested(self, body: bytes) -> Iterator[Content]:
        """Reads a forwarded message that was attached as an encoded file."""
        if self._depth >= _MAX_NESTED:
            detail = "messages that are forwarded inside each other too often"
            self._document.note(OmissionCause.UNSUPPORTED, detail)
            return
        self._depth += 1
        self._walk_count += 1
        outer, self._walk = self._walk, self._walk_count
        yield from self._read_parts(walk_parts(io.BytesIO(body), is_wanted_part))
        self._walk = outer
        self._depth -= 1

    def _read_sealed(self, part: MailPart) -> Iterator[Content]:
        # Outlook keeps the parts of a signed message as they were sent.
        is_source = part.body.lstrip()[:8].lower() in (b"content-", b"mime-ver")
        content = part.body if is_source else find_signed_content(part.body)
        if content is None:
            self._note_encrypted()
        else:
            yield from self._read_nested(content)

    def _add(
        self, text: str, alternative: tuple[int, int] | None = None, *, is_html: bool = False
    ) -> None:
        """Adds text; that which is far past the limit is dropped, and noted when it is split."""
        if text.strip() and self._chars <= self._document.limits.text_chars:
            self._chars += len(text)
            self._sections.append(_Section(text, alternative, is_html))

    def _split_sections(self) -> Iterator[Passage]:
        """Yields the passages of the text so far, of alternatives the plain text or the HTML.

        Plain text is preferred, unless it is only a note that the reader should show HTML.
        """
        chars: dict[tuple[tuple[int, int] | None, bool], int] = {}
        for section in self._sections:
            key = section.alternative, section.is_html
            chars[key] = chars.get(key, 0) + len("".join(section.text.split()))
        texts = []
        for section in self._sections:
            at = section.alternative
            if at is not None:
                prefers_html = chars.get((at, False), 0) * 3 < chars.get((at, True), 0)
                if self._prefers_html.setdefault(at, prefers_html) != section.is_html:
                    continue
            texts.append(section.text.rstrip() + "\n\n")
        self._sections.clear()
        yield from self._document.split(texts, self._page)

    def _note_encrypted(self) -> None:
        where = f"message {self._page:,}" if self._page is not None else "the message"
        self._document.note(OmissionCause.ENCRYPTED, f"the text of {where} is encrypted")

    def _note_unread(self, name: str) -> None:
        self._document.note(OmissionCause.UNSUPPORTED, f"{_describe(name)} is not read")


def is_wanted_part(headers: Message, content_type: str) -> bool:
    """Tells if the body of a part can hold text or a picture that is read."""
    main = content_type.partition("/")[0]
    suffix = PurePath(get_file_name(headers)).suffix.lower()
    return content_type not in _SKIPPED_TYPES and (
        main in ("text", "image", "message")
        or content_type in _READ_TYPES
        or suffix in _READ_SUFFIXES
    )


def _describe(name: str) -> str:
    return f"the attachment {name}" if name else "an attachment without a name"


def _is_attachment(headers: Message) -> bool:
    disposition = str(headers.get("Content-Disposition", ""))[:100]
    return disposition.strip().lower().startswith("attachment")


def _find_alternative(part: MailPart) -> int | None:
    """Returns the outermost alternative that holds a part, within its own message."""
    serial = None
    for parent in reversed(part.parents):
        if parent.content_type == MESSAGE:
            break
        if parent.content_type == "multipart/alternative":
            serial = parent.serial
    return serial


def _format_headers(headers: Message, *, is_inner: bool, is_page: bool) -> str:
    names: Iterable[str] = ("Subject",) if is_page else (*_SHOWN_FIELDS, *_LABEL_FIELDS)
    lines = ["Forwarded message:\n"] if is_inner else []
    lines += [f"{name}: {value}\n" for name in names if (value := read_field(headers, name))]
    return "".join(lines)
