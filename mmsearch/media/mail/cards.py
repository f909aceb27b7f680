"""Reads address books (vCard) and calendars (iCalendar), each entry as lines with labels."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.mail.content_lines import (
    ContentLine,
    parse_content_lines,
    split_fields,
    unescape_text,
)
from mmsearch.media.strings import clean
from mmsearch.media.texts.encoding import SAMPLE_BYTES, detect_encoding, read_text
from mmsearch.media.texts.html import extract_lines
from mmsearch.media.texts.text import check_text_size
from mmsearch.types import Metadata, Modality

_LINE_BYTES = 1 << 16
_MAX_NESTING = 100
_WHOLE = frozenset({"VCARD", "VEVENT", "VTODO", "VJOURNAL"})
# Rules of time zones, and the alarms of events.
_PASSED = frozenset({"VTIMEZONE", "VALARM", "VFREEBUSY", "STANDARD", "DAYLIGHT"})
_LABELS = {
    "FN": "Name",
    "NICKNAME": "Nickname",
    "ORG": "Organization",
    "TITLE": "Title",
    "ROLE": "Role",
    "TEL": "Phone",
    "EMAIL": "Email",
    "ADR": "Address",
    "LABEL": "Address",
    "BDAY": "Birthday",
    "ANNIVERSARY": "Anniversary",
    "NOTE": "Note",
    "URL": "Website",
    "CATEGORIES": "Categories",
    "IMPP": "Chat",
    "RELATED": "Related",
    "MEMBER": "Member",
    "EXPERTISE": "Expertise",
    "HOBBY": "Hobby",
    "INTEREST": "Interest",
    "SUMMARY": "Summary",
    "DESCRIPTION": "Description",
    "LOCATION": "Location",
    "ORGANIZER": "Organizer",
    "ATTENDEE": "Attendee",
    "CONTACT": "Contact",
    "DTSTART": "Start",
    "DTEND": "End",
    "DUE": "Due",
    "COMPLETED": "Completed",
    "COMMENT": "Comment",
    "RESOURCES": "Resources",
    "RRULE": "Repeats",
    "ATTACH": "Attachment",
    "X-ABRELATEDNAMES": "Related",
    "X-SOCIALPROFILE": "Profile",
    "X-ANDROID-CUSTOM": "Note",
}
_EXTENSIONS = frozenset(
    {"X-ABRELATEDNAMES", "X-SPOUSE", "X-MANAGER", "X-ASSISTANT", "X-ANDROID-CUSTOM", "X-MAIDENNAME",
     "X-PHONETIC-FIRST-NAME", "X-PHONETIC-LAST-NAME", "X-SKYPE", "X-JABBER", "X-AIM", "X-ICQ",
     "X-QQ", "X-MSN", "X-GTALK", "X-TWITTER", "X-SOCIALPROFILE", "X-ANNIVERSARY"}
)  # fmt: skip
_DATES = frozenset({"DTSTART", "DTEND", "DUE", "COMPLETED"})
_PEOPLE = frozenset({"ORGANIZER", "ATTENDEE"})
_STRUCTURED = frozenset({"ADR", "ORG", "X-ANDROID-CUSTOM"})
# The words of types that say nothing to a reader.
_DULL_TYPES = frozenset({"pref", "internet", "voice", "x-internet", "quoted-printable", "charset"})
_DATE_TIME = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:T(\d\d):?(\d\d)(?::?\d\d)?(Z?))?")
_APPLE_LABEL = re.compile(r"_\$!<(.*)>!\$_")
_HTML = "text/html"


@dataclass(slots=True)
class CardEntry:
    """A person, event or task of a file: `title` is its name, `text` its lines with labels."""

    title: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All lines, and a blank line."""
        return "".join(f"{line}\n" for line in self.lines) + "\n"


