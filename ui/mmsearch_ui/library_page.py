"""The page of the library itself: add folders, watch them being indexed, see what it is made of."""

from __future__ import annotations

import streamlit as st

from mmsearch_ui import add_folders, failures, hit_cards, library_sections, shared_state, tabs

REFRESH_S = 0.7


def render() -> None:
    """Draw it."""
    add_folders.draw()
    is_busy = any(not job.is_over for job in shared_state.jobs().all())
    # Asked again and again only while something runs.
    st.fragment(add_folders.jobs, run_every=REFRESH_S if is_busy else None)()
    library = tabs.opened(_not_yet)
    if library is None:
        return
    tabs.draw(
        "library_view",
        {
            "Folders": library_sections.folders,
            "Failed files": failures.draw,
            "Search index": library_sections.index,
            "Models": library_sections.models,
            "Disk": library_sections.disk,
            "Check-up": library_sections.checkup,
        },
        library,
    )


def _not_yet() -> None:
    st.caption(
        "Nothing is indexed yet. The library will lie in "
        f"{hit_cards.markdown(str(shared_state.library_path()))}; your files stay where they are."
    )
