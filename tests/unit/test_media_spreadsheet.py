"""Excel workbooks are read sheet by sheet, as they are shown."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Limits
from mmsearch.media.documents.number_format import format_number
from mmsearch.media.documents.spreadsheet import SpreadsheetLoader
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

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
CORE = """<c:coreProperties xmlns:c="urn:core" xmlns:dc="urn:dc"><dc:title>Prices</dc:title>
<dc:creator>Ada</dc:creator><c:keywords>plums; pears, plums</c:keywords></c:coreProperties>"""


def related(*targets: tuple[str, str]) -> str:
    """The relationships rId1, rId2 ... of these kinds and targets."""
    entries = "".join(
        f'<Relationship Id="rId{at}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="urn:package">{entries}</Relationships>'


def sheet(rows: str, rest: str = "") -> str:
    return f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{rows}</x:sheetData>{rest}</x:worksheet>'


def write(path: Path, sheets: dict[str, str], **more: str | bytes) -> Path:
    """A workbook with prefixes in the names of all elements, as some programs write."""
    names = list(sheets)
    entries = "".join(
        f'<x:sheet name="{name}" sheetId="{at}" state="hidden" r:id="rId{at}"/>'
        for at, name in enumerate(names, start=1)
    )
    targets = [("worksheet", f"worksheets/sheet{at}.xml") for at in range(1, len(names) + 1)]
    targets += [("styles", "styles.xml"), ("sharedStrings", "/xl/sharedStrings.xml")]
    members: dict[str, str | bytes] = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": related(("officeDocument", "xl/workbook.xml")),
        "docProps/core.xml": CORE,
        "xl/workbook.xml": f'<x:workbook xmlns:x="{MAIN}" xmlns:r="{OFFICE}"><x:sheets>{entries}'
        "</x:sheets></x:workbook>",
        "xl/_rels/workbook.xml.rels": related(*targets),
    }
    for at, name in enumerate(names, start=1):
        members[f"xl/worksheets/sheet{at}.xml"] = sheets[name]
    return write_zip(path, {**members, **more})


def read(path: Path, limits: Limits | None = None) -> tuple[Metadata, list[Content]]:
    return read_document(SpreadsheetLoader(), path, limits)


STRINGS = f"""<x:sst xmlns:x="{MAIN}"><x:si><x:t>Fruit</x:t></x:si><x:si><x:r><x:t>pl</x:t></x:r>
<x:r><x:rPr/><x:t>um</x:t></x:r><x:rPh sb="0"><x:t>reading</x:t></x:rPh></x:si></x:sst>"""
STYLES = f"""<x:styleSheet xmlns:x="{MAIN}"><x:numFmts><x:numFmt numFmtId="164"
formatCode="dd\\.mm\\.yyyy"/><x:numFmt numFmtId="165" formatCode="#,##0.00\\ &quot;EUR&quot;"/>
</x:numFmts><x:cellStyleXfs><x:xf numFmtId="9"/></x:cellStyleXfs><x:cellXfs><x:xf numFmtId="0"/>
<x:xf numFmtId="164"/><x:xf numFmtId="165"/><x:xf numFmtId="9"/></x:cellXfs></x:styleSheet>"""
ROWS = """<x:row><x:c t="inlineStr"><x:is><x:t>Price list</x:t></x:is></x:c></x:row><x:row/>
<x:row r="9"><x:c r="B9" t="s"><x:v>0</x:v></x:c><x:c r="D9" t="inlineStr"><x:is><x:r><x:t>Sold
</x:t></x:r><x:r><x:t>on</x:t></x:r></x:is></x:c><x:c t="str"><x:f>"Pr"</x:f><x:v>Price</x:v></x:c>
<x:c t="str"><x:v>Share</x:v></x:c></x:row>
<x:row><x:c r="B10" t="s"><x:v>1</x:v></x:c><x:c r="C10"/><x:c r="D10" s="1"><x:v>46380</x:v></x:c>
<x:c s="2"><x:v>1234.5</x:v></x:c><x:c s="3"><x:v>0.25</x:v></x:c><x:c t="b"><x:v>1</x:v></x:c>
<x:c t="e"><x:v>#DIV/0!</x:v></x:c><x:c t="d"><x:v>2026-12-24T00:00:00</x:v></x:c></x:row>"""
HEADER = """<x:headerFooter><x:oddHeader>&amp;L&amp;"Arial,Bold"&amp;12ACME secret&amp;RPage &amp;P
</x:oddHeader></x:headerFooter>"""


