"""The side bar: the filters of a search, and the files to search by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from mmsearch_ui.search_form import DURATIONS, SCORES, SIZES, SearchForm
from mmsearch_ui.search_runner import UploadedFile

KINDS = {"image": "Pictures", "audio": "Sounds", "video": "Videos", "text": "Texts"}
MAX_EXAMPLES = 8
GENERATION = "examples_generation"


def list_uploads() -> list[UploadedFile]:
    """Returns the files that were chosen, pasted, or dropped anywhere on the page."""
    with st.sidebar, st.container(key="examples"):
        uploads = st.file_uploader(
            "Search by example",
            key=f"examples_{st.session_state.get(GENERATION, 0)}",
            accept_multiple_files=True,
            help="A picture, a recording, a video or a text: drop it anywhere on this page, or "
            "paste it. It stays on this machine and is forgotten after the search.",
        )
    return [UploadedFile(upload.name, upload.getvalue()) for upload in uploads[:MAX_EXAMPLES]]


def forget_uploads() -> None:
    """Removes all files, by a new key for the element that holds them."""
    st.session_state[GENERATION] = st.session_state.get(GENERATION, 0) + 1


def fill_form(form: SearchForm) -> SearchForm:
    """Returns the form with the filters that are set."""
    persist: dict[str, Any] = {"persist_state": "session"}
    with st.sidebar:
        kinds = st.pills(
            "Kind",
            list(KINDS),
            selection_mode="multi",
            format_func=lambda kind: KINDS[kind],
            key="kinds",
            **persist,
        )
        folder = st.text_input("Folder", key="folder", placeholder="/home/me/photos", **persist)
        left, right = st.columns(2)
        since = left.date_input("Taken from", value=None, key="since", **persist)
        until = right.date_input("until", value=None, key="until", **persist)
        duration = _choose("Length", list(DURATIONS), "duration", "any, or 30s..5m")
        size = _choose("File size", list(SIZES), "size", "any, or 10MB..")
        score = _choose("Score at least", list(SCORES), "score", "as usual, or 0.45")
        with st.expander("More", key="more_filters"):
            camera = st.text_input("Camera", key="camera", placeholder="canon", **persist)
            languages = st.text_input(
                "Language", key="languages", placeholder="de, en-GB", **persist
            )
            where = st.text_area(
                "Any condition",
                key="where",
                height=70,
                placeholder="ext = jpg and not folder ~ old",
                help="The language of `mmsearch search --where`.",
                **persist,
            )
            moments = st.toggle("Each moment by itself", key="moments", **persist)
            duplicates = st.toggle("Near-duplicates one by one", key="duplicates", **persist)
        filled = replace(
            form,
            kinds=tuple(kinds),
            folder=folder or "",
            since=since,
            until=until,
            duration=duration,
            size=size,
            score=score,
            cameras=(camera,) if camera else (),
            languages=languages or "",
            where=where or "",
            is_grouped=not moments,
            is_deduped=not duplicates,
        )
        if filled.is_narrowed:
            st.button("Clear filters", icon=":material/filter_alt_off:", on_click=clear_filters)
    return filled


def _choose(label: str, options: list[str], key: str, placeholder: str) -> str:
    choice = st.selectbox(
        label,
        options,
        index=None,
        key=key,
        placeholder=placeholder,
        accept_new_options=True,
        persist_state="session",
    )
    return choice or ""


def clear_filters() -> None:
    """Clears all filters."""
    texts = dict.fromkeys(("folder", "where", "camera", "languages"), "")
    choices = dict.fromkeys(("since", "until", "duration", "size", "score"))
    st.session_state.update(kinds=[], moments=False, duplicates=False, **texts, **choices)
