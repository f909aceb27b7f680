"""Indexes the corpus of hostile files, and documents that are bombs: nothing may crash or hang."""

from __future__ import annotations

import collections
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.hostile_documents import write_documents

BOMB_BYTES = 1 << 30
FLAGS = ("--json", "--hidden")


def tree_mb(root: int) -> float:
    """Resident memory of a process and all below it, shared pages counted once (PSS), in MB."""
    parents: dict[int, list[int]] = collections.defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(stat.rsplit(")", 1)[1].split()[1])].append(int(entry.name))
    total, stack = 0, [root]
    while stack:
        process = stack.pop()
        stack += parents[process]
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("the corpus", measure.test_data() / "hostile", Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents"
        documents.mkdir()
        write_documents(documents, BOMB_BYTES)
        run(f"documents that unpack to {BOMB_BYTES >> 20} MiB each", documents, Path(folder))


def run(name: str, media: Path, folder: Path) -> None:
    """Indexes a folder and prints how it ended."""
    files = sum(1 for path in media.rglob("*") if path.is_file())
    started = time.perf_counter()
    process = subprocess.Popen(
        [*measure.MMSEARCH, "index", str(media), "--library", f"{folder}/library", *FLAGS],
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = 0.0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_mb(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    errors: collections.Counter[str] = collections.Counter()
    finished: dict[str, float] = {}
    for line in process.stdout or ():
        event = json.loads(line)
        if event["event"] == "failed":
            errors[event["error"]] += 1
        if event["event"] == "finished":
            finished = event
    watcher.join()
    seconds = time.perf_counter() - started
    accounted = sum(int(finished.get(key, 0)) for key in ("indexed", "failed", "skipped"))
    print(f"{name}: files {files}, accounted for {accounted}, exit code {process.returncode}")
    counts = ", ".join(f"{key} {finished.get(key)}" for key in ("indexed", "partial", "failed"))
    print(f"{counts}: {dict(errors)}")
    print(f"{seconds:.1f} s, peak memory of all processes {peak:.0f} MB (target 1500)")


if __name__ == "__main__":
    main()
