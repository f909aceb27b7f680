"""The sections of the library page: folders, indexes, models, disk, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from mmsearch import analytics
from mmsearch.errors import MmsearchError
from mmsearch.formatting import format_size
from mmsearch_ui import add_folders, job_view, tabs
from mmsearch_ui.hit_cards import escape_markdown, format_count, make_displayable

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.library.stats import Status


def draw_folders(library: Library) -> None:
    """Draws the folders of the library, one level at a time, with their actions."""
    snapshot = library.snapshot()
    trail: list[str] = st.session_state.get("folder_trail", [])
    folders = analytics.list_folders(snapshot, trail[-1] if trail else None)
    if trail and not folders:  # it was taken out
        trail = st.session_state["folder_trail"] = []
        folders = analytics.list_folders(snapshot)
    folder = trail[-1] if trail else None
    prefix = "" if folder is None else folder.rstrip("/") + "/"
    with st.container(horizontal=True, vertical_alignment="center"):
        if folder is None:
            st.caption("All folders with files in the library.", width="stretch")
        else:
            st.button(
                "Up",
                icon=":material/arrow_upward:",
                on_click=st.session_state.update,
                kwargs={"folder_trail": trail[:-1]},
                key="folder_up",
            )
            st.code(make_displayable(folder), language=None)
        if st.button(
            "Take out what is gone from disk", icon=":material/cleaning_services:", key="prune"
        ):
            _prune_folder(library)
    if not folders:
        st.caption("No files yet: add a folder above.")
        return
    event = st.dataframe(
        [
            {
                "folder": make_displayable(child.path.removeprefix(prefix)),
                "files": child.files,
                "failed": child.failed,
                "size": format_size(child.size_bytes),
            }
            for child in folders
        ],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"folders_{folder}",
    )
    rows = event["selection"]["rows"]
    if not rows or rows[0] >= len(folders):
        st.caption("Choose a folder to open it, index it again, or take it out of the library.")
        return
    chosen = folders[rows[0]]
    with st.container(horizontal=True):
        st.button(
            "Open",
            icon=":material/folder_open:",
            disabled=not chosen.has_folders,
            on_click=st.session_state.update,
            kwargs={"folder_trail": [*trail, chosen.path]},
            key="folder_open",
        )
        if st.button("Index again", icon=":material/refresh:", key="folder_index"):
            add_folders.start_job([chosen.path])
        if st.button("Take out", icon=":material/remove_circle:", key="folder_remove"):
            _confirm_removal(library, chosen)


def _prune_folder(library: Library) -> None:
    with st.spinner("Looking for what is gone"):
        gone = library.prune()
    st.toast(f"{format_count(len(gone), 'file')} taken out of the library")


@st.dialog("Take out of the library?")
def _confirm_removal(library: Library, folder: analytics.FolderCount) -> None:
    st.markdown(
        f"**{format_count(folder.files, 'file')}** in and below this folder will be "
        "forgotten. The files themselves stay where they are."
    )
    st.code(make_displayable(folder.path), language=None, wrap_lines=True)
    with st.container(horizontal=True):
        is_sure = st.button("Take out", type="primary", key="remove_sure")
        if st.button("Keep", key="remove_not"):
            st.rerun()
    if is_sure:
        try:
            with st.spinner("Taking out"):
                library.remove(folder.path)
        except MmsearchError as exc:
            tabs.draw_error(exc)
        else:
            st.rerun()


def draw_indexes(library: Library) -> None:
    """Draws the indexes, their measured recall, and the models of the spaces."""
    status: Status = library.snapshot().memoize("ui.status", library.status)
    st.dataframe(
        [
            {
                "space": index.space,
                "kind": index.kind,
                "vectors": index.vectors,
                "recall@10": index.recall_at_10,
                "ms a query": "" if index.latency_ms is None else f"{index.latency_ms:.2f}",
                "not in it yet": index.tail,
                "size": format_size(index.size_bytes) if index.size_bytes else "",
                "built in": job_view.format_duration(index.seconds) if index.seconds else "",
            }
            for index in status.indexes
        ],
        hide_index=True,
        column_config={
            "recall@10": st.column_config.NumberColumn(
                format="%.3f", help="How many of the ten nearest it finds, by measurement."
            )
        },
    )
    for index in status.indexes:
        if index.advice:
            st.info(escape_markdown(f"{index.space}: {index.advice}"), icon=":material/lightbulb:")
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
                "model": make_displayable(space.model),
                "revision": make_displayable(space.revision),
            }
            for space in status.spaces
        ],
        hide_index=True,
    )
    segments = " · ".join(f"{count:,} {kind}" for kind, count in status.segments.items() if count)
    st.caption(f"Segments: {escape_markdown(segments) or 'none'}")


def draw_models(library: Library) -> None:
    """Draws the presets and the state of their models."""
    from mmsearch.models import registry

    own_preset = library.manifest.preset
    presets = sorted(registry.list_presets(), key=lambda preset: preset[0] != own_preset)
    for name, summary, models in presets:
        with st.container(border=True, key=f"preset_{name}"):
            badge = " :green-badge[this library]" if name == own_preset else ""
            st.markdown(f"**{escape_markdown(name)}**{badge}")
            st.caption(escape_markdown(summary))
            with st.expander("Models", expanded=name == own_preset, key=f"models_{name}"):
                st.dataframe(
                    [
                        {
                            "for": model.role,
                            "model": make_displayable(str(model.spec)),
                            "state": STATES.get(model.state, model.state),
                            "size": format_size(model.size_bytes) if model.size_bytes else "",
                        }
                        for model in models
                    ],
                    hide_index=True,
                )
            if any(model.state == "missing" for model in models):
                st.code(f"mmsearch models pull {name}", language="bash")
    st.caption("A library keeps the preset that it was made with; a new one can have another.")


STATES = {"packaged": "comes with mmsearch", "here": "on this machine", "missing": "not here"}


def draw_disk_usage(library: Library) -> None:
    """Draws the sizes of the parts of the library."""
    parts = analytics.measure_disk_usage(library.location)
    total = sum(part.size_bytes for part in parts)
    st.metric("On disk", format_size(total))
    st.dataframe(
        [
            {
                "part": part.name,
                "size": format_size(part.size_bytes),
                "share": 100 * part.size_bytes / total if total else 0.0,
                "": "can be made again" if part.is_cache else "",
            }
            for part in parts
        ],
        hide_index=True,
        column_config={
            "share": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f %%")
        },
    )
    st.code(make_displayable(str(library.location)), language=None)


def draw_doctor(library: Library) -> None:
    """Draws the findings of the doctor, with advice."""
    from mmsearch.library import doctor

    st.markdown(
        "Looks at the installation, the weights and the library, as `mmsearch doctor` does."
    )
    if st.button("Check", icon=":material/stethoscope:", key="check"):
        with st.spinner("Looking at everything", show_time=True):
            st.session_state["findings"] = doctor.examine_library(library.location)
    findings: list[doctor.Finding] | None = st.session_state.get("findings")
    if findings is None:
        return
    problems = [finding for finding in findings if not finding.is_well]
    if not problems:
        st.success(f"All is well: {len(findings)} things were looked at.")
    for finding in problems:
        st.error(
            escape_markdown(f"{finding.subject}: {finding.detail}")
            + (f"\n\n{escape_markdown(finding.advice)}" if finding.advice else ""),
            icon=":material/error:",
        )
    st.dataframe(
        [
            {
                "": "✓" if finding.is_well else "✗",
                "what": make_displayable(finding.subject),
                "found": make_displayable(finding.detail),
            }
            for finding in findings
        ],
        hide_index=True,
    )
