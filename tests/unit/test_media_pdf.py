"""PDF files are read whole: pages, values of forms, notes, scans and pictures; limits are told."""

from __future__ import annotations

import io
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import DecodeError
from mmsearch.media.base import Content, Described, Limits, LoadOptions, Passage, Picture
from mmsearch.media.documents import pdf_pictures
from mmsearch.media.page_ranges import format_pages
from mmsearch.media.registry import load
from mmsearch.types import Modality, Omission, OmissionCause, PictureFit

FONTS = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"


class PdfBuilder:
    """Writes objects of a PDF by hand; the catalog is object 1, the tree of pages object 2."""

    def __init__(self) -> None:
        self.objects: dict[int, bytes] = {}
        self.pages: list[int] = []
        self.catalog = ""

    def add(self, entries: str, data: bytes | None = None) -> int:
        number = 3 + len(self.objects)
        body = entries.encode("latin-1")
        if data is not None:
            body = body.removesuffix(b">>") + f"/Length {len(data)} >>\nstream\n".encode()
            body += data + b"\nendstream"
        self.objects[number] = body
        return number

    def add_page(self, content: str, entries: str = "", resources: str = "") -> int:
        stream = self.add("<< >>", content.encode())
        page = self.add(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] {entries} "
            f"/Resources << {FONTS} {resources} >> /Contents {stream} 0 R >>"
        )
        self.pages.append(page)
        return page

    def add_image(self, image: Image.Image, entries: str = "") -> int:
        data = zlib.compress(image.convert("RGB").tobytes())
        return self.add(
            f"<< /Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} "
            f"/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode {entries} >>",
            data,
        )

    def write(self, path: Path) -> Path:
        kids = " ".join(f"{page} 0 R" for page in self.pages)
        objects = {
            1: f"<< /Type /Catalog /Pages 2 0 R {self.catalog} >>".encode("latin-1"),
            2: f"<< /Type /Pages /Kids [{kids}] /Count {len(self.pages)} >>".encode(),
            **self.objects,
        }
        out = io.BytesIO()
        out.write(b"%PDF-1.7\n")
        offsets = []
        for number, body in sorted(objects.items()):
            offsets.append(out.tell())
            out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
        start = out.tell()
        out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
        out.writelines(f"{offset:010} 00000 n \n".encode() for offset in offsets)
        out.write(f"trailer << /Root 1 0 R /Size {len(objects) + 1} >>\n".encode())
        out.write(f"startxref\n{start}\n%%EOF\n".encode())
        path.write_bytes(out.getvalue())
        return path


def show(words: str, x: int = 50, y: int = 700, mode: int = 0) -> str:
    return f"BT {mode} Tr /F1 12 Tf {x} {y} Td ({words}) Tj ET\n"


def photo(seed: int, size: tuple[int, int] = (300, 200)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size)


def read(path: Path, options: LoadOptions | None = None) -> list[Content]:
    first, *rest = load(path, options or LoadOptions())
    assert isinstance(first, Described)
    assert first.modality is Modality.TEXT
    return rest


def text_of(contents: Sequence[Content]) -> str:
    return "\n".join(each.text for each in contents if isinstance(each, Passage))


def pictures_in(contents: Sequence[Content]) -> list[Picture]:
    return [each for each in contents if isinstance(each, Picture)]


def omissions_in(contents: Sequence[Content]) -> list[Omission]:
    return [each for each in contents if isinstance(each, Omission)]


def form_of(tmp_path: Path, fields: Sequence[str], form: str = "") -> Path:
    made = PdfBuilder()
    widgets = [
        made.add(f"<< /Type /Annot /Subtype /Widget /Rect [50 {at * 30} 250 {at * 30 + 20}] {f} >>")
        for at, f in enumerate(fields)
    ]
    listed = " ".join(f"{each} 0 R" for each in widgets)
    made.add_page(show("Application for a garden, first page of one"), f"/Annots [{listed}]")
    made.catalog = f"/AcroForm << /Fields [{listed}] /DA (/Helv 0 Tf 0 g) {form} >>"
    return made.write(tmp_path / "form.pdf")


