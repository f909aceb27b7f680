"""What pages show that Streamlit has no element for: a script and a style sheet each.

Data reaches a script as JSON, and scripts set it as text and attributes, never as HTML.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


@cache
def text(name: str) -> str:
    """A file of this package."""
    return (files(__name__) / name).read_text(encoding="utf-8")


@cache
def component(name: str) -> ComponentRenderer:
    """The component of `name`.js and `name`.css in this package; call what is returned to mount it.

    Parts that several share are put in front: `common.js` and `common.css`.
    """
    import streamlit as st

    parts = {
        kind: "\n".join(text(f"{part}.{kind}") for part in ("common", name))
        for kind in ("js", "css")
    }
    return st.components.v2.component(f"mmsearch_{name}", css=parts["css"], js=parts["js"])
