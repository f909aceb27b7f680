from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mmsearch.encoders.base import Context
from mmsearch.encoders.ocr import rapidocr
from mmsearch.encoders.ocr.rapidocr import RapidOcr
from mmsearch.library.library import Library
from mmsearch.media.base import LoadOptions, Picture
from mmsearch.media.isolation import Decoder
from mmsearch.models.model_store import open_default_store
from mmsearch.models.presets import RAPIDOCR
from mmsearch.types import Box, Modality, PictureFit, SegmentKind, Span

pytestmark = pytest.mark.skipif(
    not rapidocr.is_installed(), reason="the extra is missing: pip install 'mmsearch[ocr]'"
)
SENTENCE = "Harbour Street, no swimming after nine"
DEJAVU = Path("/usr/share/fonts/truetype/dejavu")


@pytest.fixture(scope="module")
def reader() -> RapidOcr:
    return RapidOcr.load(RAPIDOCR, Context(store=open_default_store(), threads=2))


def font(size_px: int, name: str = "") -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if not name:
        return ImageFont.load_default(size_px)
    path = DEJAVU / f"{name}.ttf"
    if not path.is_file():
        pytest.skip(f"there is no font {path}")
    return ImageFont.truetype(str(path), size_px)


def sheet(
    text: str = SENTENCE,
    *,
    size_px: int = 28,
    name: str = "",
    ink: str = "black",
    paper: str = "white",
    turn: float = 0.0,
    size: tuple[int, int] = (800, 450),
) -> np.ndarray:
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).text((60, 120), text, fill=ink, font=font(size_px, name))
    if turn:
        image = image.rotate(turn, fillcolor=paper, resample=Image.Resampling.BICUBIC)
    return np.asarray(image)


def likeness(said: str, truth: str = SENTENCE) -> float:
    one, other = ("".join(text.split()).casefold() for text in (said, truth))
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def said(reader: RapidOcr, pixels: np.ndarray) -> str:
    return "\n".join(line.text for line in reader.read(pixels))


@pytest.mark.parametrize("size_px", [12, 16, 28, 36])
def test_letters_of_many_sizes_are_read(reader: RapidOcr, size_px: int) -> None:
    assert likeness(said(reader, sheet(size_px=size_px))) > 0.95


@pytest.mark.parametrize("name", ["DejaVuSerif", "DejaVuSansMono-Bold", "DejaVuSans-Oblique"])
def test_other_fonts_are_read(reader: RapidOcr, name: str) -> None:
    assert likeness(said(reader, sheet(name=name, size_px=24))) > 0.95


@pytest.mark.parametrize("turn", [-6.0, -2.0, 3.0, 6.0])
def test_writing_that_is_turned_by_a_few_degrees_is_read(reader: RapidOcr, turn: float) -> None:
    assert likeness(said(reader, sheet(turn=turn))) > 0.95


@pytest.mark.parametrize(("ink", "paper"), [("white", "black"), ("#ffe08a", "#123a6b")])
def test_light_writing_on_dark_is_read(reader: RapidOcr, ink: str, paper: str) -> None:
    assert likeness(said(reader, sheet(ink=ink, paper=paper))) > 0.95


def test_a_line_is_boxed_where_it_stands(reader: RapidOcr) -> None:
    pixels = sheet()
    (found,) = reader.read(pixels)
    rows, columns = np.nonzero(pixels[..., 0] < 128)
    truth = (columns.min() / 800, rows.min() / 450, columns.max() / 800, rows.max() / 450)
    box = (found.box.x0, found.box.y0, found.box.x1, found.box.y1)
    assert np.abs(np.subtract(box, truth)).max() < 0.02
    assert rapidocr.MIN_PROBABILITY <= found.probability <= 1.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 1600), (1600, 1), (30, 1600), (64, 64)])
