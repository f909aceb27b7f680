"""The search page: the box, the filters beside it, and the hits."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import LibraryNotFound, MmsearchError
from mmsearch_ui import empty_states, selection, shared_state, sidebar, tabs, viewer
from mmsearch_ui.components import mount_component
from mmsearch_ui.event_acknowledgement import count_acknowledged, take_event
from mmsearch_ui.hit_cards import build_card, escape_markdown, format_count, hit_key
from mmsearch_ui.search_form import AssetExample, SearchForm, is_empty
from mmsearch_ui.search_runner import SearchOutcome, UploadedFile, run_search

if TYPE_CHECKING:
    from mmsearch.library.library import Library

STEP = 200
MOST = 1000
PLACEHOLDER = "dog on a beach · a word that was said · “exact words” · sunset -people"


@dataclass(frozen=True, slots=True)
class OutcomeCards:
    """An outcome, and the cards of its hits as the grid takes them.

    `token` identifies the search and the number of hits: a digest, a space, the limit.
    """

    outcome: SearchOutcome
    cards: list[dict[str, object]]
    token: str


def render() -> None:
    """Draws the page."""
    library = _open_library()
    if library is None:
        return
    mount_component("catch")(key="catch")
    line = st.text_input(
        "Search",
        key="q",
        type="search",
        placeholder=PLACEHOLDER,
        label_visibility="collapsed",
        icon=":material/search:",
        bind="query-params",
    )
    uploads = sidebar.list_uploads()
    like = tuple(st.session_state.get("like", ()))
    form = sidebar.fill_form(SearchForm(line=line or "", like=like))
    _draw_examples(like)
    if is_empty(form, uploads):
        empty_states.draw_welcome(library)
        return
    results = _get_outcome(library, form, uploads)
    if results.outcome.error:
        empty_states.draw_error(results.outcome.error)
    elif results.outcome.hits:
        _draw_results(results)
    else:
        empty_states.draw_no_match(form, results.outcome)


def _open_library() -> Library | None:
    """Opens the library; draws a first step or the error where there is nothing to search."""
    try:
        library = shared_state.open_library()
        if len(library.snapshot().asset_keys):
            return library
    except LibraryNotFound:
        pass
    except MmsearchError as exc:
        tabs.draw_error(exc)
        return None
    empty_states.draw_first_step(shared_state.library_path())
    return None


def _draw_examples(like: tuple[AssetExample, ...]) -> None:
    """Draws the examples of the library, each with a button to remove it."""
    # Drawn even if empty: else the elements below change position, and are built anew.
    placeholder = st.empty()
    if not like:
        return
    with placeholder.container(horizontal=True, key="like_bar"):
        for number, example in enumerate(like):
            word = "not like" if example.is_avoided else "like"
            label = f"{word} {escape_markdown(example.name)}"
            st.button(
                label,
                key=f"unlike_{number}",
                icon=":material/close:",
                help="Take this away",
                on_click=st.session_state.update,
                kwargs={"like": [kept for kept in like if kept != example]},
            )


def _get_outcome(library: Library, form: SearchForm, uploads: list[UploadedFile]) -> OutcomeCards:
    """Returns the outcome, kept until the form or the library changes."""
    contents = tuple(hashlib.blake2b(file.data, digest_size=16).hexdigest() for file in uploads)
    versions = tuple(sorted(library.snapshot().reader.versions.items()))
    identity = repr((form, contents, versions)).encode("utf-8", "backslashreplace")
    digest = hashlib.blake2b(identity).hexdigest()[:16]
    if st.session_state.get("search_digest") != digest:
        st.session_state["search_digest"] = digest
        st.session_state["limit"] = STEP
    limit = min(MOST, st.session_state["limit"])
    token = f"{digest} {limit}"
    results: OutcomeCards | None = st.session_state.get("results")
    if results is None or results.token != token:
        outcome = run_search(library, form, uploads, limit)
        cards = [
            dataclasses.asdict(build_card(hit, outcome.words, is_listed=outcome.is_listed))
            for hit in outcome.hits
        ]
        results = st.session_state["results"] = OutcomeCards(outcome, cards, token)
    return results


@st.fragment
def _draw_results(results: OutcomeCards) -> None:
    """Draws the grid and its actions; a click redraws this part alone."""
    outcome = results.outcome
    selected = selection.get_selection()
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        nouns = ("file", "files") if outcome.is_listed else ("match", "matches")
        more = "+" if outcome.has_more else ""
        order = "newest first" if outcome.is_listed else f"{outcome.took_ms:.0f} ms"
        count = format_count(len(outcome.hits), *nouns)
        st.caption(f"{count}{more} · {order}", width="stretch")
        selection.draw_bar(selected)
    mount_component("grid")(
        key="grid",
        data={
            "token": results.token,
            "cards": results.cards,
            "selected": [key for key in map(hit_key, outcome.hits) if key in selected],
            "changes": selection.count_changes(),
            "acknowledged": count_acknowledged("grid"),
            "has_more": outcome.has_more and len(outcome.hits) < MOST,
        },
        on_picked_change=lambda: selection.apply_change(
            st.session_state["grid"].get("picked"), outcome.hits
        ),
        on_event_change=functools.partial(_do_action, outcome),
    )
    if st.session_state.pop("wants_more", False):
        st.rerun(scope="app")
    viewer.draw_viewer(outcome)


def _do_action(outcome: SearchOutcome) -> None:
    """Performs the action of a click."""
    event = take_event("grid")
    if event is None:
        return
    match event["name"]:
        case "opened":
            viewer.open_viewer(event["value"])
        case "more" if event["value"] == len(outcome.hits):
            st.session_state["limit"] += STEP
            st.session_state["wants_more"] = True
