"""What the survey of a library looks like, and what is taken from its maps."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmsearch_ui import analytics_view

from mmsearch.analytics import (
    AssetCounts,
    LengthCount,
    MapPlaces,
    MonthCount,
    NamedCount,
    Pin,
    TopValues,
)
from mmsearch.query.filters.parser import parse
from mmsearch.types import Modality

IMAGE, AUDIO = Modality.IMAGE, Modality.AUDIO
LAND, WATER = (analytics_view.read_world()[part] for part in ("land", "water"))


def counts(**said: Any) -> AssetCounts:
    plain: dict[str, Any] = {
        "assets": 0, "files": 0, "kinds": (), "size_bytes": {}, "duration_s": {}, "months": (),
        "undated": 0, "lengths": (), "cameras": TopValues(), "languages": TopValues(),
        "formats": TopValues(),
    }  # fmt: skip
    return AssetCounts(**{**plain, **said})


def test_a_kind_is_told_with_its_length_and_size() -> None:
    found = counts(
        kinds=(NamedCount("image", 1200), NamedCount("audio", 1)),
        size_bytes={IMAGE: 2_500_000, AUDIO: 900},
        duration_s={AUDIO: 3723.0},
    )

    assert analytics_view.build_figures(found) == [
        analytics_view.Figure("Pictures", "1,200", "2.5 MB"),
        analytics_view.Figure("Sounds", "1", "1:02:03 · 900 B"),
    ]


def test_a_short_time_is_shown_by_month_with_those_that_have_nothing() -> None:
    months = (
        MonthCount("2023-11", IMAGE, 2),
        MonthCount("2024-02", AUDIO, 1),
        MonthCount("2024-02", IMAGE, 4),
    )

    rows, is_yearly = analytics_view.build_timeline(months)

    assert not is_yearly
    assert [row["period"] for row in rows[::2]] == ["2023-11", "2023-12", "2024-01", "2024-02"]
    assert {(row["period"], row["kind"]): row["assets"] for row in rows if row["assets"]} == {
        ("2023-11", "Pictures"): 2,
        ("2024-02", "Pictures"): 4,
        ("2024-02", "Sounds"): 1,
    }


months = st.lists(
    st.tuples(st.integers(1826 * 12, 2100 * 12 - 1), st.sampled_from([IMAGE, AUDIO])),
    unique=True,
    max_size=20,
).map(
    lambda found: tuple(
        MonthCount(f"{at // 12:04}-{at % 12 + 1:02}", kind, at % 7 + 1)
        for at, kind in sorted(found)
    )
)


@given(months)
def test_a_timeline_loses_nothing_and_every_bar_can_be_searched_in(
    found: tuple[MonthCount, ...],
) -> None:
    rows, is_yearly = analytics_view.build_timeline(found)

    assert sum(int(str(row["assets"])) for row in rows) == sum(one.assets for one in found)
    assert len({row["period"] for row in rows}) <= (
        300 if is_yearly else analytics_view.MONTHS_SHOWN
    )
    for row in rows:
        days = analytics_view.parse_period_days(str(row["period"]))
        assert days is not None
        assert days[0] < days[1]


def test_periods_are_days() -> None:
    assert analytics_view.parse_period_days("2024-02") == (date(2024, 2, 1), date(2024, 2, 29))
    assert analytics_view.parse_period_days("1999") == (date(1999, 1, 1), date(1999, 12, 31))
    for wrong in ("", "0000", "2024-13", "2024-2", "last year"):
        assert analytics_view.parse_period_days(wrong) is None


def test_lengths_end_with_the_longest_that_there_is() -> None:
    lengths = (
        LengthCount(AUDIO, 0.0, 10.0, 3),
        LengthCount(AUDIO, 10.0, 30.0, 1),
        LengthCount(AUDIO, 30.0, 60.0, 0),
        LengthCount(AUDIO, 3600.0, None, 0),
    )

    assert [row["length"] for row in analytics_view.build_length_rows(counts(lengths=lengths))] == [
        "under 10 s",
        "10 s to 30 s",
    ]


def test_what_a_chart_leaves_out_is_said() -> None:
    ranked = TopValues((NamedCount("a", 3),), distinct=12, unknown=1400)

    assert (
        analytics_view.describe_rest(ranked, 10, "cameras") == "2 more cameras; 1,400 without one"
    )
    assert analytics_view.describe_rest(TopValues((NamedCount("a", 3),), 1, 0), 10, "cameras") == ""


PINS = MapPlaces(
    (
        Pin("a" * 32, 47.4, 8.5, IMAGE, "here.jpg"),
        Pin("b" * 32, -33.9, 151.2, AUDIO, "</script>*bold*\n.wav"),
    ),
    2,
)


def test_a_map_gets_columns_and_the_outline_of_the_world() -> None:
    data = analytics_view.build_places_data(PINS, ["a" * 32], height=500)

    assert data["points"]["ids"] == ["a" * 32, "b" * 32]
    assert (data["points"]["x"], data["points"]["y"]) == ([8.5, 151.2], [47.4, -33.9])
    assert [data["kinds"][at] for at in data["points"]["kinds"]] == ["image", "audio"]
    assert "\n" not in data["points"]["titles"][1]
    assert data["world"]["land"] == LAND


def test_only_what_the_map_shows_can_be_selected() -> None:
    known = {"a": None, "b": None}
    said = {"token": "t", "ids": ["b", "z"], "box": [45.8, 5.9, 47.8, 10.5]}

    found = analytics_view.read_selection(said, known, "t")

    assert found == analytics_view.MapSelection(("b",), (45.8, 5.9, 47.8, 10.5))
    assert analytics_view.read_selection(said, known, "other") == analytics_view.MapSelection()
    assert analytics_view.read_selection(None, known, "t") == analytics_view.MapSelection()


@given(
    st.floats(-90, 90, allow_nan=False),
    st.floats(-180, 180, allow_nan=False),
    st.floats(0, 40),
)
def test_a_box_is_a_condition_that_can_be_read(south: float, west: float, size: float) -> None:
    box = (round(south, 4), round(west, 4), min(90, round(south + size, 4)), round(west, 4))

    parse(analytics_view.build_box_condition(box))


@given(st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable()))
def test_a_value_is_quoted_whatever_is_in_it(value: str) -> None:
    assert getattr(parse(analytics_view.build_equality("format", value)), "value", None) == value


@pytest.mark.parametrize("ring", [*LAND, *WATER])
def test_the_outline_lies_on_the_globe(ring: list[list[float]]) -> None:
    assert len(ring) >= 3
    assert all(-180 <= longitude <= 180 and -90 <= latitude <= 90 for longitude, latitude in ring)


def _is_inside(longitude: float, latitude: float, ring: list[list[float]]) -> bool:
    inside = False
    for (ax, ay), (bx, by) in zip(ring, [ring[-1], *ring[:-1]], strict=True):
        if (ay > latitude) != (by > latitude):
            inside ^= longitude < (bx - ax) * (latitude - ay) / (by - ay) + ax
    return inside


@pytest.mark.parametrize(
    ("longitude", "latitude", "is_land"),
    [
        (8.5, 47.4, True),  # Zürich
        (37.6, 55.8, True),  # Moscow
        (77.2, 28.6, True),  # Delhi
        (116.4, 39.9, True),  # Beijing
        (-0.1, 51.5, True),  # London
        (-98, 39, True),  # Kansas
        (-60, -3.1, True),  # Manaus
        (31.2, 30.0, True),  # Cairo
        (134, -25, True),  # the middle of Australia
        (47.5, -19, True),  # Antananarivo
        (-40, 72, True),  # the ice of Greenland
        (-30, 30, False),  # the Atlantic
        (-150, 0, False),  # the Pacific
        (75, -20, False),  # the Indian Ocean
        (5, 39.5, False),  # the Mediterranean
        (35, 43.3, False),  # the Black Sea
    ],
)
def test_the_outline_knows_land_from_sea(longitude: float, latitude: float, is_land: bool) -> None:
    assert any(_is_inside(longitude, latitude, ring) for ring in LAND) is is_land
