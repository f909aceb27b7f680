"""How long after Enter the first thumbnails of a grid of 200 hits are seen, in a real browser.

`python -m benchmarks.ui_grid [SEGMENTS] [PICTURES]`: a library of so many made segments and, on
top, so many pictures cut out of the sample photographs, among which all searches are made. The
extra `ui`, playwright and Chromium are needed.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import mmsearch
from benchmarks import corpus

SEGMENTS = 100_000
PICTURES = 260
SIZE = {"width": 1280, "height": 800}
QUERIES = ("water", "an animal", "people on a stage", "a green garden", "food", "night", "stone")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHOTOS = Path(__file__).parents[1] / "sample_data" / "photos"
WATCH = """() => {
  window.timed = new Promise((tell) => {
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      const start = performance.now();
      const found = {};
      const grid = () => [...document.querySelectorAll(".st-key-grid *")]
        .find((one) => one.shadowRoot?.querySelector(".card"))?.shadowRoot;
      const before = new Set(grid()?.querySelectorAll(".card") ?? []);
      const look = () => {
        const now = [...(grid()?.querySelectorAll(".card") ?? [])];
        const cards = now.filter((one) => !before.has(one));
        if (cards.length) {
          found.grid ??= performance.now() - start;
          const inView = cards.filter((one) => one.getBoundingClientRect().top < innerHeight);
          const drawn = inView.filter((one) => one.querySelector("img")?.naturalWidth);
          if (drawn.length) found.first ??= performance.now() - start;
          if (drawn.length === inView.length) {
            const all = performance.now() - start;
            tell({...found, all, cards: cards.length, seen: drawn.length});
            return;
          }
        }
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, {once: true, capture: true});
  });
}"""


def main() -> None:
    segments = int(sys.argv[1]) if len(sys.argv) > 1 else SEGMENTS
    pictures = int(sys.argv[2]) if len(sys.argv) > 2 else PICTURES
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        if segments:
            corpus.library_in_child(folder / "library", segments)
        draw(folder / "pictures", pictures)
        with mmsearch.open(str(folder / "library")) as library:
            library.index(folder / "pictures")
        print(
            f"{segments:,} made segments and {pictures} pictures, {SIZE['width']}x{SIZE['height']}"
        )
        measure(folder)


def draw(folder: Path, count: int) -> None:
    """Pictures of 1200 by 900 that are no near-duplicates of each other."""
    from PIL import Image, ImageOps

    folder.mkdir()
    photos = sorted(PHOTOS.glob("*.jpg"))
    for number in range(count):
        turn, at = divmod(number, len(photos))
        with Image.open(photos[at]) as photo:
            width, height = photo.size
            left, top = (turn % 3) * width // 4, (turn // 3) * height // 4
            part = photo.convert("RGB").crop((left, top, left + width // 2, top + height // 2))
        turned = ImageOps.mirror(part) if turn % 2 else part
        turned.resize((1200, 900)).save(folder / f"{number:04d}.jpg", quality=85)


def measure(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    command = [sys.executable, "-m", "mmsearch", "ui", "--no-browser", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--library", str(folder / "library")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = re.search(r"http://\S+", server.stdout.readline())
        assert url is not None
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
            for name in ("thumbnails made now", "thumbnails made before"):
                visit(browser, url[0], folder / "pictures", name)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def visit(browser, url: str, pictures: Path, name: str) -> None:
    page = browser.new_context(viewport=SIZE).new_page()
    weight = {"bytes": 0, "requests": 0}
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")

    def finished(event) -> None:
        weight["bytes"] += event["encodedDataLength"]
        weight["requests"] += 1

    def received(event) -> None:
        weight["bytes"] += len(event["response"].get("payloadData", "")) * 3 // 4  # base64

    devtools.on("Network.loadingFinished", finished)
    devtools.on("Network.webSocketFrameReceived", received)
    page.goto(url)
    page.locator(".st-key-hello").wait_for()
    page.wait_for_timeout(1500)
    print(f"\n{name}: the empty page weighs {told(weight)}")
    for key, value in (("folder", str(pictures)), ("score", "anything")):
        field = page.locator(f".st-key-{key} input")
        field.fill(value)
        field.press("Enter")
        page.wait_for_timeout(800)
    page.get_by_text("More", exact=True).first.click()
    page.get_by_text("Near-duplicates one by one").click()
    page.wait_for_timeout(800)
    rows = []
    for number, line in enumerate((*QUERIES,)):
        box = page.locator(".st-key-q input")
        box.fill(line)
        weight.update(bytes=0, requests=0)
        page.evaluate(WATCH)
        box.press("Enter")
        found = page.evaluate("() => window.timed")
        page.wait_for_timeout(1200)
        if number == 0:
            print(f"the first answer, {found['cards']} cards, weighs {told(weight)}")
            continue  # it loads what searching needs
        rows.append(found)
    for key, label in (("grid", "grid"), ("first", "first thumbnail"), ("all", "all in view")):
        times = [row[key] for row in rows]
        print(f"{label:<16} median {statistics.median(times):6.0f} ms, worst {max(times):6.0f} ms")
    print(f"cards {rows[0]['cards']}, in view {rows[0]['seen']}; an answer weighs {told(weight)}")
    page.context.close()


def told(weight: dict[str, int]) -> str:
    return f"{weight['bytes'] / 1000:,.0f} kB in {weight['requests']} requests"


if __name__ == "__main__":
    main()
