"""Crops, maps and how they are painted, and what `--explain` says; without any network."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.cli.explanations import describe_box, explain_hit, style_ranges, wrap_ranges
from mmsearch.cli.heat_maps import check_folder, format_file_name, write_heat_maps
from mmsearch.errors import ConfigError
from mmsearch.library.heatmap import COLOURS, FULL_HEAT, GRID, HeatMap, spread_heat
from mmsearch.library.localization import MAX_ACROSS, SCALES, compute_heat, cut_into_boxes
from mmsearch.models.calibration import Calibration
from mmsearch.query.algebra import text
from mmsearch.search.query_vectors import QueryVector, WeightedQueryVector
from mmsearch.types import (
    Asset,
    Box,
    Hit,
    Metadata,
    Modality,
    Moment,
    Place,
    Segment,
    SegmentKind,
    SpaceScore,
    Span,
    Tag,
)

SIDES = st.integers(1, 3000)


# crops


@given(SIDES, SIDES)
def test_crops_are_few_lie_inside_and_leave_nothing_out(width: int, height: int) -> None:
    boxes = cut_into_boxes(width, height)

    assert len(boxes) <= 48
    for box in boxes:
        assert 0.0 <= box.x0 < box.x1 <= 1.0 + 1e-9
        assert 0.0 <= box.y0 < box.y1 <= 1.0 + 1e-9
    for x, y in [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.31, 0.77), (1.0, 0.0)]:
        over = [box for box in boxes if box.x0 - 1e-9 <= x <= box.x1 + 1e-9]
        assert any(box.y0 - 1e-9 <= y <= box.y1 + 1e-9 for box in over)


@given(st.integers(200, 3000), st.integers(200, 3000))
def test_crops_of_usual_pictures_are_squares_that_overlap_by_half(width: int, height: int) -> None:
    if max(width, height) > 2.9 * min(width, height):
        return
    for scale in SCALES:
        boxes = cut_into_boxes(width, height, (scale,))
        for box in boxes:
            across, down = (box.x1 - box.x0) * width, (box.y1 - box.y0) * height
            assert across == pytest.approx(down, rel=0.25)
        starts = sorted({box.x0 for box in boxes})
        length = boxes[0].x1 - boxes[0].x0
        assert all(later - start <= length / 2 + 1e-9 for start, later in pairwise(starts))


@pytest.mark.parametrize(("width", "height"), [(100_000, 1), (1, 100_000), (4000, 40)])
def test_a_long_picture_has_no_more_crops_than_others(width: int, height: int) -> None:
    assert len(cut_into_boxes(width, height)) <= 2 * MAX_ACROSS


# heat


def probes(*asked: tuple[str, list[list[float]], float]) -> list[WeightedQueryVector]:
    return [
        WeightedQueryVector(QueryVector("image", kind, np.array(rows, dtype=np.float32)), weight)
        for kind, rows, weight in asked
    ]


CURVES = {"text>image": Calibration(0.5, 10.0), "image>image": Calibration(0.5, 4.0)}
ROWS = np.eye(3, dtype=np.float32)


def test_heat_is_the_similarity_in_units_of_the_curve() -> None:
    heat = compute_heat(
        ROWS, probes(("text", [[1, 0, 0]], 1.0), ("image", [[0, 1, 0]], 1.0)), CURVES
    )

    np.testing.assert_allclose(heat, [10.0, 4.0, 0.0])


def test_what_is_to_be_avoided_cools() -> None:
    heat = compute_heat(
        ROWS, probes(("text", [[1, 0, 0]], 1.0), ("text", [[0, 1, 0]], -0.5)), CURVES
    )

    np.testing.assert_allclose(heat, [10.0, -5.0, 0.0])


def test_a_term_of_several_vectors_is_as_near_as_the_nearest() -> None:
    heat = compute_heat(ROWS, probes(("image", [[1, 0, 0], [0, 0.5, 0]], 2.0)), CURVES)

    np.testing.assert_allclose(heat, [8.0, 4.0, 0.0])


def test_what_the_preset_has_no_curve_for_is_left_out() -> None:
    assert not compute_heat(ROWS, probes(("tags", [[1, 0, 0]], 1.0)), CURVES).any()


# maps


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 1024), st.integers(1, 1024), st.integers(0, 2**32 - 1))
def test_a_map_is_between_0_and_1_and_as_long_as_its_picture(
    width: int, height: int, seed: int
) -> None:
    boxes = cut_into_boxes(width, height)
    heat = np.random.default_rng(seed).normal(0, 5, len(boxes)).astype(np.float32)

    values = spread_heat(heat, boxes, (width, height))

    assert values.dtype == np.float32
    assert max(values.shape) == GRID
    assert values.min() >= 0.0
    assert values.max() <= 1.0
    assert values.shape[0] / values.shape[1] == pytest.approx(
        max(1, round(GRID * height / max(width, height)))
        / max(1, round(GRID * width / max(width, height)))
    )
    # What all of the picture has in common says nothing of where.
    np.testing.assert_allclose(values, spread_heat(heat + 3, boxes, (width, height)), atol=1e-4)


def test_the_hottest_place_is_where_the_hot_crops_are() -> None:
    boxes = cut_into_boxes(640, 480)
    for x, y in [(0.2, 0.2), (0.8, 0.3), (0.5, 0.8)]:
        heat = np.array(
            [10.0 * (box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1) for box in boxes],
            dtype=np.float32,
        )

        found = HeatMap(spread_heat(heat, boxes, (640, 480)), (640, 480)).hottest

        assert np.hypot(found[0] - x, found[1] - y) < 0.15


def test_a_picture_that_is_alike_everywhere_stays_cool() -> None:
    boxes = cut_into_boxes(300, 200)
    level = np.full(len(boxes), 7.0, dtype=np.float32)
    slight = level.copy()
    slight[0] += FULL_HEAT / 4

    assert spread_heat(level, boxes, (300, 200)).max() < 1e-5
    assert 0.0 < spread_heat(slight, boxes, (300, 200)).max() < 0.26


def test_a_map_of_no_boxes_is_cool() -> None:
    assert not spread_heat(np.empty(0, dtype=np.float32), [], (20, 10)).any()


# painting


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return image


def in_corner(rows: int = 12, columns: int = 16) -> HeatMap:
    values = np.zeros((rows, columns), dtype=np.float32)
    values[:3, :3] = 1.0
    return HeatMap(values, (160, 120))


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_overlay_leaves_what_is_cool_as_it_was() -> None:
    pixels = noise(160, 120)

    painted = np.asarray(opened(in_corner().overlay(pixels)))

    assert painted.shape == pixels.shape
    assert (painted[60:, 80:] == pixels[60:, 80:]).all()
    assert (painted[:20, :20] != pixels[:20, :20]).any(axis=2).mean() > 0.95
    # The picture is still seen through it.
    assert np.corrcoef(painted[:20, :20].ravel(), pixels[:20, :20].ravel())[0, 1] > 0.5


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 700), (700, 1), (33, 7)])
def test_an_overlay_is_as_large_as_the_pixels_whatever_they_are(width: int, height: int) -> None:
    assert opened(in_corner(1, 48).overlay(noise(width, height))).size == (width, height)


def test_a_map_paints_over_its_own_picture_and_needs_one() -> None:
    own = HeatMap(in_corner().values, (160, 120), noise(160, 120))

    assert opened(own.overlay()).size == (160, 120)
    with pytest.raises(ValueError, match="give the pixels"):
        in_corner().overlay()


def test_a_layer_is_clear_where_it_is_cool() -> None:
    layer = opened(in_corner().layer())

    assert layer.mode == "RGBA"
    assert layer.size == (16, 12)
    alpha = np.asarray(layer)[..., 3]
    assert alpha[0, 0] > 100
    assert not alpha[6:, 6:].any()


def test_hotter_is_lighter_in_even_steps() -> None:
    """OKLab of sRGB, as Ottosson gives it."""
    rgb = np.array(COLOURS) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lms = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    lightness = np.cbrt(lms) @ np.array([0.2104542553, 0.7936177850, -0.0040720468])

    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() / steps.min() < 1.1


# what is said of a hit


def hit(path: str = "/media/a.jpg", rank: int = 1, *, tags: tuple[Tag, ...] = (), **changes) -> Hit:
    """A picture by default; `changes` are those of its segment."""
    given = {"kind": SegmentKind.IMAGE, "place": Place(), "text": None, **changes}
    segment = Segment("5" * 32, "a1b2c3d4" * 4, tags=tags, **given)
    other = Segment("6" * 32, segment.asset_id, SegmentKind.SPEECH,
                    Place(Span(61.0, 64.5)), "the kittens\x1b[2J of the house " * 9)  # fmt: skip
    return Hit(
        rank=rank,
        score=0.8,
        path=path,
        asset=Asset(segment.asset_id, Modality.IMAGE, 10, Metadata()),
        segment=segment,
        spaces={"image": SpaceScore(1, 0.7, 0.5), "words": SpaceScore(12, 0.1, 0.02)},
        moments=(Moment(segment, 0.8, Box(0.0, 0.3, 0.7, 1.0)), Moment(other, 0.1)),
        why="seen: tabby 54%" if tags else f"text: {segment.text}" if segment.text else "",
    )


def plain(line: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", line)


def test_reasons_name_spaces_tags_place_and_other_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = [plain(line).strip() for line in explain_hit(hit(tags=(Tag("tabby", 0.54),)), "kitten")]

    assert told == [
        "seen:   tabby 54%",
        "spaces: image  rank 1, score 0.70, similarity 0.500",
        "words  rank 12, score 0.10, similarity 0.020",
        "where:  bottom left",
        "also:   0.10 speech, 1:01–1:04: the kittens\\x1b[2J of the…",
    ]


@pytest.mark.parametrize("columns", ["20", "60", "80", "300"])
def test_reasons_are_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = "A kitten and 東京の子猫 and " + "x" * 200 + " at the end of a road of kittens. " * 9
    found = hit(kind=SegmentKind.TEXT, text=text)

    lines = list(explain_hit(found, "kitten"))

    widest = min(max(int(columns), 72), 100)
    assert all(len(plain(line)) <= widest for line in lines)
    assert not any("\x1b[2J" in line for line in lines)
    assert any(typer.style("kitten", bold=True) in line for line in lines)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (None, ""),
        (Box(0, 0, 1, 1), ""),
        (Box(0, 0, 0.7, 0.7), "top left"),
        (Box(0.3, 0.3, 1, 1), "bottom right"),
        (Box(0.15, 0.15, 0.85, 0.85), "middle"),
        (Box(0, 0, 1, 0.3), "top"),
        (Box(0.7, 0, 1, 1), "right"),
    ],
)
def test_a_box_is_said_in_words(box: Box | None, expected: str) -> None:
    assert describe_box(box) == expected


@given(st.text(st.sampled_from("ab 東e\u0301"), max_size=80), st.integers(2, 20))
def test_wrapping_loses_nothing_but_spaces(written: str, columns: int) -> None:
    text = " ".join(written.split())

    lines = wrap_ranges(text, columns)

    assert "".join(text[start:end] for start, end in lines).replace(" ", "") == text.replace(
        " ", ""
    )
    for start, end in lines:
        assert sum({"東": 2, "\u0301": 0}.get(char, 1) for char in text[start:end]) <= columns


def test_emphasis_changes_no_character() -> None:
    text = "a kitten, two kittens"

    shown = style_ranges(text, [(2, 8), (14, 21)])

    assert plain(shown) == text
    assert typer.style("kittens", bold=True) in shown


@given(st.text(max_size=200), st.integers(1, 10_000), st.integers(1, 10_000))
def test_names_of_heat_maps_stay_in_their_folder_and_differ(
    path: str, rank: int, other: int
) -> None:
    name = format_file_name(hit(path=path, rank=rank))

    assert re.fullmatch(r"\d{3,5}-([A-Za-z0-9_-]+-)?a1b2c3d4\.png", name)
    assert len(name) < 100
    assert (name == format_file_name(hit(path=path, rank=other))) == (rank == other)


def test_a_folder_is_made_or_refused_by_name(tmp_path: Path) -> None:
    check_folder(None)
    check_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
    assert not list((tmp_path / "a/b").iterdir())

    taken = tmp_path / "file"
    taken.write_text("mine")
    for folder in (taken, taken / "below", Path("/proc/none"), Path("nul\0")):
        with pytest.raises(ConfigError, match="name another folder with --heat-maps"):
            check_folder(folder)
    assert taken.read_text() == "mine"


def test_a_disk_that_is_full_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    library = SimpleNamespace(heat_map=lambda *_: SimpleNamespace(overlay=lambda: b"PNG"))

    with pytest.raises(ConfigError, match="No space left on device"):
        write_heat_maps(tmp_path, library, [hit()], text("a"))  # type: ignore[arg-type]  # the one method
    assert not list(tmp_path.iterdir())


def test_the_moment_with_a_picture_is_the_one_that_is_looked_at() -> None:
    from mmsearch.library.localization import find_picture_moment

    spoken = hit(kind=SegmentKind.SPEECH, text="a")
    frame = Moment(Segment("7" * 32, "a" * 32, SegmentKind.FRAME, Place(Span(1, 2))), 0.1)

    assert find_picture_moment(spoken) is None
    mixed = SimpleNamespace(moments=(*spoken.moments, frame))
    assert find_picture_moment(mixed) is frame  # type: ignore[arg-type]  # all that is asked of a hit
