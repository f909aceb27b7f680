"""Words that are looked for in texts without cutting these into words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmsearch.index.word_index import fold_text
from mmsearch.search.lexical import WordPatterns, tokenize

LETTERS = st.sampled_from("ab_1é-. \nÆß’中")
WRITTEN = st.text(LETTERS, max_size=40) | st.text(max_size=40)


@given(WRITTEN, st.lists(WRITTEN, max_size=3))
@example("a_b ab", ["a", "b", "ab"])
@example("\u0130stanbul", ["istanbul"])
def test_a_word_is_found_where_cutting_the_text_finds_it(written: str, asked: list[str]) -> None:
    words = {word for one in [*asked, written[:7]] for word in tokenize(one)}
    assert WordPatterns.compile(words).find_in(fold_text(written)) == words & set(tokenize(written))


@pytest.mark.parametrize("written", ["cats", "a_cats", "tomcat", "concatenate", "", "ca t"])
def test_a_part_of_a_word_is_not_it(written: str) -> None:
    assert WordPatterns.compile({"cat"}).find_in(fold_text(written)) == set()


@pytest.mark.parametrize("written", ["cat", "a_cat_b", "(cat)", "Tom's CAT!", "cats cat"])
def test_a_word_ends_at_all_that_is_no_letter(written: str) -> None:
    assert WordPatterns.compile({"cat"}).find_in(fold_text(written)) == {"cat"}
