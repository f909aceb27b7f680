"""What narrows a search down, and the files to search by, beside the results."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from mmsearch_ui.search_form import DURATIONS, SCORES, SIZES, SearchForm
from mmsearch_ui.search_runner import UploadedFile

KINDS = {"image": "Pictures", "audio": "Sounds", "video": "Videos", "text": "Texts"}
FIELDS = (
    "kinds", "folder", "since", "until", "duration", "size", "cameras", "languages", "score",
    "where", "moments", "duplicates",
)  # fmt: skip
MAX_EXAMPLES = 8
GENERATION = "examples_generation"


def examples() -> list[UploadedFile]:
    """Files that are dropped here, pasted anywhere on the page, or chosen."""
    with st.sidebar, st.container(key="examples"):
        given = st.file_uploader(
            "Search by example",
            key=f"examples_{st.session_state.get(GENERATION, 0)}",
            accept_multiple_files=True,
            help="A picture, a recording, a video or a text: drop it anywhere on this page, or "
            "paste it. It stays on this machine and is forgotten after the search.",
        )
    return [UploadedFile(one.name, one.getvalue()) for one in given[:MAX_EXAMPLES]]


def forget_examples() -> None:
    """Take all files away: another element asks for them from now on."""
    st.session_state[GENERATION] = st.session_state.get(GENERATION, 0) + 1


def filled(form: SearchForm) -> SearchForm:
    """The form with the filters that are set."""
    with st.sidebar:
        kinds = st.pills(
            "Kind",
            list(KINDS),
            selection_mode="multi",
            format_func=lambda kind: KINDS[kind],
            key="kinds",
            persist_state="session",
        )
        folder = st.text_input(
            "Folder", key="folder", placeholder="/home/me/photos", persist_state="session"
        )
        left, right = st.columns(2)
        since = left.date_input("Taken from", value=None, key="since", persist_state="session")
        until = right.date_input("until", value=None, key="until", persist_state="session")
        duration = _chosen("Length", list(DURATIONS), "duration", "any, or 30s..5m")
        size = _chosen("File size", list(SIZES), "size", "any, or 10MB..")
        score = _chosen("Score at least", list(SCORES), "score", "as usual, or 0.45")
        with st.expander("More", key="more_filters"):
            camera = st.text_input(
                "Camera", key="camera", placeholder="canon", persist_state="session"
            )
            languages = st.text_input(
                "Language", key="languages", placeholder="de, en-GB", persist_state="session"
            )
            where = st.text_area(
                "Any condition",
                key="where",
                height=70,
                placeholder="ext = jpg and not folder ~ old",
                help="The language of `mmsearch search --where`.",
                persist_state="session",
            )
            moments = st.toggle("Each moment by itself", key="moments", persist_state="session")
            duplicates = st.toggle(
                "Near-duplicates one by one", key="duplicates", persist_state="session"
            )
        found = replace(
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
        if found.is_narrowed:
            st.button("Clear filters", icon=":material/filter_alt_off:", on_click=clear)
    return found


def _chosen(label: str, offered: list[str], key: str, placeholder: str) -> str:
    found = st.selectbox(
        label,
        offered,
        index=None,
        key=key,
        placeholder=placeholder,
        accept_new_options=True,
        persist_state="session",
    )
    return found or ""


def clear() -> None:
    """Take all filters away."""
    for name in FIELDS:
        st.session_state.pop(name, None)
    st.session_state.update(kinds=[], folder="", where="", camera="", languages="")
    st.session_state.update(since=None, until=None, duration=None, size=None, score=None)
    st.session_state.update(moments=False, duplicates=False)
