"""Reads mails, appointments and contacts of Outlook (MSG), which are compound files."""

from __future__ import annotations

import itertools
import logging
import mimetypes
from collections.abc import Iterator
from contextlib import closing
from email.message import Message
from email.utils import format_datetime
from pathlib import Path

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.mail.headers import parse_headers, read_date, read_field
from mmsearch.media.mail.message import MailMessageReader
from mmsearch.media.mail.mime import MAX_PART_BYTES, MESSAGE, MailPart, PartContainer
from mmsearch.media.mail.outlook_properties import OutlookItem, list_entries
from mmsearch.media.mail.rtf_mail import read_compressed_rtf
from mmsearch.media.strings import clean
from mmsearch.types import Metadata, Modality, OmissionCause

logger = logging.getLogger(__name__)

_MAX_PARTS = 2_000
_MAX_NESTED = 8
_RECIPIENT, _ATTACHMENT = "__recip_version1.0_#", "__attach_version1.0_#"
# Numbers of properties (MS-OXPROPS).
_SUBJECT, _BODY, _HTML, _RTF, _HTML_CODE_PAGE = 0x0037, 0x1000, 0x1013, 0x1009, 0x3FDE
_HEADERS, _SUBMITTED, _DELIVERED = 0x007D, 0x0039, 0x0E06
_SENDERS = ((0x0C1A, 0x5D01, 0x0C1F), (0x0042, 0x5D02, 0x0065))
_SHOWN_TO, _SHOWN_CC = 0x0E04, 0x0E03
_NAME, _SMTP, _ADDRESS, _RECIPIENT_KIND = 0x3001, 0x39FE, 0x3003, 0x0C15
_TO_KIND, _CC_KIND = 1, 2
_LONG_FILE_NAME, _FILE_NAME, _DATA, _MIME_TYPE = 0x3707, 0x3704, 0x3701, 0x370E
_START, _END = 0x0060, 0x0061
_CONTACT_FIELDS = {
    0x3A06: "Given name",
    0x3A11: "Family name",
    0x3A4F: "Nickname",
    0x3A16: "Organization",
    0x3A17: "Title",
    0x3A18: "Department",
    0x3A08: "Phone (work)",
    0x3A09: "Phone (home)",
    0x3A1C: "Phone (mobile)",
    0x3A15: "Address",
}
# Numbers of named properties (MS-OXPROPS), which each file maps to its own.
_NAMED_FIELDS = {
    0x8208: "Location",
    0x8083: "Email",
    0x8093: "Email",
    0x80A3: "Email",
    0x801A: "Address (home)",
    0x801B: "Address (work)",
}
_MIME_TYPES = mimetypes.MimeTypes()


