"""The page that searches: the box, the filters beside it, and what was found."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch.errors import LibraryNotFound, MmsearchError
from mmsearch_ui import (
    empty_states,
    event_acknowledgement,
    hit_cards,
    selection,
    shared_state,
    sidebar,
    viewer,
)
from mmsearch_ui.components import component
from mmsearch_ui.search_form import AssetExample, SearchForm, is_empty
from mmsearch_ui.search_runner import SearchOutcome, UploadedFile, answer

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.types import Hit

STEP = 200
MOST = 1000
PLACEHOLDER = "dog on a beach · a word that was said · “exact words” · sunset -people"


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer, and the cards of its hits as the grid takes them.

    `token` tells answers apart: what was asked, a space, how many hits were asked for.
    """

    found: SearchOutcome
    cards: list[dict[str, object]]
    token: str


def render() -> None:
    """Draw it."""
    library = _opened()
    if library is None:
        return
    component("catch")(key="catch")
    line = st.text_input(
        "Search",
        key="q",
        type="search",
        placeholder=PLACEHOLDER,
        label_visibility="collapsed",
        icon=":material/search:",
        bind="query-params",
    )
    uploads = sidebar.examples()
    like = tuple(st.session_state.get("like", ()))
    form = sidebar.filled(SearchForm(line=line or "", like=like))
    _like(like)
    if is_empty(form, uploads):
        empty_states.hello(library)
        return
    shown = _answered(library, form, uploads)
    found = shown.found
    if found.error:
        empty_states.complain(found.error)
        return
    if not found.hits:
        empty_states.no_match(form, found)
        return
    _results(shown)


def _opened() -> Library | None:
    """The library; without one a first step is shown, or what is wrong with it."""
    try:
        library = shared_state.open_library()
        is_empty_yet = not len(library.snapshot().asset_keys)
    except LibraryNotFound:
        empty_states.first_step(shared_state.library_path())
        return None
    except MmsearchError as exc:
        st.error(hit_cards.markdown(str(exc)), icon=":material/error:")
        return None
    if is_empty_yet:
        empty_states.first_step(shared_state.library_path())
        return None
    return library


def _like(like: tuple[AssetExample, ...]) -> None:
    """What of the library is asked with, each to be taken away."""
    # The place is there without any too: what stands below keeps its own, and is not built anew.
    place = st.empty()
    if not like:
        return
    with place.container(horizontal=True, key="like_bar"):
        for number, one in enumerate(like):
            word = "not like" if one.is_avoided else "like"
            label = f"{word} {hit_cards.markdown(one.name)}"
            st.button(
                label,
                key=f"unlike_{number}",
                icon=":material/close:",
                help="Take this away",
                on_click=functools.partial(_unlike, one),
            )


def _unlike(one: AssetExample) -> None:
    st.session_state["like"] = [other for other in st.session_state["like"] if other != one]


def _answered(library: Library, form: SearchForm, uploads: list[UploadedFile]) -> Shown:
    """The answer, kept until something else is asked or the library has changed."""
    given = tuple(hashlib.blake2b(one.data, digest_size=16).hexdigest() for one in uploads)
    versions = tuple(sorted(library.snapshot().reader.versions.items()))
    asked = hashlib.blake2b(repr((form, given, versions)).encode("utf-8", "backslashreplace"))
    name = asked.hexdigest()[:16]
    if st.session_state.get("asked") != name:
        st.session_state["asked"] = name
        st.session_state["limit"] = STEP
    limit = min(MOST, st.session_state["limit"])
    token = f"{name} {limit}"
    known: Shown | None = st.session_state.get("answer")
    if known is None or known.token != token:
        found = answer(library, form, uploads, limit)
        cards = [_card(hit, found) for hit in found.hits]
        known = Shown(found, cards, token)
        st.session_state["answer"] = known
    return known


def _card(hit: Hit, found: SearchOutcome) -> dict[str, object]:
    return hit_cards.as_json(hit_cards.card(hit, found.words, is_listed=found.is_listed))


@st.fragment
def _results(answered: Shown) -> None:
    """The grid and what can be done with it; of a click here only this is drawn anew."""
    found = answered.found
    picked = selection.current()
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        nouns = ("file", "files") if found.is_listed else ("match", "matches")
        more = "+" if found.has_more else ""
        order = "newest first" if found.is_listed else f"{found.took_ms:.0f} ms"
        count = hit_cards.counted(len(found.hits), *nouns)
        st.caption(f"{count}{more} · {order}", width="stretch")
        selection.bar(picked)
    component("grid")(
        key="grid",
        data={
            "token": answered.token,
            "cards": answered.cards,
            "selected": [key for key in map(hit_cards.key_of, found.hits) if key in picked],
            "changes": selection.changes(),
            "heard": event_acknowledgement.heard("grid"),
            "has_more": found.has_more and len(found.hits) < MOST,
        },
        on_picked_change=functools.partial(_pick, found),
        on_act_change=functools.partial(_act, found),
    )
    if st.session_state.pop("wants_more", False):
        st.rerun(scope="app")
    viewer.draw(found)


def _act(found: SearchOutcome) -> None:
    """Do what was clicked."""
    said = event_acknowledgement.news("grid")
    if said is None:
        return
    match said["what"]:
        case "opened":
            viewer.view(said["value"])
        case "more" if said["value"] == len(found.hits):
            st.session_state["limit"] += STEP
            st.session_state["wants_more"] = True


def _pick(found: SearchOutcome) -> None:
    selection.take(st.session_state["grid"].get("picked"), found.hits)
