"""Texts, tables, pages and documents come as passages with true offsets."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import pytest

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import Cue, Described, Limits, LoadOptions, Passage
from mmsearch.media.paragraph_splitter import PASSAGE_CHARS, split_passages
from mmsearch.media.registry import load
from mmsearch.media.subtitles import read_cues
from mmsearch.types import Metadata, Modality, Span
from tests.patience import HANG_S


def read(path: Path, options: LoadOptions | None = None) -> tuple[Metadata, list[Passage]]:
    first, *rest = list(load(path, options or LoadOptions()))
    assert isinstance(first, Described)
    assert first.modality is Modality.TEXT
    found = [content for content in rest if isinstance(content, Passage)]
    assert len(found) == len(rest)
    return first.metadata, found


def text_of(path: Path) -> str:
    return "".join(passage.text for passage in read(path)[1])


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"]
)
def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    words = "Größe und Straße, naïve Übung: das Mädchen läuft über die Brücke.\n" * 20
    path = tmp_path / "a.txt"
    path.write_bytes(words.encode(encoding))
    assert text_of(path) == words


@pytest.mark.parametrize(("encoding", "word"), [("shift_jis", "日本語"), ("cp1251", "Привет")])
def test_other_alphabets_are_found(tmp_path: Path, encoding: str, word: str) -> None:
    path = tmp_path / "a.txt"
    sentence = {
        "日本語": "これは日本語の文章です。とても長いです。",
        "Привет": "Привет, это русский текст о погоде. ",
    }
    path.write_bytes((sentence[word] * 50).encode(encoding))
    assert text_of(path)[:10] == sentence[word][:10]


def test_a_stray_byte_far_in_costs_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"line of a log\n" * 50_000 + b"caf\xe9 closed\n" + "süß\n".encode() * 10)
    text = text_of(path)
    assert "café closed" in text
    assert text.startswith("line of a log\n")
    assert len(text) == 14 * 50_000 + 12 + 4 * 10


def test_newlines_are_one_character_each(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\rthree\n")
    assert text_of(path) == "one\ntwo\nthree\n"


def test_passages_are_bounded_and_their_offsets_true(tmp_path: Path) -> None:
    whole = "".join(f"Paragraph {at} has some words.\n\n" for at in range(5000))
    path = tmp_path / "a.md"
    path.write_text(whole)
    _, found = read(path)
    assert len(found) > 3
    for passage in found:
        assert len(passage.text) <= PASSAGE_CHARS
        assert whole[passage.start_char :].startswith(passage.text)
    assert "".join(passage.text for passage in found) == whole
    assert all(passage.text.endswith("\n\n") for passage in found)


def test_text_stops_quietly_at_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words " * 50_000)
    _, found = read(path, LoadOptions(limits=Limits(text_chars=100_000)))
    assert sum(len(passage.text) for passage in found) == 100_000


def test_a_larger_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words " * 1000)
    with pytest.raises(MediaTooLarge):
        read(path, LoadOptions(limits=Limits(text_bytes=100)))


def test_blank_text_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(" \n\t\n")
    assert read(path)[1] == []


def test_a_line_without_end_is_cut() -> None:
    found = list(split_passages(["x" * 100_000], Limits()))
    assert [len(passage.text) for passage in found] == [PASSAGE_CHARS] * 3 + [1696]


def test_rows_of_a_table_carry_their_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('name;city;born\n"Ada, L.";London;1815\n;Paris;\n')
    assert text_of(path).splitlines() == [
        "name, city, born",
        "name: Ada, L., city: London, born: 1815",
        "city: Paris",
    ]


def test_a_table_without_header_keeps_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("1\t2\n3\t4\n")
    assert text_of(path) == "1, 2\n3, 4\n"


@pytest.mark.parametrize(
    "content", ['a,b\n"never closed ' + "x" * 200_000 + "\nlast,row\n", "one\n"]
)
def test_a_malformed_table_is_still_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert text_of(path).strip()


def test_json_becomes_lines_of_keys_and_values(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {
        "title": "Beach",
        "tags": ["sea", "sand"],
        "place": {"lat": 1.5, "ok": True},
        "no": None,
    }
    path.write_text(json.dumps(value))
    assert text_of(path) == "title: Beach\ntags: sea, sand\nplace.lat: 1.5\nplace.ok: true\n"


def test_json_lines_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": "x"}\n{broken}\n{"a": 2}\n')
    assert text_of(path) == "a: 1, b: x\n{broken}\na: 2\n"


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a": ' * 100_000, "[1, 2", "{'a': 1}"])
def test_malformed_json_is_read_as_it_stands(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert text_of(path) == content


PAGE = """<!DOCTYPE html><html lang="en"><head><title>The  Title</title>
<meta name="description" content="About things"><meta name="author" content="A. Writer">
<style>p { color: red }</style><script>alert("never")</script></head>
<body><h1>Head</h1><p>First <b>bold</b> para&amp;graph.</p><script>no()</script>
<ul><li>one</li><li>two</li></ul>tail<!-- comment --></body></html>"""


def test_a_page_gives_its_words_without_scripts(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(PAGE)
    metadata, found = read(path)
    assert metadata.title == "The Title"
    assert metadata.description == "About things"
    assert metadata.artist == "A. Writer"
    assert metadata.language == "en"
    text = "".join(passage.text for passage in found)
    assert text == "Head\nFirst bold para&graph.\none\ntwo\ntail\n"


def test_the_encoding_in_the_page_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    page = '<html><head><meta charset="iso-8859-7"></head><body>Αθήνα</body></html>'
    path.write_bytes(page.encode("iso-8859-7"))
    assert text_of(path) == "Αθήνα\n"


def test_pages_nested_without_end_are_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    for tag in ("div", "DIV class='x'", "h3", "p"):
        end = tag.split()[0]
        inner = f"<{tag}>" * 80_000 + "deep <i>words</i>" + f"</{end}>" * 80_000
        path.write_text(f"<html><body>before {inner} after")
        begun = time.monotonic()
        assert "deep words" in text_of(path)
        assert time.monotonic() - begun < HANG_S, tag


def test_blocks_that_lie_too_deep_still_have_lines_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<html>" + "<div>a" * 600 + "</div>b" * 600 + "<p>c</p><div>d</div>")
    assert text_of(path).split() == ["a"] * 600 + ["b"] * 600 + ["c", "d"]


@pytest.mark.parametrize(
    "content", ["<div>" * 15_000 + "deep", "<html><p" * 1000, "<html>" + "<a<b" * 9000]
)
def test_malformed_pages_do_no_harm(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.html"
    path.write_text(content)
    read(path)


def pdf_of(pages: list[str], *, trailer: str = "") -> bytes:
    """A small PDF with one line of Helvetica on each page."""
    kids = " ".join(f"{4 + at * 2} 0 R" for at in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Title (My Title) /Author (Me) >>",
    ]
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for at, words in enumerate(pages):
        stream = f"BT /F1 12 Tf 50 700 Td ({words}) Tj ET" if words else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources {font}"
            f" /Contents {5 + at * 2} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{content}\nendobj\n".encode())
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    for offset in offsets:
        out.write(f"{offset:010d} 00000 n \n".encode())
    size = len(objects) + 1
    out.write(f"trailer << /Size {size} /Root 1 0 R /Info 3 0 R {trailer} >>\n".encode())
    out.write(f"startxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def test_pages_of_a_pdf_are_passages(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of(["First page", "", "Third page"]))
    metadata, found = read(path)
    assert (metadata.title, metadata.artist, metadata.page_count) == ("My Title", "Me", 3)
    assert [(passage.page, passage.start_char, passage.text) for passage in found] == [
        (1, 0, "First page"),
        (3, 0, "Third page"),
    ]


def test_pages_past_the_limit_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of([f"Page {at}" for at in range(5)]))
    metadata, found = read(path, LoadOptions(limits=Limits(pages=2)))
    assert metadata.page_count == 5
    assert [passage.page for passage in found] == [1, 2]


def test_an_encrypted_pdf_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    key = "00" * 32
    encrypt = (
        f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >> /ID [<00> <00>]"
    )
    path.write_bytes(pdf_of(["secret"], trailer=encrypt))
    with pytest.raises(DecodeError, match="the PDF is encrypted"):
        read(path)


def test_a_broken_pdf_is_a_decode_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 20)
    with pytest.raises(DecodeError):
        read(path)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BODY = f"""<?xml version="1.0"?><w:document {W}><w:body>
