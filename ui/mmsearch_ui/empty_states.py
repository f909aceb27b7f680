"""The states of the pages without hits: the first step, advice, and an empty form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch_ui import pages
from mmsearch_ui.hit_cards import WAYS, count_kinds, escape_markdown, list_advice

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch_ui.search_form import SearchForm
    from mmsearch_ui.search_runner import SearchOutcome

ADDING = "mmsearch index ~/Pictures"


def draw_first_step(path: Path) -> None:
    """Draws the way from nothing to the first hit."""
    with st.container(key="first_step"):
        st.subheader("Nothing is in this library yet")
        st.markdown(
            "Name a folder with pictures, recordings, videos or texts. It is looked through once; "
            "then you can search it by what is seen, said and written in it. Your files stay where "
            "they are, and nothing leaves this machine."
        )
        st.page_link(
            pages.library_page(), label="Add a folder", icon=":material/create_new_folder:"
        )
        st.caption("Or on the command line:")
        st.code(ADDING, language="bash")
        st.caption(f"The library lies in {escape_markdown(str(path))}")


def draw_welcome(library: Library) -> None:
    """Draws the counts of the library and example queries, for an empty form."""
    counts = count_kinds(library)
    with st.container(key="hello"):
        st.caption(" · ".join(counts))
        st.markdown(
            "Say what is **seen**, **heard**, **said** or **written**. A few ways to say it:"
        )
        for line, meaning in WAYS:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    f"`{line}`",
                    key=f"try_{line}",
                    type="tertiary",
                    on_click=st.session_state.update,
                    kwargs={"q": line},
                )
                st.caption(meaning)
        st.caption("`/` goes to the box · arrows move · Enter opens · `s` selects · Esc closes")


def draw_error(error: str) -> None:
    """Draws an error of the form; lines after the first point at a place, in fixed width."""
    first, *rest = error.splitlines()
    st.warning(escape_markdown(first), icon=":material/help:")
    if rest:
        st.code("\n".join(rest), language=None)


def draw_no_match(form: SearchForm, outcome: SearchOutcome) -> None:
    """Draws advice for a search without hits."""
    with st.container(key="no_match"):
        st.subheader("No match")
        has_bar = form.score != "anything" and not outcome.is_listed
        for hint in list_advice(
            is_narrowed=form.is_narrowed, has_words=bool(outcome.words), has_bar=has_bar
        ):
            st.markdown(f"- {hint}")
        with st.container(horizontal=True):
            if has_bar:
                st.button(
                    "Show the nearest",
                    on_click=st.session_state.update,
                    kwargs={"score": "anything"},
                    icon=":material/expand:",
                )
            if form.is_narrowed:
                from mmsearch_ui import sidebar

                st.button("Clear filters", key="clear_here", on_click=sidebar.clear_filters)