def test_rows_have_headers_and_values_as_shown(tmp_path: Path) -> None:
    parts = {"xl/sharedStrings.xml": STRINGS, "xl/styles.xml": STYLES}
    path = write(tmp_path / "a.xlsx", {"Stock": sheet(ROWS, HEADER)}, **parts)
    metadata, contents = read(path)
    assert metadata == Metadata(
        format="xlsx", page_count=1, title="Prices", artist="Ada", keywords=("plums", "pears")
    )
    assert lines_of(contents) == [
        (1, "Stock"),
        (1, "Price list"),
        (1, "Fruit, Sold on, Price, Share"),
        (
            1,
            "Fruit: plum, Sold on: 24.12.2026, Price: 1,234.50 EUR, Share: 25%, TRUE, #DIV/0!, "
            "2026-12-24",
        ),
        (1, "ACME secret Page"),
    ]


def test_comments_boxes_charts_and_pictures_belong_to_their_sheet(tmp_path: Path) -> None:
    comments = f"""<comments xmlns="{MAIN}"><authors><author>Eve</author></authors><commentList>
    <comment ref="A1"><text><r><t>too </t></r><r><t>cheap</t></r></text></comment><comment ref="A2">
    <text><t>[Threaded comment] Your version</t></text></comment></commentList></comments>"""
    threads = """<ThreadedComments xmlns="urn:t"><threadedComment><text>so it is</text>
    </threadedComment></ThreadedComments>"""
    drawing = """<d:wsDr xmlns:d="urn:d" xmlns:a="urn:a"><d:sp><d:txBody><a:p><a:r><a:t>a box</a:t>
    </a:r></a:p></d:txBody></d:sp></d:wsDr>"""
    chart = """<c:chartSpace xmlns:c="urn:c" xmlns:a="urn:a"><c:title><c:tx><c:rich><a:p><a:r>
    <a:t>Sales</a:t></a:r></a:p></c:rich></c:tx></c:title><c:ser><c:tx><c:strCache><c:pt><c:v>North
    </c:v></c:pt></c:strCache></c:tx><c:val><c:numCache><c:pt><c:v>7</c:v></c:pt></c:numCache>
    </c:val></c:ser></c:chartSpace>"""
    path = write(
        tmp_path / "a.xlsx",
        {"One": sheet(""), "Two": sheet("")},
        **{
            "xl/worksheets/_rels/sheet2.xml.rels": related(
                ("comments", "../comments1.xml"),
                ("threadedComment", "../threadedComments/t.xml"),
                ("drawing", "../drawings/drawing1.xml"),
            ),
            "xl/comments1.xml": comments,
            "xl/threadedComments/t.xml": threads,
            "xl/drawings/drawing1.xml": drawing,
            "xl/drawings/_rels/drawing1.xml.rels": related(
                ("chart", "../charts/chart1.xml"), ("image", "../media/image1.png")
            ),
            "xl/charts/chart1.xml": chart,
            "xl/media/image1.png": make_png(300),
        },
    )
    _, contents = read(path)
    lines = ["Two", "so it is", "too cheap", "a box", "Sales", "North"]
    assert lines_of(contents) == [(1, "One"), *((2, line) for line in lines)]
    assert picture_pages_of(contents) == [2]
    assert omissions_of(contents) == []


def test_a_workbook_of_openpyxl_is_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    first = book.active
    first.append(["name", "when"])
    first.append(["plum", dt.date(2026, 12, 24)])
    first["A2"].comment = openpyxl.comments.Comment("a remark", "Ada")
    second = book.create_sheet("Secret")
    second.sheet_state = "hidden"
    second["XFD1048576"] = "far away"
    book.save(tmp_path / "a.xlsx")
    _, contents = read(tmp_path / "a.xlsx")
    assert lines_of(contents) == [
        (1, "Sheet"),
        (1, "name, when"),
        (1, "name: plum, when: 2026-12-24"),
        (1, "a remark"),
        (2, "Secret"),
        (2, "far away"),
    ]


def test_a_damaged_sheet_leaves_the_others(tmp_path: Path) -> None:
    row = '<x:row><x:c t="str"><x:v>kept</x:v></x:c></x:row>'
    sheets = {"One": sheet(row)[:-30], "Two": sheet(row), "Three": sheet(row)}
    path = mark_encrypted(write(tmp_path / "a.xlsx", sheets), "xl/worksheets/sheet2.xml")
    _, contents = read(path)
    assert [page for page, line in lines_of(contents) if line == "kept"] == [1, 3]
    assert omissions_of(contents) == [
        Omission(OmissionCause.DAMAGED, "the sheet One cannot be read to its end"),
        Omission(OmissionCause.ENCRYPTED, "the sheet Two is encrypted"),
    ]