<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Head</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">One </w:t></w:r><w:r><w:t>line &amp; more</w:t></w:r></w:p>
<w:p><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc>
<w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
</w:body></w:document>"""
CORE = (
    '<cp:coreProperties xmlns:cp="c" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:title>A Letter</dc:title><dc:creator>Me</dc:creator></cp:coreProperties>"
)


def docx(path: Path, body: str | bytes, core: str = CORE) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("docProps/core.xml", core)
        archive.writestr("word/document.xml", body)
    return path


def test_paragraphs_and_tables_of_a_docx_are_lines(tmp_path: Path) -> None:
    path = docx(tmp_path / "a.docx", BODY)
    metadata, _ = read(path)
    assert (metadata.title, metadata.artist) == ("A Letter", "Me")
    lines = [" ".join(line.split()) for line in text_of(path).splitlines()]
    assert lines == ["Head", "One line & more", "a | b"]


def test_entities_in_a_docx_are_refused(tmp_path: Path) -> None:
    lol = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    path = docx(tmp_path / "a.docx", lol + BODY.split("?>")[1])
    with pytest.raises(DecodeError, match="document type"):
        read(path)


def test_a_zip_bomb_is_too_large(tmp_path: Path) -> None:
    body = f"<w:document {W}>".encode() + b" " * 50_000_000 + b"</w:document>"
    path = docx(tmp_path / "a.docx", body)
    assert path.stat().st_size < 100_000
    with pytest.raises(MediaTooLarge):
        read(path, LoadOptions(limits=Limits(text_bytes=1_000_000)))


def test_a_malformed_docx_is_a_decode_error(tmp_path: Path) -> None:
    with pytest.raises(DecodeError):
        read(docx(tmp_path / "a.docx", BODY[:300]))


SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i>
{\\an8}world

2
00:00:03,000 --> 00:00:04,000
&amp; goodbye
"""


def test_subtitles_become_cues(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(SRT)
    cues = read_cues(path, Limits())
    assert all(isinstance(cue, Cue) for cue in cues)
    assert [cue.text for cue in cues] == ["Hello world", "& goodbye"]
    assert [cue.place.span for cue in cues] == [Span(1.0, 2.5), Span(3.0, 4.0)]


def test_subtitles_by_themselves_are_text(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(SRT)
    metadata, (passage,) = read(path)
    assert metadata.format == "srt"
    assert passage.text == "Hello world\n& goodbye\n"


def test_webvtt_loses_its_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    path.write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>Hi <c.x>there</c></v>\n\n"
        "00:02.000 --> 00:03.000\nHi there\n\n00:03.000 --> 00:04.000\nEnd\n"
    )
    assert [cue.text for cue in read_cues(path, Limits())] == ["Hi there", "End"]


def test_what_only_begins_as_subtitles_is_text(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    path.write_text("WEBVTT is a format of subtitles")
    assert text_of(path) == "WEBVTT is a format of subtitles"
