"""Hands navigation state from another page to the search page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from mmsearch_ui import pages, sidebar

if TYPE_CHECKING:
    from mmsearch_ui.search_form import AssetExample


def open_search(
    line: str = "",
    *,
    like: Sequence[AssetExample] = (),
    filters: Mapping[str, object] | None = None,
) -> NoReturn:
    """Opens the search page with a line in the box, examples, and filters of the side bar.

    Clears the form first. The keys of `filters` are those of the elements of the side bar.
    """
    sidebar.clear_filters()
    sidebar.forget_uploads()
    st.session_state["q"] = line
    st.session_state["like"] = list(like)
    st.session_state.update(filters or {})
    st.switch_page(pages.list_pages()[0], query_params={"q": line} if line else None)
