"""Office packages and compound files are told apart by what is in them."""

from __future__ import annotations

import random
import struct
import zipfile
from pathlib import Path

import pytest

from mmsearch.errors import UnsupportedMedia
from mmsearch.media.documents import compound_file
from mmsearch.media.documents.office_parts import (
    PartRelationship,
    read_main_type,
    read_relationships,
    resolve_target,
)
from mmsearch.media.sniff import sniff

FREE, END = 0xFFFFFFFF, 0xFFFFFFFE


def compound_of(names: list[str], *, shift: int = 9, table: list[int] | None = None) -> bytes:
    """A compound file whose directory of these names begins in sector 1 and goes on in sector 3."""
    size = 1 << shift
    entries = [
        name.encode("utf-16-le").ljust(64, b"\0") + struct.pack("<H", len(name) * 2 + 2) + bytes(62)
        for name in names
    ]
    per_sector = size // 128
    first, rest = b"".join(entries[:per_sector]), b"".join(entries[per_sector:])
    numbers = table or [0xFFFFFFFD, 3, END, END]
    header = bytearray(compound_file.MAGIC + bytes(504))
    struct.pack_into("<HHHH", header, 24, 62, 3, 0xFFFE, shift)
    struct.pack_into("<II", header, 44, 1, 1)
    struct.pack_into("<I", header, 76, 0)
    sectors = [
        struct.pack(f"<{len(numbers)}I", *numbers).ljust(size, b"\xff"),
        first.ljust(size, b"\0"),
        bytes(size),
        rest.ljust(size, b"\0"),
    ]
    return bytes(header).ljust(size, b"\0") + b"".join(sectors)


@pytest.mark.parametrize("shift", [9, 12])
@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_document_with_a_password_is_called_so(tmp_path: Path, shift: int, place: int) -> None:
    names = [f"Stream {at}" for at in range(8)]
    names[place] = "EncryptedPackage"
    for suffix in (".docx", ".xlsx", ".pptx", ""):
        path = tmp_path / f"locked{suffix}"
        path.write_bytes(compound_of(names, shift=shift))
        with pytest.raises(UnsupportedMedia, match="encrypted with a password"):
            sniff(path)


def test_messages_of_outlook_and_old_documents_differ(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(compound_of(["Root Entry", "__substg1.0_0037001F"]))
    assert sniff(path) == "msg"
    path.write_bytes(compound_of(["Root Entry", "WordDocument", "1Table"]))
    with pytest.raises(UnsupportedMedia, match="old Office"):
        sniff(path)


@pytest.mark.parametrize(
    "table", [[FREE, 1, END], [FREE, FREE], [FREE, 0x7FFFFFFF], [FREE, 2, 1, END]]
)
def test_a_damaged_directory_ends(tmp_path: Path, table: list[int]) -> None:
    path = tmp_path / "file"
    path.write_bytes(compound_of(["Root Entry", "Data"], table=table))
    assert {"Root Entry", "Data"} <= compound_file.read_entry_names(path)


def test_any_bytes_of_a_compound_file_are_survived(tmp_path: Path) -> None:
    path, whole = tmp_path / "file", compound_of(["Root Entry", "EncryptedPackage"])
    dice = random.Random(4)
    for _ in range(300):
        broken = bytearray(whole[: dice.randrange(8, len(whole))])
        for _ in range(20):
            broken[dice.randrange(8, max(9, len(broken))) - 1] = dice.randrange(256)
        broken[:8] = compound_file.MAGIC
        path.write_bytes(broken)
        compound_file.read_entry_names(path)


MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


@pytest.mark.parametrize(
    "types",
    [
        f'<Types><Override PartName="/word/document2.xml" ContentType="{MAIN}"/></Types>',
        f'<Types><Default Extension="xml" ContentType="{MAIN}"/></Types>',
        '<Types><Override PartName="/a.xml" '
        'ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/></Types>',
    ],
)
def test_a_document_is_known_by_the_type_of_its_main_part(tmp_path: Path, types: str) -> None:
    path = tmp_path / "file"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("word/document2.xml", "<a/>")
    assert sniff(path) == "docx"


def test_relationships_name_parts_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "file"
    rels = (
        '<Relationships><Relationship Id="r1" Type="http://x/header" Target="header1.xml"/>'
        '<Relationship Id="r2" Type="http://x/aFChunk" Target="/parts/a%20b.htm"/>'
        '<Relationship Id="r3" Type="http://x/image" Target="http://evil/" TargetMode="External"/>'
        '<Relationship Id="r4" Type="http://x/comments" Target="..\\..\\..\\c.xml"/><broken'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Word/_rels/Document.xml.rels", rels)
    with zipfile.ZipFile(path) as archive:
        assert read_main_type(archive) == ""
        assert read_relationships(archive, "word/document.xml") == [
            PartRelationship("r1", "header", "word/header1.xml"),
            PartRelationship("r2", "aFChunk", "parts/a b.htm"),
            PartRelationship("r4", "comments", "c.xml"),
        ]
    assert resolve_target("a/b", "../c#x") == "a/c"
