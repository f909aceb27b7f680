"""Draws one of several views of a page; the others cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import LibraryNotFound, MmsearchError
from mmsearch_ui import shared_state
from mmsearch_ui.hit_cards import escape_markdown

if TYPE_CHECKING:
    from mmsearch.library.library import Library


def open_library_or(draw_missing: Callable[[], None]) -> Library | None:
    """Opens the library; else draws the reason and returns None.

    `draw_missing` draws the case that there is no library yet.
    """
    try:
        return shared_state.open_library()
    except LibraryNotFound:
        draw_missing()
    except MmsearchError as exc:
        draw_error(exc)
    return None


def draw_error(error: MmsearchError) -> None:
    """Draws an error."""
    st.error(escape_markdown(str(error)), icon=":material/error:")


def draw_tabs(key: str, views: Mapping[str, Callable[[Library], None]], library: Library) -> None:
    """Draws the names of the views, and the chosen view.

    The choice outlasts visits to other pages, and is the parameter `view` of the address.
    """
    first = next(iter(views))
    if key not in st.session_state:
        requested = st.query_params.get("view")
        st.session_state[key] = requested if requested in views else first
    view = st.segmented_control(
        "View",
        list(views),
        required=True,
        key=key,
        label_visibility="collapsed",
        persist_state="session",
    )
    view = view or first
    if st.query_params.get("view", first) != view:
        st.query_params["view"] = view
    try:
        views[view](library)
    except MmsearchError as exc:
        draw_error(exc)
