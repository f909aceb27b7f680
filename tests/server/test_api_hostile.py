"""Files that break decoders, sent as queries: answered or refused, in bounded time and memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from mmsearch.library.library import Library
from mmsearch.server.http.app import create_app
from tests.fakes import fake_library, write_picture
from tests.server.live import problem, served, settings_of

CLIENTS = 3
FILE_S = 30
GROWTH_BYTES = 400 * 1024**2


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    write_picture(tmp_path / "files" / "red.png", "red")
    with fake_library(tmp_path / "library") as opened:
        opened.index(tmp_path / "files")
        yield opened


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_hostile_files_are_answered_or_refused(data: Path, library: Library) -> None:
    paths = sorted(path for path in (data / "hostile").rglob("*") if path.is_file())
    assert len(paths) > 500
    app = create_app(settings_of(library, slow_threads=2, timeout_s=FILE_S), library)
    before = psutil.Process().memory_info().rss
    with served(app) as url, httpx.Client(timeout=60, verify=False) as client:

        def send(path: Path) -> tuple[int, float]:
            began = time.monotonic()
            with path.open("rb") as file:
                answer = client.post(
                    f"{url}/v1/search",
                    files={"request": (None, "{}"), "file": (path.name, file)},
                )
            if answer.status_code != 200:
                told = problem(answer, 422, "bad-media" if "part" in answer.json() else "bad-query")
                assert str(path.parent) not in told["detail"]
                assert "upload-" not in told["detail"]
            return answer.status_code, time.monotonic() - began

        with ThreadPoolExecutor(CLIENTS) as pool:
            found = list(pool.map(send, paths))
        assert client.get(f"{url}/healthz").status_code == 200
        assert client.post(f"{url}/v1/search", json={"query": "red"}).json()["total"] == 1
        assert not list(Path(app.state.backend._spool.path).iterdir())
    counts = Counter(status for status, _ in found)
    assert set(counts) == {200, 422}
    assert max(seconds for _, seconds in found) < FILE_S
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES
