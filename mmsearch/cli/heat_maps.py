"""`--heat-maps`: writes a PNG of the place that matched for each hit with a picture."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.errors import ConfigError, QueryError

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.query.algebra import Query
    from mmsearch.types import Hit

HeatMapsOption = Annotated[
    Path | None,
    typer.Option(
        "--heat-maps",
        metavar="DIR",
        help="Write a PNG for each picture and video that was found: where in it the query "
        "matched. Takes a second or two each.",
    ),
]
MAX_NAME = 60
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


def check_folder(folder: Path | None) -> None:
    """Makes the folder where it is not there; raises ConfigError where nothing can be written."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as exc:
        raise _explain_unwritable(folder, exc) from exc


def write_heat_maps(
    folder: Path | None, library: Library, hits: Sequence[Hit], query: Query
) -> None:
    """Writes the maps, and names each on standard error, or says why there is none.

    Hits without a picture are passed over. Raises ConfigError where the folder takes no more.
    """
    if folder is None:
        return
    from mmsearch.cli.render import make_printable, shorten_path
    from mmsearch.library.localization import find_picture_moment
    from mmsearch.runtime.atomic_files import write_atomically

    messages: set[str] = set()
    for hit in hits:
        if find_picture_moment(hit) is None:
            continue
        try:
            png = library.heat_map(hit, query).overlay()
        except QueryError as exc:
            if str(exc) not in messages:
                typer.echo(f"no heat map: {make_printable(str(exc))}", err=True)
                messages.add(str(exc))
            continue
        target = folder / format_file_name(hit)
        try:
            write_atomically(target, png)
        except OSError as exc:
            raise _explain_unwritable(folder, exc) from exc
        typer.echo(f"heat map: {shorten_path(str(target))}", err=True)


def format_file_name(hit: Hit) -> str:
    """Returns `001-beach-1a2b3c4d.png`: rank, name and content of the file of a hit.

    Two hits of a search have different ranks; nothing of the path but letters and digits is kept.
    """
    name = _UNFIT.sub("_", Path(hit.path).stem)[:MAX_NAME].strip("_")
    return "-".join(part for part in (f"{hit.rank:03d}", name, hit.asset.id[:8]) if part) + ".png"


def _explain_unwritable(folder: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConfigError(
        f"heat maps cannot be written to {folder}: {reason}; name another folder with --heat-maps"
    )
