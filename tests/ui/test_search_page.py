"""An event of the grid is handled once, however often it is sent."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")

from mmsearch_ui import event_acknowledgement, search_page, viewer
from mmsearch_ui.search_runner import SearchOutcome


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of a session."""
    values: dict[str, Any] = {"limit": 200}
    monkeypatch.setattr("streamlit.session_state", values)
    return values


def send(state: dict[str, Any], name: str, value: object, number: int, attempt: int = 1) -> None:
    event = {"name": name, "value": value, "number": number, "attempt": attempt}
    state["grid"] = {"event": event}
    search_page._do_action(SearchOutcome())


def test_a_repeated_event_is_handled_once(state: dict[str, Any]) -> None:
    send(state, "more", 0, 1)
    send(state, "more", 0, 1, attempt=2)
    assert state["limit"] == 400
    assert event_acknowledgement.count_acknowledged("grid") == 1
    send(state, "more", 0, 2)
    assert state["limit"] == 600


def test_more_of_an_answer_that_is_gone_is_not_wanted(state: dict[str, Any]) -> None:
    send(state, "more", 200, 1)
    assert state["limit"] == 200
    assert "wants_more" not in state


def test_a_hit_is_opened(state: dict[str, Any]) -> None:
    send(state, "opened", "one", 1)
    viewer.close_viewer()
    send(state, "opened", "one", 1, attempt=2)
    assert viewer.VIEWED not in state
    send(state, "opened", "one", 2)
    assert state[viewer.VIEWED] == "one"


def test_no_event_is_no_action(state: dict[str, Any]) -> None:
    state["grid"] = {}
    search_page._do_action(SearchOutcome())
    assert not event_acknowledgement.count_acknowledged("grid")


def test_each_component_is_acknowledged_by_itself(state: dict[str, Any]) -> None:
    event = {"name": "opened", "value": "one", "number": 3, "attempt": 1}
    state |= {"grid": {"event": event}, "viewer": {"event": event | {"number": 1}}}
    assert event_acknowledgement.take_event("grid") == event
    assert event_acknowledgement.take_event("grid") is None
    assert event_acknowledgement.take_event("viewer") is not None
    assert (
        event_acknowledgement.count_acknowledged("grid"),
        event_acknowledgement.count_acknowledged("viewer"),
        event_acknowledgement.count_acknowledged("cards"),
    ) == (3, 1, 0)
