"""The dialog that shows one hit in large, with its actions."""

from __future__ import annotations

import base64
import dataclasses
import functools
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import MmsearchError, QueryError
from mmsearch_ui import desktop, hit_view, selection, shared_state, sidebar, tabs
from mmsearch_ui.components import mount_component
from mmsearch_ui.event_acknowledgement import count_acknowledged, take_event
from mmsearch_ui.hit_cards import format_name, hit_key, make_displayable
from mmsearch_ui.search_form import AssetExample
from mmsearch_ui.search_runner import locate_match

if TYPE_CHECKING:
    from mmsearch.types import Hit
    from mmsearch_ui.search_runner import SearchOutcome

VIEWED, MAP, NOTE = "viewed", "map", "viewer_note"


def open_viewer(key: str) -> None:
    """Opens the viewer for the hit of a key."""
    st.session_state[VIEWED] = key
    st.session_state.pop(MAP, None)


def close_viewer() -> None:
    """Closes the viewer."""
    st.session_state.pop(VIEWED, None)
    st.session_state.pop(MAP, None)


def draw_viewer(outcome: SearchOutcome) -> None:
    """Draws the dialog if a hit of this outcome is open."""
    if _find_position(outcome) is None:
        close_viewer()
        return
    st.dialog("Match", width="large", on_dismiss=close_viewer)(_draw_body)(outcome)


def _find_position(outcome: SearchOutcome, key: str | None = None) -> int | None:
    key = key or st.session_state.get(VIEWED)
    return next((at for at, hit in enumerate(outcome.hits) if hit_key(hit) == key), None)


def _draw_body(outcome: SearchOutcome) -> None:
    at = _find_position(outcome)
    if at is None or st.session_state.pop("leave_viewer", False):
        st.rerun()
    hit = outcome.hits[at]
    try:
        segments = shared_state.open_library().segments(hit.asset.id)
    except MmsearchError as exc:
        tabs.draw_error(exc)
        return
    mount_component("viewer")(
        key="viewer",
        data={
            "view": dataclasses.asdict(hit_view.build_view(hit, segments, outcome.words)),
            "is_picked": hit_key(hit) in selection.get_selection(),
            "can_reveal": desktop.can_reveal(),
            "position": at + 1,
            "total": len(outcome.hits),
            "map": _draw_heat_map(outcome, hit),
            "note": st.session_state.pop(NOTE, ""),
            "acknowledged": count_acknowledged("viewer"),
        },
        on_event_change=functools.partial(_do_action, outcome),
    )


def _do_action(outcome: SearchOutcome) -> None:
    """Performs the action of a button of the viewer, before the page is drawn.

    The event names the hit that it is about, which may be closed by now.
    """
    event = take_event("viewer")
    at = None if event is None else _find_position(outcome, event["value"]["key"])
    if event is None or at is None:
        return
    hit, value = outcome.hits[at], event["value"]["value"]
    match event["name"]:
        case "step" if _find_position(outcome) == at:
            open_viewer(hit_key(outcome.hits[min(len(outcome.hits) - 1, max(0, at + value))]))
        case "pick":
            selection.toggle_hit(hit)
        case "like":
            _search_like(hit, "")
        case "like_without":
            _search_like(hit, str(value))
        case "locate":
            st.session_state[MAP] = "quick"
        case "locate_well":
            st.session_state[MAP] = "full"
        case "unlocate":
            st.session_state.pop(MAP, None)
        case "reveal":
            try:
                desktop.reveal_file(hit.path)
            except QueryError as exc:
                st.session_state[NOTE] = make_displayable(str(exc))


def _search_like(hit: Hit, without: str) -> None:
    """Searches for more like a hit, without some words."""
    st.session_state["like"] = [AssetExample(hit.asset.id, format_name(hit.path))]
    # A dash before a space takes the rest as one term, with all signs and quotes.
    st.session_state["q"] = f"- {without}" if without else ""
    sidebar.forget_uploads()
    st.session_state["leave_viewer"] = True


def _draw_heat_map(outcome: SearchOutcome, hit: Hit) -> dict[str, object] | None:
    """Returns the heat map as a layer over the image; None where it is off."""
    precision = st.session_state.get(MAP)
    if precision is None:
        return None
    try:
        heat_map = locate_match(
            shared_state.open_library(), outcome, hit, is_quick=precision == "quick"
        )
    except MmsearchError as exc:
        return {"error": make_displayable(str(exc))}
    layer = base64.b64encode(heat_map.layer()).decode("ascii")
    # A map of pixels has its picture; one of stored vectors has none, and can be refined.
    return {"layer": f"data:image/png;base64,{layer}", "is_quick": heat_map.picture is None}
