"""The page that explores in a real browser: plots, hover, lasso, the world, near-duplicates."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("playwright", reason="playwright is not installed: no browser is driven")

from playwright.sync_api import Locator, Page, expect

from mmsearch.library.library import Library

pytestmark = pytest.mark.slow


Serve = Callable[[Path], str]
PLACES = ((47.4, 8.5), (47.0, 9.0), (-33.9, 151.2))


@pytest.fixture(scope="module")
def travelled(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of some pictures, three of which say where they were taken, and a smaller copy."""
    root = tmp_path_factory.mktemp("travelled")
    folder = root / "media"
    folder.mkdir()
    for source in sorted((sample_data / "photos").glob("IMG_01*"))[:9]:
        shutil.copy(source, folder)
    for number, (latitude, longitude) in enumerate(PLACES):
        with Image.open(sample_data / "photos" / f"DSC_02{(30, 31, 36)[number]}.jpg") as picture:
            exif = Image.Exif()
            exif[0x0110] = "PinholeCam <3>"
            exif[0x0132] = exif.get_ifd(0x8769)[0x9003] = f"202{number}:05:06 07:08:09"
            gps = exif.get_ifd(0x8825)
            gps[1], gps[2] = "N" if latitude > 0 else "S", (abs(latitude), 0.0, 0.0)
            gps[3], gps[4] = "E", (longitude, 0.0, 0.0)
            picture.save(folder / f"trip {number}.jpg", exif=exif)
            if number == 0:
                half = picture.resize((picture.width // 2, picture.height // 2))
                half.save(folder / "trip 0 small.jpg")
    with Library.open(root / "library") as library:
        report = library.index(folder)
    assert report.failed == 0
    return root / "library"


def opened(page: Page, url: str, view: str) -> None:
    page.goto(f"{url}/explore?view={view}")
    expect(page.get_by_role("radio", name=view)).to_be_checked()


def drawn_map(page: Page, points: int) -> Locator:
    """The canvas once its points and at least one picture are drawn."""
    frame = page.locator(".map")
    expect(frame).to_have_attribute("data-drawn", str(points))
    expect(frame).not_to_have_attribute("data-pictures", "0")
    return frame.locator("canvas")


def corners(canvas: Locator) -> tuple[float, float, float, float]:
    box = canvas.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_the_overview_draws_its_plots_and_a_bar_leads_to_a_search(
    page: Page, ui_server: Serve, travelled: Path, screenshots: Path
) -> None:
    opened(page, ui_server(travelled), "Overview")
    plots = page.get_by_test_id("stVegaLiteChart")
    expect(plots.nth(1).locator("canvas, svg").first).to_be_visible()
    expect(page.get_by_text("Over time")).to_be_visible()
    assert plots.count() >= 3
    page.screenshot(path=screenshots / "explore-overview-light.png")

    # The first of the horizontal bars: that of the camera.
    page.get_by_text("Cameras").scroll_into_view_if_needed()
    bars = plots.nth(1).locator("canvas, svg").first
    left, top, width, _ = corners(bars)
    page.mouse.click(left + width * 0.5, top + 12)
    page.get_by_role("button", name="Search in PinholeCam <3>").click()

    expect(page.get_by_label("Camera", exact=True)).to_have_value("PinholeCam <3>")


def test_a_tag_is_searched_for(page: Page, ui_server: Serve, travelled: Path) -> None:
    opened(page, ui_server(travelled), "Overview")
    tag = page.locator(".st-key-tag button").first
    name = tag.inner_text().rsplit(" ", 1)[0].strip()
    tag.click()

    expect(page.get_by_label("Search", exact=True)).to_have_value(name)
    expect(page.locator(".grid .card").first).to_be_visible()

    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_text("Over time")).to_be_visible()
    page.wait_for_timeout(1500)
    expect(page.get_by_text("Over time")).to_be_visible()


def test_a_point_shows_its_picture_and_a_lasso_selects(
    page: Page, ui_server: Serve, travelled: Path, screenshots: Path
) -> None:
    opened(page, ui_server(travelled), "Map")
    canvas = drawn_map(page, 13)
    left, top, width, height = corners(canvas)

    tip = page.locator(".map .tip")
    for step in range(900):
        page.mouse.move(left + width * (step % 30 + 0.5) / 30, top + height * (step // 30) / 30)
        if tip.is_visible():
            break
    expect(tip.locator(".title")).to_contain_text(".jpg")
    expect(tip.locator("img")).to_be_visible()
    assert tip.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 9
    page.screenshot(path=screenshots / "explore-map-light.png")

    page.mouse.move(left + 3, top + 3)
    page.mouse.down()
    for across, down in ((0.998, 0.01), (0.998, 0.99), (0.01, 0.99), (0.01, 0.02)):
        page.mouse.move(left + width * across, top + height * down, steps=4)
    page.mouse.up()
    expect(page.get_by_text("13 assets selected")).to_be_visible()
    expect(page.locator(".cards .card")).to_have_count(13)
    page.screenshot(path=screenshots / "explore-lasso-light.png")

    page.get_by_role("button", name="Search like these").click()
    expect(page.get_by_role("button", name="like ").first).to_be_visible()
    expect(page.locator(".grid .card").first).to_be_visible()


def test_the_map_zooms_moves_and_hides_a_kind(
    page: Page, ui_server: Serve, travelled: Path
) -> None:
    opened(page, ui_server(travelled), "Map")
    canvas = drawn_map(page, 13)
    left, top, width, height = corners(canvas)
    frame = page.locator(".map")

    page.mouse.move(left + width / 2, top + height / 2)
    for _ in range(12):
        page.mouse.wheel(0, -400)
    expect(frame).not_to_have_attribute("data-drawn", "13")
    page.get_by_role("button", name="Show all").click()
    expect(frame).to_have_attribute("data-drawn", "13")

    page.get_by_role("button", name="Move").click()
    page.mouse.move(left + width / 2, top + height / 2)
    page.mouse.down()
    page.mouse.move(left + width * 0.98, top + height * 0.98, steps=5)
    page.mouse.up()
    expect(frame).not_to_have_attribute("data-drawn", "13")
    canvas.press("0")
    expect(frame).to_have_attribute("data-drawn", "13")

    page.get_by_role("button", name="Pictures 13").click()
    expect(frame).to_have_attribute("data-drawn", "0")


def test_a_box_on_the_world_becomes_a_filter(
    page: Page, ui_server: Serve, travelled: Path, screenshots: Path
) -> None:
    opened(page, ui_server(travelled), "Places")
    canvas = drawn_map(page, 3)
    left, top, width, height = corners(canvas)
    page.screenshot(path=screenshots / "explore-places-light.png")

    # Two of the three lie in the left half: Europe; the third is in Australia.
    page.mouse.move(left + 2, top + 2)
    page.mouse.down()
    page.mouse.move(left + width / 2, top + height - 2, steps=6)
    page.mouse.up()
    expect(page.get_by_text("2 assets selected")).to_be_visible()
    page.get_by_role("button", name="Search in this box").click()

    where = page.get_by_label("Any condition", exact=True)
    expect(where).to_have_value(re.compile(r"^inside\(-?[\d.]+(, -?[\d.]+){3}\)$"))


def test_near_duplicates_stand_together_and_lead_to_a_search(
    page: Page, ui_server: Serve, travelled: Path, screenshots: Path
) -> None:
    opened(page, ui_server(travelled), "Duplicates")
    expect(page.get_by_text("Near-duplicates: 1 group")).to_be_visible()
    cards = page.locator(".cards .card")
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("trip 0.jpg")
    expect(cards.first.locator("img")).to_be_visible()
    page.screenshot(path=screenshots / "explore-duplicates-light.png")

    cards.nth(1).click()
    expect(page.get_by_role("button", name="like trip 0 small.jpg")).to_be_visible()

    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_role("radio", name="Duplicates")).to_be_checked()
    expect(cards).to_have_count(2)


@pytest.mark.parametrize("view", ["Overview", "Map", "Places", "Duplicates"])
def test_every_view_is_drawn_in_the_dark(
    new_page: Callable[..., Page], ui_server: Serve, travelled: Path, screenshots: Path, view: str
) -> None:
    page = new_page(color_scheme="dark")
    opened(page, ui_server(travelled), view)
    signs = {
        "Overview": page.get_by_test_id("stVegaLiteChart").first,
        "Map": page.locator(".map canvas"),
        "Places": page.locator(".map canvas"),
        "Duplicates": page.locator(".cards .card").first,
    }
    expect(signs[view]).to_be_visible()
    page.wait_for_timeout(1000)
    page.screenshot(path=screenshots / f"explore-{view.lower()}-dark.png")
    expect(page.get_by_test_id("stException")).to_have_count(0)
