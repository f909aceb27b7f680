"""Texts, tables, pages and documents come as passages with true offsets."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import random
import textwrap
import time
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import DecodeError
from mmsearch.media.av.subtitles import read_cues
from mmsearch.media.base import Cue, Described, Limits, LoadOptions, Passage
from mmsearch.media.registry import load
from mmsearch.media.texts.paragraph_splitter import PASSAGE_CHARS, split_passages
from mmsearch.media.texts.tabular import format_table
from mmsearch.types import Metadata, Modality, Omission, OmissionCause, Span
from tests.patience import HANG_S


def read(path: Path, options: LoadOptions | None = None) -> tuple[Metadata, list[Passage]]:
    first, *rest = list(load(path, options or LoadOptions()))
    assert isinstance(first, Described)
    assert first.modality is Modality.TEXT
    assert all(isinstance(content, Passage | Omission) for content in rest)
    return first.metadata, [content for content in rest if isinstance(content, Passage)]


def omissions_of(path: Path, limits: Limits) -> list[Omission]:
    contents = load(path, LoadOptions(limits=limits))
    return [content for content in contents if isinstance(content, Omission)]


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


def test_text_past_its_limit_is_said_to_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words " * 50_000)
    limits = Limits(text_chars=100_000)
    _, found = read(path, LoadOptions(limits=limits))
    assert sum(len(passage.text) for passage in found) == 100_000
    (omission,) = omissions_of(path, limits)
    assert omission.cause is OmissionCause.LIMIT
    assert (omission.name, omission.value) == ("text_chars", 100_000)
    assert omission.detail == "text after the first 100,000 characters"


@pytest.mark.parametrize("rest", ["", " \n" * 40_000])
def test_text_up_to_its_limit_is_whole(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words " * 50_000 + rest)
    assert omissions_of(path, Limits(text_chars=300_000)) == []


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.json", "a.html", "a.srt"])
def test_the_beginning_of_a_larger_text_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("words " * 1000)
    limits = Limits(text_bytes=100)
    _, (passage,) = read(path, LoadOptions(limits=limits))
    assert passage.text.strip() == ("words " * 1000)[:100].strip()
    (omission,) = omissions_of(path, limits)
    assert (omission.cause, omission.name) == (OmissionCause.LIMIT, "text_bytes")


def test_a_page_that_is_cut_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsearch.media.texts.html._MAX_CHARS", 1000)
    path = tmp_path / "a.html"
    path.write_text("<html>" + "<p class='something'>few words</p>" * 40_000)
    (omission,) = omissions_of(path, Limits(text_chars=100_000))
    assert (omission.cause, omission.name) == (OmissionCause.LIMIT, "text_chars")
    monkeypatch.undo()
    assert omissions_of(path, Limits()) == []


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


@pytest.mark.parametrize("mark", [";", ",", "\t", "|"])
def test_an_open_quote_loses_no_row(tmp_path: Path, mark: str) -> None:
    rows = [f"{at}{mark}item {at}{mark}word{at}" for at in range(2000)]
    rows[3] = f'3{mark}"12 inch pipe{mark}word3'
    rows[900] = f'900{mark}"never closed{mark}word900'
    rows[950] = f'950{mark}5" and 6" pipes{mark}word950'
    rows[951] = f'951{mark}"7" pipe{mark}word951'
    path = tmp_path / "a.csv"
    path.write_text(mark.join(("id", "name", "note")) + "\n" + "\n".join(rows))
    lines = text_of(path).splitlines()
    assert len(lines) == 2001
    for at, line in enumerate(lines[1:]):
        assert line.startswith(f"id: {at}, name: ")
        assert line.endswith(f", note: word{at}")
    assert '"12 inch pipe' in lines[4]
    assert '5" and 6" pipes' in lines[951]


def test_a_quoted_newline_stays_within_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        ["id", "note", "end"],
        ["1", "two\nlines", "a"],
        ["2", 'She said "hi"\n\nand, then, left', "b"],
        ["3", "x, y\nz, w", "c"],
        ["4", "many\n" * 200 + "lines", "d"],
        ["5", '6" pipe', "e"],
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    lines = text_of(path).splitlines()
    assert len(lines) == 6
    assert lines[1] == "id: 1, note: two lines, end: a"
    assert lines[2] == 'id: 2, note: She said "hi"  and, then, left, end: b'
    assert lines[3] == "id: 3, note: x, y z, w, end: c"
    assert lines[5] == 'id: 5, note: 6" pipe, end: e'


_CELLS = st.text(
    st.characters(codec="ascii", exclude_characters="\r\0", categories=["L", "N", "P", "Zs"])
)


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(st.lists(_CELLS, min_size=1, max_size=4), min_size=1, max_size=12))
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_no_letter_of_a_table_is_lost(mark: str, rows: list[list[str]]) -> None:
    source = "".join(mark.join(cells) + "\n" for cells in rows)
    shown = "".join(format_table([source]))
    assert Counter(filter(str.isalnum, shown)) >= Counter(filter(str.isalnum, source))


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
def test_a_declared_separator_is_taken_and_not_shown(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{first}\nname;price, note\npear;1,50\n", encoding="utf-8")
    assert text_of(path).splitlines() == ["name, price, note", "name: pear, price, note: 1,50"]


@pytest.mark.parametrize("chars", [12_000, 200_000, 1_500_000])
def test_the_end_of_a_long_cell_is_read(tmp_path: Path, chars: int) -> None:
    path = tmp_path / "a.csv"
    memo = "some words " * (chars // 11)
    path.write_text(f'id,memo,end\n1,"{memo}loquat",x\n2,short,y\n')
    text = text_of(path)
    assert "loquat, end: x" in text
    assert "id: 2, memo: short, end: y" in text


@pytest.mark.parametrize(
    "row", ['1,"x\n', '1,"""\n', '1,"x""\n', '1,"x\n' + "1,x\n" * 900, '"\n' * 50 + ",\n"]
)
def test_hostile_quotes_take_no_time(row: str) -> None:
    source = "a,b\n" + row * (400_000 // len(row))
    begun = time.monotonic()
    assert sum(map(len, format_table([source]))) > 0
    assert time.monotonic() - begun < HANG_S


def test_values_of_deep_json_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for depth in (24, 200, 900):
        value: object = {"inner": "rambutan", "list": [[["pear"]], ["fig", 2]]}
        for at in range(depth):
            value = {f"level{at}": value, f"beside{at}": at} if at % 2 else [value, {"x": at}]
        path.write_text(json.dumps(value))
        text = text_of(path)
        assert "inner: rambutan" in text
        assert "list: pear\n" in text
        assert "list: fig, 2\n" in text
        assert f"beside{depth - 1}: {depth - 1}" in text
        assert max(map(len, text.splitlines())) < 400


def test_names_that_come_twice_in_json_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": "pear", "a": "fig", "b": {"c": 1, "c": {"d": 2}}}')
    assert text_of(path) == "a: pear\na: fig\nb.c: 1\nb.c.d: 2\n"


@pytest.mark.parametrize("content", ['{"a": "pear", // note\n"b": 1,}', '{"a": "pear", "b": [1, 2'])
def test_json_with_comments_or_without_its_end_is_text(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert text_of(path) == content


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


INVISIBLE = {
    "extra\u00adordi\u00adnary": "extraordinary",
    "extra\u00ad\nordinary": "extraordinary",
    "micro\u200bscope": "microscope",
    "micro\u2060scope": "microscope",
    "micro\ufeffscope": "microscope",
    "Auf\u200clage": "Auflage",
    "x\u200dy": "xy",
    "\u200eleft\u200f": "left",
    "Fu\u0308\u00ad\u00dfe": "F\u00fc\u00dfe",
    # Joiners and breaks that the script needs.
    "\u0645\u06cc\u200c\u062e\u0648": "\u0645\u06cc\u200c\u062e\u0648",
    "\u0915\u094d\u200d\u0937": "\u0915\u094d\u200d\u0937",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u2764\ufe0f\u200d\U0001f525": "\u2764\ufe0f\u200d\U0001f525",
    "\u1797\u17b6\u200b\u1797\u17b6": "\u1797\u17b6\u200b\u1797\u17b6",
}


@pytest.mark.parametrize("word", INVISIBLE)
@pytest.mark.parametrize("suffix", [".txt", ".html", ".csv", ".json", ".md", ".srt"])
def test_invisible_characters_part_no_word(tmp_path: Path, word: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    source = {
        ".html": f"<html><title>the {word} end</title><p>the {word} end",
        ".json": json.dumps({"a": f"the {word} end"}, ensure_ascii=False),
        ".csv": f'a,b\n1,"the {word} end"\n',
        ".srt": f"1\n00:00:01,000 --> 00:00:02,000\nthe {word} end\n",
    }.get(suffix, f"the {word} end")
    path.write_text(source, encoding="utf-8")
    metadata, _ = read(path)
    if "\n" not in word:
        assert f"the {INVISIBLE[word]} end" in text_of(path)
        assert metadata.title in (None, f"the {INVISIBLE[word]} end")


def test_entities_and_breaks_within_words_of_a_page_part_no_word(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<html><p>micro&shy;scope micro&#173;scope micro<wbr>scope micro&#8203;scope")
    assert text_of(path) == "microscope microscope microscope microscope\n"


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.characters(codec="utf-8"), max_size=500), cut=st.integers(1, 90))
def test_offsets_are_those_of_the_text_as_it_is_shown(text: str, cut: int) -> None:
    blocks = [text[at : at + cut] * 90 for at in range(0, len(text), cut)]
    at = 0
    for passage in split_passages(blocks, Limits()):
        assert passage.start_char >= at
        at = passage.start_char + len(passage.text)
        assert unicodedata.is_normalized("NFC", passage.text)
        assert "\u00ad" not in passage.text


def wrapped(data: bytes, width: int, start: str = "") -> str:
    return "\n".join(start + line for line in textwrap.wrap(base64.b64encode(data).decode(), width))


NOISE = random.Random(5).randbytes(20_001)
ENCODED = {
    "one line": base64.b64encode(NOISE).decode(),
    "for addresses": base64.urlsafe_b64encode(NOISE[:500]).decode(),
    "address": "data:image/png;base64," + base64.b64encode(NOISE).decode(),
    "style": "a { background: url(data:font/woff2;base64,"
    + base64.b64encode(NOISE).decode()
    + ") }",
    "lines": wrapped(NOISE, 76),
    "certificate": f"-----BEGIN CERTIFICATE-----\n{wrapped(NOISE, 64)}\n-----END CERTIFICATE-----",
    "indented": wrapped(NOISE, 64, "    "),
    "quoted": wrapped(NOISE, 72, "> "),
    "hexadecimal": NOISE.hex(),
    "mostly zeros": base64.b64encode(bytes(3000) + NOISE[:99] + bytes(3000)).decode(),
    "of letters": base64.b64encode(b"The quick brown fox jumps over the lazy dog. " * 9).decode(),
}


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("suffix", [".txt", ".html", ".csv", ".json", ".svg"])
def test_encoded_data_is_no_text(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    data = ENCODED[kind]
    path.write_text(
        {
            ".html": f"<html><img src='data:image/png;base64,{data}'><pre>before\n{data}\nafter",
            ".svg": f"<svg><image href='data:image/png;base64,{data}'/><text>before {data} after",
            ".json": json.dumps({"a": "before", "b": data, "c": "after"}),
            ".csv": f'a,b,c\nbefore,"{data}",after\n',
        }.get(suffix, f"before\n{data}\nafter\n")
    )
    text = text_of(path)
    assert "before" in text
    assert "after" in text
    assert len(text) < 400


KEPT = {
    "address": "https://example.org/" + "path-segment/Another_Part/x1/" * 20,
    "sums": "\n".join(hashlib.sha256(bytes([at])).hexdigest() for at in range(50)),
    "genes": "GATTACA" * 100,
    "ruler": "-" * 500 + "=" * 500,
    "long word": "Rinderkennzeichnungsfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"
    * 4,
    "digits": "31415926535897932384626433832795028841971693993751058209749445923" * 6,
    "names": "this_is_a_long_identifier_with_2_words_" * 9,
    "folders": "usr/local/Lib/python3/site-packages/Numpy/core2/" * 8,
    "keys": "\n".join(base64.b64encode(bytes([at]) * 34).decode() for at in range(20)),
    "token": "ghp_" + "aB3dE5gH7jK9" * 5,
}


@pytest.mark.parametrize("kind", KEPT)
def test_words_and_identifiers_are_no_encoded_data(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(KEPT[kind], encoding="utf-8")
    assert text_of(path) == KEPT[kind]


@settings(deadline=None, max_examples=50)
@given(before=st.integers(0, 70_000), size=st.integers(300, 90_000))
def test_encoded_data_over_several_passages_leaves_nothing(before: int, size: int) -> None:
    data = base64.b64encode(random.Random(size).randbytes(size)).decode()
    source = "word " * (before // 5) + data + " after"
    text = "".join(passage.text for passage in split_passages([source], Limits()))
    assert text.split() == ["word"] * (before // 5) + ["after"]


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
    with pytest.raises(DecodeError, match="broken document"):
        read(path)


def test_a_zip_bomb_is_told(tmp_path: Path) -> None:
    body = f"<w:document {W}>".encode() + b" " * 50_000_000 + b"</w:document>"
    path = docx(tmp_path / "a.docx", body)
    assert path.stat().st_size < 100_000
    (omission,) = omissions_of(path, Limits(text_bytes=1_000_000))
    assert (omission.name, omission.value) == ("text_bytes", 1_000_000)


def test_a_malformed_docx_is_a_decode_error_or_read_up_to_the_fault(tmp_path: Path) -> None:
    with pytest.raises(DecodeError):
        read(docx(tmp_path / "a.docx", BODY[:150]))
    assert text_of(docx(tmp_path / "b.docx", BODY[:300])) == "Head\nOne line & more\n"


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
