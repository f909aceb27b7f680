"""What is shown where there are no hits: the first step, what to try, and nothing asked yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from mmsearch_ui import hit_cards, pages

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch_ui.search_form import SearchForm
    from mmsearch_ui.search_runner import SearchOutcome

ADDING = "mmsearch index ~/Pictures"


def first_step(path: Path) -> None:
    """The way from nothing to the first hit."""
    with st.container(key="first_step"):
        st.subheader("Nothing is in this library yet")
        st.markdown(
            "Name a folder with pictures, recordings, videos or texts. It is looked through once; "
            "then you can search it by what is seen, said and written in it. Your files stay where "
            "they are, and nothing leaves this machine."
        )
        page = pages.library()
        if page is not None:
            st.page_link(page, label="Add a folder", icon=":material/create_new_folder:")
            st.caption("Or on the command line:")
        st.code(ADDING, language="bash")
        st.caption(f"The library lies in {hit_cards.markdown(str(path))}")


def hello(library: Library) -> None:
    """Nothing is asked yet: what is there to be searched, and how."""
    counts = hit_cards.counts(library)
    with st.container(key="hello"):
        st.caption(" · ".join(counts))
        st.markdown(
            "Say what is **seen**, **heard**, **said** or **written**. A few ways to say it:"
        )
        for line, meaning in hit_cards.WAYS:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    f"`{line}`",
                    key=f"try_{line}",
                    type="tertiary",
                    on_click=_ask,
                    args=(line,),
                )
                st.caption(meaning)
        st.caption("`/` goes to the box · arrows move · Enter opens · `s` selects · Esc closes")


def _ask(line: str) -> None:
    st.session_state["q"] = line


def complain(error: str) -> None:
    """What is wrong with what was asked; what points at a place keeps its lines."""
    first, *rest = error.splitlines()
    st.warning(hit_cards.markdown(first), icon=":material/help:")
    if rest:
        st.code("\n".join(rest), language=None)


def no_match(form: SearchForm, found: SearchOutcome) -> None:
    """Nothing is good enough: what to try."""
    with st.container(key="no_match"):
        st.subheader("No match")
        hints = hit_cards.no_match(
            is_narrowed=form.is_narrowed,
            has_words=bool(found.words),
            has_bar=form.score != "anything" and not found.is_listed,
        )
        for hint in hints:
            st.markdown(f"- {hint}")
        with st.container(horizontal=True):
            if form.score != "anything" and not found.is_listed:
                st.button("Show the nearest", on_click=_show_nearest, icon=":material/expand:")
            if form.is_narrowed:
                from mmsearch_ui import sidebar

                st.button("Clear filters", key="clear_here", on_click=sidebar.clear)


def _show_nearest() -> None:
    st.session_state["score"] = "anything"
