"""Adds folders to the library: the box for a path, the folder browser, and the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import MmsearchError
from mmsearch.jobs import JobState
from mmsearch_ui import job_view, shared_state, tabs
from mmsearch_ui.hit_cards import (
    escape_markdown,
    format_count,
    make_displayable,
)
from mmsearch_ui.sidebar import KINDS

if TYPE_CHECKING:
    from mmsearch.jobs import Job

OVER_SHOWN = 4
ICONS = {
    JobState.QUEUED: ":material/schedule:",
    JobState.RUNNING: ":material/sync:",
    JobState.DONE: ":material/check_circle:",
    JobState.FAILED: ":material/error:",
    JobState.CANCELLED: ":material/cancel:",
}


def draw_path_box() -> None:
    """Draws the box for a path, and the button that indexes it."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="adding"):
        path = st.text_input(
            "Add a folder or a file",
            key="add_path",
            placeholder="/home/me/Pictures",
            icon=":material/create_new_folder:",
        )
        _draw_browser()
        is_submitted = st.button("Index", type="primary", key="index", icon=":material/play_arrow:")
    with st.expander("Options", key="add_options"):
        kinds = st.pills(
            "Only these kinds",
            list(KINDS),
            selection_mode="multi",
            format_func=lambda kind: KINDS[kind],
            key="add_kinds",
        )
        prune = st.toggle(
            "Take out of the library what is gone from this folder",
            key="add_prune",
            help="Files that are not there any more are forgotten; nothing on disk is touched.",
        )
    if is_submitted:
        _index_path(path or "", tuple(kinds), is_pruned=prune)


def _index_path(text: str, kinds: tuple[str, ...], *, is_pruned: bool) -> None:
    browsed: str = st.session_state.get("browsed", "")
    try:
        # A name that is no UTF-8 cannot be shown in the box: take the folder itself.
        is_browsed = text == make_displayable(browsed)
        path = job_view.check_path(browsed if is_browsed else text, shared_state.library_path())
        shared_state.get_jobs().start([path], kinds=kinds, prune=is_pruned)
    except MmsearchError as exc:
        tabs.draw_error(exc)


def start_job(paths: Sequence[str], *, is_retry: bool = False) -> None:
    """Indexes paths of the library again; redraws the page with the job."""
    try:
        shared_state.get_jobs().start(paths, retry_failed=is_retry)
    except MmsearchError as exc:
        tabs.draw_error(exc)
    else:
        st.rerun()


def _draw_browser() -> None:
    """Draws the folder browser, one level at a time."""
    with st.popover("Browse", icon=":material/folder_open:", key="browse"):
        folder = Path(st.session_state.setdefault("browsing", str(Path.home())))
        st.text_input(
            "From", key="browsing_box", placeholder="/another/folder", on_change=_enter_typed
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Up",
                icon=":material/arrow_upward:",
                on_click=st.session_state.update,
                kwargs={"browsing": str(folder.parent)},
                disabled=folder == folder.parent,
            )
            st.button(
                "Take this folder",
                type="primary",
                key="take_folder",
                on_click=st.session_state.update,
                kwargs={"browsed": str(folder), "add_path": make_displayable(str(folder))},
            )
        st.code(make_displayable(str(folder)), language=None, wrap_lines=True)
        try:
            names = job_view.list_folders(folder)
        except MmsearchError as exc:
            st.warning(escape_markdown(str(exc)))
            return
        if not names:
            st.caption("No folders in here.")
            return
        with st.container(height=260, border=False, gap="xxsmall"):
            for number, name in enumerate(names):
                st.button(
                    escape_markdown(name) or "?",
                    key=f"folder_{number}",
                    type="tertiary",
                    icon=":material/folder:",
                    on_click=st.session_state.update,
                    kwargs={"browsing": str(folder / name)},
                )


def _enter_typed() -> None:
    try:
        folder = Path(st.session_state["browsing_box"].strip() or "~").expanduser()
        if folder.is_absolute() and folder.is_dir():
            st.session_state["browsing"] = str(folder)
            st.session_state["browsing_box"] = ""
    except (OSError, RuntimeError, ValueError):  # nobody's home, a name too long, a NUL
        return


def draw_jobs() -> None:
    """Draws running, waiting and ended jobs."""
    jobs = shared_state.get_jobs().all()
    active = [job for job in reversed(jobs) if not job.is_over]
    ended = [job for job in jobs if job.is_over]
    for job in active:
        _draw_running(job)
    for job in ended[:OVER_SHOWN]:
        _draw_ended(job)
    # When a job ends or the first begins, redraw the whole page: the library may have changed.
    ended_ids = {job.id for job in ended}
    if ended_ids - st.session_state.setdefault("ended_jobs", ended_ids):
        st.session_state["ended_jobs"] = ended_ids
        st.rerun(scope="app")
    was_active = st.session_state.get("has_active_jobs")
    st.session_state["has_active_jobs"] = bool(active)
    if active and not was_active:
        st.rerun(scope="app")


def _draw_running(job: Job) -> None:
    view = job_view.describe_job(job)
    with st.container(border=True, key=f"job_{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{ICONS[job.state]} {escape_markdown(view.title)}", width="stretch")
            # A job writes its finished files before it stops, which can take a while.
            is_stopping = job.id in st.session_state.get("stopping", ())
            st.button(
                "Stopping" if is_stopping else "Stop",
                key=f"stop_{job.id}",
                icon=":material/stop:",
                disabled=is_stopping,
                on_click=_stop_job,
                args=(job.id,),
            )
        if job.state is JobState.RUNNING:
            st.progress(view.share or 0.0, text=escape_markdown(view.line))
            if view.counts:
                st.caption(escape_markdown(view.counts))
        else:
            st.caption(escape_markdown(view.line))
        _draw_failures(job)


def _stop_job(job_id: str) -> None:
    shared_state.get_jobs().cancel(job_id)
    st.session_state.setdefault("stopping", set()).add(job_id)


def _draw_ended(job: Job) -> None:
    view = job_view.describe_job(job)
    counts = f" · {escape_markdown(view.counts)}" if view.counts else ""
    with st.container(key=f"job_{job.id}"):
        st.markdown(
            f"{ICONS[job.state]} {escape_markdown(view.title)} "
            f":small[{escape_markdown(view.line)}{counts}]"
        )
        _draw_failures(job)


def _draw_failures(job: Job) -> None:
    if not job.failures:
        return
    label = f"{format_count(job.counts['failed'], 'file')} could not be indexed"
    with st.expander(label, icon=":material/report:"):
        st.dataframe(
            [job_view.describe_failure(failure) for failure in job.failures],
            hide_index=True,
            column_order=("file", "reason", "folder"),
        )
