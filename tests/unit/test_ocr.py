from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from mmsearch.encoders.base import Context, TextLine
from mmsearch.encoders.bundle import Encoders
from mmsearch.encoders.ocr import rapidocr
from mmsearch.encoders.ocr.paragraphs import join_paragraphs
from mmsearch.encoders.ocr.pipeline import (
    OcrPipeline,
    ParagraphTracker,
    are_alike,
    crop_box,
    shrink_part,
)
from mmsearch.encoders.ocr.rapidocr import RapidOcr
from mmsearch.errors import ConfigError, MissingExtra
from mmsearch.library import library_config
from mmsearch.library.library import Library
from mmsearch.media import codec
from mmsearch.media.base import Described, LoadOptions, OcrPicture, Picture
from mmsearch.media.pictures.text_detection import (
    MAX_BOXES,
    MIN_SIDE_PX,
    detect_text,
    prepare_ocr_picture,
)
from mmsearch.models import presets
from mmsearch.models.model_store import ModelStore
from mmsearch.models.presets import NO_OCR, RAPIDOCR, parse_model
from mmsearch.runtime.resize import fit_pixels
from mmsearch.segmentation import segmenter
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.types import Box, Metadata, Modality, PictureFit, Place, SegmentKind, Span
from tests.fakes import FakeEncoders

needs_ocr = pytest.mark.skipif(
    not rapidocr.is_installed(), reason="the extra is missing: pip install 'mmsearch[ocr]'"
)
WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def words_counted(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


joined = partial(join_paragraphs, count_tokens=words_counted, aspect=1.0, max_tokens=96)


def line(text: str, x0: float, y0: float, x1: float, height: float = 0.04) -> TextLine:
    return TextLine(text, Box(x0, y0, x1, y0 + height), 0.99)


def written(text: str, *, size_px: int = 28, ink: int = 0, paper: int = 255) -> np.ndarray:
    image = Image.new("RGB", (640, 360), (paper,) * 3)
    draw = ImageDraw.Draw(image)
    draw.text((60, 120), text, fill=(ink,) * 3, font=ImageFont.load_default(size_px))
    return np.asarray(image)


class FakeReader:
    model = "fake"

    def __init__(self, pages: Sequence[list[TextLine]], *, is_written: bool = True) -> None:
        self._pages = list(pages)
        self._is_written = is_written
        self.read_sizes: list[tuple[int, ...]] = []
        self.glanced_sizes: list[tuple[int, ...]] = []

    def read(self, pixels: np.ndarray) -> list[TextLine]:
        self.read_sizes.append(pixels.shape)
        return self._pages.pop(0)

    def glance(self, pixels: np.ndarray) -> bool:
        self.glanced_sizes.append(pixels.shape)
        return self._is_written


def writing(reader: FakeReader) -> OcrPipeline:
    return OcrPipeline(lambda: reader, words_counted, max_tokens=96)


# Paragraphs


def test_a_sentence_over_two_lines_is_one_paragraph() -> None:
    (found,) = joined([line("the lamp was", 0.1, 0.10, 0.5), line("replaced", 0.1, 0.15, 0.3)])
    assert found.text == "the lamp was\nreplaced"
    assert found.chars == (0, 21)
    assert (found.box.x0, found.box.y0, found.box.x1) == (0.1, 0.1, 0.5)
    assert found.box.y1 == pytest.approx(0.19)


def test_lines_that_stand_apart_are_paragraphs_of_their_own() -> None:
    found = joined([line("exit", 0.1, 0.1, 0.2), line("platform two", 0.1, 0.5, 0.4)])
    assert [one.text for one in found] == ["exit", "platform two"]
    assert [one.chars for one in found] == [(0, 4), (5, 17)]


def test_a_heading_is_not_joined_with_small_print_below_it() -> None:
    found = joined([line("Sale", 0.1, 0.1, 0.6, 0.12), line("until Monday", 0.1, 0.23, 0.4, 0.03)])
    assert [one.text for one in found] == ["Sale", "until Monday"]


def test_columns_stay_apart() -> None:
    left = [line(f"left {n}", 0.05, 0.1 + n * 0.05, 0.4) for n in range(3)]
    right = [line(f"right {n}", 0.6, 0.1 + n * 0.05, 0.95) for n in range(3)]
    mixed = [one for pair in zip(left, right, strict=True) for one in pair]
    assert [one.text for one in joined(mixed)] == [
        "left 0\nleft 1\nleft 2",
        "right 0\nright 1\nright 2",
    ]


def test_pieces_of_one_line_are_read_from_the_left() -> None:
    (found,) = joined([line("street", 0.32, 0.1, 0.5), line("harbour", 0.1, 0.105, 0.3)])
    assert found.text == "harbour street"


def test_lines_of_a_turned_page_keep_their_order() -> None:
    turned = [line(f"line {n}", 0.1 - n * 0.01, 0.1 + n * 0.05, 0.9, 0.12) for n in range(4)]
    (found,) = joined(turned)
    assert found.text == "line 0\nline 1\nline 2\nline 3"


def test_a_long_paragraph_is_cut_between_lines() -> None:
    lines = [line("one two three four", 0.1, 0.1 + n * 0.05, 0.5) for n in range(6)]
    found = joined(lines, max_tokens=9)
    assert [one.text.count("\n") for one in found] == [1, 1, 1]
    assert max(words_counted([one.text for one in found])) <= 9


coordinates = st.floats(0.0, 0.95, allow_nan=False)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            lambda text, x0, y0, width, height: TextLine(
                text, Box(x0, y0, min(1.0, x0 + width), min(1.0, y0 + height)), 0.9
            ),
            st.text("abc é", min_size=1, max_size=20).filter(str.strip),
            coordinates,
            coordinates,
            st.floats(0.0, 0.5),
            st.floats(0.0, 0.2),
        ),
        max_size=12,
    ),
    st.integers(1, 8),
    st.floats(0.1, 10.0),
)
def test_every_line_is_in_one_paragraph_at_its_range(
    lines: list[TextLine], most: int, aspect: float
) -> None:
    found = joined(lines, max_tokens=most, aspect=aspect)
    whole = "\n".join(one.text for one in found)
    assert all(whole[slice(*one.chars)] == one.text for one in found)
    assert sorted("".join(one.text for one in lines).replace(" ", "")) == sorted(
        whole.replace(" ", "").replace("\n", "")
    )
    assert len({one.chars for one in found}) == len(found)
    for one in found:
        assert 0 <= one.box.x0 <= one.box.x1 <= 1
        assert 0 <= one.box.y0 <= one.box.y1 <= 1


