"""Documents that attack their readers: bombs of zip, XML and Flate, entities, nesting, loops.

Each is small on disk. `bomb_bytes` is the size that a bomb unpacks to.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20
ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "bomb bomb bomb bomb bomb bomb bomb bomb">'
    + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 20}">'
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    + "]>"
)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
KIND = "application/vnd.openxmlformats-officedocument"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
SLIDE = "http://schemas.openxmlformats.org/presentationml/2006/main"
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
Parts = dict[str, Iterator[bytes] | bytes | str]


def write_zip(path: Path, parts: Parts) -> Path:
    """Writes a zip of members that may be streams of blocks."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            with archive.open(name, "w", force_zip64=True) as member:
                if isinstance(content, str):
                    content = content.encode()
                for block in [content] if isinstance(content, bytes) else content:
                    member.write(block)
    return path


def fill(head: str, unit: str, tail: str, size_bytes: int) -> Iterator[bytes]:
    """Yields a head, a unit again and again, and a tail."""
    yield head.encode()
    block = (unit * max(1, CHUNK // len(unit))).encode()
    for _ in range(max(1, size_bytes // len(block))):
        yield block
    yield tail.encode()


def package(main: str, content: Iterator[bytes] | str, kind: str) -> Parts:
    """Returns the parts of an Office package with one main part."""
    return {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Override '
        f'PartName="/{main}" ContentType="{KIND}.{kind}.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{RELATION}/officeDocument" Target="{main}"/></Relationships>',
        main: content,
    }


def make_docx(content: Iterator[bytes] | str) -> Parts:
    """Returns the parts of a Word document."""
    return package("word/document.xml", content, "wordprocessingml.document")


def package_with_part(
    main: str, content: str, kind: str, part: str, body: Iterator[bytes] | str
) -> Parts:
    """Returns the parts of an Office package whose main part leads to one other, as `r1`."""
    folder, _, name = main.partition("/")
    role = part.partition("/")[0].removesuffix("s")
    return {
        **package(main, content, kind),
        f"{folder}/_rels/{name}.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{RELATION}/{role}" Target="{part}"/></Relationships>',
        f"{folder}/{part}": body,
    }


def make_xlsx(sheet: Iterator[bytes] | str) -> Parts:
    """Returns the parts of a workbook of one sheet."""
    book = (
        f'<workbook xmlns="{SHEET}" xmlns:r="{RELATION}"><sheets><sheet name="s" sheetId="1" '
        'r:id="r1"/></sheets></workbook>'
    )
    kind, part = "spreadsheetml.sheet", "worksheets/sheet1.xml"
    return package_with_part("xl/workbook.xml", book, kind, part, sheet)


def make_pptx(slide: Iterator[bytes] | str) -> Parts:
    """Returns the parts of a presentation of one slide."""
    show = (
        f'<p:presentation xmlns:p="{SLIDE}" xmlns:r="{RELATION}"><p:sldIdLst><p:sldId id="256" '
        'r:id="r1"/></p:sldIdLst></p:presentation>'
    )
    kind, part = "presentationml.presentation", "slides/slide1.xml"
    return package_with_part("ppt/presentation.xml", show, kind, part, slide)


def make_odt(content: Iterator[bytes] | str) -> Parts:
    """Returns the parts of an OpenDocument text."""
    return {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content}


def make_epub(chapter: Iterator[bytes] | str) -> Parts:
    """Returns the parts of a book of one chapter."""
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:'
        'container"><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>',
        "book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="c" '
        'href="c.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref '
        'idref="c"/></spine></package>',
        "c.xhtml": chapter,
    }


def list_texts(size_bytes: int) -> dict[str, Parts]:
    """Returns packages by file name: bombs, entities and deep nesting in each kind."""
    deep = min(300_000, size_bytes // 16)
    frames = {
        "docx": (make_docx, f'<w:document xmlns:w="{WORD}"><w:body>', "w:p", "w:r", "w:t"),
        "odt": (
            make_odt,
            f'<office:document-content xmlns:office="{OFFICE}" xmlns:text="{TEXT}"><office:body>'
            "<office:text>",
            "text:p", "text:span", "text:span",
        ),
        "pptx": (
            make_pptx,
            f'<p:sld xmlns:p="{SLIDE}" xmlns:a="{DRAWING}"><p:cSld>',
            "a:p", "a:r", "a:t",
        ),
        "epub": (
            make_epub, '<html xmlns="http://www.w3.org/1999/xhtml"><body>', "p", "b", "span"
        ),
        "xlsx": (make_xlsx, f'<worksheet xmlns="{SHEET}"><sheetData>', "row", "c", "v"),
    }  # fmt: skip
    packages: dict[str, Parts] = {}
    for suffix, (make, head, block, run, leaf) in frames.items():
        open_leaf, close_leaf = f"<{block}><{run}><{leaf}>", f"</{leaf}></{run}></{block}>"
        packages[f"blanks.{suffix}"] = make(
            fill(head + open_leaf, " " * 64, close_leaf, size_bytes)
        )
        packages[f"letters.{suffix}"] = make(fill(head + open_leaf, "a", close_leaf, size_bytes))
        packages[f"blocks.{suffix}"] = make(fill(head, f"{open_leaf}7{close_leaf}", "", size_bytes))
        packages[f"deep.{suffix}"] = make(head + f"<{block}><{run}>" * deep)
        packages[f"attribute.{suffix}"] = make(
            fill(f'{head}<{block} x="', "y", f'"></{block}>', size_bytes)
        )
        plain = head.replace("<?xml version='1.0'?>", "")
        packages[f"entities.{suffix}"] = make(f"{ENTITIES}{plain}{open_leaf}&h;{close_leaf}")
    return packages


def overlap(path: Path, copies: int) -> Path:
    """Makes all further members of a zip the same bytes as its last one, under other names."""
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    count, _, start = struct.unpack("<HII", data[end + 10 : end + 20])
    last = data.rindex(b"PK\x01\x02", start, end)
    entry = data[last:end]
    name_size = struct.unpack("<H", entry[28:30])[0]
    entries = bytearray(data[start:end])
    for number in range(copies):
        name = f"word/{number:06}".encode()
        entries += entry[:28] + struct.pack("<H", len(name)) + entry[30:46] + name
        entries += entry[46 + name_size :]
    total = min(0xFFFF, count + copies)
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, total, total, len(entries), start, 0)
    path.write_bytes(data[:start] + bytes(entries) + tail)
    return path


def write_pdf(path: Path, objects: list[bytes]) -> Path:
    """Writes a PDF of numbered objects, the first of them its catalogue."""
    parts, offsets = [b"%PDF-1.7\n"], []
    for number, body in enumerate(objects, start=1):
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = sum(map(len, parts))
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table))
    parts.append(b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (count, start))
    path.write_bytes(b"".join(parts))
    return path


def squeeze(size_bytes: int, unit: bytes = b" ") -> bytes:
    """Returns a Flate stream that unpacks to a unit again and again."""
    packer = zlib.compressobj(9)
    block = unit * (CHUNK // len(unit))
    packed = [packer.compress(block) for _ in range(max(1, size_bytes // CHUNK))]
    return b"".join(packed) + packer.flush()


def write_pdfs(folder: Path, size_bytes: int) -> None:
    """Writes PDF files: a bomb of Flate, a form within itself, a tree of pages that is a ring."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources 5 0 R>>"
    catalogue = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page]

    def stream(data: bytes, entries: bytes = b"") -> bytes:
        return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), entries, data)

    bomb = stream(squeeze(size_bytes, b"(a) Tj "), b"/Filter/FlateDecode")
    write_pdf(folder / "flate.pdf", [*catalogue, bomb, b"<<>>"])
    form = stream(b"/F Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources 5 0 R")
    write_pdf(
        folder / "itself.pdf", [*catalogue, stream(b"/F Do"), b"<</XObject<</F 6 0 R>>>>", form]
    )
    ring = b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 99999>>"
    write_pdf(folder / "ring.pdf", [catalogue[0], ring])


def write_plain(folder: Path, size_bytes: int) -> None:
    """Writes mails, notebooks, cards, RTF, pages and tables that nest or never end."""
    size = min(size_bytes // 16, 48 << 20)
    mail = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(20_000)
    )
    (folder / "deep.eml").write_text(f"From: a@b\nSubject: nested\nMIME-Version: 1.0\n{mail}end")
    (folder / "endless.eml").write_text(
        "From: a@b\nSubject: parts\nMIME-Version: 1.0\n"
        "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * (size // 8)
    )
    (folder / "lines.mbox").write_text(
        "From a@b Thu Jan  1 00:00:00 2026\nSubject: x\n\n" * (size // 64)
    )
    (folder / "deep.ipynb").write_text(
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": ' + "[" * (size // 4)
    )
    (folder / "data.ipynb").write_text(
        json.dumps(
            {
                "nbformat": 4,
                "nbformat_minor": 5,
                "metadata": {},
                "cells": [
                    {"cell_type": "code", "metadata": {}, "source": "x", "outputs": [
                        {"output_type": "display_data", "data": {"image/png": "A" * size}}
                    ]}
                ],
            }
        )
    )  # fmt: skip
    (folder / "open.vcf").write_text("BEGIN:VCARD\nVERSION:3.0\nFN:a\n" * (size // 32))
    (folder / "folded.ics").write_text(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:" + "a\n " * (size // 3)
    )
    (folder / "groups.rtf").write_text("{\\rtf1 " + "{" * size)
    (folder / "words.rtf").write_text("{\\rtf1\\ansi " + "\\b1" * (size // 3))
    (folder / "entities.svg").write_text(f"{ENTITIES}<svg><text>&h;</text></svg>")
    (folder / "deep.html").write_text("<div>" * (size // 5))
    (folder / "quotes.csv").write_text('a,b\n"' + "x,y\n" * (size // 4))
    (folder / "deep.json").write_text('{"a":' * (size // 5))


def write_documents(folder: Path, bomb_bytes: int) -> list[Path]:
    """Writes all of them into an empty folder; returns their paths."""
    for name, parts in list_texts(bomb_bytes).items():
        write_zip(folder / name, parts)
    overlap(write_zip(folder / "overlap.docx", make_docx(f"<a>{'b' * CHUNK}</a>")), 60_000)
    nested = b""
    for level in range(40):
        path = folder / "nested.docx"
        write_zip(path, {**make_docx(f"<d>{level}</d>"), "word/inner.docx": nested})
        nested = path.read_bytes()
    write_pdfs(folder, bomb_bytes)
    write_plain(folder, bomb_bytes)
    return sorted(folder.iterdir())
