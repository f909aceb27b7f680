"""What a component of ours says until it is heard, and that it is done only once.

An event that comes in the moment in which a page is drawn may be dropped. So a component counts
what it says, keeps it as its state, and says it again until the count comes back to it as `heard`;
`Voice` in `components/common.js` is the other end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

ACT = "act"


def heard(key: str) -> int:
    """How much the component of that key has said and was heard; goes to it as data."""
    counts: dict[str, int] = st.session_state.setdefault("heard", {})
    return counts.get(key, 0)


def news(key: str) -> Mapping[str, Any] | None:
    """What the component of that key says, with `what` and `value`; None if that was heard."""
    said: Mapping[str, Any] | None = st.session_state.get(key, {}).get(ACT)
    if said is None or said["times"] <= heard(key):
        return None
    st.session_state["heard"][key] = said["times"]
    return said