# What stands over several frames


def frames(*texts: str, seconds: float = 5.0) -> list[tuple[list[TextLine], Span]]:
    return [
        ([line(text, 0.1, 0.1, 0.5)] if text else [], Span(at * seconds, (at + 1) * seconds))
        for at, text in enumerate(texts)
    ]


def standing(*texts: str) -> list[tuple[str, Span | None]]:
    kept = ParagraphTracker()
    found = [one for lines, span in frames(*texts) for one in kept.feed(joined(lines), span)]
    found += kept.finish()
    return [(one.paragraph.text, one.place.span) for one in found]


def test_a_slide_over_three_frames_is_said_once_with_all_of_its_time() -> None:
    assert standing("Quarterly review", "Quarterly review", "Quarterly review", "Thank you") == [
        ("Quarterly review", Span(0.0, 15.0)),
        ("Thank you", Span(15.0, 20.0)),
    ]


def test_a_letter_that_was_misread_does_not_make_another_slide() -> None:
    assert standing("the lighthouse project", "the lighthause project") == [
        ("the lighthouse project", Span(0.0, 10.0))
    ]


def test_a_slide_that_comes_back_is_said_again() -> None:
    spans = [span for _, span in standing("Agenda", "Costs of it", "Agenda")]
    assert spans == [Span(0.0, 5.0), Span(5.0, 10.0), Span(10.0, 15.0)]


def test_a_frame_without_writing_ends_what_stood() -> None:
    assert standing("Agenda", "", "Agenda") == [
        ("Agenda", Span(0.0, 5.0)),
        ("Agenda", Span(10.0, 15.0)),
    ]


def test_two_equal_lines_of_one_frame_are_both_kept() -> None:
    twice = joined([line("open", 0.1, 0.1, 0.2), line("open", 0.1, 0.6, 0.2)])
    kept = ParagraphTracker()
    for at in range(2):
        assert not list(kept.feed(twice, Span(at, at + 1)))
    found = list(kept.finish())
    assert [one.place.span for one in found] == [Span(0, 2), Span(0, 2)]
    assert len({one.place.chars for one in found}) == 2


@given(st.text(max_size=30))
def test_a_text_is_like_itself(text: str) -> None:
    assert are_alike(text, text)


# Reading


