"""The dialog that shows one hit in large, and what is done with it there."""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import MmsearchError, QueryError
from mmsearch_ui import (
    desktop,
    event_acknowledgement,
    hit_cards,
    hit_view,
    selection,
    shared_state,
    sidebar,
)
from mmsearch_ui.components import component
from mmsearch_ui.search_form import AssetExample
from mmsearch_ui.search_runner import located

if TYPE_CHECKING:
    from mmsearch.types import Hit
    from mmsearch_ui.search_runner import SearchOutcome

VIEWED, MAP, NOTE = "viewed", "map", "viewer_note"


def view(key: str) -> None:
    """Show the hit of that key from now on."""
    st.session_state[VIEWED] = key
    st.session_state.pop(MAP, None)


def close() -> None:
    """Show none."""
    st.session_state.pop(VIEWED, None)
    st.session_state.pop(MAP, None)


def draw(found: SearchOutcome) -> None:
    """The dialog, where a hit of this answer is to be shown."""
    if _place(found) is None:
        close()
        return
    st.dialog("Match", width="large", on_dismiss=close)(_body)(found)


def _place(found: SearchOutcome, key: str | None = None) -> int | None:
    key = key or st.session_state.get(VIEWED)
    return next((at for at, hit in enumerate(found.hits) if hit_cards.key_of(hit) == key), None)


def _body(found: SearchOutcome) -> None:
    at = _place(found)
    if at is None or st.session_state.pop("leave_viewer", False):
        st.rerun()
    hit = found.hits[at]
    try:
        segments = shared_state.open_library().segments(hit.asset.id)
    except MmsearchError as exc:
        st.error(hit_cards.markdown(str(exc)))
        return
    component("viewer")(
        key="viewer",
        data={
            "view": hit_view.as_json(hit_view.view(hit, segments, found.words)),
            "is_picked": hit_cards.key_of(hit) in selection.current(),
            "can_reveal": desktop.can_reveal(),
            "position": at + 1,
            "total": len(found.hits),
            "map": _map(found, hit),
            "note": st.session_state.pop(NOTE, ""),
            "heard": event_acknowledgement.heard("viewer"),
        },
        on_act_change=functools.partial(_act, found),
    )


def _act(found: SearchOutcome) -> None:
    """Do what a button of the viewer asks for, before anything is drawn.

    It is about the hit that was shown there, which may be closed by now.
    """
    said = event_acknowledgement.news("viewer")
    at = None if said is None else _place(found, said["value"]["key"])
    if said is None or at is None:
        return
    hit, value = found.hits[at], said["value"]["value"]
    match said["what"]:
        case "step" if _place(found) == at:
            view(hit_cards.key_of(found.hits[min(len(found.hits) - 1, max(0, at + value))]))
        case "pick":
            selection.toggle(hit)
        case "like":
            _like(hit, "")
        case "like_without":
            _like(hit, str(value))
        case "locate":
            st.session_state[MAP] = "quick"
        case "locate_well":
            st.session_state[MAP] = "full"
        case "unlocate":
            st.session_state.pop(MAP, None)
        case "reveal":
            try:
                desktop.reveal(hit.path)
            except QueryError as exc:
                st.session_state[NOTE] = hit_cards.shown(str(exc))


def _like(hit: Hit, without: str) -> None:
    """Search for more like a hit, and for nothing like some words."""
    st.session_state["like"] = [AssetExample(hit.asset.id, hit_cards.name_of(hit.path))]
    # One term, whatever signs and quotes are in it.
    st.session_state["q"] = f"- {without}" if without else ""
    sidebar.forget_examples()
    st.session_state["leave_viewer"] = True


def _map(found: SearchOutcome, hit: Hit) -> dict[str, object] | None:
    """Where in the picture it matched, as a layer to be laid over it; None where nobody asked."""
    asked = st.session_state.get(MAP)
    if asked is None:
        return None
    try:
        drawn = located(shared_state.open_library(), found, hit, is_quick=asked == "quick")
    except MmsearchError as exc:
        return {"error": hit_cards.shown(str(exc))}
    layer = base64.b64encode(drawn.layer()).decode("ascii")
    # A map of pixels has its picture; one of stored vectors has none, and can be bettered.
    return {"layer": f"data:image/png;base64,{layer}", "is_quick": drawn.picture is None}