def test_typed_in_values_are_text_without_an_appearance(tmp_path: Path) -> None:
    fields = [
        "/FT /Tx /T (surname) /V (Damson)",
        "/FT /Tx /T (topmost[0].page1[0].street[0]) /V (Quince Lane 4)",
        "/FT /Tx /T (t4) /TU (Name of the dog) /V <FEFF0052006500780020F8FF4E2D>",
        "/FT /Tx /Ff 4096 /T (remarks) /V (first line\\rsecond line)",
        "/FT /Tx /Ff 8192 /T (secret) /V (hunter2)",
        "/FT /Tx /T (blank) /V ()",
    ]
    text = text_of(read(form_of(tmp_path, fields)))
    assert "Application for a garden" in text
    assert "surname: Damson\n" in text
    assert "street: Quince Lane 4\n" in text
    assert "Name of the dog: Rex" in text
    assert "remarks: first line\nsecond line" in text
    assert "hunter2" not in text
    assert "blank" not in text


def test_choices_and_ticked_boxes_are_text(tmp_path: Path) -> None:
    states = "/AP << /N << /Vegan << >> /Off << >> >> >>"
    fields = [
        "/FT /Ch /Ff 131072 /T (country) /Opt [[(CH) (Switzerland)] [(AT) (Austria)]] /V (AT)",
        "/FT /Ch /Ff 2097152 /T (trees) /Opt [(plum) (pear) (fig)] /V [(plum) (fig)]",
        "/FT /Ch /Ff 393216 /T (other) /Opt [(a) (b)] /V (typed by hand)",
        f"/FT /Btn /T (meal) /V /Vegan /AS /Vegan {states}",
        f"/FT /Btn /T (drink) /V /Off /AS /Off {states.replace('Vegan', 'Cider')}",
        "/FT /Btn /Ff 65536 /T (print) /MK << /CA (Print) >>",
    ]
    text = text_of(read(form_of(tmp_path, fields)))
    assert "country: Austria" in text
    assert "trees: plum, fig" in text
    assert "other: typed by hand" in text
    assert "meal: Vegan" in text
    for absent in ("Switzerland", "pear", "Cider", "drink", "Off"):
        assert absent not in text


def test_values_that_fields_inherit_are_text(tmp_path: Path) -> None:
    made = PdfBuilder()
    parent = made.add("<< /FT /Tx /T (person) /V (Mirabelle) /Kids [4 0 R] >>")
    kid = made.add(f"<< /Subtype /Widget /Parent {parent} 0 R /Rect [0 0 9 9] >>")
    made.add_page(show("Form"), f"/Annots [{kid} 0 R]")
    made.catalog = f"/AcroForm << /Fields [{parent} 0 R] >>"
    assert "person: Mirabelle" in text_of(read(made.write(tmp_path / "a.pdf")))


def test_a_field_that_no_form_lists_keeps_its_value(tmp_path: Path) -> None:
    made = PdfBuilder()
    field = made.add("<< /Subtype /Widget /FT /Tx /T (lost) /V (Sloe) /Rect [0 0 9 9] >>")
    made.add_page(show("Form"), f"/Annots [{field} 0 R]")
    assert "lost: Sloe" in text_of(read(made.write(tmp_path / "a.pdf")))


def test_values_of_an_xfa_form_are_text(tmp_path: Path) -> None:
    made = PdfBuilder()
    data = (
        b'<xfa:datasets xmlns:xfa="x"><xfa:data><form><who>Medlar</who><sum>12</sum>'
        b"<empty/></form></xfa:data></xfa:datasets>"
    )
    packet = made.add("<< >>", data)
    made.add_page(show("Please wait for the form to be loaded by your viewer"))
    made.catalog = f"/AcroForm << /Fields [] /XFA [(datasets) {packet} 0 R] >>"
    text = text_of(read(made.write(tmp_path / "a.pdf")))
    assert "who: Medlar" in text
    assert "sum: 12" in text


