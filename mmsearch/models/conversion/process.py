"""Has a model converted by another process, so that this one never imports torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from mmsearch import errors
from mmsearch.errors import MmsearchError, ModelError

COMMAND = (sys.executable, "-P", "-m", "mmsearch.models.conversion.worker")
"""-P: the folder that one happens to be in is no place to import from."""
LAST_WORDS = 2000
"""Characters of what a worker that broke down has said, for the message."""

OnProgress = Callable[[str, float], object]


def run(
    encoder: str,
    source: Path,
    target: Path,
    *,
    settings: Mapping[str, str] | None = None,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Convert the model in the folder `source` into the folder `target`; returns its card's parts.

    `on_progress` is told what is being done and how much of it is done (0..1). The process ends
    with this call, however it ends. Raises what the conversion raises: ModelError, MissingExtra
    where packages are not installed.
    """
    asked = {
        "encoder": encoder,
        "source": str(source.absolute()),
        "target": str(target.absolute()),
        "settings": dict(settings or {}),
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(  # noqa: S603  # this interpreter, and no words of a user
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
            env=_environment(),
        )
        try:
            answer = _answer(process, asked, on_progress)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        if "done" in answer:
            done: dict[str, Any] = answer["done"]
            return done
        raise _error(answer, process.returncode, _tail(said))


def _environment() -> dict[str, str]:
    """Without the hub and without fork warnings of tokenizers: what is wanted is in the folder."""
    here = str(Path(__file__).parents[3])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
    }


def _answer(
    process: subprocess.Popen[str], asked: Mapping[str, Any], on_progress: OnProgress
) -> dict[str, Any]:
    """The last thing a worker says; empty when it ends without a word."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("the worker was started with pipes")
    try:
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
    except BrokenPipeError:
        pass  # it died at its start; what it said tells why
    for line in process.stdout:
        told: dict[str, Any] = json.loads(line)
        if "progress" not in told:
            return told
        on_progress(told["progress"], float(told["share"]))
    process.wait()
    return {}


def _tail(said: IO[str]) -> str:
    said.seek(0)
    return said.read()[-LAST_WORDS:].strip()


def _error(answer: Mapping[str, Any], code: int, said: str) -> MmsearchError:
    kind = getattr(errors, str(answer.get("error", "")), ModelError)
    if answer:
        error: MmsearchError = kind(str(answer["message"]))
        return error
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    memory = "; was there enough memory?" if code == -9 else ""
    last = said.splitlines()[-1] if said else "it said nothing"
    return ModelError(f"the conversion {how}{memory}: {last}")
