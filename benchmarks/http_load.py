"""Searches over HTTP by 1, 16 and 64 clients, beside the process itself and a plain server.

`python -m benchmarks.http_load [--segments N] [--seconds S] [--clients 1,16,64] [--library DIR]`.
The library is that of `warm_search`, the plain server FastAPI and LanceDB (`http_peer`). No query
is asked twice: one that was asked before need not be encoded. Clients are those of `wrk` where it
is installed, which takes its share of the processors, else threads. `--soak S` runs a mixed load
beside an index that is made anew again and again, and tells errors and memory.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

import mmsearch
from benchmarks import corpus
from mmsearch.config import cpu_count
from mmsearch.server.http.settings import choose_thread_count

SEGMENTS = 100_000
WARM_S = 2.0
SEED = itertools.count(1)
VOCABULARY = sorted({word for word in corpus.WORDS if word.isalpha()})
WRK = """
local words = {%(words)s}
local headers = {["Content-Type"] = "application/json"}
local threads = {}
function setup(thread) thread:set("seed", %(seed)d + #threads); table.insert(threads, thread) end
function init(args) math.randomseed(seed); other = 0; busy = 0 end
function request()
  local said = {}
  for i = 1, 5 do said[i] = words[math.random(#words)] end
  local body = '{"query": "' .. table.concat(said, " ") .. '"}'
  return wrk.format("POST", "/v1/search", headers, body)
end
function response(status)
  if status == 429 then busy = busy + 1 elseif status ~= 200 then other = other + 1 end
end
function done(summary, latency, requests)
  local errors, refused = 0, 0
  for _, thread in ipairs(threads) do
    errors = errors + thread:get("other")
    refused = refused + thread:get("busy")
  end
  local e = summary.errors
  errors = errors + e.connect + e.read + e.write + e.timeout
  io.write(string.format('\\n{"p50": %%f, "p99": %%f, "rate": %%f, "errors": %%d, "busy": %%d}\\n',
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.requests / summary.duration * 1e6, errors, refused))
end
"""


@dataclass(frozen=True)
class Load:
    """Milliseconds, requests a second, answers that were neither 200 nor 429, and those of 429."""

    p50: float
    p99: float
    rate: float
    errors: int
    busy: int


def query(words: random.Random) -> str:
    return " ".join(words.choices(VOCABULARY, k=5))


def by_wrk(url: str, clients: int, seconds: float) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        words = ", ".join(f'"{word}"' for word in VOCABULARY)
        script.write(WRK % {"words": words, "seed": 1000 * next(SEED)})
        script.flush()
        options = ["-t", str(min(2, clients)), "-c", str(clients), "--timeout", "60s"]
        told = subprocess.run(
            ["wrk", *options, "-d", f"{max(1, round(seconds))}s", "-s", script.name, url],
            capture_output=True, text=True, check=True, timeout=seconds + 120,
        ).stdout  # fmt: skip
    return Load(**json.loads(told.strip().splitlines()[-1]))


def by_threads(url: str, clients: int, seconds: float) -> Load:
    until = time.monotonic() + seconds
    times: list[float] = []
    statuses: Counter[int] = Counter()

    def run(seed: int) -> None:
        words = random.Random(seed)
        with Client(url) as client:
            while time.monotonic() < until:
                started = time.perf_counter()
                statuses[client.ask("POST", "/v1/search", {"query": query(words)})] += 1
                times.append(1000 * (time.perf_counter() - started))

    together([partial(run, next(SEED)) for _ in range(clients)])
    p50, p99 = np.percentile(times, [50, 99])
    other = sum(count for status, count in statuses.items() if status not in (200, 429))
    return Load(p50, p99, len(times) / seconds, other, statuses[429])


def together(works: list) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Client:
    """One connection; 0 is the status of what was not answered at all."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None, headers: dict | None = None) -> int:
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            self.last = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        return answer.status


def in_process(library: Path, threads: int, seconds: float) -> Load:
    """The same searches without HTTP, by so many threads."""
    times: list[float] = []
    with mmsearch.open(library) as opened:
        opened.warm_up()

        def run(seed: int, until: float, times: list[float]) -> None:
            words = random.Random(seed)
            while time.monotonic() < until:
                started = time.perf_counter()
                opened.search(query(words))
                times.append(1000 * (time.perf_counter() - started))

        run(next(SEED), time.monotonic() + WARM_S, [])
        until = time.monotonic() + seconds
        together([partial(run, next(SEED), until, times) for _ in range(threads)])
    p50, p99 = np.percentile(times, [50, 99])
    return Load(p50, p99, len(times) / seconds, 0, 0)


@contextlib.contextmanager
def served(library: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen]]:
    command = [sys.executable, "-m", "mmsearch", "serve", "--library", str(library)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--json", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        yield json.loads(process.stdout.readline())["url"], process
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def peer(library: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.http_peer", str(library), str(port)]
    )
    url = f"http://127.0.0.1:{port}"
    try:
        with Client(url) as client:
            while client.ask("GET", "/openapi.json") != 200:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def made(folder: Path, segments: int) -> Path:
    """The library of `warm_search`."""
    library = folder / "library"
    corpus.library_in_child(library, segments)
    (folder / "more").mkdir()
    (folder / "more" / "note.txt").write_text("a man on a horse in the snow")
    with mmsearch.open(library) as opened:
        opened.index(folder / "more")  # makes what searching needs
    return library


def tell(name: str, load: Load, beside: float = 0.0) -> None:
    share = f"{load.rate / beside:>9.2f}" if beside else f"{'':>9}"
    print(f"{name:<38}{load.p50:>8.1f}{load.p99:>8.1f}{load.rate:>9.1f}{share}"
          f"{load.errors:>8}{load.busy:>6}", flush=True)  # fmt: skip


def race(library: Path, clients: list[int], seconds: float, threads: int) -> None:
    load = by_wrk if shutil.which("wrk") else by_threads
    print(f"{threads} threads at work; clients by {load.__name__[3:]}; {seconds:g} s each; ms")
    print(f"{'':<38}{'p50':>8}{'p99':>8}{'a s':>9}{'share':>9}{'errors':>8}{'429':>6}")
    alone = in_process(library, 1, seconds)
    tell("in the process, 1 thread", alone)
    beside = in_process(library, threads, seconds)
    tell(f"in the process, {threads} threads", beside)
    for name, server in (
        ("mmsearch serve", served(library, "--threads", str(threads))),
        ("FastAPI + LanceDB, texts only", peer(library)),
    ):
        with server as found:
            url = found if isinstance(found, str) else found[0]
            by_threads(url, 4, WARM_S)
            for count in clients:
                told = load(url, count, seconds)
                tell(f"{name}, {count} client{'s'[: count > 1]}", told, beside.rate)


def soak(library: Path, folder: Path, seconds: float) -> None:
    """Searches, pictures, vectors and thumbnails, beside an index that is always being changed."""
    files = folder / "changing"
    files.mkdir()
    with served(library, "--threads", str(choose_thread_count(cpu_count()))) as (url, process):
        until = time.monotonic() + seconds
        statuses: Counter[tuple[str, int]] = Counter()
        works = [partial(mixed, url, random.Random(seed), until, statuses) for seed in range(8)]
        works.append(partial(change, library, files, until))
        watching = threading.Thread(target=watch, args=(process.pid, until, seconds))
        watching.start()
        together(works)
        watching.join()
    for (what, status), count in sorted(statuses.items()):
        print(f"{what:<12}{status:>6}{count:>9}")
    wrong = sum(count for (_, status), count in statuses.items() if status not in (200, 206, 429))
    print(f"{sum(statuses.values())} requests, {wrong} errors")


def mixed(url: str, words: random.Random, until: float, statuses: Counter) -> None:
    picture = (Path(__file__).parents[1] / "sample_data/photos/beach.jpg").read_bytes()
    head = b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n--x\r\n'
    head += b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    with Client(url) as client:
        while time.monotonic() < until:
            what = words.choices(
                ("search", "narrow", "asset", "picture", "vectors", "status"), (60, 15, 15, 3, 5, 2)
            )[0]
            if what == "search":
                status = client.ask("POST", "/v1/search", {"query": query(words)})
            elif what == "narrow":
                asked = {"query": query(words), "kinds": ["text"], "where": "size < 10MB"}
                status = client.ask("POST", "/v1/search", asked | {"min_score": 0, "limit": 50})
            elif what == "asset":
                client.ask("POST", "/v1/search", {"query": query(words), "min_score": 0})
                hits = json.loads(client.last).get("hits") or [{"asset_url": "/healthz"}]
                status = client.ask("GET", words.choice(hits)["asset_url"])
                if status == 404:  # its file went, or was written anew, and is indexed already
                    what, status = "asset that went", 200
            elif what == "picture":
                # Another picture each time: one that was seen before need not be decoded.
                noise = words.randbytes(8)
                status = client.ask(
                    "POST", "/v1/search", head + picture + noise + b"\r\n--x--\r\n", form
                )
            elif what == "vectors":
                asked = {"model": "text", "input": [query(words) for _ in range(8)]}
                status = client.ask("POST", "/v1/embeddings", asked)
            else:
                status = client.ask("GET", "/v1/status")
            statuses[what, status] += 1


def change(library: Path, files: Path, until: float) -> None:
    """Files come, change and go, and are indexed by a process of its own."""
    words = random.Random(7)
    runs = 0
    while time.monotonic() < until:
        for number in range(20):
            (files / f"{words.randrange(100)}.txt").write_text(f"{query(words)} {number}")
        for path in words.sample(sorted(files.iterdir()), 5):
            path.unlink()
        subprocess.run(
            [sys.executable, "-m", "mmsearch", "index", str(files), "--library", str(library),
             "--prune", "--json"],
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        runs += 1
        time.sleep(1)
    print(f"indexed anew {runs} times")


def watch(pid: int, until: float, seconds: float) -> None:
    """The server's memory: medians of each tenth of the time, for single answers are peaks.

    Anonymous memory is its own; resident memory counts the pages of files too, which the system
    takes back when it wants to.
    """
    server = psutil.Process(pid)
    began = until - seconds
    tenths: list[list[tuple[int, int, int]]] = [[] for _ in range(10)]
    while (now := time.monotonic()) < until - 1:
        below = sum(child.memory_info().rss for child in server.children(recursive=True))
        own = (server.memory_info().rss, anonymous_bytes(pid), below)
        tenths[max(0, int((now - began) / seconds * 10))].append(own)
        time.sleep(min(1.0, seconds / 100))
    for number, samples in enumerate(filter(None, tenths), 1):
        resident, anonymous, decoders = np.median(samples, axis=0) / 1e6
        most = max(sample[1] for sample in samples) / 1e6
        print(f"tenth {number:>2}: {resident:.0f} MB resident, {anonymous:.0f} anonymous "
              f"(at most {most:.0f}), decoders {decoders:.0f}")  # fmt: skip
    print(f"{server.num_fds()} descriptors, {server.num_threads()} threads", flush=True)


def anonymous_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(text.split("Anonymous:")[1].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=SEGMENTS)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", default="1,16,64")
    parser.add_argument("--threads", type=int, default=choose_thread_count(cpu_count()))
    parser.add_argument("--library", type=Path, help="one that is there; it may be written to")
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = asked.library or made(Path(folder), asked.segments)
        if asked.soak:
            soak(library, Path(folder), asked.soak)
        else:
            clients = [int(count) for count in asked.clients.split(",")]
            race(library, clients, asked.seconds, asked.threads)


if __name__ == "__main__":
    main()
