"""Messages of Outlook are read with their recipients, bodies, attachments and inner messages."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import DecodeError, MediaError
from mmsearch.media.base import Content, Described, LoadOptions, Passage, Picture
from mmsearch.media.mail.rtf_mail import decompress_rtf, read_compressed_rtf
from mmsearch.media.registry import load
from mmsearch.media.sniff import sniff
from mmsearch.types import Omission, OmissionCause

Storage = dict[str, "bytes | Storage"]
SECTOR, SMALL, CUTOFF = 512, 64, 4096
FREE, END, TABLE, NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
SENT = datetime(2024, 5, 1, 8, 0, tzinfo=UTC)


def pad(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def make_compound_file(root: Mapping[str, bytes | Storage]) -> bytes:
    """Writes a compound file (OLE) with these streams and storages."""
    # Each entry: name, kind, data, child, next sibling. Siblings form a chain to the right.
    entries: list[list[object]] = [["Root Entry", 5, b"", NONE, NONE]]

    def add(storage: Mapping[str, bytes | Storage], parent: int) -> None:
        before = None
        for name, value in sorted(storage.items(), key=lambda item: (len(item[0]), item[0])):
            index = len(entries)
            is_stream = isinstance(value, bytes)
            entries.append([name, 2 if is_stream else 1, value if is_stream else b"", NONE, NONE])
            if before is None:
                entries[parent][3] = index
            else:
                entries[before][4] = index
            before = index
            if not isinstance(value, bytes):
                add(value, index)

    add(root, 0)
    sectors: list[bytes] = []
    table: list[int] = []

    def write(data: bytes) -> int:
        start = len(sectors)
        count = -(-len(data) // SECTOR)
        for at in range(count):
            sectors.append(pad(data[at * SECTOR : (at + 1) * SECTOR], SECTOR))
            table.append(start + at + 1 if at + 1 < count else END)
        return start if count else END

    small, small_table, places = b"", [], []
    for _, kind, data, _, _ in entries:
        assert isinstance(data, bytes)
        if kind != 2 or len(data) >= CUTOFF:
            places.append((write(data), len(data)))
            continue
        start, count = len(small_table), -(-len(data) // SMALL)
        small += pad(data, SMALL)
        small_table += [start + at + 1 if at + 1 < count else END for at in range(count)]
        places.append((start if count else END, len(data)))
    places[0] = (write(small), len(small))
    small_start = write(pad(struct.pack(f"<{len(small_table)}I", *small_table), SECTOR))
    directory = b""
    for (name, kind, _, child, sibling), (start, size) in zip(entries, places, strict=True):
        assert isinstance(name, str)
        coded = name.encode("utf-16-le")
        directory += coded.ljust(64, b"\0") + struct.pack(
            "<HBBIII16xI16xIQ", len(coded) + 2, kind, 1, NONE, sibling, child, 0, start, size
        )
    directory_start = write(pad(directory, SECTOR))
    count = 1
    while count * SECTOR // 4 < len(table) + count:
        count += 1
    first = len(sectors)
    table += [TABLE] * count
    table += [FREE] * (count * SECTOR // 4 - len(table))
    packed = struct.pack(f"<{len(table)}I", *table)
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    header += struct.pack("<HHHHH6xII", 0x3E, 3, 0xFFFE, 9, 6, 0, count)
    small_sectors = -(-len(small_table) * 4 // SECTOR)
    header += struct.pack(
        "<IIIIIII", directory_start, 0, CUTOFF, small_start, small_sectors, END, 0
    )
    header += struct.pack("<109I", *[*range(first, first + count)], *[FREE] * (109 - count))
    return header + b"".join(sectors) + packed


def make_item(
    texts: Mapping[int, str],
    *,
    numbers: Mapping[int, int] | None = None,
    data: Mapping[int, bytes] | None = None,
    header_bytes: int = 32,
    encoding: str = "utf-16-le",
) -> Storage:
    """Makes the storage of a message, recipient or attachment."""
    kind = "001F" if encoding == "utf-16-le" else "001E"
    item: Storage = {
        f"__substg1.0_{at:04X}{kind}": text.encode(encoding) for at, text in texts.items()
    }
    item |= {f"__substg1.0_{at:04X}0102": value for at, value in (data or {}).items()}
    entries = b"".join(
        struct.pack("<HHIQ", 0x40 if value > 2**32 else 3, at, 6, value)
        for at, value in (numbers or {}).items()
    )
    item["__properties_version1.0"] = bytes(header_bytes) + entries
    return item


def make_ticks(moment: datetime) -> int:
    return int((moment - EPOCH).total_seconds()) * 10_000_000


def read(folder: Path, item: Storage) -> list[Content]:
    path = folder / "a.msg"
    path.write_bytes(make_compound_file(item))
    assert sniff(path) == "msg"
    return list(load(path, LoadOptions()))


def text_of(contents: list[Content]) -> str:
    return "".join(each.text for each in contents if isinstance(each, Passage))


def make_mail(**options: object) -> Storage:
    return make_item(
        {
            0x001A: "IPM.Note",
            0x0037: "Käse harvest",
            0x0C1A: "Eva Wald",
            0x5D01: "eva@example.org",
            0x1000: "the plain quince 日本\r\n",
        },
        numbers={0x0039: make_ticks(SENT)},
        data={0x1013: b"<p>the marked quince</p>"},
    )


def make_person(name: str, address: str, kind: int) -> Storage:
    return make_item({0x3001: name, 0x39FE: address}, numbers={0x0C15: kind}, header_bytes=8)


def test_a_mail_is_read(tmp_path: Path) -> None:
    mail = make_mail()
    mail["__recip_version1.0_#00000000"] = make_person("Otto", "otto@example.org", 1)
    mail["__recip_version1.0_#00000001"] = make_person("Ann", "ann@example.org", 2)
    contents = read(tmp_path, mail)
    assert isinstance(contents[0], Described)
    metadata = contents[0].metadata
    assert (metadata.format, metadata.title) == ("msg", "Käse harvest")
    assert metadata.artist == "Eva Wald <eva@example.org>"
    assert metadata.taken_at == SENT
    text = text_of(contents)
    assert "Subject: Käse harvest\nFrom: Eva Wald <eva@example.org>\n" in text
    assert "To: Otto <otto@example.org>\nCc: Ann <ann@example.org>\n" in text
    assert "the plain quince 日本" in text
    assert text.count("quince") == 1
    assert not [each for each in contents if isinstance(each, Omission)]


@pytest.mark.parametrize(("page", "encoding"), [(1251, "cp1251"), (0, "cp1251"), (65001, "utf-8")])
def test_old_mails_are_read_in_their_code_page(tmp_path: Path, page: int, encoding: str) -> None:
    words = "Привет из Москвы, мы пишем письма каждый день"
    mail = make_item({0x0037: words, 0x1000: words}, numbers={0x3FFD: page}, encoding=encoding)
    assert text_of(read(tmp_path, mail)).count(words) == 2


def test_a_body_of_html_is_read_in_its_code_page(tmp_path: Path) -> None:
    mail = make_item(
        {0x0037: "x"},
        numbers={0x3FDE: 1252},
        data={0x1013: "<p>Grüße – der <b>Qu</b>ark</p>".encode("cp1252")},
    )
    assert "Grüße – der Quark" in text_of(read(tmp_path, mail))


def pack_rtf(source: bytes) -> bytes:
    """Packs RTF with runs of literal bytes and the closing reference."""
    packed = b"".join(b"\0" + source[at : at + 8] for at in range(0, len(source) // 8 * 8, 8))
    rest = source[len(source) // 8 * 8 :]
    end = (207 + len(source)) % 4096 << 4
    packed += bytes([1 << len(rest)]) + rest + end.to_bytes(2, "big")
    return struct.pack("<II4sI", len(packed) + 12, len(source), b"LZFu", 0) + packed


def test_a_body_of_rich_text_is_read(tmp_path: Path) -> None:
    source = (
        rb"{\rtf1\ansi\ansicpg1252\fromtext{\fonttbl{\f0 Arial;}}\pard K\'e4se and quinces\par}"
    )
    assert decompress_rtf(pack_rtf(source)) == source
    mail = make_item({0x0037: "x"}, data={0x1009: pack_rtf(source)})
    assert "Käse and quinces" in text_of(read(tmp_path, mail))


def test_compressed_rich_text_unpacks_its_references() -> None:
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c0900206277"
        "05b06c647d0a800fa0"
    )
    assert decompress_rtf(packed) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    # A phrase that runs into itself.
    source = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert decompress_rtf(source) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    assert read_compressed_rtf(b"") == ""


def make_attachment(name: str, data: bytes, kind: str = "") -> Storage:
    texts = {0x3707: name, **({0x370E: kind} if kind else {})}
    return make_item(texts, data={0x3701: data}, header_bytes=8)


def test_attachments_and_inner_messages_are_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 240), "red").save(file, "PNG")
    mail = make_mail()
    mail["__attach_version1.0_#00000000"] = make_attachment("notes über Äpfel.txt", b"the medlar")
    mail["__attach_version1.0_#00000001"] = make_attachment("photo.png", file.getvalue())
    mail["__attach_version1.0_#00000002"] = make_attachment("all.zip", b"PK\3\4" + bytes(9000))
    inner = make_item({0x0037: "Inner matter", 0x1000: "the inner plum"}, header_bytes=24)
    inner["__attach_version1.0_#00000000"] = make_attachment("deep.txt", b"deep words")
    holder = make_item({0x3707: "Inner matter.msg"}, header_bytes=8)
    holder["__substg1.0_3701000D"] = inner
    mail["__attach_version1.0_#00000003"] = holder
    contents = read(tmp_path, mail)
    text = text_of(contents)
    for words in (
        "Attachment: notes über Äpfel.txt",
        "the medlar",
        "Attachment: photo.png",
        "Attachment: all.zip",
        "Subject: Inner matter",
        "the inner plum",
        "deep words",
    ):
        assert words in text, words
    assert sum(isinstance(each, Picture) for each in contents) == 1
    omissions = [each for each in contents if isinstance(each, Omission)]
    assert [each.cause for each in omissions] == [OmissionCause.UNSUPPORTED]
    assert "all.zip" in omissions[0].detail


def test_inner_messages_are_bounded(tmp_path: Path) -> None:
    item = make_item({0x0037: "bottom"}, header_bytes=24)
    for at in range(20):
        holder = make_item({}, header_bytes=8)
        holder["__substg1.0_3701000D"] = item
        item = make_item({0x0037: f"level {at}"}, header_bytes=24)
        item["__attach_version1.0_#00000000"] = holder
    contents = read(tmp_path, item)
    assert "level 19" in text_of(contents)
    assert OmissionCause.UNSUPPORTED in [
        each.cause for each in contents if isinstance(each, Omission)
    ]


def test_appointments_and_contacts_are_read(tmp_path: Path) -> None:
    item = make_item(
        {0x0037: "Pressing", 0x8001: "Räucherhaus", 0x3A16: "Orchards", 0x3A08: "030 1234"},
        numbers={0x0060: make_ticks(SENT)},
    )
    named = struct.pack("<IIII", 0x8233, 0x2 << 1, 0x8208, 0x10000 | 0x2 << 1)
    item["__nameid_version1.0"] = {"__substg1.0_00030102": named}
    text = text_of(read(tmp_path, item))
    assert "Start: 2024-05-01 08:00 UTC\n" in text
    assert "Location: Räucherhaus\n" in text
    assert "Organization: Orchards\n" in text
    assert "Phone (work): 030 1234\n" in text


def test_protected_mails_say_so(tmp_path: Path) -> None:
    sealed = bytes.fromhex("308006092a864886f70d010703a080")
    for name, data in (("smime.p7m", sealed), ("message.rpmsg", b"\x76\xe8\x04\x60")):
        mail = make_item({0x0037: "secret matter"})
        mail["__attach_version1.0_#00000000"] = make_attachment(name, data)
        contents = read(tmp_path, mail)
        assert "secret matter" in text_of(contents)
        omissions = [each for each in contents if isinstance(each, Omission)]
        assert [each.cause for each in omissions] == [OmissionCause.ENCRYPTED]
    signed = (
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nthe signed medlar\r\n--b--"
    )
    mail = make_item({0x0037: "x"})
    mail["__attach_version1.0_#00000000"] = make_attachment("smime.p7m", signed, "multipart/signed")
    assert "the signed medlar" in text_of(read(tmp_path, mail))


def test_a_broken_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.msg"
    path.write_bytes(make_compound_file(make_mail())[:1200])
    with pytest.raises(DecodeError):
        list(load(path, LoadOptions()))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=8)), max_size=8
    )
)
def test_damaged_files_raise_nothing_else(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    mail = make_mail()
    mail["__attach_version1.0_#00000000"] = make_attachment("a.txt", b"the medlar")
    data = bytearray(make_compound_file(mail))
    for at, piece in changes:
        at %= len(data) - 8
        data[at : at + len(piece)] = piece
    path = tmp_path / "a.msg"
    path.write_bytes(data)
    try:
        list(load(path, LoadOptions()))
    except MediaError as exc:
        assert exc.reason  # noqa: PT017 - it may also be read
