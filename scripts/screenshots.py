"""Takes the pictures of the README: the search page and the terminal, over sample_data.

Run from the repository: `make screenshots`, or `.venv/bin/python scripts/screenshots.py FOLDER`.
It needs Chromium: that of the system, or the one that `MMSEARCH_TEST_BROWSER` names.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
MMSEARCH = (sys.executable, "-m", "mmsearch")
COMMANDS = (
    ("search", "ask not what your country can do for you", "-n", "2"),
    ("search", "a castle in the mountains", "--kinds", "image", "-n", "3"),
    ("search", "my bicycle chain squeaks", "-n", "1"),
)
QUESTION = "a castle in the mountains"
COLUMNS = 110
JPEG_QUALITY = 82
ANSWER_MS = 120_000
IMAGES_LOADED = """images => Promise.all(images.map(image => image.complete && image.naturalWidth
    || new Promise(resolve => image.addEventListener("load", resolve))))"""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def main() -> None:
    """Take both pictures into the folder that the first argument names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("MMSEARCH_TEST_BROWSER") or shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no Chromium: install it, or name one in MMSEARCH_TEST_BROWSER")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        library = Path(scratch, "library")
        subprocess.run(
            [*MMSEARCH, "index", "sample_data", "--library", library], cwd=ROOT, check=True
        )
        browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        take_terminal(browser, library, folder / "terminal.png")
        with serve_pages(library) as url:
            take_page(browser, url, folder / "search.jpg")
        browser.close()


def take_terminal(browser: Browser, library: Path, target: Path) -> None:
    """Run the commands in a terminal of `COLUMNS` columns and draw what they print."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for command in COMMANDS:
        shown = " ".join(f'"{word}"' if " " in word else word for word in command)
        console.print(Text.assemble(("$ ", "bold green"), (f"mmsearch {shown}", "bold")))
        console.print(Text.from_ansi(run_in_terminal([*command, "--library", str(library)])))
    page = browser.new_page(viewport={"width": 1000, "height": 600}, device_scale_factor=1.5)
    html = console.export_html(theme=MONOKAI, inline_styles=True)
    page.set_content(
        html.replace("<body", '<body style="padding:12px;background:#0c0c0c;font-size:14px"')
    )
    page.locator("pre").screenshot(path=target)
    page.close()


def run_in_terminal(arguments: list[str]) -> str:
    """Run `mmsearch` on a pseudo-terminal; returns all that it writes there."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(
        [*MMSEARCH, *arguments], cwd=ROOT, env=environment, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        parts = []
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            parts.append(part)
        process.wait()
    os.close(leader)
    return b"".join(parts).decode().replace("\r\n", "\n").replace(str(ROOT), "~").rstrip()


@contextmanager
def serve_pages(library: Path) -> Iterator[str]:
    """Run `mmsearch ui` on a free port of this machine; gives its address."""
    command = [*MMSEARCH, "ui", "--no-browser", "--port", "0", "--library", str(library)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = next(
                match[0]
                for line in process.stdout
                if (match := re.search(r"http://[\w.:]+:\d+", line))
            )
            yield address
        finally:
            process.terminate()


def take_page(browser: Browser, url: str, target: Path) -> None:
    """Search for `QUESTION` and keep the page when all its pictures are there."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(ANSWER_MS)
    page.goto(url)
    box = page.locator(".st-key-q input")
    box.fill(QUESTION)
    box.press("Enter")
    page.locator(".card").first.wait_for()
    page.locator(".card img[loading=eager]").evaluate_all(IMAGES_LOADED)
    page.screenshot(path=target, type="jpeg", quality=JPEG_QUALITY)
    page.close()


if __name__ == "__main__":
    main()