def test_a_picture_in_whose_boxes_nothing_stands_is_not_read() -> None:
    reader = FakeReader([], is_written=False)
    boxes = (Box(0.0, 0.0, 0.5, 0.1), Box(0.5, 0.5, 1.0, 1.0))
    assert not list(writing(reader).feed(Place(), written("?"), boxes))
    assert len(reader.glanced_sizes) == 2
    assert reader.read_sizes == []


def test_a_picture_is_read_whole_once_one_box_holds_writing() -> None:
    reader = FakeReader([[line("exit", 0.1, 0.1, 0.2)]])
    pixels = written("exit")
    (found,) = writing(reader).feed(Place(page=3), pixels, (WHOLE, WHOLE))
    assert reader.read_sizes == [pixels.shape]
    assert len(reader.glanced_sizes) == 1
    assert found.place == Place(page=3, chars=(0, 4))


def test_a_frame_is_told_of_when_it_is_gone() -> None:
    reader = FakeReader([[line("exit", 0.1, 0.1, 0.2)]])
    frame = writing(reader)
    assert not list(frame.feed(Place(span=Span(0, 5)), written("exit"), (WHOLE,)))
    (found,) = frame.feed(Place(span=Span(5, 9)))
    assert found.place == Place(span=Span(0, 5), chars=(0, 4))
    assert not list(frame.finish())


@given(st.integers(1, 40), st.integers(1, 40), st.tuples(*[st.floats(0.0, 1.0)] * 4))
def test_a_cut_is_never_empty(width: int, height: int, edges: tuple[float, ...]) -> None:
    x0, x1 = sorted(edges[:2])
    y0, y1 = sorted(edges[2:])
    part = crop_box(np.zeros((height, width, 3), np.uint8), Box(x0, y0, x1, y1))
    assert part.shape[0] >= 1
    assert part.shape[1] >= 1


def test_what_is_glanced_at_is_small() -> None:
    assert shrink_part(np.zeros((480, 1000, 3), np.uint8)).shape == (96, 200, 3)
    assert shrink_part(np.zeros((40, 1000, 3), np.uint8)).shape == (40, 1000, 3)


class Broken:
    def __call__(self, *_: object, **__: object) -> object:
        raise RuntimeError("no such contour")


@pytest.mark.parametrize("call", [RapidOcr.read, RapidOcr.glance])
def test_what_breaks_on_a_picture_is_logged_and_nothing_is_written_there(
    call: Callable[[RapidOcr, np.ndarray], object], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cv2", reason="the extra is missing: pip install 'mmsearch[ocr]'")
    with caplog.at_level(logging.WARNING, logger="mmsearch.encoders.ocr.rapidocr"):
        assert not call(RapidOcr(Broken()), written("exit"))
    assert "could not be read" in caplog.text


def test_a_hostile_number_of_lines_is_bounded() -> None:
    def quads(count: int, width: float, height: float) -> np.ndarray:
        one = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        return np.repeat(one[None], count, axis=0)

    affordable = rapidocr._select_affordable
    assert len(affordable(quads(10_000, 30, 10))) == rapidocr.MAX_LINES
    assert len(affordable(quads(500, 900, 10))) == int(rapidocr.MAX_TOTAL_LENGTH // 90)
    assert len(affordable(quads(5, 1600, 4))) == 0
    assert len(affordable(quads(5, 10, 900))) == 5, "vertical writing is no longer than it is"
    assert len(affordable(quads(0, 1, 1))) == 0


# The cheap look


@needs_ocr
@pytest.mark.parametrize("size_px", [14, 20, 32, 64, 100])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (240, 20), (60, 190)])
def test_the_look_finds_where_writing_stands(size_px: int, ink: int, paper: int) -> None:
    pixels = written("Harbour exit", size_px=size_px, ink=ink, paper=paper)
    found = detect_text(pixels)
    assert found
    marked = np.argwhere(np.abs(pixels[..., 0].astype(int) - paper) > 60)
    middle = marked.mean(axis=0) / pixels.shape[:2]
    assert any(box.y0 <= middle[0] <= box.y1 for box in found)


@needs_ocr
def test_the_look_passes_over_what_has_no_letters() -> None:
    down, across = np.mgrid[:400, :600]
    slope = np.repeat((across / 3).astype(np.uint8)[..., None], 3, axis=2)
    disc = np.where((down - 200) ** 2 + (across - 300) ** 2 < 150**2, 255, 0).astype(np.uint8)
    grating = (127 + 120 * np.sin(across / 9)).astype(np.uint8)
    flat = np.full((400, 600, 3), 128, np.uint8)
    for pixels in (slope, flat, *(np.repeat(one[..., None], 3, axis=2) for one in (disc, grating))):
        assert detect_text(pixels) == ()


