"""Files that break decoders are loaded or refused, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mmsearch.media import codec
from mmsearch.media.base import LoadOptions
from mmsearch.types import PictureFit, Span

DATA = Path(os.environ.get("MMSEARCH_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
CORPUS = DATA / "hostile"
WORKERS = 2
DEADLINE_S = 240
FILE_S = 20
MEMORY_MIB = 600

# Runs in a process of its own: a crash of a decoder shows as its exit status, and the last name
# that it printed is that of the file.
WORKER = """
import json, signal, sys, time
from pathlib import Path
import numpy as np
from mmsearch.errors import MediaError
from mmsearch.media import codec
from mmsearch.media.base import AudioBlock, Described, Picture
from mmsearch.media.registry import load

def late(*_):
    raise BaseException("too slow")

signal.signal(signal.SIGALRM, late)
options = codec.unpack_options(json.loads(sys.argv[1]))
fit = options.picture
for line in sys.stdin:
    path = Path(json.loads(line))
    print(json.dumps({"begun": str(path)}), flush=True)
    start, result, is_first = time.monotonic(), "loaded", True
    signal.alarm(FILE_S)
    try:
        for content in load(path, options):
            assert not is_first or isinstance(content, Described)
            is_first = False
            if isinstance(content, Picture):
                shape, pixels = content.pixels.shape, content.pixels
                assert pixels.dtype == np.uint8 and len(shape) == 3 and shape[2] == 3
                assert 0 < min(shape[:2]) and max(shape[:2]) <= fit.size_px
                assert fit.mode == "within" or shape == (fit.size_px, fit.size_px, 3)
            if isinstance(content, AudioBlock):
                assert content.samples.dtype == np.float32 and content.samples.ndim == 1
                assert np.abs(content.samples).max() <= 1 and content.start_s >= 0
                assert content.sample_rate_hz in options.sample_rates_hz
        assert not is_first
    except MediaError as exc:
        assert exc.path == str(path) and exc.reason
        result = type(exc).__name__
    except BaseException as exc:
        result = "wrong: " + repr(exc)
    finally:
        signal.alarm(0)
    # Not ru_maxrss: a child starts with the peak of the process that made it.
    status = Path("/proc/self/status")
    said = status.read_text().split("VmHWM:")[1] if status.exists() else "0"
    peak = int(said.split()[0]) // 1024
    seconds = time.monotonic() - start
    print(json.dumps({"path": str(path), "result": result, "s": seconds, "mib": peak}), flush=True)
""".replace("FILE_S", str(FILE_S))


def corpus() -> list[Path]:
    return sorted(path for path in CORPUS.rglob("*") if path.is_file())


def run(paths: list[Path], options: LoadOptions) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER, json.dumps(codec.pack_options(options))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    process.stdin.write("".join(json.dumps(str(path)) + "\n" for path in paths))
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus of hostile files at {CORPUS}")
@pytest.mark.parametrize(
    "options",
    [
        LoadOptions(),
        LoadOptions(
            picture=PictureFit("shortest", 224, "bicubic"), sample_rates_hz=(16_000, 48_000)
        ),
        LoadOptions(picture=PictureFit("letterbox", 384, "bilinear"), sample_rates_hz=(48_000,)),
        LoadOptions(only=Span(30.0, 30.0), page=1),
        LoadOptions(only=Span(2.5, 4.0), sample_rates_hz=(32_000,)),
    ],
    ids=["mini", "clip", "letterbox", "still", "stretch"],
)
def test_hostile_files_raise_media_errors_alone(options: LoadOptions) -> None:
    paths = corpus()
    processes = [run(paths[at::WORKERS], options) for at in range(WORKERS)]
    results = []
    for process in processes:
        out, _ = process.communicate(timeout=DEADLINE_S)
        lines = [json.loads(line) for line in out.splitlines()]
        assert process.returncode == 0, f"a decoder crashed: {lines[-1] if lines else 'at once'}"
        results += [line for line in lines if "path" in line]
    assert len(results) == len(paths)
    wrong = {line["path"]: line["result"] for line in results if line["result"].startswith("wrong")}
    assert not wrong
    assert max(line["mib"] for line in results) < MEMORY_MIB
    counts = Counter(line["result"] for line in results)
    assert counts["loaded"] > len(paths) / 2, counts
