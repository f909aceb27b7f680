"""A page of several views, of which one is drawn: the others cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import LibraryNotFound, MmsearchError
from mmsearch_ui import hit_cards, shared_state

if TYPE_CHECKING:
    from mmsearch.library.library import Library


def opened(without: Callable[[], None]) -> Library | None:
    """The library; None where there is none yet, after `without`, or it cannot be opened."""
    try:
        return shared_state.open_library()
    except LibraryNotFound:
        without()
    except MmsearchError as exc:
        complain(exc)
    return None


def complain(error: MmsearchError) -> None:
    """Say what is wrong."""
    st.error(hit_cards.markdown(str(error)), icon=":material/error:")


def draw(key: str, views: Mapping[str, Callable[[Library], None]], library: Library) -> None:
    """The names of the views to choose from, and the one that is chosen.

    It stays chosen while other pages are looked at, and stands in the address as `view`.
    """
    first = next(iter(views))
    if key not in st.session_state:
        asked = st.query_params.get("view")
        st.session_state[key] = asked if asked in views else first
    chosen = st.segmented_control(
        "View",
        list(views),
        required=True,
        key=key,
        label_visibility="collapsed",
        persist_state="session",
    )
    view = chosen or first
    if st.query_params.get("view", first) != view:
        st.query_params["view"] = view
    try:
        views[view](library)
    except MmsearchError as exc:
        complain(exc)
