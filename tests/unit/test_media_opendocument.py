"""OpenDocument texts, sheets and slides are read whole, whoever wrote them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Limits, Passage, Picture
from mmsearch.media.documents.opendocument import OpenDocumentLoader
from mmsearch.types import Metadata, Omission, OmissionCause
from tests.unit.documents import (
    lines_of,
    make_png,
    omissions_of,
    picture_pages_of,
    read_document,
    write_zip,
)

SPACES = (
    " ".join(
        f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{space}:1.0"'
        for prefix, space in [
            ("office", "office"),
            ("text", "text"),
            ("table", "table"),
            ("draw", "drawing"),
            ("presentation", "presentation"),
            ("style", "style"),
            ("meta", "meta"),
            ("svg", "svg-compatible"),
            ("chart", "chart"),
        ]
    )
    + ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'
)
META = f"""<office:document-meta {SPACES}><office:meta><dc:title>The Harvest</dc:title>
<meta:initial-creator>Ada</meta:initial-creator><dc:creator>Bob</dc:creator>
<dc:subject>Fruit</dc:subject><dc:language>de-DE</dc:language>
<meta:keyword>plums</meta:keyword><meta:keyword>pears</meta:keyword>
<meta:document-statistic meta:page-count="7" meta:table-count="2"/></office:meta>
</office:document-meta>"""


def content_of(kind: str, body: str) -> str:
    return (
        f'<?xml version="1.0"?><office:document-content {SPACES}><office:body><office:{kind}>'
        f"{body}</office:{kind}></office:body></office:document-content>"
    )


def write(path: Path, kind: str, body: str, **more: str | bytes) -> Path:
    members = {
        "mimetype": "application/vnd.oasis.opendocument",
        "content.xml": content_of(kind, body),
    }
    return write_zip(path, {**members, **more})


def read(path: Path, limits: Limits | None = None) -> tuple[Metadata, list[Content]]:
    return read_document(OpenDocumentLoader(), path, limits)


def test_a_text_has_its_paragraphs_notes_comments_boxes_and_tables(tmp_path: Path) -> None:
    body = """<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>
    <text:h>Head<text:span>ing</text:span></text:h>
    <text:p>One<text:s text:c="2"/>two<text:tab/>three<text:note><text:note-citation>1
    </text:note-citation><text:note-body><text:p>a footnote</text:p></text:note-body></text:note>,
    four</text:p>
    <text:p>Said<office:annotation><dc:creator>Eve</dc:creator><dc:date>2026-01-01</dc:date>
    <text:p>a comment</text:p></office:annotation>.</text:p>
    <text:p><draw:frame><draw:text-box><text:p>in a box</text:p></draw:text-box>
    <svg:desc>a bowl of plums</svg:desc></draw:frame>after</text:p>
    <text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>
    <table:table table:name="T"><table:table-header-rows><table:table-row>
    <table:table-cell><text:p>a</text:p><text:p>b</text:p></table:table-cell>
    <table:table-cell><text:p>c</text:p></table:table-cell></table:table-row>
    </table:table-header-rows><table:table-row><table:table-cell><table:table><table:table-row>
    <table:table-cell><text:p>in</text:p></table:table-cell></table:table-row></table:table>
    </table:table-cell></table:table-row></table:table>"""
    styles = f"""<office:document-styles {SPACES}><office:master-styles><style:master-page>
    <style:header><text:p>ACME secret</text:p></style:header><style:footer><text:p>Page
    <text:page-number>1</text:page-number></text:p></style:footer></style:master-page>
    </office:master-styles></office:document-styles>"""
    path = write(tmp_path / "a.odt", "text", body, **{"meta.xml": META, "styles.xml": styles})
    metadata, contents = read(path)
    assert [line for _, line in lines_of(contents)] == [
        "Heading",
        "One  two\tthree, four",
        "a footnote",
        "Said.",
        "Eve",
        "a comment",
        "after",
        "in a box",
        "a bowl of plums",
        "item",
        "a b | c",
        "in",
        "ACME secret",
        "Page",
    ]
    assert metadata == Metadata(
        format="odt",
        title="The Harvest",
        artist="Ada",
        description="Fruit",
        language="de-DE",
        page_count=7,
        keywords=("plums", "pears"),
    )


SHEETS = """<table:table table:name="Prices"><table:table-column/>
<table:table-row><table:table-cell><text:p>Price list</text:p></table:table-cell></table:table-row>
<table:table-row table:number-rows-repeated="3"><table:table-cell/></table:table-row>
<table:table-row><table:table-cell/><table:table-cell
office:value-type="string"><text:p>Fruit</text:p>
</table:table-cell><table:table-cell office:value-type="string"><text:p>Sold on</text:p>
</table:table-cell></table:table-row>
<table:table-row><table:table-cell table:number-columns-repeated="1"/><table:table-cell
office:value-type="string"><text:p>plum</text:p><office:annotation><dc:creator>Eve</dc:creator>
<text:p>too cheap</text:p></office:annotation></table:table-cell><table:table-cell
office:value-type="date" office:date-value="2026-12-24"><text:p>24.12.26</text:p></table:table-cell>
<table:table-cell office:value-type="float"><text:p>3,00 €</text:p></table:table-cell>
</table:table-row><table:table-row table:number-rows-repeated="1048000"><table:table-cell
table:number-columns-repeated="16384"/></table:table-row></table:table>
<table:table table:name="Hidden one" table:display="false"><table:table-row><table:table-cell
office:value-type="float" office:value="1"><text:p>1</text:p></table:table-cell><table:table-cell
table:number-columns-repeated="1000000000" office:value-type="float"><text:p>7</text:p>
</table:table-cell></table:table-row></table:table>"""


def test_sheets_are_pages_of_header_and_value(tmp_path: Path) -> None:
    metadata, contents = read(write(tmp_path / "a.ods", "spreadsheet", SHEETS))
    assert (metadata.format, metadata.page_count) == ("ods", 2)
    *first, name, row = lines_of(contents)
    assert first == [
        (1, "Prices"),
        (1, "Price list"),
        (1, "Fruit, Sold on"),
        (1, "Fruit: plum, Sold on: 24.12.26, 3,00 €"),
        (1, "Eve"),
        (1, "too cheap"),
    ]
    assert name == (2, "Hidden one")
    assert row[1].startswith("1, 7, 7")
    assert len(row[1]) < 1000


def slide(name: str, text: str) -> str:
    return f"""<draw:page draw:name="{name}"><draw:frame presentation:class="title"><draw:text-box>
    <text:p>{text}</text:p></draw:text-box></draw:frame><draw:g><draw:custom-shape><text:p>shape of
    {text}</text:p></draw:custom-shape></draw:g><draw:frame><table:table><table:table-row>
    <table:table-cell><text:p>x</text:p></table:table-cell><table:table-cell><text:p>y</text:p>
    </table:table-cell></table:table-row></table:table></draw:frame><presentation:notes><draw:frame>
    <draw:text-box><text:p>note of {text}</text:p></draw:text-box></draw:frame></presentation:notes>
    </draw:page>"""


def test_slides_are_pages_with_shapes_tables_and_notes(tmp_path: Path) -> None:
    body = slide("page1", "plums") + slide("The end", "pears")
    metadata, contents = read(write(tmp_path / "a.odp", "presentation", body))
    assert (metadata.format, metadata.page_count) == ("odp", 2)
    assert lines_of(contents) == [
        (1, "plums"),
        (1, "shape of plums"),
        (1, "x | y"),
        (1, "note of plums"),
        (2, "The end"),
        (2, "pears"),
        (2, "shape of pears"),
        (2, "x | y"),
        (2, "note of pears"),
    ]


def test_flat_xml_with_other_prefixes_is_the_same_document(tmp_path: Path) -> None:
    picture = base64.encodebytes(make_png(256)).decode()
    flat = f"""<?xml version="1.0" encoding="UTF-8"?>
    <o:document xmlns:o="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    xmlns="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    xmlns:m="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"
    xmlns:s="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
    xmlns:g="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
    xmlns:d="http://purl.org/dc/elements/1.1/"><o:meta><d:title>Flat</d:title></o:meta>
    <o:master-styles><s:master-page><s:header><p>above</p></s:header></s:master-page>
    </o:master-styles><o:body><o:text><p>Wörter<s c="1"/>here<g:frame><g:image><o:binary-data>
    {picture}</o:binary-data></g:image></g:frame></p></o:text></o:body></o:document>"""
    path = tmp_path / "a.fodt"
    path.write_text(flat, encoding="utf-8")
    metadata, contents = read(path)
    assert (metadata.title, metadata.format) == ("Flat", "odt")
    assert [line for _, line in lines_of(contents)] == ["Wörter here", "above"]
    assert [each.pixels.shape for each in contents if isinstance(each, Picture)] == [(256, 256, 3)]


def test_pictures_and_charts_belong_to_their_slide(tmp_path: Path) -> None:
    page = (
        '<draw:page><draw:frame><draw:image xlink:href="Pictures/{}.png"/></draw:frame></draw:page>'
    )
    chart = '<draw:page><draw:frame><draw:object xlink:href="./Object 1"/></draw:frame></draw:page>'
    title = content_of(
        "chart", "<chart:chart><chart:title><text:p>Sales</text:p></chart:title></chart:chart>"
    )
    path = write(
        tmp_path / "a.odp",
        "presentation",
        page.format("large")
        + page.format("small")
        + page.format("copy")
        + chart
        + page.format("broken"),
        **{
            "Pictures/large.png": make_png(400),
            "Pictures/copy.png": make_png(400),
            "Pictures/small.png": make_png(60),
            "Pictures/broken.png": make_png(400, 1)[:9000],
            "Object 1/content.xml": title,
        },
    )
    _, contents = read(path)
    assert picture_pages_of(contents) == [1]
    assert lines_of(contents) == [(4, "Sales")]
    assert omissions_of(contents) == [
        Omission(OmissionCause.DAMAGED, "a picture of page 5 cannot be read")
    ]


def test_a_document_that_breaks_off_keeps_its_text(tmp_path: Path) -> None:
    whole = content_of("text", "<text:p>kept</text:p><text:p>lost</text:p>")
    path = write_zip(tmp_path / "a.odt", {"content.xml": whole[: whole.index("lost") + 2]})
    _, contents = read(path)
    assert lines_of(contents) == [(None, "kept"), (None, "lo")]
    assert omissions_of(contents) == [
        Omission(OmissionCause.DAMAGED, "the content cannot be read to its end")
    ]


def test_limits_are_named(tmp_path: Path) -> None:
    body = "".join(slide(f"page{at}", "plums" * 10) for at in range(9))
    path = write(tmp_path / "a.odp", "presentation", body)
    _, contents = read(path, Limits(pages=3))
    assert {page for page, _ in lines_of(contents)} == {1, 2, 3}
    assert omissions_of(contents) == [
        Omission(OmissionCause.LIMIT, "slides after the first 3", "pages", 3)
    ]
    _, contents = read(path, Limits(text_chars=100))
    assert sum(len(each.text) for each in contents if isinstance(each, Passage)) == 100
    assert omissions_of(contents) == [
        Omission(OmissionCause.LIMIT, "text after the first 100 characters", "text_chars", 100)
    ]
    _, contents = read(path, Limits(text_bytes=2500))
    assert {page for page, _ in lines_of(contents)} >= {1}
    (omission,) = omissions_of(contents)
    assert (omission.cause, omission.name, omission.value) == ("limit", "text_bytes", 2500)


def test_hostile_documents_are_refused_or_cut(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    path = write_zip(tmp_path / "a.odt", {"content.xml": bomb + content_of("text", "&b;")})
    with pytest.raises(DecodeError, match="broken"):
        read(path)
    path = write_zip(tmp_path / "b.odt", {"content.xml": content_of("text", "<text:p>" * 5000)})
    with pytest.raises(DecodeError, match="broken"):
        read(path)
    rows = "<table:table>" + "<table:table-row/>" * 50_000 + "</table:table>"
    path = write(tmp_path / "c.ods", "spreadsheet", rows)
    _, contents = read(path, Limits(text_bytes=1_000_000))
    assert [each.name for each in omissions_of(contents)] == ["text_bytes"]


def test_a_huge_tag_is_refused_before_it_is_read_over_and_over(tmp_path: Path) -> None:
    body = "<text:p>kept</text:p><text:p text:style-name='" + "x" * 20_000_000 + "'/>"
    _, contents = read(write(tmp_path / "a.odt", "text", body))
    assert lines_of(contents) == [(None, "kept")]
    assert [each.cause for each in omissions_of(contents)] == [OmissionCause.DAMAGED]


def test_one_endless_paragraph_takes_bounded_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.odt", "text", "<text:p>" + "plum " * 100_000 + "</text:p>")
    _, contents = read(path, Limits(text_chars=1000))
    assert sum(len(each.text) for each in contents if isinstance(each, Passage)) == 1000
    assert [each.name for each in omissions_of(contents)] == ["text_chars"]


def test_a_document_with_a_password_is_called_so(tmp_path: Path) -> None:
    manifest = """<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">
    <m:file-entry m:full-path="content.xml"><m:encryption-data/></m:file-entry></m:manifest>"""
    path = write_zip(
        tmp_path / "a.odt", {"content.xml": b"\x80\x12", "META-INF/manifest.xml": manifest}
    )
    with pytest.raises(DecodeError, match="encrypted"):
        read(path)


WORDS = st.lists(st.text("abcdefghij", min_size=3, max_size=9), min_size=1, max_size=20)


@given(words=WORDS, kind=st.sampled_from(["text", "spreadsheet", "presentation"]))
def test_every_word_is_found(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], kind: str
) -> None:
    shapes = {
        "text": "<text:p><text:span>{}</text:span></text:p>",
        "spreadsheet": "<table:table><table:table-row><table:table-cell><text:p>{}</text:p>"
        "</table:table-cell></table:table-row></table:table>",
        "presentation": "<draw:page><draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box>"
        "</draw:frame></draw:page>",
    }
    path = write(
        tmp_path_factory.mktemp("words") / "a", kind, "".join(map(shapes[kind].format, words))
    )
    _, contents = read(path)
    assert [line for _, line in lines_of(contents)] == words
