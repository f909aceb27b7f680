"""Components that Streamlit has no element for: a script and a style sheet each.

Data reaches a script as JSON, and scripts set it as text and attributes, never as HTML.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


@cache
def read_text(name: str) -> str:
    """Reads a file of this package."""
    return (files(__name__) / name).read_text(encoding="utf-8")


@cache
def mount_component(name: str) -> ComponentRenderer:
    """Returns the component of `name`.js and `name`.css in this package; call it to mount it.

    Files that several components share come first.
    """
    import streamlit as st

    shared = ("common", "cards") if name in ("grid", "map_cards") else ("common",)
    css = "\n".join(read_text(f"{part}.css") for part in (*shared, name))
    js = "\n".join(read_text(f"{part}.js") for part in ("common", name))
    return st.components.v2.component(f"mmsearch_{name}", css=css, js=js)
