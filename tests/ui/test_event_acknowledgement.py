"""The part of the components that sends events until they are acknowledged, in its own page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: no browser is driven")

from mmsearch_ui.components import read_text
from playwright.sync_api import Page

pytestmark = pytest.mark.slow

RETRY_MS = 1500


@pytest.fixture
def sender(new_page: Callable[..., Page]) -> Page:
    """A page with one sender, whose events are kept; time stands still unless the test runs it."""
    page = new_page(viewport={"width": 320, "height": 200})
    page.clock.install(time=0)
    page.evaluate(f"() => {{ {read_text('common.js')}; window.EventSender = EventSender; }}")
    page.evaluate(
        """() => {
          window.sent = [];
          window.sender = new EventSender();
          const setStateValue = (state, { name, value, number, attempt }) =>
            sent.push([state, name, value, number, attempt]);
          window.draw = (acknowledged) => sender.update({ data: { acknowledged }, setStateValue });
          draw(0);
        }"""
    )
    return page


def list_sent(page: Page) -> list[list[object]]:
    """All events that were sent so far."""
    events: list[list[object]] = page.evaluate("sent")
    return events


def test_an_event_is_sent_until_it_is_acknowledged(sender: Page) -> None:
    sender.evaluate("sender.send('opened', 'one')")
    sender.clock.run_for(RETRY_MS)
    sender.evaluate("draw(0)")
    sender.clock.run_for(RETRY_MS)
    assert list_sent(sender) == [["event", "opened", "one", 1, attempt] for attempt in (1, 2, 3)]
    sender.evaluate("draw(1)")
    sender.clock.run_for(10 * RETRY_MS)
    assert len(list_sent(sender)) == 3


def test_without_acknowledgement_it_stops(sender: Page) -> None:
    sender.evaluate("sender.send('opened', 'one')")
    sender.clock.run_for(100 * RETRY_MS)
    assert [event[-1] for event in list_sent(sender)] == [1, 2, 3, 4, 5]


def test_the_last_event_counts(sender: Page) -> None:
    sender.evaluate("sender.send('opened', 'one')")
    sender.evaluate("sender.send('opened', 'two')")
    sender.clock.run_for(RETRY_MS)
    assert [event[2:4] for event in list_sent(sender)] == [["one", 1], ["two", 2], ["two", 2]]


def test_a_new_sender_goes_on_counting(sender: Page) -> None:
    sender.evaluate("draw(7)")
    sender.evaluate("sender.send('more', 200)")
    assert list_sent(sender) == [["event", "more", 200, 8, 1]]


def test_a_stopped_sender_is_silent(sender: Page) -> None:
    sender.evaluate("sender.send('opened', 'one')")
    sender.evaluate("sender.stop()")
    sender.clock.run_for(10 * RETRY_MS)
    assert len(list_sent(sender)) == 1