def test_notes_are_text_with_their_author_and_page(tmp_path: Path) -> None:
    made = PdfBuilder()
    notes = [
        "/Subtype /FreeText /Contents (typed onto the page)",
        "/Subtype /Text /T (Anna) /Contents (ask the surveyor)",
        "/Subtype /Text /T (Ben) /Contents (he said no) /IRT 4 0 R",
        "/Subtype /Highlight /Contents <FEFF00FC006200650072> /QuadPoints [0 0 9 0 0 9 9 9]",
        "/Subtype /Square /Subj (Measure again) /Contents (two metres)",
        "/Subtype /FreeText /RC (<body><p>rich <b>words</b></p></body>)",
        "/Subtype /Popup /Contents (ask the surveyor once more)",
        "/Subtype /Link /Contents (a link)",
        "/Subtype /Text /StateModel (Review) /State (Accepted) /Contents (Accepted by Ben)",
        "/Subtype /Ink",
    ]
    numbers = [made.add(f"<< /Type /Annot /Rect [9 9 99 99] {each} >>") for each in notes]
    made.add_page(show("Minutes of the meeting about the bridge"))
    listed = " ".join(f"{each} 0 R" for each in numbers)
    made.add_page(show("The second page has notes"), f"/Annots [{listed} null 999 0 R]")
    passages = [each for each in read(made.write(tmp_path / "a.pdf")) if isinstance(each, Passage)]
    assert [each.page for each in passages] == [1, 2]
    assert passages[1].text.splitlines() == [
        "The second page has notes",
        "",
        "typed onto the page",
        "Anna: ask the surveyor",
        "Ben: he said no",
        "über",
        "Measure again: two metres",
        "rich words",
    ]


def test_bookmarks_and_attachments_are_named(tmp_path: Path) -> None:
    made = PdfBuilder()
    first, second = (
        made.add_page(show(f"Page {at} of the almanac, with Pears on it")) for at in (1, 2)
    )
    root = len(made.objects) + 3
    made.add(f"<< /First {root + 1} 0 R /Last {root + 2} 0 R /Count 2 >>")
    made.add(
        f"<< /Title (Quinces) /Parent {root} 0 R /Next {root + 2} 0 R /Dest [{second} 0 R /Fit] >>"
    )
    made.add(
        f"<< /Title (with  PEARS) /Parent {root} 0 R /Next {root + 1} 0 R "
        f"/A << /S /GoTo /D [{first} 0 R /Fit] >> >>"
    )
    data = made.add("<< /Type /EmbeddedFile >>", b"secret words inside")
    spec = made.add(f"<< /Type /Filespec /F (bill.xml) /UF (bill 7.xml) /EF << /F {data} 0 R >> >>")
    made.catalog = (
        f"/Outlines {root} 0 R /Names << /EmbeddedFiles << /Names [(bill) {spec} 0 R] >> >>"
    )
    passages = [each for each in read(made.write(tmp_path / "a.pdf")) if isinstance(each, Passage)]
    assert [(each.page, each.text.splitlines()[-1]) for each in passages] == [
        (1, "Page 1 of the almanac, with Pears on it"),
        (2, "Quinces"),
        (None, "bill 7.xml"),
    ]


def scan_of(tmp_path: Path, turns: Sequence[int], content: str = "") -> Path:
    """Pages that are a picture each, dark at the top and light at the bottom as shown."""
    made = PdfBuilder()
    for turn in turns:
        shade = np.linspace(20, 230, 400).astype(np.uint8)[:, None].repeat(300, 1)
        image = Image.fromarray(shade).rotate(turn, expand=True)
        number = made.add_image(image)
        made.add_page(
            f"q 600 0 0 800 0 0 cm /Im0 Do Q {content}",
            f"/Rotate {turn}",
            f"/XObject << /Im0 {number} 0 R >>",
        )
    return made.write(tmp_path / "scan.pdf")


