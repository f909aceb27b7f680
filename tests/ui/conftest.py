"""A server of its own for each library, and pages of a real browser that may only talk to it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
COMMAND = (sys.executable, "-m", "mmsearch", "ui", "--no-browser", "--port", "0")
START_S = 60
STOP_S = 15
ANSWER_MS = 20_000
"""How long a page waits for anything: the machine may be busy with other tests."""
SIZE = {"width": 1280, "height": 800}

HAS_STREAMLIT = importlib.util.find_spec("streamlit") is not None
collect_ignore_glob = [] if HAS_STREAMLIT else ["test_*.py"]

Serve = Callable[[Path], str]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if not HAS_STREAMLIT:
        terminalreporter.write_line("tests/ui left out: streamlit is not installed (extra `ui`)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a browser on a busy machine is too slow for is tried twice more, and is reported so."""
    for item in items:
        if "new_page" in getattr(item, "fixturenames", ()):
            late = ["TimeoutError", "Locator expected"]
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=late))


class Server:
    """`mmsearch ui` in a process of its own, at `url`; its standard error is in a file."""

    def __init__(self, library: Path, errors: Path) -> None:
        self._errors = errors
        self._said = errors.open("wb")
        self._process = subprocess.Popen(
            [*COMMAND, "--library", str(library)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        self.url = self._bound()

    def _bound(self) -> str:
        """The address that it prints."""
        assert self._process.stdout is not None
        said: list[bytes] = []
        # A process that prints nothing is not waited for without an end.
        watch = threading.Timer(START_S, self._process.kill)
        watch.start()
        for line in self._process.stdout:
            said.append(line)
            found = re.search(rb"http://[\w.:\[\]]+:\d+", line)
            if found is not None:
                watch.cancel()
                return found[0].decode()
        watch.cancel()
        raise AssertionError(f"no address was printed: {b''.join(said)!r}\n{self.errors()}")

    def errors(self) -> str:
        """All that it wrote to standard error so far."""
        return self._errors.read_text(errors="replace")

    def stop(self) -> int:
        """Tell it to stop as Ctrl-C does; returns its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._said.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[Path, Server]]:
    """Those that run, by their library; stopped when the tests end."""
    running: dict[Path, Server] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(scope="session")
def ui_server(servers: dict[Path, Server], tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Call it with a library, which need not be there yet, and get the address of its server."""

    def serve(library: Path) -> str:
        if library not in servers:
            servers[library] = Server(library, tmp_path_factory.mktemp("server") / "stderr")
        return servers[library].url

    return serve


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[[Path], Server]]:
    """The same, but of the test alone, which may stop it."""
    started: list[Server] = []

    def serve(library: Path) -> Server:
        started.append(Server(library, tmp_path / f"stderr-{len(started)}"))
        return started[-1]

    yield serve
    for server in started:
        server.stop()


# Not for the session: as long as it is there an event loop runs in this thread, and no other can.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that `MMSEARCH_TEST_BROWSER` names; skips without any."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no browser is driven"
    )
    named = os.environ.get("MMSEARCH_TEST_BROWSER")
    path = named or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine: the browser tests are left out")
    playwright.expect.set_options(timeout=ANSWER_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def usual(browser: Browser) -> BrowserContext:
    """The profile of pages that ask for no other: what they load is loaded once."""
    return _profile(browser)


def _profile(browser: Browser, **settings: object) -> BrowserContext:
    context = browser.new_context(**{"viewport": SIZE, "accept_downloads": True, **settings})  # type: ignore[arg-type]
    context.set_default_timeout(ANSWER_MS)
    return context


@pytest.fixture
def new_page(browser: Browser, usual: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Makes pages; with arguments, those of `new_context`, each has a profile of its own.

    When the test ends, every request that a page made must have stayed on this machine, and no
    script may have failed or been kept from running by the content security policy.
    """
    pages: list[Page] = []
    left: list[str] = []
    broken: list[str] = []

    def make(**settings: object) -> Page:
        page = (_profile(browser, **settings) if settings else usual).new_page()
        pages.append(page)
        page.on("request", lambda request: left.append(request.url))
        page.on("websocket", lambda socket: left.append(socket.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on(
            "console",
            lambda message: (
                broken.append(message.text) if "Content Security Policy" in message.text else None
            ),
        )
        return page

    yield make
    for page in pages:
        page.close()
        if page.context is not usual:
            page.context.close()
    assert [url for url in left if not is_local(url)] == []
    assert broken == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """One page of the usual size."""
    return new_page()


def is_local(url: str) -> bool:
    """Whether a request stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or parts.hostname in ("127.0.0.1", "localhost", "::1")


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pages are kept as pictures, to be looked at; git ignores it."""
    SCREENSHOTS.mkdir(exist_ok=True)
    return SCREENSHOTS
