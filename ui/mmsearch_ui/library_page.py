"""The library page: add folders, watch jobs, see the state of the library."""

from __future__ import annotations

import streamlit as st

from mmsearch_ui import add_folders, failures, library_sections, shared_state, tabs
from mmsearch_ui.hit_cards import escape_markdown

REFRESH_S = 0.7


def render() -> None:
    """Draws the page."""
    add_folders.draw_path_box()
    is_busy = any(not job.is_over for job in shared_state.get_jobs().all())
    st.fragment(add_folders.draw_jobs, run_every=REFRESH_S if is_busy else None)()
    library = tabs.open_library_or(_draw_no_library)
    if library is None:
        return
    tabs.draw_tabs(
        "library_view",
        {
            "Folders": library_sections.draw_folders,
            "Failed files": failures.draw_failures,
            "Read in part": failures.draw_partial_files,
            "Search index": library_sections.draw_indexes,
            "Models": library_sections.draw_models,
            "Disk": library_sections.draw_disk_usage,
            "Check-up": library_sections.draw_doctor,
        },
        library,
    )


def _draw_no_library() -> None:
    path = escape_markdown(str(shared_state.library_path()))
    st.caption(
        f"Nothing is indexed yet. The library will lie in {path}; your files stay where they are."
    )