class MsgLoader:
    """Items of Outlook: mails with forwarded mails and attachments, appointments, contacts."""

    name = "msg"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then passages and pictures; raises DecodeError if it is broken."""
        import olefile

        try:
            file = olefile.OleFileIO(path)
            entries = list_entries(file)
        except Exception as exc:  # olefile raises anything for broken bytes
            reason = clean(f"broken Outlook message: {exc}") or "broken Outlook message"
            raise DecodeError(path, reason) from exc
        with closing(file):
            item = OutlookItem(file, (), entries)
            headers = _make_headers(item)
            yield Described(
                Modality.TEXT,
                Metadata(
                    format="msg",
                    title=clean(read_field(headers, "Subject")),
                    artist=clean(read_field(headers, "From")),
                    taken_at=read_date(headers),
                ),
            )
            document = DocumentText(path, options.limits)
            reader = MailMessageReader(document, EmbeddedPictures(options, document), options)
            yield from reader.read(_PartLister(document).list_parts(item, headers, ()))
            yield from document.finish()


class _PartLister:
    """Turns an item of Outlook into the parts that a mail would have."""

    def __init__(self, document: DocumentText) -> None:
        self._document = document
        self._serial = itertools.count(1)

    def list_parts(
        self, item: OutlookItem, headers: Message, parents: tuple[PartContainer, ...]
    ) -> Iterator[MailPart]:
        """Yields the message, its bodies and its attachments; `parents` are the messages around."""
        yield MailPart(headers, MESSAGE, b"", parents)
        details = "".join(f"{line}\n" for line in _list_details(item))
        if details:
            yield _make_text_part(details, parents)
        choice = (*parents, PartContainer("multipart/alternative", next(self._serial)))
        text = item.get_text(_BODY)
        page = item.get_bytes(_HTML)
        page_text = "" if page else item.get_text(_HTML)
        if not (text.strip() or page or page_text):
            text = read_compressed_rtf(item.get_bytes(_RTF))
        yield _make_text_part(text, choice)
        if page or page_text:
            charset = item.get_charset(_HTML_CODE_PAGE) if page else "utf-8"
            html_headers = _make_part_headers("text/html", charset=charset)
            yield MailPart(html_headers, "text/html", page or page_text.encode(), choice)
        for attachment in itertools.islice(item.list_parts(_ATTACHMENT), _MAX_PARTS):
            yield from self._list_attachment(attachment, parents)
        if item.broken_count:
            self._document.note(OmissionCause.DAMAGED, "a part of the message cannot be read")

    def _list_attachment(
        self, attachment: OutlookItem, parents: tuple[PartContainer, ...]
    ) -> Iterator[MailPart]:
        inner = attachment.get_embedded(_DATA)
        if inner is not None:
            if len(parents) >= _MAX_NESTED:
                detail = "messages that are attached to each other too often"
                self._document.note(OmissionCause.UNSUPPORTED, detail)
                return
            container = PartContainer(MESSAGE, next(self._serial))
            yield from self.list_parts(inner, _make_headers(inner), (*parents, container))
            return
        name = attachment.get_text(_LONG_FILE_NAME) or attachment.get_text(_FILE_NAME)
        name = name or attachment.get_text(_NAME)
        declared = attachment.get_text(_MIME_TYPE).strip().lower()
        kind = declared or _MIME_TYPES.guess_type(name)[0] or "application/octet-stream"
        data = attachment.get_bytes(_DATA)
        is_cut = len(data) > MAX_PART_BYTES
        yield MailPart(
            _make_part_headers(kind, name=name), kind, b"" if is_cut else data, parents, is_cut
        )
        if attachment.broken_count:
            self._document.note(OmissionCause.DAMAGED, f"the attachment {name} cannot be read")


def _make_text_part(text: str, parents: tuple[PartContainer, ...]) -> MailPart:
    headers = _make_part_headers("text/plain", charset="utf-8")
    return MailPart(headers, "text/plain", text.encode("utf-8", "replace"), parents)


def _make_part_headers(kind: str, *, charset: str = "", name: str = "") -> Message:
    headers = Message()
    headers["Content-Type"] = f"{kind}; charset={charset}" if charset else kind
    if name:
        headers.add_header("Content-Disposition", "attachment", filename=("utf-8", "", name))
    return headers


def _make_headers(item: OutlookItem) -> Message:
    """Makes the header fields of a message from its properties, and from those it came with."""
    sent = parse_headers(item.get_text(_HEADERS).encode("utf-8", "replace"))
    headers = Message()
    date = item.get_time(_SUBMITTED) or item.get_time(_DELIVERED) or read_date(sent)
    senders = (_format_person(item, *numbers) for numbers in _SENDERS)
    values = {
        "Subject": item.get_text(_SUBJECT) or read_field(sent, "Subject"),
        "From": next(filter(None, senders), "") or read_field(sent, "From"),
        "To": _list_recipients(item, _TO_KIND) or item.get_text(_SHOWN_TO),
        "Cc": _list_recipients(item, _CC_KIND) or item.get_text(_SHOWN_CC),
        "Date": format_datetime(date) if date else "",
    }
    for name, value in values.items():
        if value:
            headers[name] = value
    return headers


def _list_recipients(item: OutlookItem, kind: int) -> str:
    recipients = itertools.islice(item.list_parts(_RECIPIENT), _MAX_PARTS)
    people = (
        _format_person(recipient, _NAME, _SMTP, _ADDRESS)
        for recipient in recipients
        if recipient.get_number(_RECIPIENT_KIND) == kind
    )
    return ", ".join(filter(None, people))


def _format_person(item: OutlookItem, name_number: int, *address_numbers: int) -> str:
    name = item.get_text(name_number).strip()
    addresses = (item.get_text(number).strip() for number in address_numbers)
    # Names in a directory of Exchange begin with a slash: they say nothing to a reader.
    address = next((each for each in addresses if each and not each.startswith("/")), "")
    return f"{name} <{address}>" if address and name and name != address else name or address


def _list_details(item: OutlookItem) -> Iterator[str]:
    """Yields the lines of an appointment or contact that a mail does not have."""
    for number, label in ((_START, "Start"), (_END, "End")):
        moment = item.get_time(number)
        if moment is not None:
            yield f"{label}: {moment:%Y-%m-%d %H:%M} UTC"
    fields = dict(_CONTACT_FIELDS)
    fields |= {item.find_named(local): label for local, label in _NAMED_FIELDS.items()}
    for number, label in fields.items():
        value = " ".join(item.get_text(number).split()) if number else ""
        if value:
            yield f"{label}: {value}"