@needs_ocr
def test_the_look_passes_over_icons() -> None:
    icon = fit_pixels(
        written("Harbour", size_px=120), PictureFit("squash", MIN_SIDE_PX - 1, "bilinear")
    )
    assert detect_text(icon) == ()


@needs_ocr
@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 1 << 30), st.integers(1, 9))
def test_the_look_takes_any_picture(width: int, height: int, seed: int, grain: int) -> None:
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (height // grain + 1, width // grain + 1, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(coarse, grain, axis=0), grain, axis=1)[:height, :width].copy()
    found = detect_text(pixels)
    assert len(found) <= MAX_BOXES
    for box in found:
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


@needs_ocr
def test_only_what_may_hold_writing_is_asked_for_again() -> None:
    def views(pixels: np.ndarray) -> tuple[OcrPicture | None, list[int]]:
        asked: list[int] = []

        def view(fit: PictureFit) -> np.ndarray:
            asked.append(fit.size_px)
            return fit_pixels(pixels, fit)

        return prepare_ocr_picture(view, LoadOptions(legible_px=500)), asked

    waves = np.broadcast_to(127 + 120 * np.sin(np.arange(900) / 4), (900, 900))
    nothing, asked = views(np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2))
    assert nothing is None
    assert asked == [640]
    found, asked = views(written("Harbour exit"))
    assert asked == [640, 500]
    assert found is not None
    assert found.pixels.shape == (281, 500, 3)


@needs_ocr
@pytest.mark.parametrize("size_px", [10, 12])
def test_small_letters_of_a_plain_page_are_found_by_a_closer_look(size_px: int) -> None:
    page = Image.new("RGB", (1920, 1080), "white")
    draw = ImageDraw.Draw(page)
    draw.text(
        (300, 400), "No route to the pigeon", fill="black", font=ImageFont.load_default(size_px)
    )
    pixels = np.asarray(page)
    assert detect_text(fit_pixels(pixels, PictureFit("within", 640, "bilinear"))) == ()
    found = prepare_ocr_picture(partial(fit_pixels, pixels), LoadOptions(legible_px=1600))
    assert found is not None
    assert any(box.x0 <= 320 / 1920 and box.y0 <= 405 / 1080 <= box.y1 for box in found.boxes)


@needs_ocr
def test_a_blank_page_is_not_legible() -> None:
    blank = np.full((1080, 1920, 3), 255, np.uint8)
    assert prepare_ocr_picture(partial(fit_pixels, blank), LoadOptions(legible_px=1600)) is None


# Through the library


def test_a_legible_picture_survives_the_pipe() -> None:
    chance = np.random.default_rng(1)
    small = chance.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    large = chance.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    boxes = (Box(0.1, 0.2, 0.3, 0.4), WHOLE)
    sent = Picture(small, Place(page=2), ocr_picture=OcrPicture(large, boxes))
    header, body = codec.pack(sent)
    got = codec.unpack(header, bytes(body))
    assert isinstance(got, Picture)
    assert got.ocr_picture is not None
    assert got.ocr_picture.boxes == boxes
    assert np.array_equal(got.pixels, small)
    assert np.array_equal(got.ocr_picture.pixels, large)
    assert got.place == Place(page=2)


def test_options_go_through_the_pipe_with_what_is_legible() -> None:
    options = LoadOptions(legible_px=1600)
    assert codec.unpack_options(codec.pack_options(options)) == options


class ReadingEncoders(FakeEncoders):
    ocr = object()

    def __init__(self, reader: FakeReader) -> None:
        super().__init__()
        self.reader = reader


def test_writing_becomes_a_segment_whose_vector_has_the_box() -> None:
    encoders = ReadingEncoders(FakeReader([[line("mind the gap", 0.25, 0.5, 0.75)]]))
    pixels = np.zeros((64, 64, 3), np.uint8)
    contents = [
        Described(Modality.IMAGE, Metadata()),
        Picture(pixels, Place(), ocr_picture=OcrPicture(pixels, (WHOLE,))),
    ]
    works = list(
        segmenter.split_into_work_items("a" * 32, contents, encoders, segmenter.AssetDescription())
    )
    assert [work.segment.kind for work in works] == [SegmentKind.IMAGE, SegmentKind.OCR]
    _, read = segmenter.encode_work_items(works, encoders)
    assert read.segment.text == "mind the gap"
    assert read.segment.place == Place(chars=(0, 12))
    (vectors,) = read.vectors
    assert vectors.space == "text"
    assert vectors.boxes == (Box(0.25, 0.5, 0.75, 0.54),)