class CardsLoader:
    """vCard 2.1, 3.0 and 4.0, iCalendar and vCalendar; pictures in them are passed over."""

    name = "cards"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then a passage or more for each person, event or task."""
        check_text_size(path, options.limits)
        document = DocumentText(path, options.limits)
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
            file.seek(0)
            charset = detect_encoding(sample)
            cards = format_cards(_read_lines(file, charset), _name_fallback(charset))
            first, second = next(cards, None), next(cards, None)
            if first is None:
                raise DecodeError(path, "there is no card, event or task in it")
            title = first.title if second is None else None
            kind = "vcf" if b"BEGIN:VCARD" in sample.upper() else "ics"
            yield Described(Modality.TEXT, Metadata(format=kind, title=clean(title)))
            for early in (first, second):
                yield from document.split([early.text]) if early is not None else ()
            for card in cards:
                if document.is_full:
                    break
                yield from document.split([card.text])
        yield from document.finish()


def _read_lines(file: BinaryIO, charset: str) -> Iterable[bytes]:
    if charset.startswith(("utf-16", "utf-32")):
        source: BinaryIO = io.BytesIO("".join(read_text(file)).encode())
    else:
        source = file
    return iter(lambda: source.readline(_LINE_BYTES), b"")


def _name_fallback(charset: str) -> str:
    return "" if charset.startswith("utf") else charset


def format_cards(lines: Iterable[bytes], charset: str = "") -> Iterator[CardEntry]:
    """Yields the entries of an address book or calendar; never fails.

    `charset` is that of values that do not name one. A calendar with a name begins with an entry
    for that.
    """
    card, names, parents = CardEntry(), list[str](), list[str]()
    for line in parse_content_lines(lines, charset):
        kind = line.value.strip().upper()
        if line.name == "BEGIN":
            if kind in _WHOLE:
                yield from _finish_card(card, names)
                card, names = CardEntry(), []
            if len(parents) < _MAX_NESTING:
                parents.append(kind)
        elif line.name == "END":
            if kind in parents:
                parents = parents[: len(parents) - parents[::-1].index(kind) - 1]
            if kind in _WHOLE:
                yield from _finish_card(card, names)
                card, names = CardEntry(), []
        elif not _PASSED.intersection(parents[-2:]):
            _add_line(card, names, line)
    yield from _finish_card(card, names)


def _finish_card(card: CardEntry, names: list[str]) -> Iterator[CardEntry]:
    """Yields a card that says something; the parts of its name come first if they add words."""
    known = f"{card.title} {' '.join(card.lines[:1])}".casefold()
    for name in names:
        if any(word.casefold() not in known for word in name.split()):
            card.lines.insert(0, f"Name: {name}")
        card.title = card.title or name
    if card.lines:
        yield card


def _add_line(card: CardEntry, names: list[str], line: ContentLine) -> None:
    name, value = line.name, line.value
    if name == "N":
        family, given, middle, before, after, *_ = [*split_fields(value), "", "", "", "", ""]
        names.append(" ".join(f"{before} {given} {middle} {family} {after}".split()))
        return
    if name in ("X-WR-CALNAME", "X-WR-CALDESC", "NAME"):
        card.lines.append(f"Calendar: {unescape_text(value)}")
        return
    text = _format_value(line)
    if not text:
        return
    if name == "X-ALT-DESC":
        has_description = any(each.startswith("Description: ") for each in card.lines)
        name = "" if has_description else "DESCRIPTION"
    extension = name[2:].replace("-", " ").capitalize() if name in _EXTENSIONS else ""
    label = _LABELS.get(name, extension)
    if not label:
        return
    if name in ("FN", "SUMMARY"):
        card.title = card.title or text
    kinds = [] if name in _PEOPLE | _DATES else _list_types(line)
    card.lines.append(f"{label} ({', '.join(kinds)}): {text}" if kinds else f"{label}: {text}")


def _list_types(line: ContentLine) -> list[str]:
    if line.name not in ("TEL", "EMAIL", "ADR", "LABEL", "URL", "IMPP", "RELATED"):
        return []
    kinds = line.parameters.get("TYPE", "").lower().split(",")
    return [kind for kind in kinds if kind.isalnum() and kind not in _DULL_TYPES]


def _format_value(line: ContentLine) -> str:
    name, value = line.name, line.value
    if value.lower().startswith("data:"):
        return ""
    if name in _DATES:
        return _format_date(line)
    if name in _PEOPLE:
        address = re.sub("^mailto:", "", value, flags=re.I)
        person = line.parameters.get("CN", "")
        return f"{person} <{address}>" if person and person != address else address
    if name == "ATTACH":
        return line.parameters.get("FILENAME") or line.parameters.get("X-FILENAME") or value
    if name in _STRUCTURED:
        fields = [part for part in split_fields(value) if part and "vnd.android" not in part]
        return ", ".join(fields)
    if name == "X-ALT-DESC":
        is_html = line.parameters.get("FMTTYPE", "").lower() == _HTML
        text = unescape_text(value)
        return "".join(extract_lines(text)).strip() if is_html else text
    if name == "RRULE":
        return value.lower().replace(";", ", ").replace("=", " ")
    text = re.sub("^(tel|mailto):", "", unescape_text(value), flags=re.I).strip()
    return _APPLE_LABEL.sub(r"\1", text)


def _format_date(line: ContentLine) -> str:
    """Formats 20240501T100000Z as 2024-05-01 10:00 UTC; other values stay as they are."""
    match = _DATE_TIME.match(line.value)
    if match is None:
        return line.value
    year, month, day, hour, minute, is_utc = match.groups()
    zone = "UTC" if is_utc else line.parameters.get("TZID", "")
    zone = f" {zone}" if zone else ""
    return f"{year}-{month}-{day}" + (f" {hour}:{minute}{zone}" if hour else "")
