"""Word documents are read whole: all parts, imported documents, one form of alternatives."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import DecodeError, MediaError
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Passage, Picture
from mmsearch.media.documents.docx_body import format_lines
from mmsearch.media.registry import load
from mmsearch.media.texts.markup import MarkupError, parse_events
from mmsearch.types import Omission, OmissionCause

TRANSITIONAL = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_RELATED = "http://purl.oclc.org/ooxml/officeDocument/relationships"
MAIN_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def paragraph(words: str) -> str:
    return f"<w:p><w:r><w:t>{words}</w:t></w:r></w:p>"


def part_of(content: str, root: str = "document", namespace: str = TRANSITIONAL) -> str:
    inside = f"<w:body>{content}</w:body>" if root == "document" else content
    return (
        f'<?xml version="1.0"?><w:{root} xmlns:w="{namespace}" xmlns:r="{RELATED}" '
        f'xmlns:mc="mc" xmlns:wps="wps" xmlns:v="v" xmlns:a="a">{inside}</w:{root}>'
    )


def rels_of(targets: Mapping[str, str], related: str = RELATED) -> str:
    """Relationships from targets to the last words of their types; ids are r0, r1, ..."""
    return (
        "<Relationships>"
        + "".join(
            f'<Relationship Id="r{at}" Type="{related}/{kind}" Target="{target}"/>'
            for at, (target, kind) in enumerate(targets.items())
        )
        + "</Relationships>"
    )


def docx_of(
    body: str | bytes,
    parts: Mapping[str, str | bytes] | None = None,
    kinds: Mapping[str, str] | None = None,
    *,
    main: str = "word/document.xml",
    related: str = RELATED,
) -> bytes:
    """A document with further parts; `kinds` are types of relationships by target."""
    out = io.BytesIO()
    folder, _, name = main.rpartition("/")
    types = f'<Types><Override PartName="/{main}" ContentType="{MAIN_TYPE}"/></Types>'
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("_rels/.rels", rels_of({main: "officeDocument"}, related))
        archive.writestr(main, body)
        archive.writestr(f"{folder}/_rels/{name}.rels", rels_of(kinds or {}, related))
        for each, content in (parts or {}).items():
            archive.writestr(each, content)
    return out.getvalue()


def read(path: Path, data: bytes, options: LoadOptions | None = None) -> list[Content]:
    path.write_bytes(data)
    first, *rest = load(path, options or LoadOptions())
    assert isinstance(first, Described)
    return rest


def lines_of(contents: list[Content]) -> list[str]:
    text = "".join(each.text for each in contents if isinstance(each, Passage))
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def omissions_in(contents: list[Content]) -> list[Omission]:
    return [each for each in contents if isinstance(each, Omission)]


def test_all_parts_of_a_document_are_read(tmp_path: Path) -> None:
    comment = f'<w:comment w:id="1" w:author="Anna">{paragraph("is this so?")}</w:comment>'
    note = f'<w:footnote w:id="1">{paragraph("see page 3")}</w:footnote>'
    parts = {
        "word/header1.xml": part_of(paragraph("Contract 7"), "hdr"),
        "word/header2.xml": part_of(paragraph("Contract 7") + paragraph("second"), "hdr"),
        "word/footer1.xml": part_of(paragraph("Contract 7") + paragraph("the end"), "ftr"),
        "word/footnotes.xml": part_of(note, "footnotes"),
        "word/endnotes.xml": part_of(note.replace("page 3", "the annex"), "endnotes"),
        "word/comments.xml": part_of(comment, "comments"),
        "word/diagrams/data1.xml": "<d xmlns:a='a'><a:p><a:r><a:t>a circle</a:t></a:r></a:p></d>",
    }
    kinds = {
        "header1.xml": "header",
        "header2.xml": "header",
        "footer1.xml": "footer",
        "footnotes.xml": "footnotes",
        "/word/endnotes.xml": "endnotes",
        "comments.xml": "comments",
        "diagrams/data1.xml": "diagramData",
    }
    expected = [
        "The body",
        "see page 3",
        "see the annex",
        "Anna: is this so?",
        "Contract 7",
        "second",
        "the end",
        "a circle",
    ]
    body = part_of(paragraph("The body"))
    assert lines_of(read(tmp_path / "a.docx", docx_of(body, parts, kinds))) == expected
    # Without relationships the parts are known by their names.
    assert lines_of(read(tmp_path / "b.docx", docx_of(body, parts))) == expected[:-1]


@pytest.mark.parametrize("main", ["word/document2.xml", "doc/text.xml", "document.xml"])
@pytest.mark.parametrize("suffix", [".docx", ".docm", ".dotx", ""])
def test_the_main_part_is_the_one_that_is_stated(tmp_path: Path, main: str, suffix: str) -> None:
    data = docx_of(part_of(paragraph("Medlars")), main=main)
    assert lines_of(read(tmp_path / f"a{suffix}", data)) == ["Medlars"]


def test_strict_documents_are_read(tmp_path: Path) -> None:
    header = part_of(paragraph("strict header"), "hdr", STRICT)
    data = docx_of(
        part_of(paragraph("strict body"), namespace=STRICT),
        {"word/header1.xml": header},
        {"header1.xml": "header"},
        related=STRICT_RELATED,
    )
    assert lines_of(read(tmp_path / "a.docx", data)) == ["strict body", "strict header"]


def box(words: str, kind: str = "wps:txbx") -> str:
    return f"<{kind}><w:txbxContent>{paragraph(words)}</w:txbxContent></{kind}>"


def test_a_text_box_is_read_once_and_parts_no_words(tmp_path: Path) -> None:
    body = part_of(
        "<w:p><w:r><w:t>before </w:t></w:r><w:r><mc:AlternateContent>"
        f"<mc:Choice Requires='wps'>{box('in the box')}</mc:Choice>"
        f"<mc:Fallback>{box('in the box', 'v:textbox')}</mc:Fallback>"
        "</mc:AlternateContent></w:r><w:r><w:t>and after</w:t></w:r></w:p>"
        "<w:p><w:r><mc:AlternateContent><mc:Choice Requires='wpg'><a:pic/></mc:Choice>"
        f"<mc:Fallback>{box('only old', 'v:textbox')}</mc:Fallback>"
        "</mc:AlternateContent></w:r></w:p>"
        f"<w:tbl><w:tr><w:tc><w:p><w:r>{box('in a cell', 'v:textbox')}<w:t>cell</w:t></w:r></w:p>"
        "</w:tc></w:tr></w:tbl>"
    )
    assert lines_of(read(tmp_path / "a.docx", docx_of(body))) == [
        "in the box",
        "before and after",
        "only old",
        "in a cell",
        "cell",
    ]


def test_controls_stay_and_deleted_text_goes(tmp_path: Path) -> None:
    body = part_of(
        f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph('in a control')}</w:sdtContent></w:sdt>"
        "<w:p><w:moveFrom><w:r><w:t>moved away</w:t></w:r></w:moveFrom>"
        "<w:moveTo><w:r><w:t>moved here</w:t></w:r></w:moveTo>"
        "<w:del><w:r><w:delText>gone</w:delText><w:tab/><w:t>gone</w:t></w:r></w:del>"
        "<w:ins><w:r><w:t>, new</w:t></w:r></w:ins></w:p>"
        "<w:p><w:r><w:instrText>HYPERLINK x</w:instrText></w:r><w:hyperlink><w:r><w:t>a link</w:t>"
        "</w:r></w:hyperlink><w:r><w:t>e</w:t><w:noBreakHyphen/><w:t>mail</w:t></w:r></w:p>"
        "<w:p><w:r><w:fldChar><w:ffData><w:ddList><w:result w:val='1'/><w:listEntry w:val='plum'/>"
        "<w:listEntry w:val='fig'/></w:ddList></w:ffData></w:fldChar></w:r></w:p>"
    )
    assert lines_of(read(tmp_path / "a.docx", docx_of(body))) == [
        "in a control",
        "moved here, new",
        "a linke-mail",
        "fig",
    ]


MHTML = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n--x\r\n"
    b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<p>caf=C3=A9 chunk</p>\r\n--x--\r\n"
)
FLAT = (
    "<?xml version='1.0'?><pkg:package xmlns:pkg='p'><pkg:part>"
    + part_of(paragraph("café chunk")).partition("?>")[2]
    + "</pkg:part></pkg:package>"
)
CHUNKS: dict[str, bytes] = {
    "a.html": "<html><head><title>t</title></head><body><p>café chunk</p></body></html>".encode(),
    "b.htm": b"<meta charset=iso-8859-1><p>caf\xe9 chunk</p>",
    "c.xhtml": "<?xml version='1.0'?><html><p>café chunk</p></html>".encode(),
    "d.rtf": rb"{\rtf1\ansi caf\'e9 chunk\par}",
    "e.txt": "café chunk".encode("utf-16"),
    "f.mht": MHTML,
    "g.docx": docx_of(part_of(paragraph("café chunk"))),
    "h.dat": docx_of(part_of(paragraph("café chunk"))),
    "i.xml": FLAT.encode(),
    "afchunk10.htm": MHTML,
}


@pytest.mark.parametrize("name", CHUNKS)
def test_imported_documents_are_read_in_their_place(tmp_path: Path, name: str) -> None:
    body = part_of(paragraph("before") + '<w:altChunk r:id="r0"/>' + paragraph("after"))
    data = docx_of(body, {f"word/{name}": CHUNKS[name]}, {name: "aFChunk"})
    contents = read(tmp_path / "a.docx", data)
    assert lines_of(contents) == ["before", "café chunk", "after"]
    assert not omissions_in(contents)


def test_a_broken_import_is_told(tmp_path: Path) -> None:
    body = part_of('<w:altChunk r:id="r0"/><w:altChunk r:id="r1"/>' + paragraph("after"))
    data = docx_of(body, {"word/a.docx": b"PK\3\4 broken"}, {"a.docx": "aFChunk", "b": "aFChunk"})
    contents = read(tmp_path / "a.docx", data)
    assert lines_of(contents) == ["after"]
    assert [each.cause for each in omissions_in(contents)] == [OmissionCause.DAMAGED] * 2


def test_documents_in_documents_end(tmp_path: Path) -> None:
    body = part_of(paragraph("level") + '<w:altChunk r:id="r0"/><w:altChunk r:id="r0"/>')
    data = b"x"
    for _ in range(12):
        data = docx_of(body, {"word/a.docx": data}, {"a.docx": "aFChunk"})
    contents = read(tmp_path / "a.docx", data)
    assert lines_of(contents) == ["level"] * 15
    assert OmissionCause.DAMAGED in [each.cause for each in omissions_in(contents)]


def test_larger_pictures_are_found_once(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    large, small = io.BytesIO(), io.BytesIO()
    Image.fromarray(noise).save(large, "PNG")
    Image.fromarray(noise[:20, :20]).save(small, "PNG")
    media = {"1.png": large, "2.png": small, "3.png": large}
    data = docx_of(
        part_of(paragraph("Words")),
        {f"word/media/{name}": file.getvalue() for name, file in media.items()},
        {f"media/{name}": "image" for name in media},
    )
    contents = read(tmp_path / "a.docx", data)
    (picture,) = (each for each in contents if isinstance(each, Picture))
    assert picture.pixels.shape == (300, 400, 3)


def test_what_stands_before_a_fault_is_kept(tmp_path: Path) -> None:
    whole = part_of("".join(paragraph(f"line {at}") for at in range(9)))
    data = docx_of(whole[: whole.index("line 7") + 4])
    contents = read(tmp_path / "a.docx", data)
    assert lines_of(contents) == [f"line {at}" for at in range(7)] + ["line"]
    assert omissions_in(contents) == [
        Omission(OmissionCause.DAMAGED, "the text cannot be read to its end")
    ]


def test_a_damaged_aside_costs_no_body(tmp_path: Path) -> None:
    data = docx_of(
        part_of(paragraph("The body")), {"word/header1.xml": "<w"}, {"header1.xml": "header"}
    )
    contents = read(tmp_path / "a.docx", data)
    assert lines_of(contents) == ["The body"]
    assert [each.detail for each in omissions_in(contents)] == [
        "a header cannot be read to its end"
    ]


def test_a_zip_with_a_password_says_so(tmp_path: Path) -> None:
    data = bytearray(docx_of(part_of(paragraph("secret"))))
    at = 0
    while (at := data.find(b"PK", at)) >= 0:
        offset = {b"\x03\x04": 6, b"\x01\x02": 8}.get(bytes(data[at + 2 : at + 4]))
        if offset is not None:
            struct.pack_into("<H", data, at + offset, 1)
        at += 2
    with pytest.raises(DecodeError, match="password"):
        read(tmp_path / "a.docx", bytes(data))


def entity_bomb() -> bytes:
    entities = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    for name, inner in zip("cdefgh", "bcdefg", strict=True):
        entities += f'<!ENTITY {name} "{f"&{inner};" * 8}">'
    return docx_of(f"{entities}]>{part_of(paragraph('&h;')).partition('?>')[2]}")


def importing(name: str, data: bytes | str) -> bytes:
    return docx_of(part_of('<w:altChunk r:id="r0"/>'), {f"word/{name}": data}, {name: "aFChunk"})


def long_paragraph() -> bytes:
    return docx_of(part_of(paragraph("word " * 4_000_000)))


BOMBS: dict[str, Callable[[], bytes]] = {
    "entities": entity_bomb,
    "deep": lambda: docx_of(part_of("<w:p>" * 200_000)),
    "long": long_paragraph,
    "elements": lambda: docx_of(part_of("<w:tc/>" * 400_000)),
    "blank": lambda: docx_of(part_of(paragraph("x")) + " " * 30_000_000),
    "nested": lambda: importing("a.docx", long_paragraph()),
    "page": lambda: importing("a.html", "<p>" + "<b>" * 6_000_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_bounded_memory_and_are_told(tmp_path: Path, name: str) -> None:
    data = BOMBS[name]()
    assert len(data) < 400_000
    options = LoadOptions(limits=Limits(text_bytes=16_000_000, text_chars=200_000))
    path = tmp_path / "a.docx"
    path.write_bytes(data)
    told = False
    tracemalloc.start()
    try:
        for content in load(path, options):
            told = told or isinstance(content, Omission)
    except MediaError:
        told = True
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert told
    assert peak < 150_000_000


tags = st.sampled_from(
    ["p", "r", "t", "tc", "tr", "txbxContent", "Choice", "Fallback", "AlternateContent", "del"]
)


@settings(deadline=None)
@given(
    st.recursive(
        st.just(""),
        lambda inner: st.tuples(tags, st.lists(inner, max_size=4)).map(
            lambda pair: f"<{pair[0]}>{'word'.join(pair[1])}</{pair[0]}>"
        ),
        max_leaves=20,
    )
)
def test_any_nesting_is_formatted(source: str) -> None:
    lines = list(format_lines(parse_events([f"<x>{source}</x>".encode()])))
    assert all(line.endswith("\n") and line.strip() for line in lines)


def test_a_fault_does_not_hide_what_came_before_it() -> None:
    events = parse_events([b"<a><b>text</b><c"])
    assert [next(events).value for _ in range(4)] == ["a", "b", "text", "b"]
    with pytest.raises(MarkupError):
        next(events)