def test_pictures_on_one_page_of_a_document_are_segments_of_their_own() -> None:
    encoders = ReadingEncoders(FakeReader([[line("mind the gap", 0.2, 0.5, 0.7)]] * 3))
    pixels = np.zeros((64, 64, 3), np.uint8)
    picture = Picture(pixels, Place(page=4), ocr_picture=OcrPicture(pixels, (WHOLE,)))
    contents = [Described(Modality.TEXT, Metadata()), picture, picture, picture]
    description = segmenter.AssetDescription()
    works = list(segmenter.split_into_work_items("a" * 32, contents, encoders, description))
    assert description.thumbprint is None
    assert [work.segment.kind for work in works] == [SegmentKind.IMAGE, SegmentKind.OCR] * 3
    assert len({work.segment.id for work in works}) == 6
    assert works[0].segment.place == Place(page=4)
    assert {work.segment.place.page for work in works} == {4}


def test_pictures_are_made_legible_only_where_the_library_reads() -> None:
    assert segmenter.make_load_options(FakeEncoders(), LoadOptions()).legible_px == 0
    reads = ReadingEncoders(FakeReader([]))
    assert segmenter.make_load_options(reads, LoadOptions()).legible_px == segmenter.LEGIBLE_PX
    query = segmenter.make_load_options(reads, LoadOptions(), with_ocr=False)
    assert query.legible_px == 0


def test_a_place_for_reading_can_be_left_empty() -> None:
    assert parse_model("ocr", "rapidocr") == RAPIDOCR
    assert parse_model("ocr", "none") == NO_OCR
    mini = presets.PRESETS["mini"]
    assert "ocr" not in mini.specs
    assert mini.with_models({"ocr": RAPIDOCR}).specs["ocr"] == RAPIDOCR
    assert "ocr" not in mini.with_models({"ocr": NO_OCR}).specs


def test_a_preset_of_ones_own_may_say_whether_it_reads() -> None:
    own = presets.find_preset("mine", {"mine": {"extends": "mini", "ocr": "none"}})
    assert own.ocr == NO_OCR


def test_a_library_keeps_whether_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapidocr, "is_installed", lambda: False)
    Library.open(tmp_path / "plain").close()
    plain = manifests.read(tmp_path / "plain")
    assert "ocr" not in plain.models
    Library.open(tmp_path / "plain", models={"ocr": "none"}).close()
    with pytest.raises(MissingExtra, match=r"mmsearch\[ocr\]"):
        Library.open(tmp_path / "plain", models={"ocr": "rapidocr"})
    assert library_config.read_preset(plain).ocr == NO_OCR


def test_what_reads_must_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapidocr, "is_installed", lambda: False)
    with pytest.raises(MissingExtra, match=r"mmsearch\[ocr\]"):
        Library.open(tmp_path / "reading", models={"ocr": "rapidocr"})
    preset = presets.PRESETS["mini"].with_models({"ocr": RAPIDOCR})
    encoders = Encoders(preset, Context(store=ModelStore(tmp_path)))
    with pytest.raises(MissingExtra):
        segmenter.make_load_options(encoders, LoadOptions())


@needs_ocr
def test_ocr_comes_to_a_library_when_it_is_installed_unless_it_was_declined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(rapidocr, "is_installed", lambda: False)
        Library.open(tmp_path / "undecided").close()
        Library.open(tmp_path / "declined", models={"ocr": "none"}).close()

    for name in ("undecided", "declined"):
        Library.open(tmp_path / name).close()
    assert manifests.read(tmp_path / "undecided").models["ocr"].encoder == "rapidocr"
    assert manifests.read(tmp_path / "declined").models["ocr"] == NO_OCR

    Library.open(tmp_path / "declined", models={"ocr": "rapidocr"}).close()
    assert manifests.read(tmp_path / "declined").models["ocr"].encoder == "rapidocr"


@needs_ocr
def test_a_new_library_reads_where_the_extra_is_installed(tmp_path: Path) -> None:
    Library.open(tmp_path / "new").close()
    recorded = manifests.read(Location.parse(tmp_path / "new")).models["ocr"]
    assert recorded.encoder == "rapidocr"
    assert recorded.revision
    assert len(recorded.weights_sha256) == 64
    with pytest.raises(ConfigError, match="cannot take 'none'"):
        Library.open(tmp_path / "new", models={"ocr": "none"})
