"""The options that several commands share, as annotated types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch.errors import ConfigError, QueryError
from mmsearch.index.index_config import DEFAULT_RECALL, IndexConfig
from mmsearch.query.request import HIGHEST_SCORE, LOWEST_SCORE

LibraryOption = Annotated[
    Path | None,
    typer.Option("--library", metavar="DIR", help="The library to use instead of the default one."),
]
KindsOption = Annotated[
    str | None,
    typer.Option("--kinds", metavar="K,...", help="Only these: image, audio, video, text, other."),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        min=LOWEST_SCORE,
        max=HIGHEST_SCORE,
        help="Hits below are no match; 0 shows the best there are. By default a search by words "
        "answers where a hit has 0.3.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


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


def parse_index_config(
    kind: str, memory: str | None = None, recall: float = DEFAULT_RECALL
) -> IndexConfig:
    """Reads the options of an index; raises ConfigError for an unknown kind or size."""
    memory_bytes = None if memory is None else parse_size_bytes(memory)
    return IndexConfig(kind, memory_bytes, recall).validate()


def parse_size_bytes(text: str) -> int:
    """Reads `2GB`, `500 MiB` or `1.5g` as bytes, at least one; raises ConfigError."""
    from mmsearch.query.filters import quantities  # here: most commands name no size

    try:
        size = int(quantities.parse_size_bytes(text))
    except QueryError as exc:
        raise ConfigError(str(exc)) from exc
    if size < 1:
        raise ConfigError(f"{text!r} is no size: write one as 2GB or 500MB")
    return size


def collect_models(
    image: str | None, sound: str | None, speech: str | None, text: str | None
) -> dict[str, str]:
    """Returns the models that the options name, by place."""
    options = {"image": image, "sound": sound, "speech": speech, "text": text}
    return {place: model for place, model in options.items() if model}


def split_kinds(kinds: str | None) -> list[str]:
    """Splits `image,video` into a list."""
    return [kind.strip() for kind in (kinds or "").split(",") if kind.strip()]
