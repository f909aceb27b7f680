"""From another page to the search: what is asked there is filled in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from mmsearch_ui import pages, sidebar

if TYPE_CHECKING:
    from mmsearch_ui.search_form import AssetExample


def search(
    line: str = "",
    *,
    like: Sequence[AssetExample] = (),
    filters: Mapping[str, object] | None = None,
) -> NoReturn:
    """Go to the search page with a line in the box, examples, and the filters of the side bar.

    What was filled in there before is taken away. `filters` are by the keys of `sidebar.FIELDS`.
    """
    sidebar.clear()
    sidebar.forget_examples()
    st.session_state["q"] = line
    st.session_state["like"] = list(like)
    st.session_state.update(filters or {})
    st.switch_page(pages.found()[0], query_params={"q": line} if line else None)
