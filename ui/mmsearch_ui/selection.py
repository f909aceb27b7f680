"""The selected hits, over several searches, and their actions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch.errors import MmsearchError
from mmsearch.export.formats import ClipLayout, ExportFormat, export_hits
from mmsearch.formatting import format_size
from mmsearch.serialization.answers import build_search
from mmsearch.serialization.json_format import to_plain
from mmsearch_ui import shared_state, zip_download
from mmsearch_ui.hit_cards import (
    best_moment,
    escape_markdown,
    format_count,
    format_name,
    format_place_of,
    hit_key,
)

if TYPE_CHECKING:
    from mmsearch.types import Hit

TITLE = "Selection"
ZIP = "zip"
FORMATS = {
    ExportFormat.JSON: (
        "JSON",
        "application/json",
        "All that is known of each, as `--json` prints it.",
    ),
    ExportFormat.CSV: ("CSV", "text/csv", "A row a moment, for a spreadsheet."),
    ExportFormat.M3U: ("M3U", "audio/x-mpegurl", "A playlist of the moments, for VLC and mpv."),
    ExportFormat.EDL: ("EDL", "text/plain", "A cut list of the moments, for a video editor."),
    ExportFormat.FCPXML: (
        "FCPXML",
        "application/xml",
        "The same for Final Cut Pro and DaVinci Resolve.",
    ),
}
SHOWN_NAMES = 8


def get_selection() -> dict[str, Hit]:
    """Returns the selected hits by key, in the order of selection."""
    selected: dict[str, Hit] = st.session_state.setdefault("selection", {})
    return selected


def count_changes() -> int:
    """Returns the number of acknowledged changes of the grid."""
    changes: int = st.session_state.setdefault("selection_changes", 0)
    return changes


def apply_change(change: Mapping[str, Any] | None, hits: Sequence[Hit]) -> None:
    """Applies the selection of the grid among the hits that it shows; others stay."""
    if change is None:
        return
    st.session_state["selection"] = merge_selection(get_selection(), change["keys"], hits)
    st.session_state["selection_changes"] = int(change["changes"])


def toggle_hit(hit: Hit) -> None:
    """Selects a hit, or deselects it."""
    selected = dict(get_selection())
    if selected.pop(hit_key(hit), None) is None:
        selected[hit_key(hit)] = hit
    st.session_state["selection"] = selected


def merge_selection(
    selected: Mapping[str, Hit], keys: Sequence[str], hits: Sequence[Hit]
) -> dict[str, Hit]:
    """Returns the selection with the hits of `keys`, and without the other `hits`."""
    by_key = {hit_key(hit): hit for hit in hits}
    picked = set(keys)
    kept = {key: hit for key, hit in selected.items() if key not in by_key or key in picked}
    return kept | {key: hit for key, hit in by_key.items() if key in picked and key not in kept}


def write_hits(hits: Sequence[Hit], format_: ExportFormat, preset: str) -> bytes:
    """Writes the hits in a format; raises QueryError where it cannot hold them."""
    if format_ is ExportFormat.JSON:
        text = json.dumps(build_search(TITLE, preset, 0.0, hits), indent=1, default=to_plain) + "\n"
    else:
        text = export_hits(hits, format_, ClipLayout(title=TITLE))
    return text.encode("utf-8", "backslashreplace")


def draw_bar(selected: Mapping[str, Hit]) -> None:
    """Draws the number of selected hits and their actions."""
    if not selected:
        return
    hits = list(selected.values())
    with st.popover(f"{len(hits)} selected", icon=":material/check_circle:", key="selection_bar"):
        for hit in hits[:SHOWN_NAMES]:
            parts = (format_name(hit.path), format_place_of(best_moment(hit)))
            st.caption(escape_markdown(", ".join(filter(None, parts))))
        if len(hits) > SHOWN_NAMES:
            st.caption(f"and {len(hits) - SHOWN_NAMES:,} more")
        chosen = st.segmented_control(
            "Export as",
            [*FORMATS, ZIP],
            format_func=lambda name: FORMATS[name][0] if name in FORMATS else "Files (zip)",
            default=ExportFormat.JSON,
            required=True,
            key="export_as",
        )
        if chosen == ZIP:
            _offer_zip(hits)
        else:
            _offer_download(hits, ExportFormat(chosen))
        st.button(
            "Clear selection",
            icon=":material/close:",
            type="tertiary",
            on_click=st.session_state.update,
            kwargs={"selection": {}},
        )


def _offer_download(hits: Sequence[Hit], format_: ExportFormat) -> None:
    _, media_type, meaning = FORMATS[format_]
    st.caption(meaning)
    try:
        data = write_hits(hits, format_, shared_state.open_library().manifest.preset)
    except MmsearchError as exc:
        st.warning(escape_markdown(str(exc)))
        return
    st.download_button(
        "Download",
        data,
        file_name=f"selection.{format_.value}",
        mime=media_type,
        icon=":material/download:",
        on_click="ignore",
        type="primary",
    )


def _offer_zip(hits: Sequence[Hit]) -> None:
    reason = zip_download.explain_too_large(hits)
    if reason:
        st.warning(reason)
        return
    members = zip_download.list_members(hits)
    total = sum({hit.asset.id: hit.asset.size_bytes for hit in hits}.values())
    st.caption(f"The {format_count(len(members), 'file')}, {format_size(total)}.")
    address = f"{shared_state.PREFIX}/zip/{zip_download.BUNDLES.offer(members)}"
    st.link_button("Download", address, icon=":material/folder_zip:", type="primary")
