"""The process that converts a model: torch and its like are imported here and nowhere else.

It reads one JSON object from stdin and writes JSON objects to stdout, a line each:

    in   {"encoder": "open-clip", "source": FOLDER, "target": FOLDER, "settings": {...}}
    out  {"progress": "exporting the image tower", "share": 0.3}   any number of times
         {"done": {...}}   or   {"error": "ModelError", "message": "..."}   once, last

`{"resolve": "ViT-B-32/openai"}` requests the hub repository of an open_clip ARCHITECTURE/TAG.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from mmsearch.errors import ConfigError, MissingExtra, MmsearchError, ModelError

CONVERTERS: Mapping[str, str] = MappingProxyType(
    {
        "open-clip": "mmsearch.models.conversion.open_clip:convert",
        "clap": "mmsearch.models.conversion.clap:convert",
        "sentence": "mmsearch.models.conversion.sentence:convert",
    }
)
"""The functions that convert models, by the encoder that runs them."""
EXTRA = "pip install 'mmsearch[clip]'"


def main() -> int:
    """Executes the request on stdin; returns 0 if it succeeds."""
    # Output of libraries, in Python or below it, must not mix with the answers.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        answer: dict[str, Any]
        try:
            answer = {"done": _execute(json.load(sys.stdin), answers)}
        except MmsearchError as exc:
            answer = {"error": type(exc).__name__, "message": str(exc)}
        except ImportError as exc:
            answer = {
                "error": MissingExtra.__name__,
                "message": f"converting a model needs {exc.name or exc}: {EXTRA}",
            }
        except MemoryError:
            answer = {
                "error": ModelError.__name__,
                "message": "there is too little memory to convert this model: convert it on a "
                "larger machine and bring it over with `mmsearch models export`",
            }
        _write(answers, answer)
    return int("error" in answer)


def _write(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def _execute(request: Mapping[str, Any], answers: IO[str]) -> dict[str, Any]:
    if "resolve" in request:
        from mmsearch.models.conversion.open_clip_files import resolve_repository

        return {"repository": resolve_repository(str(request["resolve"]))}
    converted: dict[str, Any] = find_converter(str(request["encoder"]))(
        Path(request["source"]),
        Path(request["target"]),
        settings=request.get("settings", {}),
        on_progress=lambda step, share: _write(
            answers, {"progress": step, "share": round(share, 3)}
        ),
    )
    return converted


def find_converter(encoder: str) -> Callable[..., dict[str, Any]]:
    """Returns the function that converts models for an encoder; raises ConfigError without one."""
    if encoder not in CONVERTERS:
        listed = ", ".join(CONVERTERS)
        raise ConfigError(f"models of {encoder!r} are not converted; those of {listed} are")
    module, _, name = CONVERTERS[encoder].partition(":")
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function


if __name__ == "__main__":
    sys.exit(main())
