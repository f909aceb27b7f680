"""Address books and calendars of all versions are read as lines with labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsearch.errors import MediaError
from mmsearch.media.base import Described, Limits, LoadOptions, Passage
from mmsearch.media.mail.cards import format_cards
from mmsearch.media.mail.content_lines import split_fields
from mmsearch.media.registry import load
from mmsearch.media.sniff import sniff
from mmsearch.types import Metadata, Omission

PHOTO = "\n ".join(["QUJD" * 18] * 40)


def read(folder: Path, source: bytes, name: str) -> tuple[Metadata, list[str]]:
    path = folder / name
    path.write_bytes(source)
    first, *rest = load(path, LoadOptions())
    assert isinstance(first, Described)
    assert all(isinstance(each, Passage) for each in rest)
    return first.metadata, [each.text for each in rest if isinstance(each, Passage)]


def card_of(source: str | bytes) -> str:
    data = source.encode() if isinstance(source, str) else source
    return "".join(card.text for card in format_cards(data.splitlines(keepends=True)))


def test_a_card_of_version_2_is_read() -> None:
    text = card_of(
        "BEGIN:VCARD\r\nVERSION:2.1\r\n"
        "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:;=4D=C3=BC=6C=6C=65=72;;;\r\n"
        "FN;CHARSET=ISO-8859-1;QUOTED-PRINTABLE:J=FCrgen =\r\nM=FCller\r\n"
        "TEL;HOME;VOICE:+49 30 1234\r\nTEL;CELL:0170 99\r\n"
        "ADR;WORK;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:;;Hauptstra=C3=9Fe 5;K=C3=B6ln;;50667;"
        "Germany\r\nEMAIL;INTERNET:j@example.org\r\n"
        f"PHOTO;ENCODING=BASE64;TYPE=JPEG:{PHOTO}\r\n\r\n"
        "NOTE:met at the\r\n  harvest\r\nEND:VCARD\r\n"
    )
    assert "Name: Jürgen Müller\n" in text
    assert "Phone (home): +49 30 1234\n" in text
    assert "Phone (cell): 0170 99\n" in text
    assert "Address (work): Hauptstraße 5, Köln, 50667, Germany\n" in text
    assert "Email: j@example.org\n" in text
    assert "Note: met at the  harvest\n" in text
    assert "QUJD" not in text


@pytest.mark.parametrize("version", ["3.0", "4.0"])
def test_a_card_of_the_later_versions_is_read(version: str) -> None:
    text = card_of(
        f"BEGIN:VCARD\nVERSION:{version}\nFN:Dr. Eva Wald\nN:Wald;Eva;Maria;Dr.;\n"
        "ORG:Wald\\, Sohn & Co;Orchards\nTITLE:Pomo\n logist\nNICKNAME:Evi\n"
        'item1.TEL;TYPE="work,voice";VALUE=uri:tel:+49-30-1\nitem1.X-ABLabel:_$!<Other>!$_\n'
        "item2.ADR;TYPE=HOME:;;Lindenweg 1\\nHinterhaus;Köln;NRW;50667;Germany\n"
        f"PHOTO;ENCODING=b;TYPE=JPEG:{PHOTO}\nPHOTO:data:image/jpeg;base64,{PHOTO}\n"
        f"KEY:data:application/pgp-keys;base64,{PHOTO}\nBDAY:1980-03-05\n"
        "X-ABRELATEDNAMES:Otto\nNOTE:likes quinces\\; and medlars\\nand plums\nUID:1-2-3\n"
        "REV:20240501T100000Z\nPRODID:-//X//Y\nEND:VCARD\n"
    )
    assert text.splitlines()[:2] == ["Name: Dr. Eva Maria Wald", "Name: Dr. Eva Wald"]
    assert "Organization: Wald, Sohn & Co, Orchards\n" in text
    assert "Title: Pomologist\n" in text
    assert "Nickname: Evi\n" in text
    assert "Phone (work): +49-30-1\n" in text
    assert "Address (home): Lindenweg 1\nHinterhaus, Köln, NRW, 50667, Germany\n" in text
    assert "Birthday: 1980-03-05\n" in text
    assert "Related: Otto\n" in text
    assert "Note: likes quinces; and medlars\nand plums\n" in text
    for dull in ("QUJD", "1-2-3", "-//X", "_$!<", "20240501"):
        assert dull not in text


def test_each_card_of_an_address_book_is_a_passage(tmp_path: Path) -> None:
    source = "".join(f"BEGIN:VCARD\nVERSION:3.0\nFN:Person {at}\nEND:VCARD\n" for at in range(30))
    metadata, texts = read(tmp_path, source.encode(), "all.vcf")
    assert metadata.format == "vcf"
    assert metadata.title is None
    assert texts == [f"Name: Person {at}\n\n" for at in range(30)]
    metadata, texts = read(tmp_path, source[: len(source) // 30].encode(), "one.vcf")
    assert metadata.title == "Person 0"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "cp1251"])
def test_encodings_of_files_are_found(tmp_path: Path, encoding: str) -> None:
    name = "Юрий Соколов, Москва" if encoding == "cp1251" else "Jürgen Müßig aus Köln"
    person = f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{name.replace(',', chr(92) + ',')}\r\nEND:VCARD\r\n"
    _, texts = read(tmp_path, (person * 20).encode(encoding), "a.vcf")
    assert texts == [f"Name: {name}\n\n"] * 20


CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Example//EN
X-WR-CALNAME:Orchard
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY
TZNAME:CET
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:1
DTSTAMP:20240101T000000Z
SUMMARY:Quince\\, harvest
DESCRIPTION:Bring baskets\\nand lad
 ders\\; gloves too
LOCATION;LANGUAGE=de:Räucherhaus
DTSTART;TZID=Europe/Berlin:20240501T100000
DTEND:20240501T120000Z
ORGANIZER;CN="Wald, Eva":mailto:eva@example.org
ATTENDEE;CN=Otto;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED:MAILTO:otto@example.org
ATTENDEE:mailto:ann@example.org
CATEGORIES:fruit,work
RRULE:FREQ=WEEKLY;BYDAY=MO
ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=map.png:QUJDQUJDQUJD
BEGIN:VALARM
ACTION:DISPLAY
DESCRIPTION:alarm text
END:VALARM
END:VEVENT
BEGIN:VTODO
SUMMARY:Oil the press
DUE;VALUE=DATE:20240502
END:VTODO
BEGIN:VEVENT
SUMMARY:Marked
X-ALT-DESC;FMTTYPE=text/html:<html><body><p>the <b>marked</b> text</p></body></html>
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_events_are_read(tmp_path: Path, ends: str) -> None:
    metadata, texts = read(tmp_path, CALENDAR.replace("\n", ends).encode(), "a.ics")
    assert metadata.format == "ics"
    assert texts[0] == "Calendar: Orchard\n\n"
    assert texts[1].splitlines() == [
        "Summary: Quince, harvest",
        "Description: Bring baskets",
        "and ladders; gloves too",
        "Location: Räucherhaus",
        "Start: 2024-05-01 10:00 Europe/Berlin",
        "End: 2024-05-01 12:00 UTC",
        "Organizer: Wald, Eva <eva@example.org>",
        "Attendee: Otto <otto@example.org>",
        "Attendee: ann@example.org",
        "Categories: fruit,work",
        "Repeats: freq weekly, byday mo",
        "Attachment: map.png",
        "",
    ]
    assert texts[2] == "Summary: Oil the press\nDue: 2024-05-02\n\n"
    assert texts[3] == "Summary: Marked\nDescription: the marked text\n\n"
    assert len(texts) == 4


def test_an_old_calendar_is_read(tmp_path: Path) -> None:
    source = (
        b"BEGIN:VCALENDAR\r\nVERSION:1.0\r\nBEGIN:VEVENT\r\n"
        b"SUMMARY;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:K=C3=A4se=\r\nfondue\r\n"
        b"DTSTART:20240501T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    metadata, texts = read(tmp_path, source, "a.vcs")
    assert metadata.title == "Käsefondue"
    assert texts == ["Summary: Käsefondue\nStart: 2024-05-01 10:00 UTC\n\n"]


def test_cards_are_known_by_their_content(tmp_path: Path) -> None:
    cases = {
        "contact": (b"BEGIN:VCARD\r\nFN:A\r\nEND:VCARD\r\n", "cards"),
        "a.txt": (b"\n begin:vcalendar\nVERSION:2.0\n", "cards"),
        "b.txt": (b"A card starts with\nBEGIN:VCARD\nand ends so.", "text"),
        "c.txt": (b"BEGIN:VCARD is the first line of a card.", "text"),
    }
    for name, (source, loader) in cases.items():
        path = tmp_path / name
        path.write_bytes(source)
        assert sniff(path) == loader, name


def test_a_file_past_the_limit_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.vcf"
    path.write_text("".join(f"BEGIN:VCARD\nFN:Person {at}\nEND:VCARD\n" for at in range(100)))
    contents = list(load(path, LoadOptions(limits=Limits(text_chars=200))))
    assert [each.name for each in contents if isinstance(each, Omission)] == ["text_chars"]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), min_size=1))
def test_escaped_fields_come_back(fields: list[str]) -> None:
    escaped = [
        each.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,") for each in fields
    ]
    assert split_fields(";".join(escaped)) == [each.strip() for each in fields]


@given(
    st.text(st.characters(categories=["L", "N", "Zs"]), min_size=1).map(
        lambda words: " ".join(words.split())
    )
)
def test_folded_words_are_found(words: str) -> None:
    data = b"NOTE:" + words.encode()
    folded = b"\r\n ".join(data[at : at + 20] for at in range(0, len(data), 20))
    source = b"BEGIN:VCARD\r\nVERSION:4.0\r\n" + folded + b"\r\nFN:x\r\nEND:VCARD\r\n"
    assert words in card_of(source)


FRAGMENTS = [b"\n", b"\n ", b"=\n", b":", b";", b'"', b"BEGIN:VEVENT\n", b"END:VEVENT\n"]
FRAGMENTS += [b"SUMMARY:", b"N:", b"TEL;TYPE=", b"NOTE;ENCODING=QUOTED-PRINTABLE:", b"DTSTART:2"]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(FRAGMENTS)), max_size=40),
    start=st.sampled_from([b"BEGIN:VCARD\nFN:a\n", b"BEGIN:VCALENDAR\nNAME:a\n", b"\xff\xfe"]),
)
def test_arbitrary_bytes_raise_nothing_else(
    tmp_path: Path, pieces: list[bytes], start: bytes
) -> None:
    path = tmp_path / "a.vcf"
    path.write_bytes(start + b"".join(pieces))
    try:
        list(load(path, LoadOptions()))
    except MediaError as exc:
        if start.startswith(b"BEGIN"):
            pytest.fail(f"refused: {exc}")
