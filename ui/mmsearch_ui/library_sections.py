"""The parts of the library page: folders, indexes, models, disk, check-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch import analytics
from mmsearch.errors import MmsearchError
from mmsearch_ui import add_folders, hit_cards, job_view

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.library.stats import IndexStatus, Status
    from mmsearch.models.registry import Listed


def folders(library: Library) -> None:
    """The folders that files lie in, one level at a time, and what can be done with each."""
    snapshot = library.snapshot()
    here: str | None = st.session_state.get("folder_here")
    listed = analytics.folders(snapshot, here)
    if here is not None and not listed:  # it was taken out
        here = st.session_state["folder_here"] = None
        listed = analytics.folders(snapshot)
    with st.container(horizontal=True, vertical_alignment="center"):
        if here is None:
            st.caption("All folders with files in the library.", width="stretch")
        else:
            st.button("Up", icon=":material/arrow_upward:", on_click=_leave, key="folder_up")
            st.code(hit_cards.shown(here), language=None)
        if st.button(
            "Take out what is gone from disk", icon=":material/cleaning_services:", key="prune"
        ):
            _prune(library)
    if not listed:
        st.caption("No files yet: add a folder above.")
        return
    event = st.dataframe(
        [
            {
                "folder": hit_cards.shown(_within(one.path, here)),
                "files": one.files,
                "failed": one.failed,
                "size": hit_cards.size(one.size_bytes),
            }
            for one in listed
        ],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"folders_{here}",
    )
    rows = event["selection"]["rows"]
    if not rows or rows[0] >= len(listed):
        st.caption("Choose a folder to open it, index it again, or take it out of the library.")
        return
    chosen = listed[rows[0]]
    with st.container(horizontal=True):
        st.button(
            "Open",
            icon=":material/folder_open:",
            disabled=not chosen.has_folders,
            on_click=_enter,
            args=(chosen.path,),
            key="folder_open",
        )
        if st.button("Index again", icon=":material/refresh:", key="folder_index"):
            add_folders.start([chosen.path])
        if st.button("Take out", icon=":material/remove_circle:", key="folder_remove"):
            _confirm(library, chosen)


def _within(path: str, folder: str | None) -> str:
    return path if folder is None else path.removeprefix(folder.rstrip("/") + "/")


def _enter(folder: str) -> None:
    st.session_state["folder_here"] = folder
    trail: list[str | None] = st.session_state.setdefault("folder_trail", [])
    trail.append(folder)


def _leave() -> None:
    trail: list[str | None] = st.session_state.setdefault("folder_trail", [])
    if trail:
        trail.pop()
    st.session_state["folder_here"] = trail[-1] if trail else None


def _prune(library: Library) -> None:
    with st.spinner("Looking for what is gone"):
        gone = library.prune()
    st.toast(f"{hit_cards.counted(len(gone), 'file')} taken out of the library")


@st.dialog("Take out of the library?")
def _confirm(library: Library, folder: analytics.Folder) -> None:
    st.markdown(
        f"**{hit_cards.counted(folder.files, 'file')}** in and below this folder will be "
        "forgotten. The files themselves stay where they are."
    )
    st.code(hit_cards.shown(folder.path), language=None, wrap_lines=True)
    with st.container(horizontal=True):
        is_sure = st.button("Take out", type="primary", key="remove_sure")
        if st.button("Keep", key="remove_not"):
            st.rerun()
    if is_sure:
        try:
            with st.spinner("Taking out"):
                library.remove(folder.path)
        except MmsearchError as exc:
            st.error(hit_cards.markdown(str(exc)), icon=":material/error:")
        else:
            st.rerun()


def _status(library: Library) -> Status:
    return library.snapshot().kept("ui.status", library.status)


def index(library: Library) -> None:
    """How vectors are searched, how well that was measured to be, and with which models."""
    status = _status(library)
    st.dataframe(
        [_index_row(one) for one in status.indexes],
        hide_index=True,
        column_config={
            "recall@10": st.column_config.NumberColumn(
                format="%.3f", help="How many of the ten nearest it finds, by measurement."
            ),
        },
    )
    for one in status.indexes:
        if one.advice:
            st.info(hit_cards.markdown(f"{one.space}: {one.advice}"), icon=":material/lightbulb:")
    st.caption(
        "Exact search compares with every vector: its recall is 1 by definition. An index is used "
        "only when its recall was measured."
    )
    st.markdown("##### Spaces")
    st.dataframe(
        [
            {
                "space": space.name,
                "numbers in a vector": space.dim,
                "model": hit_cards.shown(space.model),
                "revision": hit_cards.shown(space.revision),
            }
            for space in status.spaces
        ],
        hide_index=True,
    )
    segments = " · ".join(f"{count:,} {kind}" for kind, count in status.segments.items() if count)
    st.caption(f"Segments: {hit_cards.markdown(segments) or 'none'}")


def _index_row(one: IndexStatus) -> dict[str, object]:
    return {
        "space": one.space,
        "kind": one.kind,
        "vectors": one.vectors,
        "recall@10": one.recall_at_10,
        "ms a query": "" if one.latency_ms is None else f"{one.latency_ms:.2f}",
        "not in it yet": one.tail,
        "size": hit_cards.size(one.size_bytes) if one.size_bytes else "",
        "built in": job_view.duration(one.seconds) if one.seconds else "",
    }


def models(library: Library) -> None:
    """The presets and whether their models are here."""
    from mmsearch.models import registry

    mine = library.manifest.preset
    known = sorted(registry.listed(), key=lambda one: one[0] != mine)
    for name, summary, listed in known:
        with st.container(border=True, key=f"preset_{name}"):
            own = " :green-badge[this library]" if name == mine else ""
            st.markdown(f"**{hit_cards.markdown(name)}**{own}")
            st.caption(hit_cards.markdown(summary))
            with st.expander("Models", expanded=name == mine, key=f"models_{name}"):
                _models(listed)
            if any(one.state == "missing" for one in listed):
                st.code(f"mmsearch models pull {name}", language="bash")
    st.caption("A library keeps the preset that it was made with; a new one can have another.")


def _models(listed: Sequence[Listed]) -> None:
    st.dataframe(
        [
            {
                "for": one.place,
                "model": hit_cards.shown(str(one.spec)),
                "state": STATES.get(one.state, one.state),
                "size": hit_cards.size(one.size_bytes) if one.size_bytes else "",
            }
            for one in listed
        ],
        hide_index=True,
    )


STATES = {"packaged": "comes with mmsearch", "here": "on this machine", "missing": "not here"}


def disk(library: Library) -> None:
    """What the library takes."""
    parts = analytics.disk(library.location)
    total = sum(one.size_bytes for one in parts)
    st.metric("On disk", hit_cards.size(total))
    st.dataframe(
        [
            {
                "part": one.name,
                "size": hit_cards.size(one.size_bytes),
                "share": 100 * one.size_bytes / total if total else 0.0,
                "": "can be made again" if one.is_cache else "",
            }
            for one in parts
        ],
        hide_index=True,
        column_config={
            "share": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f %%")
        },
    )
    st.code(hit_cards.shown(str(library.location)), language=None)


def checkup(library: Library) -> None:
    """What `mmsearch doctor` finds, with what to do."""
    from mmsearch.library import doctor as checks

    st.markdown(
        "Looks at the installation, the weights and the library, as `mmsearch doctor` does."
    )
    if st.button("Check", icon=":material/stethoscope:", key="check"):
        with st.spinner("Looking at everything", show_time=True):
            st.session_state["findings"] = checks.examine(library.location)
    findings: list[checks.Finding] | None = st.session_state.get("findings")
    if findings is None:
        return
    wrong = [one for one in findings if not one.is_well]
    if not wrong:
        st.success(f"All is well: {len(findings)} things were looked at.")
    for one in wrong:
        st.error(
            hit_cards.markdown(f"{one.subject}: {one.detail}")
            + (f"\n\n{hit_cards.markdown(one.advice)}" if one.advice else ""),
            icon=":material/error:",
        )
    st.dataframe(
        [
            {
                "": "✓" if one.is_well else "✗",
                "what": hit_cards.shown(one.subject),
                "found": hit_cards.shown(one.detail),
            }
            for one in findings
        ],
        hide_index=True,
    )
