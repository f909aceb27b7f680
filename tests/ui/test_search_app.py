"""The search page by itself: what it draws for what is filled in, without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmsearch_ui import shared_state
from streamlit.testing.v1 import AppTest

from mmsearch.library.library import Library

SCRIPT = Path(__file__).parents[2] / "ui" / "mmsearch_ui" / "main.py"
RUN_S = 60

Open = Callable[[Path], AppTest]


@pytest.fixture
def opened() -> Iterator[Open]:
    """The page over a library, run once."""

    def start(library: Path) -> AppTest:
        shared_state.use_library(library)
        page = AppTest.from_file(SCRIPT, default_timeout=RUN_S).run()
        assert not page.exception
        return page

    yield start
    shared_state.close_all()


def asked(page: AppTest, line: str) -> AppTest:
    """The page after a line was typed and Enter pressed."""
    page.text_input(key="q").set_value(line).run()
    assert not page.exception
    return page


def grid(page: AppTest) -> dict[str, Any]:
    """What the grid was given."""
    return given(page, "grid")


def given(page: AppTest, name: str) -> dict[str, Any]:
    """What a component was given."""
    for found in page.get("bidi_component"):
        if found.proto.component_name == f"mmsearch_{name}":
            data: dict[str, Any] = json.loads(found.proto.json)
            return data
    raise AssertionError(f"there is no {name}")


def texts(page: AppTest) -> str:
    """All that is written on the page, a line each."""
    kinds = (page.markdown, page.caption, page.subheader, page.warning, page.error, page.code)
    return "\n".join(one.value for kind in kinds for one in kind)


def test_before_anything_is_asked_it_says_what_is_there(opened: Open, small_library: Path) -> None:
    said = texts(opened(small_library))
    assert "5 pictures" in said
    assert "1 video" in said
    assert "goes to the box" in said


def test_a_line_finds_and_a_kind_narrows(opened: Open, small_library: Path) -> None:
    page = asked(opened(small_library), "a cat lying down")
    cards = grid(page)["cards"]
    assert cards[0]["kind"] == "image"
    scores = [card["score"] for card in cards]
    assert scores == sorted(scores, reverse=True)

    page = asked(page, "ask not what your country can do for you")
    assert {"audio", "video"} <= {card["kind"] for card in grid(page)["cards"]}
    page.button_group(key="kinds").set_value(["audio"]).run()
    assert not page.exception
    assert {card["kind"] for card in grid(page)["cards"]} == {"audio"}


def test_a_filter_alone_lists_what_passes(opened: Open, small_library: Path) -> None:
    page = opened(small_library)
    page.button_group(key="kinds").set_value(["text"]).run()
    assert not page.exception
    cards = grid(page)["cards"]
    assert [(card["kind"], card["score"], card["place"]) for card in cards] == [
        ("text", None, "")
    ] * 3
    assert "3 files · newest first" in texts(page)

    asked(page, "-lighthouse")
    assert grid(page)["cards"][0]["score"] is None

    page.text_input(key="folder").set_value("/nowhere").run()
    assert "No match" in texts(page)
    assert "Take filters away" in texts(page)
    assert "Show the nearest" not in [one.label for one in page.button]


def test_a_way_to_ask_that_is_offered_asks(opened: Open, small_library: Path) -> None:
    page = opened(small_library)
    page.button(key='try_"four score"').click().run()
    assert not page.exception
    assert page.text_input(key="q").value == '"four score"'
    assert grid(page)["cards"][0]["name"] == "gettysburg_address.txt"


def test_no_match_says_what_to_try_and_the_nearest_can_be_shown(
    opened: Open, small_library: Path
) -> None:
    page = asked(opened(small_library), "quarterly tax audit of a nuclear submarine")
    assert "No match" in texts(page)
    assert "Use other words" in texts(page)
    next(one for one in page.button if one.label == "Show the nearest").click().run()
    assert not page.exception
    assert grid(page)["cards"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dog -", "there is nothing behind the last"),
        ("/etc/passwd", "no files are read here"),
        ("-people", "the query is empty"),
        ("asset:" + "0" * 32, "the library has no asset"),
    ],
)
def test_what_cannot_be_asked_is_told_in_words(
    opened: Open, small_library: Path, line: str, said: str
) -> None:
    page = asked(opened(small_library), line)
    assert said in page.warning[0].value.replace("\\", "")


def test_a_condition_that_cannot_be_read_shows_the_place(opened: Open, small_library: Path) -> None:
    page = opened(small_library)
    page.text_area(key="where").set_value("kind = image and size > huge").run()
    page = asked(page, "cat")
    assert "where: " in page.warning[0].value.replace("\\", "")


def test_an_error_is_no_markdown(opened: Open, small_library: Path) -> None:
    page = opened(small_library)
    page.text_input(key="folder").set_value("![x](http://example.org/x.png) <b>").run()
    page = asked(page, "cat")
    shown = page.warning[0].value
    assert "![x](" not in shown
    assert "\\!\\[x\\]\\(" in shown


def test_without_a_library_there_is_a_first_step(opened: Open, tmp_path: Path) -> None:
    page = opened(tmp_path / "none")
    assert "Nothing is in this library yet" in texts(page)
    assert "mmsearch index" in texts(page)
    assert not (tmp_path / "none").exists()


def test_an_empty_library_has_the_same_first_step(opened: Open, tmp_path: Path) -> None:
    Library.open(tmp_path / "empty").close()
    assert "Nothing is in this library yet" in texts(opened(tmp_path / "empty"))


def test_a_library_that_cannot_be_read_is_told_in_words(opened: Open, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "library.toml").write_text("not = [toml", encoding="utf-8")
    page = opened(broken)
    assert page.error


def test_clearing_takes_every_filter_away(opened: Open, small_library: Path) -> None:
    page = asked(opened(small_library), "a cat lying down")
    everything = len(grid(page)["cards"])
    page.text_input(key="folder").set_value("/nowhere").run()
    assert "No match" in texts(page)
    page.button(key="clear_here").click().run()
    assert not page.exception
    assert page.text_input(key="folder").value == ""
    assert len(grid(page)["cards"]) == everything


def test_what_an_uploaded_file_is_called_is_told_and_nothing_of_where_it_was(
    opened: Open, small_library: Path, sample_data: Path
) -> None:
    page = opened(small_library)
    torn = (sample_data / "photos/beach.jpg").read_bytes()[:600]
    page.file_uploader(key="examples_0").set_value([("<b>x</b>.jpg", torn, "image/jpeg")])
    page.run()
    assert not page.exception
    said = page.warning[0].value.replace("\\", "")
    assert "<b>x</b>.jpg" in said
    assert "mmsearch-example" not in said


def test_an_opened_match_has_all_that_is_said_in_it(opened: Open, small_library: Path) -> None:
    page = asked(opened(small_library), "ask not what your country can do for you")
    cards = grid(page)["cards"]
    film = next(at for at, card in enumerate(cards) if card["kind"] == "video")
    page.session_state["viewed"] = cards[film]["key"]
    page.run()
    assert not page.exception
    shown = given(page, "viewer")
    assert shown["position"] == film + 1
    assert shown["total"] == len(cards)
    view = shown["view"]
    assert view["stage"] == "video"
    assert view["start_s"] > 1
    assert any(
        "country" in run for line in view["lines"] for run, is_marked in line["runs"] if is_marked
    )
    assert view["path"].endswith("MVI_0007.mp4")


def test_the_map_is_quick_first_and_what_has_none_is_told(
    opened: Open, small_library: Path
) -> None:
    page = asked(opened(small_library), "a cat lying down")
    page.session_state["viewed"] = grid(page)["cards"][0]["key"]
    page.session_state["map"] = "quick"
    page.run()
    assert not page.exception
    quick = given(page, "viewer")["map"]
    assert quick["is_quick"]
    assert quick["layer"].startswith("data:image/png;base64,")

    page = asked(page, "gettysburg")
    page.session_state["viewed"] = grid(page)["cards"][0]["key"]
    page.session_state["map"] = "quick"
    page.run()
    assert "has no picture" in given(page, "viewer")["map"]["error"]


def test_a_match_that_a_new_answer_has_not_is_closed(opened: Open, small_library: Path) -> None:
    page = asked(opened(small_library), "a cat lying down")
    page.session_state["viewed"] = grid(page)["cards"][0]["key"]
    page = asked(page, "gettysburg address")
    assert "viewed" not in page.session_state


def test_a_map_for_a_file_that_was_dropped_finds_it_again(
    opened: Open, small_library: Path, sample_data: Path
) -> None:
    page = opened(small_library)
    data = (sample_data / "photos/IMG_0190.jpg").read_bytes()
    page.file_uploader(key="examples_0").set_value([("cat.jpg", data, "image/jpeg")]).run()
    page.session_state["viewed"] = grid(page)["cards"][0]["key"]
    page.session_state["map"] = "quick"
    page.run()
    assert not page.exception
    assert "layer" in given(page, "viewer")["map"]
