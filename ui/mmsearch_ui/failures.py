"""The files that could not be indexed, with the reasons, and another try."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from mmsearch_ui import add_folders, hit_cards, job_view

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.store.rows import FileRow

ROWS = 1000
"""Files that are shown at a time; the download has all."""


def draw(library: Library) -> None:
    """Draw them."""
    rows: list[FileRow] = library.snapshot().kept("ui.failed", library.failed)
    if not rows:
        st.success("Every file that was found could be indexed.", icon=":material/check_circle:")
        return
    words = st.text_input(
        "Filter",
        key="failed_words",
        placeholder="part of a name or of a reason",
        icon=":material/filter_alt:",
    )
    found = job_view.matching(rows, words or "")
    with st.container(horizontal=True, vertical_alignment="center"):
        among = f" of {len(rows):,}" if len(found) < len(rows) else ""
        st.caption(f"{len(found):,}{among} could not be indexed", width="stretch")
        st.download_button(
            "Download the list",
            job_view.as_csv(found),
            "failed.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="failed_csv",
        )
        if st.button("Try again", icon=":material/refresh:", key="retry", disabled=not found):
            _retry(found)
    shown = [job_view.failed(row) for row in found[:ROWS]]
    st.dataframe(
        [
            {"file": one.name, "what": one.kind, "reason": one.reason, "folder": one.folder}
            for one in shown
        ],
        hide_index=True,
        column_config={"reason": st.column_config.TextColumn(width="large")},
    )
    if len(found) > ROWS:
        st.caption(f"The first {ROWS:,}: filter, or download all.")


def _retry(rows: list[FileRow]) -> None:
    there, gone = job_view.retried(rows)
    if not there:
        st.warning(
            "These files are gone from disk: take out what is gone, under Folders.",
            icon=":material/help:",
        )
        return
    if gone:
        st.toast(f"{hit_cards.counted(len(gone), 'file')} of them gone from disk: passed over")
    add_folders.start(there, is_retry=True)
