"""The search page as a person uses it, in a real browser."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmsearch.library.library import Library

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.slow
Serve = Callable[[Path], str]
SAID = "ask not what your country can do for you"
LISTENING = "[data-mm=veil]"
HOSTILE_IMAGE = '<img src=x onerror="window.broken=1">.jpg'
HOSTILE_TEXT = "**loud** :red[alert] $x$ _it_.txt"
SCRIPT = '<script>window.broken=1</script><b onmouseover="window.broken=1">gazebo</b> **bold**'


@pytest.fixture(scope="session")
def hostile_library(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    """Files whose names and contents would be run by a page that does not take care."""
    folder = tmp_path_factory.mktemp("hostile")
    pictures = sorted((sample_data / "photos").glob("IMG_02*.jpg"))
    for picture, name in zip(pictures, (HOSTILE_IMAGE, "line\nbreak.jpg"), strict=False):
        shutil.copy(picture, folder / name)
    (folder / HOSTILE_TEXT).write_text(f"A gazebo in a garden. {SCRIPT} " * 3, encoding="utf-8")
    place = tmp_path_factory.mktemp("libraries") / "hostile"
    with Library.open(place) as library:
        assert library.index(folder).indexed == 3
    return place


def ask(page: Page, url: str, line: str) -> Locator:
    """Open the page, type a line and press Enter; returns the cards that were found."""
    page.goto(url)
    box = page.locator(".st-key-q input")
    box.fill(line)
    box.press("Enter")
    cards = page.locator(".card")
    cards.first.wait_for()
    return cards


def wait_for_picture(picture: Locator) -> None:
    """Until its bytes have come and it is drawn."""
    picture.evaluate(
        """async (picture) => {
             for (let i = 0; i < 200 && !picture.naturalWidth; i++)
               await new Promise((go) => setTimeout(go, 50));
           }"""
    )
    assert picture.evaluate("(picture) => picture.naturalWidth") > 0


def state(player: Locator) -> dict[str, float]:
    """What a player says of itself."""
    found: dict[str, float] = player.evaluate(
        "(p) => ({now: p.currentTime, ready: p.readyState, error: p.error ? p.error.code : 0})"
    )
    return found


def test_typing_shows_thumbnails(page: Page, ui_server: Serve, small_library: Path) -> None:
    cards = ask(page, ui_server(small_library), "a cat lying down")
    assert cards.first.get_attribute("data-kind") == "image"
    wait_for_picture(cards.first.locator("img"))
    assert "match" in page.locator(".st-key-bar").inner_text()
    assert page.url.endswith("?q=a+cat+lying+down")
    assert page.title() == "mmsearch"


def test_an_address_can_be_kept_and_opened_again(
    page: Page, ui_server: Serve, small_library: Path
) -> None:
    page.goto(f"{ui_server(small_library)}/?q=a+cat+lying+down")
    page.locator(".card").first.wait_for()
    assert page.locator(".st-key-q input").input_value() == "a cat lying down"


def test_no_match_says_what_to_try(page: Page, ui_server: Serve, small_library: Path) -> None:
    page.goto(ui_server(small_library))
    page.locator(".st-key-q input").fill("quarterly tax audit of a nuclear submarine")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="No match").wait_for()
    page.get_by_role("button", name="Show the nearest").click()
    page.locator(".card").first.wait_for()


def test_a_kind_narrows(page: Page, ui_server: Serve, small_library: Path) -> None:
    cards = ask(page, ui_server(small_library), SAID)
    kinds = {card.get_attribute("data-kind") for card in cards.all()}
    assert {"audio", "video"} <= kinds
    page.get_by_role("button", name="Videos").click()
    expect(page.locator(".card:not([data-kind=video])")).to_have_count(0)
    expect(page.locator(".card[data-kind=video]")).not_to_have_count(0)


def test_a_film_plays_from_the_moment_that_matched(
    page: Page, ui_server: Serve, small_library: Path, screenshots: Path
) -> None:
    ask(page, ui_server(small_library), SAID)
    page.locator(".card[data-kind=video]").first.click()
    player = page.locator(".viewer video")
    player.wait_for()
    page.wait_for_timeout(300)
    with Library.open(small_library, create=False) as library:
        (hit,) = library.search(SAID, kinds=["video"])
    assert hit.segment.span is not None
    begin = (hit.moments[0].span or hit.segment.span).start_s
    assert begin > 1
    player.evaluate(
        """async (p) => {
             for (let i = 0; i < 200 && (p.readyState < 2 || p.paused); i++)
               await new Promise((go) => setTimeout(go, 50));
           }"""
    )
    found = state(player)
    assert found["error"] == 0
    assert begin - 0.1 <= found["now"] < begin + 10
    player.evaluate(
        """async (p) => {
             const at = p.currentTime;
             for (let i = 0; i < 200 && p.currentTime < at + 0.2; i++)
               await new Promise((go) => setTimeout(go, 50));
           }"""
    )
    assert state(player)["now"] > found["now"]
    page.screenshot(path=screenshots / "viewer-video.png")


def test_a_line_of_the_transcript_seeks_and_is_followed(
    page: Page, ui_server: Serve, small_library: Path
) -> None:
    ask(page, ui_server(small_library), SAID)
    page.locator(".card[data-kind=audio]").first.click()
    player = page.locator(".viewer audio")
    player.wait_for()
    lines = page.locator(".viewer button.line")
    assert lines.first.locator("mark").count() > 0
    last = lines.last
    start = float(last.get_attribute("data-start") or "")
    player.evaluate("(p) => { p.pause(); p.currentTime = 5; }")
    last.click()
    player.evaluate(
        """async (p) => {
             for (let i = 0; i < 200 && (p.seeking || p.readyState < 2); i++)
               await new Promise((go) => setTimeout(go, 50));
           }"""
    )
    assert start - 0.1 <= state(player)["now"] < start + 4
    page.locator(".viewer .line[aria-current=true]").wait_for()
    wait_for_picture(page.locator(".viewer .waveform img"))


def test_a_text_is_opened_at_its_passage(page: Page, ui_server: Serve, small_library: Path) -> None:
    cards = ask(page, ui_server(small_library), '"government of the people"')
    assert "gettysburg" in cards.first.inner_text()
    cards.first.click()
    match = page.locator(".viewer .line.first")
    match.wait_for()
    assert "government of the people" in match.locator("mark").all_inner_texts()
    page.wait_for_timeout(300)
    assert match.evaluate(
        """(row) => {
             const box = row.parentElement.getBoundingClientRect();
             const place = row.getBoundingClientRect();
             return place.bottom > box.top && place.top < box.bottom;
           }"""
    )


def test_a_picture_tells_what_is_known_and_where_it_matched(
    page: Page, ui_server: Serve, small_library: Path, screenshots: Path
) -> None:
    cards = ask(page, ui_server(small_library), "a cat lying down")
    cards.first.click()
    wait_for_picture(page.locator(".viewer .figure img").first)
    assert "looks like it" in page.locator(".viewer .panel").first.inner_text()
    page.get_by_role("button", name="Where?").click()
    layer = page.locator(".viewer .layer")
    layer.wait_for()
    wait_for_picture(layer)
    quick = layer.get_attribute("src")
    page.get_by_role("button", name="Look closer").click()
    expect(layer).not_to_have_attribute("src", quick or "")
    page.screenshot(path=screenshots / "viewer-picture.png")
    page.get_by_role("tab", name="Details").click()
    details = page.locator(".viewer .details").inner_text()
    assert "Path" in details
    assert "×" in details


def test_more_like_this_and_like_this_but_not(
    page: Page, ui_server: Serve, small_library: Path
) -> None:
    cards = ask(page, ui_server(small_library), "a cat lying down")
    name = cards.first.locator(".name").inner_text()
    grid = page.locator(".grid").element_handle()
    cards.first.click()
    page.get_by_role("button", name="More like this").click()
    chip = page.locator(".st-key-like_bar")
    expect(chip).to_contain_text(name)
    expect(page.locator(".card .name").filter(has_text=name)).to_have_count(0)
    # What stands above the grid does not build it anew: a click in that moment would be lost.
    assert grid.evaluate("(grid) => grid.isConnected")
    cards.first.click()
    page.get_by_label("Like this, but not").fill("black and white cats")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-q input")).to_have_value("- black and white cats")
    page.locator(".st-key-like_bar button").first.click()
    chip.wait_for(state="detached")


def test_a_file_is_an_example(
    page: Page, ui_server: Serve, small_library: Path, sample_data: Path
) -> None:
    page.goto(ui_server(small_library))
    chooser = page.locator('.st-key-examples input[type="file"]')
    chooser.set_input_files(sample_data / "photos/IMG_0190.jpg")
    page.locator(".card").first.wait_for()
    assert page.locator(".card").first.get_attribute("data-kind") == "image"
    wait_for_picture(page.locator(".card img").first)


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_file_is_dropped_or_pasted_anywhere(
    page: Page, ui_server: Serve, small_library: Path, sample_data: Path, way: str
) -> None:
    page.goto(ui_server(small_library))
    page.locator('.st-key-examples input[type="file"]').wait_for(state="attached")
    page.locator(LISTENING).wait_for(state="attached")
    data = base64.b64encode((sample_data / "photos/IMG_0190.jpg").read_bytes()).decode()
    page.evaluate(
        """([way, data]) => {
             const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
             const given = new DataTransfer();
             given.items.add(new File([bytes], 'from <b>elsewhere</b>.jpg', {type: 'image/jpeg'}));
             const event = way === 'drop'
               ? new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true})
               : new ClipboardEvent('paste', {clipboardData: given, bubbles: true});
             document.querySelector('.stMain').dispatchEvent(event);
           }""",
        [way, data],
    )
    page.locator(".card").first.wait_for()
    # Streamlit shortens the name in the middle.
    expect(page.locator(".st-key-examples")).to_contain_text("from <b")


def test_a_torn_file_is_told_by_its_name(
    page: Page, ui_server: Serve, small_library: Path, sample_data: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes((sample_data / "photos/beach.jpg").read_bytes()[:600])
    page.goto(ui_server(small_library))
    page.locator('.st-key-examples input[type="file"]').set_input_files(torn)
    page.get_by_text("'torn.jpg' cannot be searched by").wait_for()


def test_the_keyboard_is_enough(page: Page, ui_server: Serve, small_library: Path) -> None:
    page.goto(ui_server(small_library))
    page.locator(".st-key-hello").wait_for()
    page.locator(LISTENING).wait_for(state="attached")
    page.keyboard.press("/")
    expect(page.locator(".st-key-q input")).to_be_focused()
    page.keyboard.type(SAID)
    page.keyboard.press("Enter")
    cards = page.locator(".card")
    cards.nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    assert cards.nth(0).evaluate("(card) => card.matches(':focus')")
    page.keyboard.press("ArrowRight")
    assert cards.nth(1).evaluate("(card) => card.matches(':focus')")
    page.keyboard.press("s")
    assert cards.nth(1).get_attribute("aria-selected") == "true"
    page.get_by_text("1 selected").wait_for()
    page.keyboard.press("Enter")
    page.locator(".viewer").wait_for()
    name = page.locator(".head .name").inner_text()
    assert name == cards.nth(1).locator(".name").inner_text()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("1 of ").wait_for()
    page.keyboard.press("Escape")
    page.locator(".viewer").wait_for(state="detached")
    page.keyboard.press("/")
    assert page.locator(".st-key-q input").evaluate("(box) => box === document.activeElement")


def test_a_selection_is_exported(
    page: Page, ui_server: Serve, small_library: Path, screenshots: Path
) -> None:
    cards = ask(page, ui_server(small_library), SAID)
    for kind in ("video", "audio"):
        card = page.locator(f".card[data-kind={kind}]").first
        card.hover()
        card.locator(".pick").click()
    names = {
        page.locator(f".card[data-kind={kind}] .name").first.inner_text()
        for kind in ("video", "audio")
    }
    page.get_by_text("2 selected").click()
    assert cards.count() >= 2
    got: dict[str, bytes] = {}
    for label, form in (
        ("JSON", "json"),
        ("CSV", "csv"),
        ("M3U", "m3u"),
        ("EDL", "edl"),
        ("FCPXML", "fcpxml"),
    ):
        page.get_by_role("radio", name=label, exact=True).or_(
            page.get_by_role("button", name=label, exact=True)
        ).first.click()
        page.wait_for_timeout(600)
        with page.expect_download() as coming:
            page.get_by_role("button", name="Download").click()
        assert coming.value.suggested_filename == f"selection.{form}"
        got[form] = Path(coming.value.path()).read_bytes()
    page.screenshot(path=screenshots / "selection.png")
    assert {Path(hit["path"]).name for hit in json.loads(got["json"])["hits"]} == names
    rows = list(csv.DictReader(io.StringIO(got["csv"].decode())))
    assert {Path(row["path"]).name for row in rows} == names
    assert got["m3u"].startswith(b"#EXTM3U")
    assert b"TITLE: Selection" in got["edl"]
    assert b"<fcpxml" in got["fcpxml"]

    page.get_by_text("Files (zip)").click()
    link = page.get_by_role("link", name="Download")
    link.wait_for()
    answer = page.request.get(
        ui_server(small_library) + (link.get_attribute("href") or ""),
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    with zipfile.ZipFile(io.BytesIO(answer.body())) as archive:
        assert set(archive.namelist()) == names
        assert archive.testzip() is None


@pytest.mark.parametrize("line", ["garden gazebo", "line", "bold"])
def test_what_files_say_is_text(
    page: Page, ui_server: Serve, hostile_library: Path, line: str
) -> None:
    page.goto(ui_server(hostile_library))
    score = page.locator(".st-key-score input")
    score.fill("anything")
    score.press("Enter")
    page.get_by_role("button", name="Clear filters").wait_for()
    page.locator(".st-key-q input").fill(line)
    page.keyboard.press("Enter")
    cards = page.locator(".card")
    expect(cards).to_have_count(3)
    names = cards.locator(".name").all_inner_texts()
    assert {HOSTILE_IMAGE, HOSTILE_TEXT, "line break.jpg"} == set(names)
    for at in range(3):
        card = cards.nth(at)
        card.scroll_into_view_if_needed()
        card.hover()
        card.click()
        # Not the viewer of the card before, which may be there for a moment still.
        expect(page.locator(".head .name")).to_have_text(names[at])
        if names[at] == HOSTILE_TEXT:
            assert "<script>window.broken=1</script>" in page.locator(".viewer .lines").inner_text()
        else:
            wait_for_picture(page.locator(".viewer .figure img").first)
        page.get_by_role("tab", name="Details").click()
        page.keyboard.press("s")
        close(page)
    page.get_by_text("3 selected").click()
    page.get_by_text(HOSTILE_IMAGE).first.wait_for()
    assert page.get_by_text(HOSTILE_TEXT, exact=True).count() >= 1
    assert page.evaluate("() => window.broken") is None


def close(page: Page) -> None:
    """Close the viewer; on a busy machine an answer on its way can open it once more."""
    for _ in range(3):
        page.keyboard.press("Escape")
        try:
            page.locator(".viewer").wait_for(state="detached", timeout=5_000)
        except playwright.TimeoutError:
            continue
        return
    page.locator(".viewer").wait_for(state="detached")


def test_more_of_a_long_answer_is_shown_on_demand(
    page: Page, ui_server: Serve, many_library: Path
) -> None:
    cards = ask(page, ui_server(many_library), "note about the harbour")
    assert cards.count() == 200
    page.get_by_role("button", name="Show more").click()
    expect(cards).to_have_count(230)
    assert not page.get_by_role("button", name="Show more").is_visible()


@pytest.fixture(scope="session")
def many_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More notes that one line finds than are shown at once."""
    folder = tmp_path_factory.mktemp("notes")
    for at in range(230):
        (folder / f"note-{at:03d}.txt").write_text(
            f"A note about the harbour, written on day {at}.", encoding="utf-8"
        )
    place = tmp_path_factory.mktemp("libraries") / "many"
    with Library.open(place) as library:
        assert library.index(folder).indexed == 230
    return place