def test_scanned_pages_are_upright_pictures(tmp_path: Path) -> None:
    path = scan_of(tmp_path, [0, 90, 180, 270])
    options = LoadOptions(picture=PictureFit("within", 200, "lanczos"))
    contents = read(path, options)
    pictures = pictures_in(contents)
    assert [each.place.page for each in pictures] == [1, 2, 3, 4]
    for each in pictures:
        height, width = each.pixels.shape[:2]
        assert max(height, width) == 200
        assert (height > width) == (each.place.page in (1, 3))
        assert each.pixels[:20].mean() < 60
        assert each.pixels[-20:].mean() > 190
    assert omissions_in(contents) == [
        Omission(OmissionCause.EXTRA, "no text layer: pages 1 to 4", "ocr")
    ]


@pytest.mark.parametrize("mode", ["within", "shortest", "squash", "letterbox"])
def test_scans_have_the_size_that_encoders_take(tmp_path: Path, mode: str) -> None:
    fit = PictureFit(mode, 96, "bicubic")  # type: ignore[arg-type]  # parametrized
    (picture,) = pictures_in(read(scan_of(tmp_path, [0]), LoadOptions(picture=fit)))
    assert picture.pixels.shape == ((96, 72, 3) if mode == "within" else (96, 96, 3))


def test_a_page_number_on_a_scan_is_no_text_layer(tmp_path: Path) -> None:
    contents = read(scan_of(tmp_path, [0], show("Page 7 of 9, archive no. 4711")))
    assert "archive no. 4711" in text_of(contents)
    assert len(pictures_in(contents)) == 1
    assert [each.name for each in omissions_in(contents)] == ["ocr"]


def test_a_hidden_text_layer_is_the_text_of_a_scan(tmp_path: Path) -> None:
    words = show("all the words of this page were recognized before by a program", mode=3)
    contents = read(scan_of(tmp_path, [0], words))
    assert "were recognized before" in text_of(contents)
    assert not pictures_in(contents)
    assert not omissions_in(contents)


def test_strips_of_a_scan_are_one_picture(tmp_path: Path) -> None:
    made = PdfBuilder()
    strips = [made.add_image(photo(at, (600, 80))) for at in range(10)]
    drawn = "".join(f"q 600 0 0 80 0 {720 - at * 80} cm /I{at} Do Q " for at in range(10))
    names = " ".join(f"/I{at} {number} 0 R" for at, number in enumerate(strips))
    made.add_page(drawn, resources=f"/XObject << {names} >>")
    (picture,) = pictures_in(read(made.write(tmp_path / "a.pdf")))
    assert picture.pixels.shape == (1024, 768, 3)


def test_letters_drawn_as_shapes_are_looked_at(tmp_path: Path) -> None:
    made = PdfBuilder()
    made.add_page(
        "".join(f"{x} {y} 9 5 re f\n" for x in range(50, 500, 25) for y in range(9, 700, 40))
    )
    made.add_page("0 0 m 600 0 l S")
    made.add_page("")
    assert [each.place.page for each in pictures_in(read(made.write(tmp_path / "a.pdf")))] == [1]


TEXT = "".join(
    show(f"Line {at} of an article about the pond, long enough", y=90 + at * 12) for at in range(9)
)