def test_any_shape_is_taken(
    reader: RapidOcr, shape: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    chance = np.random.default_rng(2)
    reader.read(chance.integers(0, 256, (*shape, 3), dtype=np.uint8))
    assert reader.read(np.full((*shape, 3), 200, np.uint8)) == []
    assert reader.glance(np.full((*shape, 3), 200, np.uint8)) is False
    assert "could not be read" not in caplog.text


@pytest.mark.slow
def test_a_picture_full_of_letters_takes_bounded_time(reader: RapidOcr) -> None:
    page = Image.new("RGB", (1600, 1600), "white")
    draw, small = ImageDraw.Draw(page), font(11)
    for row in range(130):
        for column in range(40):
            draw.text((5 + column * 40, 3 + row * 12), f"{row}{column}", fill="black", font=small)
    found = reader.read(np.asarray(page))
    assert 0 < len(found) <= rapidocr.MAX_LINES


def test_nothing_is_fetched_and_no_network_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = RapidOcr.load(RAPIDOCR, Context(store=open_default_store(), threads=1))
    assert likeness(said(fresh, sheet())) > 0.95


def test_the_networks_are_those_of_the_installed_package() -> None:
    made_by = RapidOcr.describe(RAPIDOCR, Context(store=open_default_store()))
    assert [file.name for file in made_by.files] == [rapidocr.DETECTOR, rapidocr.RECOGNISER]
    assert len(made_by.weights_sha256) == 64


# Loaders


def loaded(path: Path, **options: object) -> list[Picture]:
    small = PictureFit("shortest", 224, "bicubic")
    with Decoder() as decoder:
        contents = list(decoder.load(path, LoadOptions(picture=small, **options)))  # type: ignore[arg-type]
    return [one for one in contents if isinstance(one, Picture)]


def test_a_large_photograph_with_a_sign_comes_legible_beside_what_the_encoder_takes(
    tmp_path: Path, sample_data: Path
) -> None:
    path = sign(tmp_path / "sign.jpg", sample_data, longest_px=4000)
    (plain,) = loaded(path)
    (found,) = loaded(path, legible_px=1600)
    assert plain.ocr_picture is None
    assert found.ocr_picture is not None
    assert max(found.ocr_picture.pixels.shape) == 1600
    assert np.array_equal(found.pixels, plain.pixels), "the encoder sees the same either way"


def test_a_photograph_that_lies_on_its_side_is_read_upright(tmp_path: Path) -> None:
    upright = Image.fromarray(sheet(size=(1200, 800), size_px=40))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.jpg", exif=exif, quality=95)
    (found,) = loaded(tmp_path / "side.jpg", legible_px=1600)
    assert found.ocr_picture is not None
    assert found.ocr_picture.pixels.shape == (800, 1200, 3)


def test_pages_of_a_tiff_are_legible_each(tmp_path: Path) -> None:
    pages = [Image.fromarray(sheet(text)) for text in ("Invoice of March", "Invoice of April")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    found = loaded(tmp_path / "scan.tif", legible_px=1600)
    assert [one.place.page for one in found] == [1, 2]
    assert all(one.ocr_picture is not None for one in found)


# End to end


def sign(path: Path, sample_data: Path, *, longest_px: int = 1024) -> Path:
    image = Image.open(sample_data / "photos/beach.jpg").convert("RGB")
    image = image.resize((longest_px, longest_px * image.height // image.width))
    width, height = image.size
    draw = ImageDraw.Draw(image)
    draw.rectangle((width * 0.55, height * 0.1, width * 0.95, height * 0.3), fill="#143c8c")
    text = "Harbour Street\nNo swimming"
    draw.text((width * 0.57, height * 0.12), text, fill="white", font=font(int(height * 0.07)))
    image.save(path, quality=92)
    return path


@pytest.fixture(scope="module")
def lettered_library(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    media = tmp_path_factory.mktemp("lettered")
    sign(media / "a.jpg", sample_data)
    slide = Image.new("RGB", (1920, 1080), "white")
    draw = ImageDraw.Draw(slide)
    draw.text((100, 80), "Quarterly review of the lighthouse", fill="black", font=font(64))
    told = ["The lamp was replaced in March and", "has run since without a failure."]
    for at, text in enumerate(told):
        draw.text((120, 300 + at * 60), text, fill="black", font=font(40))
    slide.save(media / "b.png")
    Image.fromarray(
        sheet("ConnectionRefusedError: no pigeon service", size_px=14, ink="#cfc", paper="#222")
    ).save(media / "c.png")
    for name in ("breakfast.jpg", "IMG_0144.jpg"):
        (media / name).write_bytes((sample_data / "photos" / name).read_bytes())
    folder = tmp_path_factory.mktemp("libraries") / "lettered"
    with Library.open(folder, models={"ocr": "rapidocr"}) as library:
        report = library.index(media)
    assert report.failed == 0
    return folder


@pytest.mark.parametrize(
    ("query", "name", "box"),
    [
        ("no swimming on harbour street", "a.jpg", Box(0.56, 0.11, 0.85, 0.30)),
        ("the lamp was replaced in March", "b.png", Box(0.05, 0.25, 0.50, 0.42)),
        ("pigeon service connection error", "c.png", Box(0.06, 0.25, 0.50, 0.34)),
    ],
)
def test_a_picture_is_found_by_what_is_written_in_it(
    lettered_library: Path, query: str, name: str, box: Box
) -> None:
    with Library.open(lettered_library) as library:
        first = library.search(query)[0]
    assert Path(first.path).name == name
    assert first.segment.kind is SegmentKind.OCR
    assert first.kind is Modality.IMAGE
    found = first.moments[0].box
    assert found is not None
    middle = ((found.x0 + found.x1) / 2, (found.y0 + found.y1) / 2)
    assert box.x0 <= middle[0] <= box.x1
    assert box.y0 <= middle[1] <= box.y1


def test_a_paragraph_over_two_lines_is_one_segment(lettered_library: Path) -> None:
    with Library.open(lettered_library) as library:
        first = library.search("a lamp that has run without a failure")[0]
    assert first.segment.text is not None
    assert (
        likeness(
            first.segment.text,
            "The lamp was replaced in March and has run since without a failure.",
        )
        > 0.95
    )
    assert first.segment.place.chars is not None


def test_photographs_without_writing_have_no_such_segments(lettered_library: Path) -> None:
    with Library.open(lettered_library) as library:
        counts = library.status().segments
    assert counts["image"] == 5
    assert counts["ocr"] == 4


def test_a_library_that_does_not_read_finds_no_writing(tmp_path: Path, sample_data: Path) -> None:
    sign(tmp_path / "a.jpg", sample_data)
    with Library.open(tmp_path / "library", models={"ocr": "none"}) as library:
        library.index(tmp_path / "a.jpg")
        assert library.status().segments["ocr"] == 0


def test_a_slide_of_a_film_is_found_once_with_all_of_its_time(tmp_path: Path) -> None:
    film(
        tmp_path / "talk.mp4",
        [
            ("Agenda of the pigeon conference", 24),
            ("Budget and lighthouse maintenance", 6),
        ],
    )
    with Library.open(tmp_path / "library", models={"ocr": "rapidocr"}) as library:
        library.index(tmp_path / "talk.mp4")
        first = library.search("agenda of the pigeon conference")[0]
        assert library.status().segments["ocr"] == 2
        assert library.status().segments["frame"] >= 3
    assert first.segment.kind is SegmentKind.OCR
    assert first.segment.span is not None
    assert first.segment.span.overlap_s(Span(0, 24)) == pytest.approx(24, abs=1.0)


def film(path: Path, slides: list[tuple[str, int]]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate = 4_000_000
        for text, seconds in slides:
            paper, ink = ("white", "black") if text.startswith("Agenda") else ("#123a6b", "white")
            pixels = sheet(text, size=(640, 360), size_px=26, ink=ink, paper=paper)
            for _ in range(seconds * 4):
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
