"""The hits that were picked, through several searches, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch import serialization
from mmsearch.errors import MmsearchError
from mmsearch.export.formats import Cut, Form, exported
from mmsearch_ui import hit_cards, shared_state, zip_download

if TYPE_CHECKING:
    from mmsearch.types import Hit

TITLE = "Selection"
ZIP = "zip"
FORMS = {
    Form.JSON: ("JSON", "application/json", "All that is known of each, as `--json` prints it."),
    Form.CSV: ("CSV", "text/csv", "A row a moment, for a spreadsheet."),
    Form.M3U: ("M3U", "audio/x-mpegurl", "A playlist of the moments, for VLC and mpv."),
    Form.EDL: ("EDL", "text/plain", "A cut list of the moments, for a video editor."),
    Form.FCPXML: ("FCPXML", "application/xml", "The same for Final Cut Pro and DaVinci Resolve."),
}
SHOWN_NAMES = 8


def current() -> dict[str, Hit]:
    """What is picked, by key, in the order of picking."""
    found: dict[str, Hit] = st.session_state.setdefault("selection", {})
    return found


def changes() -> int:
    """How many changes of the grid have been heard of."""
    found: int = st.session_state.setdefault("selection_changes", 0)
    return found


def take(said: Mapping[str, Any] | None, hits: Sequence[Hit]) -> None:
    """What the grid says is picked among the hits that it shows; what others had stays."""
    if said is None:
        return
    st.session_state["selection"] = merged(current(), said["keys"], hits)
    st.session_state["selection_changes"] = int(said["changes"])


def toggle(hit: Hit) -> None:
    """Pick a hit, or let it go."""
    known = dict(current())
    if known.pop(hit_cards.key_of(hit), None) is None:
        known[hit_cards.key_of(hit)] = hit
    st.session_state["selection"] = known


def clear() -> None:
    """Let all go."""
    st.session_state["selection"] = {}


def merged(known: Mapping[str, Hit], keys: Sequence[str], hits: Sequence[Hit]) -> dict[str, Hit]:
    """The picked hits after those of `keys`, and no others of `hits`, are picked."""
    found = {hit_cards.key_of(hit): hit for hit in hits}
    wanted = set(keys)
    kept = {key: hit for key, hit in known.items() if key not in found or key in wanted}
    return kept | {key: hit for key, hit in found.items() if key in wanted and key not in kept}


def written(hits: Sequence[Hit], form: Form, preset: str) -> bytes:
    """The hits in a form; raises QueryError where it cannot hold them."""
    if form is Form.JSON:
        text = json.dumps(serialization.answer_object(TITLE, preset, 0.0, hits), indent=1) + "\n"
    else:
        text = exported(hits, form, Cut(title=TITLE))
    return text.encode("utf-8", "backslashreplace")


def bar(picked: Mapping[str, Hit]) -> None:
    """How many are picked, and what can be done with them."""
    if not picked:
        return
    hits = list(picked.values())
    with st.popover(f"{len(hits)} selected", icon=":material/check_circle:", key="selection_bar"):
        for hit in hits[:SHOWN_NAMES]:
            st.caption(hit_cards.markdown(_named(hit)))
        if len(hits) > SHOWN_NAMES:
            st.caption(f"and {len(hits) - SHOWN_NAMES:,} more")
        chosen = st.segmented_control(
            "Export as",
            [*FORMS, ZIP],
            format_func=lambda form: FORMS[form][0] if form in FORMS else "Files (zip)",
            default=Form.JSON,
            required=True,
            key="export_as",
        )
        if chosen == ZIP:
            _offer_zip(hits)
        else:
            _offer(hits, Form(chosen))
        st.button("Clear selection", icon=":material/close:", type="tertiary", on_click=clear)


def _named(hit: Hit) -> str:
    place = hit_cards.place_of(hit_cards.best(hit))
    name = hit_cards.name_of(hit.path)
    return f"{name}, {place}" if place else name


def _offer(hits: Sequence[Hit], form: Form) -> None:
    _, media_type, meaning = FORMS[form]
    st.caption(meaning)
    try:
        data = written(hits, form, shared_state.open_library().manifest.preset)
    except MmsearchError as exc:
        st.warning(hit_cards.markdown(str(exc)))
        return
    st.download_button(
        "Download",
        data,
        file_name=f"selection.{form.value}",
        mime=media_type,
        icon=":material/download:",
        on_click="ignore",
        type="primary",
    )


def _offer_zip(hits: Sequence[Hit]) -> None:
    reason = zip_download.too_large(hits)
    if reason:
        st.warning(reason)
        return
    wanted = zip_download.members(hits)
    total = sum({hit.asset.id: hit.asset.size_bytes for hit in hits}.values())
    st.caption(f"The {hit_cards.counted(len(wanted), 'file')}, {hit_cards.size(total)}.")
    address = f"{shared_state.PREFIX}/zip/{zip_download.BUNDLES.offer(wanted)}"
    st.link_button("Download", address, icon=":material/folder_zip:", type="primary")
