"""PowerPoint presentations are read slide by slide, with all that is said on and about a slide."""

from __future__ import annotations

import io
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Limits
from mmsearch.media.documents.presentation import PresentationLoader
from mmsearch.types import Metadata, Omission, OmissionCause
from tests.unit.documents import (
    lines_of,
    make_png,
    mark_encrypted,
    omissions_of,
    picture_pages_of,
    read_document,
    write_zip,
)

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
P, A, R = "urn:presentationml", "urn:drawingml", OFFICE
SPACES = f'xmlns:q="{P}" xmlns:b="{A}" xmlns:z="{R}"'


def related(*targets: tuple[str, str]) -> str:
    """The relationships rId1, rId2 ... of these kinds and targets."""
    entries = "".join(
        f'<Relationship Id="rId{at}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="urn:package">{entries}</Relationships>'


def shape(text: str, place: str = "") -> str:
    return (
        f'<q:sp><q:nvSpPr><q:nvPr><q:ph type="{place}"/></q:nvPr></q:nvSpPr><q:txBody><b:p><b:r>'
        f"<b:t>{escape(text)}</b:t></b:r></b:p></q:txBody></q:sp>"
    )


def slide(body: str) -> str:
    return f"<q:sld {SPACES}><q:cSld><q:spTree>{body}</q:spTree></q:cSld></q:sld>"


def write(path: Path, slides: list[str], **more: str | bytes) -> Path:
    """A presentation whose slides come in the opposite order of the names of their parts."""
    count = len(slides)
    # The order of the two ids differs between programs.
    ids = "".join(
        f'<q:sldId z:id="rId{at}" id="{255 + at}"/>'
        if at % 2
        else f'<q:sldId id="{255 + at}" z:id="rId{at}"/>'
        for at in range(1, count + 1)
    )
    members: dict[str, str | bytes] = {
        "_rels/.rels": related(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<q:presentation {SPACES}><q:sldIdLst>{ids}</q:sldIdLst>"
        "</q:presentation>",
        "ppt/_rels/presentation.xml.rels": related(
            *(("slide", f"slides/slide{count - at}.xml") for at in range(count))
        ),
    }
    for at, body in enumerate(slides):
        members[f"ppt/slides/slide{count - at}.xml"] = body
    return write_zip(path, {**members, **more})


def read(path: Path, limits: Limits | None = None) -> tuple[Metadata, list[Content]]:
    return read_document(PresentationLoader(), path, limits)


TABLE = """<q:graphicFrame><b:tbl><b:tr><b:tc><b:txBody><b:p><b:r><b:t>a</b:t></b:r></b:p><b:p><b:r>
<b:t>b</b:t></b:r></b:p></b:txBody></b:tc><b:tc><b:txBody><b:p><b:r><b:t>c</b:t></b:r></b:p>
</b:txBody></b:tc></b:tr></b:tbl></q:graphicFrame>"""
LINES = """<q:sp><q:txBody><b:p><b:r><b:t>one </b:t></b:r><b:r><b:t>line</b:t></b:r><b:br/><b:r>
<b:t>two</b:t></b:r><b:fld type="slidenum"><b:t>9</b:t></b:fld></b:p></q:txBody></q:sp>"""
FALLBACK = f"""<m:AlternateContent xmlns:m="urn:m"><m:Choice>{shape("new")}</m:Choice>
<m:Fallback>{shape("old")}</m:Fallback></m:AlternateContent>"""
PICTURE = '<q:pic><q:nvPicPr><q:cNvPr name="x" descr="a bowl of plums"/></q:nvPicPr></q:pic>'


def test_a_slide_is_a_page_of_all_that_is_on_it(tmp_path: Path) -> None:
    body = shape("Title", "title") + f"<q:grpSp>{shape('in a group')}</q:grpSp>" + TABLE + LINES
    path = write(
        tmp_path / "a.pptx",
        [slide(shape("first")), slide(body + FALLBACK + PICTURE + shape("3", "sldNum"))],
        **{
            "docProps/core.xml": '<c xmlns:dc="urn:dc"><dc:title>Harvest</dc:title></c>',
            "ppt/slides/_rels/slide1.xml.rels": related(
                ("notesSlide", "../notesSlides/notesSlide1.xml"),
                ("comments", "../comments/comment1.xml"),
                ("chart", "../charts/chart1.xml"),
                ("diagramData", "../diagrams/data1.xml"),
                ("image", "../media/image1.png"),
                ("image", "../media/image2.png"),
            ),
            "ppt/notesSlides/notesSlide1.xml": slide(shape("a note") + shape("2", "sldNum")),
            "ppt/comments/comment1.xml": f"""<q:cmLst {SPACES}><q:cm authorId="1"><q:text>a remark
            </q:text></q:cm></q:cmLst>""",
            "ppt/charts/chart1.xml": f"""<c:chart xmlns:c="urn:c" {SPACES}><c:title><b:p><b:r>
            <b:t>Sales</b:t></b:r></b:p></c:title><c:strCache><c:v>North</c:v></c:strCache>
            <c:strCache><c:v>South</c:v><c:v>North</c:v></c:strCache></c:chart>""",
            "ppt/diagrams/data1.xml": f"<d {SPACES}><b:p><b:r><b:t>step</b:t></b:r></b:p></d>",
            "ppt/media/image1.png": make_png(300),
            "ppt/media/image2.png": make_png(40),
        },
    )
    metadata, contents = read(path)
    assert metadata == Metadata(format="pptx", page_count=2, title="Harvest")
    assert lines_of(contents) == [
        (1, "first"),
        (2, "Title"),
        (2, "in a group"),
        (2, "a b | c"),
        (2, "one line"),
        (2, "two"),
        (2, "new"),
        (2, "a bowl of plums"),
        (2, "step"),
        (2, "Sales"),
        (2, "North, South"),
        (2, "a note"),
        (2, "a remark"),
    ]
    assert picture_pages_of(contents) == [2]
    assert omissions_of(contents) == []


def test_a_presentation_of_python_pptx_is_read(tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx")
    deck = pptx.Presentation()
    page = deck.slides.add_slide(deck.slide_layouts[1])
    page.shapes.title.text, page.placeholders[1].text = "Plums", "ripe\nblue"
    page.notes_slide.notes_text_frame.text = "say it slowly"
    data = pytest.importorskip("pptx.chart.data").CategoryChartData()
    data.categories = ["North"]
    data.add_series("Sold", (1,))
    kind = pytest.importorskip("pptx.enum.chart").XL_CHART_TYPE.PIE
    page.shapes.add_chart(kind, 0, 0, 99, 99, data).chart.chart_title.text_frame.text = "Sales"
    page.shapes.add_picture(io.BytesIO(make_png(256)), 0, 0)
    cells = page.shapes.add_table(1, 2, 0, 0, 99, 99).table
    cells.cell(0, 0).text, cells.cell(0, 1).text = "x", "y"
    deck.save(tmp_path / "a.pptx")
    _, contents = read(tmp_path / "a.pptx")
    lines = ["Plums", "ripe", "blue", "x | y", "Sales", "Sold, North", "say it slowly"]
    assert lines_of(contents) == [(1, line) for line in lines]
    assert picture_pages_of(contents) == [1]


def test_a_damaged_slide_leaves_the_others(tmp_path: Path) -> None:
    slides = [slide(shape(word)) for word in ("one", "two", "three", "four")]
    slides[1] = slides[1][: slides[1].index("two") + 3]
    path = write(tmp_path / "a.pptx", slides)
    _, contents = read(mark_encrypted(path, "ppt/slides/slide2.xml"))
    assert lines_of(contents) == [(1, "one"), (2, "two"), (4, "four")]
    assert omissions_of(contents) == [
        Omission(OmissionCause.DAMAGED, "slide 2 cannot be read to its end"),
        Omission(OmissionCause.ENCRYPTED, "slide 3 is encrypted"),
    ]


def test_slides_are_found_without_their_list(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "a.pptx",
        {f"ppt/slides/slide{at}.xml": slide(shape(f"word {at}")) for at in (10, 2, 1)},
    )
    _, contents = read(path)
    assert lines_of(contents) == [(1, "word 1"), (2, "word 2"), (3, "word 10")]


def test_limits_are_named(tmp_path: Path) -> None:
    pictures = {f"ppt/media/image{at}.png": make_png(200, at) for at in range(4)}
    links = related(*(("image", f"/{name}") for name in pictures))
    parts = {"ppt/slides/_rels/slide3.xml.rels": links, **pictures}
    path = write(tmp_path / "a.pptx", [slide(shape("plums"))] * 3, **parts)
    _, contents = read(path, Limits(pages=2, picture_pages=3))
    assert picture_pages_of(contents) == [1, 1, 1]
    assert omissions_of(contents) == [
        Omission(OmissionCause.LIMIT, "slide 3 of 3", "pages", 2),
        Omission(OmissionCause.LIMIT, "pictures after the first 3", "picture_pages", 3),
    ]


def test_hostile_presentations_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    for body in (bomb + slide(shape("x")), "<a>" * 100_000, slide("") + "\0" * 50):
        with pytest.raises(DecodeError, match="broken"):
            read(write(tmp_path / "a.pptx", [body]))


@given(words=st.lists(st.text("abc<&é", min_size=1, max_size=9), min_size=1, max_size=20))
def test_every_word_is_found(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    path = write(tmp_path_factory.mktemp("words") / "a", [slide(shape(word)) for word in words])
    _, contents = read(path)
    assert lines_of(contents) == list(enumerate(words, start=1))