def test_larger_pictures_amid_text_are_found_once(tmp_path: Path) -> None:
    made = PdfBuilder()
    logo, pond = made.add_image(photo(1, (90, 30))), made.add_image(photo(2))
    copy, nested = made.add_image(photo(2)), made.add_image(photo(3))
    form = made.add(
        "<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Matrix [300 0 0 200 0 0] "
        f"/Resources << /XObject << /Im2 {nested} 0 R >> >> >>",
        b"/Im2 Do",
    )
    drawn = "q 90 0 0 30 480 760 cm /Im0 Do Q q 300 0 0 200 100 400 cm /Im1 Do Q "
    made.add_page(drawn + TEXT, resources=f"/XObject << /Im0 {logo} 0 R /Im1 {pond} 0 R >>")
    made.add_page(drawn + TEXT, resources=f"/XObject << /Im0 {logo} 0 R /Im1 {copy} 0 R >>")
    inside = "q 1 0 0 1 150 500 cm /Fm0 Do Q "
    made.add_page(inside + TEXT, resources=f"/XObject << /Fm0 {form} 0 R >>")
    contents = read(made.write(tmp_path / "a.pdf"))
    pictures = pictures_in(contents)
    assert [each.place.page for each in pictures] == [1, 3]
    for picture, seed in zip(pictures, (2, 3), strict=True):
        assert picture.pixels.shape[0] == pytest.approx(683, abs=5)
        wanted = np.asarray(photo(seed).resize((64, 42)), np.int16)
        got = np.asarray(Image.fromarray(picture.pixels).resize((64, 42)), np.int16)
        assert np.abs(wanted - got).mean() < 6
    assert not omissions_in(contents)


def test_a_page_full_of_pictures_is_one_picture(tmp_path: Path) -> None:
    made = PdfBuilder()
    numbers = [made.add_image(photo(at, (120, 90))) for at in range(12)]
    cells = list(itertools.product((20, 220, 420), (100, 280, 460, 640)))
    drawn = "".join(f"q 150 0 0 120 {x} {y} cm /I{at} Do Q " for at, (x, y) in enumerate(cells))
    names = " ".join(f"/I{at} {number} 0 R" for at, number in enumerate(numbers))
    made.add_page(drawn + TEXT, resources=f"/XObject << {names} >>")
    (picture,) = pictures_in(read(made.write(tmp_path / "a.pdf")))
    assert picture.pixels.shape == (1024, 768, 3)


def test_pictures_past_the_limits_are_told(tmp_path: Path) -> None:
    made = PdfBuilder()
    for at in range(14):
        number = made.add_image(photo(at))
        drawn = "q 300 0 0 200 100 400 cm /Im0 Do Q "
        made.add_page(drawn + TEXT, resources=f"/XObject << /Im0 {number} 0 R >>")
    path = made.write(tmp_path / "a.pdf")
    contents = read(path, LoadOptions(limits=Limits(picture_pages=1)))
    assert len(pictures_in(contents)) == 10
    assert omissions_in(contents) == [
        Omission(
            OmissionCause.LIMIT,
            "further pictures amid the text of pages 11 to 14",
            "picture_pages",
            1,
        )
    ]
    contents = read(path, LoadOptions(limits=Limits(pixels=50_000)))
    assert not pictures_in(contents)
    (omission,) = omissions_in(contents)
    assert (omission.name, omission.value) == ("pixels", 50_000)


def test_a_page_that_takes_too_long_keeps_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object, **__: object) -> None:
        raise pdf_pictures.DrawingTimeout

    path = scan_of(tmp_path, [0], show("Page 7"))
    monkeypatch.setattr(pdf_pictures, "draw_picture", draw)
    contents = read(path)
    assert text_of(contents).strip() == "Page 7"
    assert [(each.cause, each.name) for each in omissions_in(contents)] == [("limit", "stall_s")]


def test_drawing_ends_at_its_deadline(tmp_path: Path) -> None:
    path = scan_of(tmp_path, [0])
    contents = read(path, LoadOptions(limits=Limits(stall_s=0.0)))
    assert [(each.cause, each.name) for each in omissions_in(contents)] == [("limit", "stall_s")]


def test_one_page_is_drawn_for_a_preview(tmp_path: Path) -> None:
    made = PdfBuilder()
    made.add_page(show("Only words here"))
    made.add_page("")
    path = made.write(tmp_path / "a.pdf")
    for page in (1, 2):
        (picture,) = read(path, LoadOptions(page=page))
        assert isinstance(picture, Picture)
        assert picture.place.page == page
        assert (picture.pixels.min() < 100) == (page == 1)
    with pytest.raises(DecodeError, match="there is no page 3 in it, it has 2"):
        read(path, LoadOptions(page=3))


