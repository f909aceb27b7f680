"""Lists the files that were not read, or in part, with reasons, and tries them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from mmsearch_ui import add_folders, job_view
from mmsearch_ui.hit_cards import format_count

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.library.stats import PartialFile
    from mmsearch.store.rows import FileRow

ROWS = 1000
"""Files in the table; the download has all."""


def draw_partial_files(library: Library) -> None:
    """Draws the list of files of which a part was not read."""
    files: list[PartialFile] = library.snapshot().memoize("ui.partial", library.partial)
    if not files:
        st.success("Every file was read whole, or not at all.", icon=":material/check_circle:")
        return
    st.caption(f"{format_count(len(files), 'file')}: the rest of each can be found")
    st.dataframe(
        [job_view.describe_partial_file(file) for file in files[:ROWS]],
        hide_index=True,
        column_config={"not read": st.column_config.TextColumn(width="large")},
    )
    if len(files) > ROWS:
        st.caption(f"The first {ROWS:,}; `mmsearch status --partial` lists all.")


def draw_failures(library: Library) -> None:
    """Draws the list of files that could not be indexed."""
    rows: list[FileRow] = library.snapshot().memoize("ui.failed", library.failed)
    if not rows:
        st.success("Every file that was found could be indexed.", icon=":material/check_circle:")
        return
    words = st.text_input(
        "Filter",
        key="failed_words",
        placeholder="part of a name or of a reason",
        icon=":material/filter_alt:",
    )
    matching = job_view.filter_failures(rows, words or "")
    with st.container(horizontal=True, vertical_alignment="center"):
        among = f" of {len(rows):,}" if len(matching) < len(rows) else ""
        st.caption(f"{len(matching):,}{among} could not be indexed", width="stretch")
        st.download_button(
            "Download the list",
            job_view.failures_to_csv(matching),
            "failed.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="failed_csv",
        )
        if st.button("Try again", icon=":material/refresh:", key="retry", disabled=not matching):
            _retry(matching)
    st.dataframe(
        [job_view.describe_failure(row) for row in matching[:ROWS]],
        hide_index=True,
        column_config={"reason": st.column_config.TextColumn(width="large")},
    )
    if len(matching) > ROWS:
        st.caption(f"The first {ROWS:,}: filter, or download all.")


def _retry(rows: list[FileRow]) -> None:
    present, gone = job_view.plan_retry(rows)
    if not present:
        st.warning(
            "These files are gone from disk: take out what is gone, under Folders.",
            icon=":material/help:",
        )
        return
    if gone:
        st.toast(f"{format_count(len(gone), 'file')} of them gone from disk: passed over")
    add_folders.start_job(present, is_retry=True)
