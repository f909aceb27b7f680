"""The part of the components that says things until they are heard, in a page of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: no browser is driven")

from mmsearch_ui.components import text
from playwright.sync_api import Page

pytestmark = pytest.mark.slow

AGAIN_MS = 1500


@pytest.fixture
def voice(new_page: Callable[..., Page]) -> Page:
    """A page with one voice, whose sayings are kept; time stands still unless it is told to run."""
    page = new_page(viewport={"width": 320, "height": 200})
    page.clock.install(time=0)
    page.evaluate(f"() => {{ {text('common.js')}; window.Voice = Voice; }}")
    page.evaluate(
        """() => {
          window.said = [];
          window.voice = new Voice();
          const setStateValue = (name, { what, value, times, tries }) =>
            said.push([name, what, value, times, tries]);
          window.draw = (heard) => voice.listen({ data: { heard }, setStateValue });
          draw(0);
        }"""
    )
    return page


def said(page: Page) -> list[list[object]]:
    """What was said so far."""
    found: list[list[object]] = page.evaluate("said")
    return found


def test_it_is_said_again_until_it_is_heard(voice: Page) -> None:
    voice.evaluate("voice.say('opened', 'one')")
    voice.clock.run_for(AGAIN_MS)
    voice.evaluate("draw(0)")
    voice.clock.run_for(AGAIN_MS)
    assert said(voice) == [["act", "opened", "one", 1, tries] for tries in (1, 2, 3)]
    voice.evaluate("draw(1)")
    voice.clock.run_for(10 * AGAIN_MS)
    assert len(said(voice)) == 3


def test_nobody_listens_and_it_stops(voice: Page) -> None:
    voice.evaluate("voice.say('opened', 'one')")
    voice.clock.run_for(100 * AGAIN_MS)
    assert [one[-1] for one in said(voice)] == [1, 2, 3, 4, 5]


def test_what_is_said_last_counts(voice: Page) -> None:
    voice.evaluate("voice.say('opened', 'one')")
    voice.evaluate("voice.say('opened', 'two')")
    voice.clock.run_for(AGAIN_MS)
    assert [one[2:4] for one in said(voice)] == [["one", 1], ["two", 2], ["two", 2]]


def test_one_that_is_drawn_anew_goes_on_counting(voice: Page) -> None:
    voice.evaluate("draw(7)")
    voice.evaluate("voice.say('more', 200)")
    assert said(voice) == [["act", "more", 200, 8, 1]]


def test_one_that_is_gone_is_silent(voice: Page) -> None:
    voice.evaluate("voice.say('opened', 'one')")
    voice.evaluate("voice.stop()")
    voice.clock.run_for(10 * AGAIN_MS)
    assert len(said(voice)) == 1
