"""Acknowledges events of components: each is re-sent until it is acknowledged, and handled once.

Streamlit may drop an event that arrives while a page is drawn. So a component numbers its events,
keeps the last as its state, and sends it again until its number comes back as `acknowledged`;
`EventSender` in `components/common.js` is the other end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

EVENT = "event"


def count_acknowledged(key: str) -> int:
    """Returns the number of acknowledged events of a component, which it gets as data."""
    counts: dict[str, int] = st.session_state.setdefault("acknowledged", {})
    return counts.get(key, 0)


def take_event(key: str) -> Mapping[str, Any] | None:
    """Returns the next event of a component, with `name` and `value`; None if acknowledged."""
    event: Mapping[str, Any] | None = st.session_state.get(key, {}).get(EVENT)
    if event is None or event["number"] <= count_acknowledged(key):
        return None
    st.session_state["acknowledged"][key] = event["number"]
    return event
