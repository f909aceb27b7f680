"""The options that several commands share, as annotated types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mmsearch.errors import ConfigError
from mmsearch.index.index_config import WANTED_RECALL, Wish

LibraryOption = Annotated[
    Path | None,
    typer.Option("--library", metavar="DIR", help="The library to use instead of the default one."),
]
KindsOption = Annotated[
    str | None,
    typer.Option("--kinds", metavar="K,...", help="Only these: image, audio, video, text, other."),
]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many hits.")
]
UnderOption = Annotated[
    list[Path] | None,
    typer.Option("--in", metavar="PATH", help="Only files below this folder; may be repeated."),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        min=0.0,
        max=1.0,
        help="Hits below are no match; 0 shows the best there are. By default a search by words "
        "answers where a hit has 0.3.",
    ),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--not", metavar="TERM", help="Nothing that matches this: words, or an example; repeatable."
    ),
]
GroupOption = Annotated[
    bool, typer.Option("--group/--no-group", help="One hit a file, or one for every moment.")
]
DedupeOption = Annotated[
    bool,
    typer.Option("--dedupe/--no-dedupe", help="Near-duplicates under the best of them, or each."),
]
RankingOption = Annotated[
    str,
    typer.Option(
        "--ranking",
        metavar="SETTINGS",
        help="To compare ways of ranking: fusion=rrf, words=off, vectors=off; joined by commas.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
PathsOption = Annotated[bool, typer.Option("--paths", help="Only paths, one a line.")]
NulOption = Annotated[
    bool, typer.Option("-0", "--null", help="With --paths: end each with NUL instead of newline.")
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show what each space said of each hit.")
]


ImageModelOption = Annotated[
    str | None,
    typer.Option(
        "--image-model",
        metavar="MODEL",
        help="For a new library: an open_clip NAME/TAG, a hub repository, or a folder.",
    ),
]
SoundModelOption = Annotated[
    str | None,
    typer.Option(
        "--sound-model",
        metavar="MODEL",
        help="For a new library: a ClapModel's hub repository or folder.",
    ),
]
SpeechModelOption = Annotated[
    str | None,
    typer.Option(
        "--speech-model",
        metavar="MODEL",
        help="For a new library: a size (small, large-v3-turbo), a hub repository or a folder of "
        "faster-whisper.",
    ),
]
TextModelOption = Annotated[
    str | None,
    typer.Option(
        "--text-model",
        metavar="MODEL",
        help="For a new library: a sentence encoder's hub repository or folder.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, or cuda:1.")
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision", metavar="P", help="On a CPU: auto (what was found good), fp32 or int8."
    ),
]

IndexKindOption = Annotated[
    str,
    typer.Option(
        "--index",
        metavar="KIND",
        help="How vectors are searched: auto (as their number asks for), exact, lance, hnsw, "
        "ivf-rabitq and others.",
    ),
]
IndexMemoryOption = Annotated[
    str | None,
    typer.Option(
        "--index-memory",
        metavar="SIZE",
        help="What all indexes may take, as in 2GB; default half of what is free.",
    ),
]
IndexRecallOption = Annotated[
    float,
    typer.Option(
        "--index-recall",
        min=0.5,
        max=1.0,
        help="The share of the ten true neighbours that an index must find; else search is exact.",
    ),
]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def wish(kind: str, memory: str | None = None, recall: float = WANTED_RECALL) -> Wish:
    """The index that was asked for; raises ConfigError for a kind or a size that there is not."""
    return Wish(kind, None if memory is None else size_bytes(memory), recall).checked()


def size_bytes(written: str) -> int:
    """`2GB`, `500 MB` or `1.5g` in bytes; raises ConfigError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", written.upper())
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"{written!r} is no size: write one as 2GB or 500MB")
    return int(float(found[1]) * _UNITS[found[2]])


def models(
    image: str | None, sound: str | None, speech: str | None, text: str | None
) -> dict[str, str]:
    """The models that were asked for, by place; a folder is named from everywhere alike."""
    asked = {"image": image, "sound": sound, "speech": speech, "text": text}
    return {place: model for place, model in asked.items() if model}


def split_kinds(kinds: str | None) -> list[str]:
    """`image,video` as a list."""
    return [kind.strip() for kind in (kinds or "").split(",") if kind.strip()]
