"""Converts a model in another process, so that this one never imports torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmsearch import errors
from mmsearch.errors import MmsearchError, ModelError

COMMAND = (sys.executable, "-P", "-m", "mmsearch.models.conversion.worker")
"""-P: nothing is imported from the working directory."""
MAX_LOG_CHARACTERS = 2000
"""Characters of the log of a failed worker that are read for the message."""

OnProgress = Callable[[str, float], object]


def run_conversion(
    encoder: str,
    source: Path,
    target: Path,
    *,
    settings: Mapping[str, str] | None = None,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Converts the model in `source` into `target` and returns the parts of the card.

    `on_progress` is called with the current step and the share that is done (0..1). The process
    ends with this call, however it ends. Raises ModelError, or MissingExtra if packages are not
    installed.
    """
    request = {
        "encoder": encoder,
        "source": str(source.absolute()),
        "target": str(target.absolute()),
        "settings": dict(settings or {}),
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(  # noqa: S603  # this interpreter, and no words of a user
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=_make_environment(),
        )
        try:
            answer = _read_answer(process, request, on_progress)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        if "done" in answer:
            parts: dict[str, Any] = answer["done"]
            return parts
        log.seek(0)
        raise _make_error(answer, process.returncode, log.read()[-MAX_LOG_CHARACTERS:].strip())


def _make_environment() -> dict[str, str]:
    """Returns the environment without the hub and without fork warnings of tokenizers."""
    root = str(Path(__file__).parents[3])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
    }


def _read_answer(
    process: subprocess.Popen[str], request: Mapping[str, Any], on_progress: OnProgress
) -> dict[str, Any]:
    """Returns the last answer of a worker; empty if it ends without one."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("the worker was started with pipes")
    try:
        process.stdin.write(json.dumps(request))
        process.stdin.close()
    except BrokenPipeError:
        pass  # it died at its start; its log tells why
    for line in process.stdout:
        answer: dict[str, Any] = json.loads(line)
        if "progress" not in answer:
            return answer
        on_progress(answer["progress"], float(answer["share"]))
    process.wait()
    return {}


def _make_error(answer: Mapping[str, Any], code: int, log: str) -> MmsearchError:
    kind = getattr(errors, str(answer.get("error", "")), ModelError)
    if answer:
        error: MmsearchError = kind(str(answer["message"]))
        return error
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    memory = "; was there enough memory?" if code == -9 else ""
    last = log.splitlines()[-1] if log else "it said nothing"
    return ModelError(f"the conversion {how}{memory}: {last}")
