"""The page of the library itself: add folders, watch them being indexed, see what it is made of."""

from __future__ import annotations

import streamlit as st

from ui import adding, failures, library_parts, presenter, shared, views

REFRESH_S = 0.7


def render() -> None:
    """Draw it."""
    adding.draw()
    is_busy = any(not job.is_over for job in shared.jobs().all())
    # Asked again and again only while something runs.
    st.fragment(adding.jobs, run_every=REFRESH_S if is_busy else None)()
    library = views.opened(_not_yet)
    if library is None:
        return
    views.draw(
        "library_view",
        {
            "Folders": library_parts.folders,
            "Failed files": failures.draw,
            "Search index": library_parts.index,
            "Models": library_parts.models,
            "Disk": library_parts.disk,
            "Check-up": library_parts.checkup,
        },
        library,
    )


def _not_yet() -> None:
    st.caption(
        "Nothing is indexed yet. The library will lie in "
        f"{presenter.markdown(str(shared.library_path()))}; your files stay where they are."
    )
