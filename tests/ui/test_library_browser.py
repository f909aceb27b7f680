"""The page of the library in a real browser: index, watch, stop, read a failure, try again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: no browser is driven")

from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


Serve = Callable[[Path], str]
DONE_MS = 120_000
HOSTILE_NAME = "<img src=x onerror=boom()> *broken* :red[x].jpg"


def folder_of(root: Path, sample_data: Path, *names: str) -> Path:
    """Copies of some of the sample files."""
    folder = root / "media"
    folder.mkdir()
    for name in names:
        shutil.copy(sample_data / name, folder)
    return folder


def add(page: Page, folder: Path) -> None:
    """Index a folder by its path."""
    box = page.get_by_label("Add a folder or a file")
    box.fill(str(folder))
    box.press("Enter")
    page.get_by_role("button", name="Index", exact=True).click()


def test_a_folder_is_indexed_while_one_watches_and_looks_elsewhere(
    page: Page, ui_server: Serve, sample_data: Path, tmp_path: Path, screenshots: Path
) -> None:
    names = [f"photos/{one.name}" for one in sorted((sample_data / "photos").glob("IMG_0*"))[:14]]
    folder = folder_of(tmp_path, sample_data, "recordings/voice_memo_03.flac", *names)
    whole = (sample_data / "photos/breakfast.jpg").read_bytes()
    (folder / HOSTILE_NAME).write_bytes(whole[: len(whole) // 50])
    page.goto(f"{ui_server(tmp_path / 'library')}/library")
    expect(page.get_by_text("Nothing is indexed yet")).to_be_visible()

    add(page, folder)
    bar = page.get_by_role("progressbar")
    expect(bar).to_be_visible()
    expect(page.get_by_text("of 16 files").first).to_be_visible(timeout=DONE_MS)
    page.screenshot(path=screenshots / "library-indexing.png")
    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_role("link", name="Library")).to_be_visible()
    page.get_by_role("link", name="Library").click()

    expect(page.get_by_text("15 indexed")).to_be_visible(timeout=DONE_MS)
    expect(bar).to_have_count(0)
    failures = page.get_by_text("1 file could not be indexed")
    expect(failures).to_have_count(1)
    failures.click()
    expect(page.get_by_test_id("stExpander").get_by_test_id("stDataFrame")).to_be_visible()
    page.get_by_role("radio", name="Failed files").click()
    expect(page.get_by_text("1 could not be indexed")).to_be_visible()
    page.screenshot(path=screenshots / "library-failed.png")
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    table = Path(download.value.path()).read_text()
    assert HOSTILE_NAME in table
    assert "DecodeError" in table

    page.get_by_role("button", name="Try again").click()
    expect(failures).to_have_count(2, timeout=DONE_MS)


def test_a_job_is_stopped_and_the_next_one_waits_for_its_turn(
    page: Page, ui_server: Serve, sample_data: Path, tmp_path: Path
) -> None:
    folder = folder_of(
        tmp_path, sample_data, *(f"sounds/{one.name}" for one in (sample_data / "sounds").iterdir())
    )
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(sample_data / "photos/beach.jpg", other)
    page.goto(f"{ui_server(tmp_path / 'library')}/library")

    add(page, folder)
    expect(page.get_by_role("progressbar")).to_be_visible()
    add(page, other)
    expect(page.get_by_text("waits for its turn")).to_be_visible()
    page.get_by_role("button", name="Stop").first.click()

    expect(page.get_by_text("what was finished is kept")).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_text("1 indexed")).to_be_visible(timeout=DONE_MS)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


def test_a_folder_is_chosen_from_those_that_there_are(
    page: Page, ui_server: Serve, small_library: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos" / "*summer* 2024").mkdir(parents=True)
    page.goto(f"{ui_server(small_library)}/library")
    page.get_by_role("button", name="Browse").click()
    box = page.get_by_label("From", exact=True)
    box.fill(str(tmp_path))
    box.press("Enter")

    page.get_by_role("button", name="photos", exact=False).click()
    page.get_by_role("button", name="*summer* 2024").click()
    expect(page.get_by_text("No folders in here.")).to_be_visible()
    page.get_by_role("button", name="Take this folder").click()

    expect(page.get_by_label("Add a folder or a file")).to_have_value(
        str(tmp_path / "photos/*summer* 2024")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_part_is_drawn(
    new_page: Callable[..., Page],
    ui_server: Serve,
    small_library: Path,
    screenshots: Path,
    scheme: str,
) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{ui_server(small_library)}/library")
    for part, sign in (
        ("Folders", "All folders with files"),
        ("Failed files", "could be indexed"),
        ("Search index", "Exact search compares"),
        ("Models", "this library"),
        ("Disk", "On disk"),
        ("Check-up", "Looks at the installation"),
    ):
        page.get_by_role("radio", name=part).click()
        expect(page.get_by_text(sign).first).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)
        page.wait_for_timeout(300)
        name = part.lower().replace(" ", "-")
        page.screenshot(path=screenshots / f"library-{name}-{scheme}.png")
