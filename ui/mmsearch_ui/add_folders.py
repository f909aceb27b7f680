"""What is added to the library: the path, the folders to choose from, and the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import MmsearchError
from mmsearch.jobs import State
from mmsearch_ui import hit_cards, job_view, shared_state, tabs
from mmsearch_ui.sidebar import KINDS

if TYPE_CHECKING:
    from mmsearch.jobs import Job

OVER_SHOWN = 4
ICONS = {
    State.QUEUED: ":material/schedule:",
    State.RUNNING: ":material/sync:",
    State.DONE: ":material/check_circle:",
    State.FAILED: ":material/error:",
    State.CANCELLED: ":material/cancel:",
}


def draw() -> None:
    """The box for a path, and the button that indexes it."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="adding"):
        written = st.text_input(
            "Add a folder or a file",
            key="add_path",
            placeholder="/home/me/Pictures",
            icon=":material/create_new_folder:",
        )
        _browser()
        is_asked = st.button("Index", type="primary", key="index", icon=":material/play_arrow:")
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
    if is_asked:
        _start(written or "", tuple(kinds), is_pruned=prune)


def _start(written: str, kinds: tuple[str, ...], *, is_pruned: bool) -> None:
    taken: str = st.session_state.get("taken", "")
    try:
        meant = taken if written == hit_cards.shown(taken) else written
        path = job_view.checked(meant, shared_state.library_path())
        shared_state.jobs().start([path], kinds=kinds, prune=is_pruned)
    except MmsearchError as exc:
        tabs.complain(exc)


def start(paths: Sequence[str], *, is_retry: bool = False) -> None:
    """Index paths that the library knows, again; the page is drawn anew with the job."""
    try:
        shared_state.jobs().start(paths, retry_failed=is_retry)
    except MmsearchError as exc:
        tabs.complain(exc)
    else:
        st.rerun()


def _browser() -> None:
    """Folders to choose from, one level at a time."""
    with st.popover("Browse", icon=":material/folder_open:", key="browse"):
        here = Path(st.session_state.setdefault("browsing", str(Path.home())))
        st.text_input(
            "From", key="browsing_box", placeholder="/another/folder", on_change=_go_where_written
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Up",
                icon=":material/arrow_upward:",
                on_click=_go,
                args=(str(here.parent),),
                disabled=here == here.parent,
            )
            st.button(
                "Take this folder",
                type="primary",
                key="take_folder",
                on_click=_take,
                args=(str(here),),
            )
        st.code(hit_cards.shown(str(here)), language=None, wrap_lines=True)
        try:
            names = job_view.below(here)
        except MmsearchError as exc:
            st.warning(hit_cards.markdown(str(exc)))
            return
        if not names:
            st.caption("No folders in here.")
            return
        with st.container(height=260, border=False, gap="xxsmall"):
            for number, name in enumerate(names):
                st.button(
                    hit_cards.markdown(name) or "?",
                    key=f"folder_{number}",
                    type="tertiary",
                    icon=":material/folder:",
                    on_click=_go,
                    args=(str(here / name),),
                )


def _go(folder: str) -> None:
    st.session_state["browsing"] = folder


def _go_where_written() -> None:
    written = Path(st.session_state["browsing_box"].strip() or "~")
    try:
        folder = written.expanduser()
        if folder.is_absolute() and folder.is_dir():
            st.session_state["browsing"] = str(folder)
            st.session_state["browsing_box"] = ""
    except (OSError, RuntimeError, ValueError):  # nobody's home, a name too long, a NUL
        return


def _take(folder: str) -> None:
    # A name that is no UTF-8 cannot stand in the box: what stands for it there is known again.
    st.session_state["taken"] = folder
    st.session_state["add_path"] = hit_cards.shown(folder)


def jobs() -> None:
    """What is indexed now, what waits, and what was indexed last."""
    every = shared_state.jobs().all()
    going = [job for job in reversed(every) if not job.is_over]
    over = [job for job in every if job.is_over][:OVER_SHOWN]
    for job in going:
        _going(job)
    for job in over:
        _over(job)
    # The last one has ended: all that the page shows may be another now.
    ended = {job.id for job in every if job.is_over}
    known: set[str] = st.session_state.setdefault("ended_jobs", set(ended))
    if ended - known:
        st.session_state["ended_jobs"] = ended
        st.rerun(scope="app")
    if going and not st.session_state.get("had_going"):
        st.session_state["had_going"] = True
        st.rerun(scope="app")
    st.session_state["had_going"] = bool(going)


def _going(job: Job) -> None:
    shown = job_view.shown(job)
    with st.container(border=True, key=f"job_{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{ICONS[job.state]} {hit_cards.markdown(shown.title)}", width="stretch")
            # What is finished is written first, which can take a while.
            is_stopping = job.id in st.session_state.get("stopping", ())
            st.button(
                "Stopping" if is_stopping else "Stop",
                key=f"stop_{job.id}",
                icon=":material/stop:",
                disabled=is_stopping,
                on_click=_stop,
                args=(job.id,),
            )
        if job.state is State.RUNNING:
            st.progress(shown.share or 0.0, text=hit_cards.markdown(shown.line))
            if shown.counts:
                st.caption(hit_cards.markdown(shown.counts))
        else:
            st.caption(hit_cards.markdown(shown.line))
        _failures(job)


def _stop(job_id: str) -> None:
    shared_state.jobs().cancel(job_id)
    st.session_state.setdefault("stopping", set()).add(job_id)


def _over(job: Job) -> None:
    shown = job_view.shown(job)
    counts = f" · {hit_cards.markdown(shown.counts)}" if shown.counts else ""
    with st.container(key=f"job_{job.id}"):
        st.markdown(
            f"{ICONS[job.state]} {hit_cards.markdown(shown.title)} "
            f":small[{hit_cards.markdown(shown.line)}{counts}]"
        )
        _failures(job)


def _failures(job: Job) -> None:
    if not job.failures:
        return
    label = f"{hit_cards.counted(job.counts['failed'], 'file')} could not be indexed"
    with st.expander(label, icon=":material/report:"):
        st.dataframe(
            [
                {
                    "file": hit_cards.name_of(one.path),
                    "reason": hit_cards.shown(one.message.removeprefix(f"{one.path}: ")),
                    "folder": hit_cards.folder_of(one.path),
                }
                for one in job.failures
            ],
            hide_index=True,
        )