def test_without_a_library_the_way_to_the_first_hit_is_shown(
    page: Page, ui_server: Serve, tmp_path: Path, screenshots: Path
) -> None:
    page.goto(ui_server(tmp_path / "none"))
    page.get_by_text("Nothing is in this library yet").wait_for()
    page.screenshot(path=screenshots / "first-step.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desktop", "phone"])
def test_it_is_drawn_in_both_schemes_and_sizes(
    new_page: Callable[..., Page],
    ui_server: Serve,
    small_library: Path,
    screenshots: Path,
    scheme: str,
    size: tuple[int, int],
) -> None:
    width, height = size
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    cards = ask(page, ui_server(small_library), SAID)
    page.wait_for_timeout(800)
    page.screenshot(path=screenshots / f"search-{scheme}-{width}.png")
    lightness = page.evaluate(
        """() => getComputedStyle(document.querySelector('.stApp')).backgroundColor
             .match(/[0-9.]+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0) / 3"""
    )
    assert (lightness > 128) == (scheme == "light")
    # Nothing sticks out to the right of the screen.
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    cards.first.click()
    page.locator(".viewer").wait_for()
    page.wait_for_timeout(800)
    page.screenshot(path=screenshots / f"viewer-{scheme}-{width}.png")


def test_pages_of_other_sites_are_refused(
    page: Page, ui_server: Serve, small_library: Path
) -> None:
    url = ui_server(small_library)
    refused = page.request.get(f"{url}/mm/zip/x", headers={"Origin": "http://example.org"})
    assert refused.status == 403
    assert page.request.get(url, headers={"Host": "example.org"}).status in (400, 421)
    policy = page.request.get(url, headers={"Sec-Fetch-Site": "none"}).headers
    assert "default-src 'none'" in policy["content-security-policy"]
    scripts = policy["content-security-policy"].partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts
    assert "http" not in scripts


def test_it_stops_when_told_to_though_pages_are_open(
    page: Page, own_server: Callable[[Path], Any], small_library: Path
) -> None:
    server = own_server(small_library)
    ask(page, server.url, "cat")
    assert server.stop() == 0
    assert "Traceback" not in server.errors()
