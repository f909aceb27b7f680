"""The pages by their names; each is a module with a function `render`."""

from __future__ import annotations

import importlib

import streamlit as st
from streamlit.navigation.page import StreamlitPage

_PAGES = (
    ("search", "Search", ":material/search:"),
    ("library", "Library", ":material/folder_open:"),
    ("explore", "Explore", ":material/insights:"),
)


def list_pages() -> list[StreamlitPage]:
    """Lists the search page first, then the others.

    Modules are looked up by name: pages link to each other.
    """
    return [
        st.Page(
            importlib.import_module(f"mmsearch_ui.{name}_page").render,
            title=title,
            icon=icon,
            url_path=name,
            default=name == "search",
        )
        for name, title, icon in _PAGES
    ]


def library_page() -> StreamlitPage:
    """Returns the page where folders are added, to be linked to."""
    return next(page for page in list_pages() if page.url_path == "library")
