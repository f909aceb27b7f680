"""What is clicked in the grid is done once, however often it is said."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")

from mmsearch_ui import event_acknowledgement, search_page, viewer
from mmsearch_ui.search_runner import SearchOutcome


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a session knows."""
    known: dict[str, Any] = {"limit": 200}
    monkeypatch.setattr(search_page.st, "session_state", known)
    return known


def say(state: dict[str, Any], what: str, value: object, times: int, tries: int = 1) -> None:
    state["grid"] = {"act": {"what": what, "value": value, "times": times, "tries": tries}}
    search_page._act(SearchOutcome())


def test_what_is_said_again_is_done_once(state: dict[str, Any]) -> None:
    say(state, "more", 0, 1)
    say(state, "more", 0, 1, tries=2)
    assert state["limit"] == 400
    assert event_acknowledgement.heard("grid") == 1
    say(state, "more", 0, 2)
    assert state["limit"] == 600


def test_more_of_an_answer_that_is_gone_is_not_wanted(state: dict[str, Any]) -> None:
    say(state, "more", 200, 1)
    assert state["limit"] == 200
    assert "wants_more" not in state


def test_a_hit_is_opened(state: dict[str, Any]) -> None:
    say(state, "opened", "one", 1)
    viewer.close()
    say(state, "opened", "one", 1, tries=2)
    assert viewer.VIEWED not in state
    say(state, "opened", "one", 2)
    assert state[viewer.VIEWED] == "one"


def test_nothing_said_is_nothing_done(state: dict[str, Any]) -> None:
    state["grid"] = {}
    search_page._act(SearchOutcome())
    assert not event_acknowledgement.heard("grid")


def test_each_component_is_heard_for_itself(state: dict[str, Any]) -> None:
    said = {"what": "opened", "value": "one", "times": 3, "tries": 1}
    state |= {"grid": {"act": said}, "viewer": {"act": said | {"times": 1}}}
    assert event_acknowledgement.news("grid") == said
    assert event_acknowledgement.news("grid") is None
    assert event_acknowledgement.news("viewer") is not None
    assert (
        event_acknowledgement.heard("grid"),
        event_acknowledgement.heard("viewer"),
        event_acknowledgement.heard("cards"),
    ) == (3, 1, 0)
