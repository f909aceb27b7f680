"""The pages there are, by their names; each is a module with a function `render`."""

from __future__ import annotations

import importlib
import importlib.util

import streamlit as st
from streamlit.navigation.page import StreamlitPage

_PAGES = (
    ("search", "Search", ":material/search:"),
    ("library", "Library", ":material/folder_open:"),
    ("explore", "Explore", ":material/insights:"),
)


def found() -> list[StreamlitPage]:
    """The search first, then those of the other pages that are there.

    Modules are looked up by name: pages link to each other.
    """
    return [
        st.Page(
            importlib.import_module(f"ui.{name}_page").render,
            title=title,
            icon=icon,
            url_path=name,
            default=name == "search",
        )
        for name, title, icon in _PAGES
        if importlib.util.find_spec(f"ui.{name}_page") is not None
    ]


def library() -> StreamlitPage | None:
    """The page where folders are added, to be linked to."""
    return next((page for page in found() if page.url_path == "library"), None)
