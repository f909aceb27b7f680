"""The page that explores by itself: what it draws for a library, without a browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsearch.library.library import Library

pytest.importorskip("streamlit", reason="streamlit is not installed: the extra `ui`")

from mmsearch_ui import shared_state
from streamlit.testing.v1 import AppTest

RUN_S = 60
Open = Callable[..., AppTest]


def script() -> None:
    from mmsearch_ui import explore_page

    explore_page.render()


@pytest.fixture
def opened() -> Iterator[Open]:
    """The page over a library, run once, with a view chosen."""

    def start(library: Path, view: str = "Overview") -> AppTest:
        shared_state.use_library(library)
        page = AppTest.from_function(script, default_timeout=RUN_S)
        page.query_params["view"] = view
        page.run()
        assert not page.exception
        return page

    yield start
    shared_state.close_all()


def mounted(page: AppTest, name: str) -> list[dict[str, Any]]:
    """What each component of that name was given."""
    return [
        json.loads(found.proto.json)
        for found in page.get("bidi_component")
        if found.proto.component_name == f"mmsearch_{name}"
    ]


def texts(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.subheader, page.info, page.error)
    return "\n".join(one.value for kind in kinds for one in kind)


def test_without_a_library_it_leads_to_the_first_step(opened: Open, tmp_path: Path) -> None:
    assert "Nothing is in this library yet" in texts(opened(tmp_path / "none"))


def test_the_overview_counts_each_kind(opened: Open, small_library: Path) -> None:
    page = opened(small_library)

    assert {one.label: one.value for one in page.metric} == {
        "Pictures": "5",
        "Sounds": "3",
        "Videos": "1",
        "Texts": "3",
    }
    assert len(page.get("vega_lite_chart")) >= 3
    assert "Over time" in texts(page)


def test_the_map_has_a_point_for_each_picture_and_film(opened: Open, small_library: Path) -> None:
    page = opened(small_library, "Map")

    (data,) = mounted(page, "map_plot")
    assert len(data["points"]["ids"]) == 6
    assert {data["kinds"][at] for at in data["points"]["kinds"]} == {"image", "video"}
    assert data["prefix"] == shared_state.PREFIX

    page.selectbox(key="map_space").set_value("text").run()

    (text,) = mounted(page, "map_plot")
    assert text["token"] != data["token"]
    assert "text" in {text["kinds"][at] for at in text["points"]["kinds"]}


def test_a_library_of_nothing_but_an_empty_text_has_no_map(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    with Library.open(tmp_path / "library") as library:
        assert library.index(tmp_path / "empty.txt").indexed == 1

    page = opened(tmp_path / "library", "Map")

    assert "nothing to draw" in texts(page)
    assert {one.label: one.value for one in opened(tmp_path / "library").metric} == {"Texts": "1"}


def test_without_places_it_says_so(opened: Open, small_library: Path) -> None:
    page = opened(small_library, "Places")

    assert "says where it was taken" in texts(page)
    assert not mounted(page, "map_plot")


def test_copies_and_near_duplicates_are_shown(
    opened: Open, sample_data: Path, tmp_path: Path
) -> None:
    from PIL import Image

    source = sample_data / "photos/breakfast.jpg"
    shutil.copy(source, tmp_path / "one.jpg")
    shutil.copy(source, tmp_path / "same *again*.jpg")
    with Image.open(source) as picture:
        picture.resize((picture.width // 2, picture.height // 2)).save(tmp_path / "small.jpg")
    with Library.open(tmp_path / "library") as library:
        library.index(tmp_path / "one.jpg", tmp_path / "same *again*.jpg", tmp_path / "small.jpg")

    page = opened(tmp_path / "library", "Duplicates")

    (group,) = mounted(page, "map_cards")
    assert [card["badge"] for card in group["cards"]] == ["largest", ""]
    assert group["cards"][1]["name"] == "small.jpg"
    assert "Near-duplicates: 1 group" in texts(page)
    assert "Copies: 1" in texts(page)
    assert page.dataframe[0].value["also at"][0] == [str(tmp_path / "same *again*.jpg")]


def test_an_unknown_view_is_the_first_one(opened: Open, small_library: Path) -> None:
    assert len(opened(small_library, "<b>nothing</b>").metric) == 4