def test_limits_are_named(tmp_path: Path) -> None:
    row = '<x:row><x:c t="str"><x:v>plums and pears</x:v></x:c></x:row>'
    path = write(tmp_path / "a.xlsx", {f"Sheet {at}": sheet(row) for at in range(300)})
    _, contents = read(path, Limits(pages=7))
    assert max(page or 0 for page, _ in lines_of(contents)) == 7
    assert omissions_of(contents) == [
        Omission(OmissionCause.LIMIT, "sheets 8 to 300 of 300", "pages", 7)
    ]
    path = write(tmp_path / "b.xlsx", {"One": sheet(row * 10_000), "Two": sheet(row)})
    _, contents = read(path, Limits(text_chars=1000))
    assert omissions_of(contents) == [
        Omission(OmissionCause.LIMIT, "text after the first 1,000 characters", "text_chars", 1000)
    ]
    path = write(tmp_path / "c.xlsx", {"One": sheet(row + "<x:row/>" * 100_000)})
    _, contents = read(path, Limits(text_bytes=500_000))
    assert lines_of(contents) == [(1, "One"), (1, "plums and pears")]
    (omission,) = omissions_of(contents)
    assert (omission.cause, omission.name) == (OmissionCause.LIMIT, "text_bytes")


def test_shared_strings_take_bounded_memory(tmp_path: Path) -> None:
    strings = f'<sst xmlns="{MAIN}">' + "<si><t>plum</t></si>" * 1000 + "</sst>"
    row = '<x:row><x:c t="s"><x:v>0</x:v></x:c><x:c t="s"><x:v>999</x:v></x:c></x:row>'
    path = write(tmp_path / "a.xlsx", {"One": sheet(row)}, **{"xl/sharedStrings.xml": strings})
    _, contents = read(path, Limits(text_chars=100))
    assert lines_of(contents) == [(1, "One"), (1, "plum")]
    assert [each.name for each in omissions_of(contents)] == ["text_chars"]


def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(DecodeError, match="broken"):
        read(write(tmp_path / "a.xlsx", {"": bomb + sheet("<x:row/>")}))


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (46380.5, "yyyy-mm-dd hh:mm:ss", "2026-12-24 12:00:00"),
        (46380.75, "m/d/yy h:mm AM/PM", "12/24/26 6:00 PM"),
        (46380, "[$-409]d\\-mmm\\-yyyy;@", "24-Dec-2026"),
        (46380, '[$-411]yyyy"年"m"月"d"日"', "2026年12月24日"),
        (59, "d/m/yyyy", "28/2/1900"),
        (1.5, "[h]:mm:ss", "36:00:00"),
        (0.256, "0.0%", "25.6%"),
        (-1234.5, '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\)', "$(1,234.50)"),
        (12.5, "#,##0.00 [$€-407]", "12.50 €"),
        (1234567, '#,##0,"k"', "1,235k"),
        (123456789, "000-00-0000", "123-45-6789"),
        (7, "00000", "00007"),
        (3.5, "0.##", "3.5"),
        (3, "0.##", "3"),
        (-0.001, "0.0", "0.0"),
        (12345.678, "0.00E+00", "1.23E+04"),
        (1, '"Yes";"Yes";"No"', "Yes"),
        (0.1 + 0.2, "General", "0.3"),
        (5, 'General" kg"', "5 kg"),
    ],
)
def test_numbers_are_as_shown(value: float, code: str, shown: str) -> None:
    assert format_number(value, code) == shown


@given(value=st.floats(allow_nan=False, allow_infinity=False), code=st.text(max_size=30))
def test_no_code_breaks_a_number(value: float, code: str) -> None:
    assert isinstance(format_number(value, code), str)


@given(code=st.text("ymdhsE0#?.,;%[]\"'\\ /AP@_*+-$", max_size=20), value=st.floats(-1e9, 1e9))
def test_no_code_of_a_date_breaks_a_number(value: float, code: str) -> None:
    assert isinstance(format_number(value, code), str)


@given(words=st.lists(st.text("abc<&é", min_size=1, max_size=9), min_size=1, max_size=20))
def test_every_word_is_found(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    cells = "".join(f'<x:c t="str"><x:v>{escape(word)}</x:v></x:c>' for word in words)
    path = write(tmp_path_factory.mktemp("words") / "a", {"S": sheet(f"<x:row>{cells}</x:row>")})
    _, contents = read(path)
    assert lines_of(contents) == [(1, "S"), (1, ", ".join(words))]
