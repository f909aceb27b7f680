"""The options that several commands share, as annotated types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LibraryOption = Annotated[
    Path | None,
    typer.Option("--library", metavar="DIR", help="The library to use instead of the default one."),
]
KindsOption = Annotated[
    str | None,
    typer.Option("--kinds", metavar="K,...", help="Only these: image, audio, video, text."),
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
        "--min-score", min=0.0, max=1.0, help="Hits below are no match; 0 shows the best there are."
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


def split_kinds(kinds: str | None) -> list[str]:
    """`image,video` as a list."""
    return [kind.strip() for kind in (kinds or "").split(",") if kind.strip()]
