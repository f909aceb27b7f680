"""The process that converts a model: torch and its like are imported here and nowhere else.

It reads one JSON object from stdin and writes JSON objects to stdout, a line each:

    in   {"encoder": "open-clip", "source": FOLDER, "target": FOLDER, "settings": {...}}
    out  {"progress": "exporting the image tower", "share": 0.3}   any number of times
         {"done": {...}}   or   {"error": "ModelError", "message": "..."}   once, last

`{"resolve": "ViT-B-32/openai"}` asks for the hub repository of an open_clip ARCHITECTURE/TAG.
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

FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "open-clip": "mmsearch.models.conversion.open_clip:convert",
        "clap": "mmsearch.models.conversion.clap:convert",
        "sentence": "mmsearch.models.conversion.sentence:convert",
    }
)
"""What converts a model, by the name of the encoder that runs it."""
EXTRA = "pip install 'mmsearch[clip]'"


def main() -> int:
    """Do what stdin asks for; 0 when it was done."""
    # What others print, in Python or below it, must not come between the lines of the answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        told: dict[str, Any]
        try:
            told = {"done": _do(json.load(sys.stdin), _Progress(answers))}
        except MmsearchError as exc:
            told = {"error": type(exc).__name__, "message": str(exc)}
        except ImportError as exc:
            told = {
                "error": MissingExtra.__name__,
                "message": f"converting a model needs {exc.name or exc}: {EXTRA}",
            }
        except MemoryError:
            told = {
                "error": ModelError.__name__,
                "message": "there is too little memory to convert this model: convert it on a "
                "larger machine and bring it over with `mmsearch models export`",
            }
        _write(answers, told)
    return int("error" in told)


class _Progress:
    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers

    def __call__(self, what: str, share: float) -> None:
        _write(self._answers, {"progress": what, "share": round(share, 3)})


def _write(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def _do(asked: Mapping[str, Any], on_progress: _Progress) -> dict[str, Any]:
    if "resolve" in asked:
        from mmsearch.models.conversion.open_clip_files import resolve

        return {"repository": resolve(str(asked["resolve"]))}
    converted: dict[str, Any] = family(str(asked["encoder"]))(
        Path(asked["source"]),
        Path(asked["target"]),
        settings=asked.get("settings", {}),
        on_progress=on_progress,
    )
    return converted


def family(encoder: str) -> Callable[..., dict[str, Any]]:
    """The function that converts models for an encoder; raises ConfigError where there is none."""
    if encoder not in FAMILIES:
        listed = ", ".join(FAMILIES)
        raise ConfigError(f"models of {encoder!r} are not converted; those of {listed} are")
    module, _, name = FAMILIES[encoder].partition(":")
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function


if __name__ == "__main__":
    sys.exit(main())