def test_limits_of_pages_and_characters_are_told(tmp_path: Path) -> None:
    made = PdfBuilder()
    for at in range(5):
        made.add_page(show(f"Words of page {at + 1}, twenty"))
    path = made.write(tmp_path / "a.pdf")
    contents = read(path, LoadOptions(limits=Limits(pages=2)))
    assert omissions_in(contents) == [
        Omission(OmissionCause.LIMIT, "pages 3 to 5 of 5", "pages", 2)
    ]
    assert "page 3" not in text_of(contents)
    contents = read(path, LoadOptions(limits=Limits(text_chars=30)))
    assert omissions_in(contents) == [
        Omission(OmissionCause.LIMIT, "text from page 2 on", "text_chars", 30)
    ]
    assert not omissions_in(read(path, LoadOptions(limits=Limits(pages=5))))


def test_an_unreadable_page_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    made = PdfBuilder()
    for at in range(4):
        made.add_page(show(f"Words of page {at + 1}"))
    for at in (1, 2):
        made.objects[made.pages[at]] = b"(not a page)"
    contents = read(made.write(tmp_path / "a.pdf"))
    assert [each.page for each in contents if isinstance(each, Passage)] == [1, 4]
    assert omissions_in(contents) == [
        Omission(OmissionCause.DAMAGED, "pages 2 and 3 cannot be read")
    ]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_text_of_turned_pages_is_whole(tmp_path: Path, turn: int) -> None:
    made = PdfBuilder()
    corners = {"northwest": (5, 780), "southeast": (520, 5), "southwest": (5, 5)}
    content = "".join(show(word, *at) for word, at in corners.items())
    made.add_page(content, f"/Rotate {turn}")
    assert set(corners) <= set(text_of(read(made.write(tmp_path / "a.pdf"))).split())


@given(st.sets(st.integers(1, 40), min_size=1, max_size=12))
def test_lists_of_pages_name_each(pages: set[int]) -> None:
    words = format_pages(pages).replace(" and ", ", ")
    named: set[int] = set()
    for part in words.removeprefix("pages ").removeprefix("page ").split(", "):
        first, _, last = part.partition(" to ")
        named.update(range(int(first), int(last or first) + 1))
    assert named == pages


def test_a_list_of_many_pages_is_short() -> None:
    assert len(format_pages(range(1, 9_000, 3))) < 200


def test_hostile_objects_cost_no_text(tmp_path: Path) -> None:
    made = PdfBuilder()
    huge = made.add(
        "<< /Type /XObject /Subtype /Image /Width 60000 /Height 60000 /ColorSpace /DeviceRGB "
        "/BitsPerComponent 8 /Filter /FlateDecode >>",
        zlib.compress(bytes(1_000_000)),
    )
    form = made.add("<< >>")
    made.objects[form] = (
        f"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 14 /Resources << /XObject "
        f"<< /F {form} 0 R >> >> >>\nstream\n/F Do         \nendstream"
    ).encode()
    made.add_page(
        f"q 600 0 0 800 0 0 cm /Im Do Q {TEXT}", resources=f"/XObject << /Im {huge} 0 R >>"
    )
    made.add_page(f"/F Do {TEXT}", resources=f"/XObject << /F {form} 0 R >>")
    note = made.add("<< /Type /Annot /Subtype /Text /Rect [0 0 1e30 1] /Contents (a note) >>")
    made.add_page("1e38 0 0 1e38 0 0 cm 0 0 9 9 re f", f"/Annots [{f'{note} 0 R ' * 9000}]")
    contents = read(made.write(tmp_path / "a.pdf"))
    assert {each.page for each in contents if isinstance(each, Passage)} == {1, 2, 3}
    assert [(each.cause, each.name) for each in omissions_in(contents)] == [("limit", "pixels")]
