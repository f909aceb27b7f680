"""The options of `search` and `similar` that export hits and gather their files.

All of them are checked before the search begins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.errors import ConfigError

if TYPE_CHECKING:
    from mmsearch.export.file_placement import PlacementMethod
    from mmsearch.export.formats import ClipLayout, ExportFormat
    from mmsearch.types import Hit

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The options that deliver hits besides the terminal."""

    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="Write the hits to a file too, in the form of its ending: .json, .csv, .m3u, "
            ".m3u8, .edl or .fcpxml; - for standard output, with --export-as.",
        ),
    ] = None
    export_as: Annotated[
        str | None,
        typer.Option(
            "--export-as",
            metavar="FORM",
            help="json, csv, m3u, edl or fcpxml, whatever the ending.",
        ),
    ] = None
    fps: Annotated[
        str,
        typer.Option(
            "--fps",
            metavar="N",
            help="Frames a second in an .edl or .fcpxml: 25, 29.97, 30000/1001.",
        ),
    ] = "25"
    copy_to: Annotated[
        Path | None,
        typer.Option(
            "--copy-to", metavar="DIR", help="Copy the files that were found to a folder."
        ),
    ] = None
    link_to: Annotated[
        Path | None,
        typer.Option("--link-to", metavar="DIR", help="The same with hard links: no second copy."),
    ] = None
    symlink_to: Annotated[
        Path | None,
        typer.Option("--symlink-to", metavar="DIR", help="The same with symbolic links."),
    ] = None

    def targets(self) -> DeliveryTargets:
        """Returns the targets that they name; raises ConfigError or typer.BadParameter."""
        folders_by_way = {"copy": self.copy_to, "link": self.link_to, "symlink": self.symlink_to}
        folders = [(way, folder) for way, folder in folders_by_way.items() if folder is not None]
        if len(folders) > 1:
            raise typer.BadParameter("--copy-to, --link-to and --symlink-to exclude each other")
        if self.export is None and self.export_as is not None:
            raise typer.BadParameter("--export-as goes with --export")
        file = None if self.export is None else self._file_target(self.export)
        folder = None
        if folders:
            from mmsearch.export.file_placement import PlacementMethod

            folder = FolderTarget(folders[0][1], PlacementMethod(folders[0][0]))
        return DeliveryTargets(file, folder)

    def _file_target(self, file: str) -> FileTarget:
        # Only here: a plain search imports none of it.
        from mmsearch.export.formats import ClipLayout, detect_format, get_format
        from mmsearch.export.timecode import parse_rate

        if file == STDOUT and self.export_as is None:
            raise typer.BadParameter("--export - needs --export-as: json, csv, m3u, edl or fcpxml")
        path = Path(file)
        form = detect_format(path) if self.export_as is None else get_format(self.export_as)
        if file != STDOUT and not path.parent.is_dir():
            raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")
        if file != STDOUT and path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no file: name another to export to")
        return FileTarget(file, form, ClipLayout(rate=parse_rate(self.fps)))


@dataclass(frozen=True, slots=True)
class FileTarget:
    """The file that hits are written to, `-` for standard output, and its format."""

    file: str
    form: ExportFormat
    cut: ClipLayout


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """The folder that the files of hits are copied or linked to."""

    folder: Path
    way: PlacementMethod


@dataclass(frozen=True, slots=True)
class DeliveryTargets:
    """The places that hits go to besides the terminal."""

    file: FileTarget | None = None
    folder: FolderTarget | None = None

    @property
    def takes_stdout(self) -> bool:
        """True if nothing else may be printed there."""
        return self.file is not None and self.file.file == STDOUT

    @property
    def needs_details(self) -> bool:
        """True if tags and metadata are written too."""
        return self.file is not None and self.file.form != "json"


def deliver(
    targets: DeliveryTargets, hits: Sequence[Hit], title: str, json_text: Callable[[], str]
) -> bool:
    """Writes hits to their targets; returns False where a file did not get to its folder.

    `title` is the query. Raises ConfigError where a file or a folder cannot be written.
    """
    if targets.file is not None:
        _export(targets.file, hits, title, json_text)
    return targets.folder is None or _place_files(targets.folder, hits)


def _export(to: FileTarget, hits: Sequence[Hit], title: str, json_text: Callable[[], str]) -> None:
    from mmsearch.export.clips import PLAYABLE
    from mmsearch.export.formats import ExportFormat, export_hits
    from mmsearch.runtime.atomic_files import write_atomically

    if to.form is ExportFormat.JSON:
        text = json_text() + "\n"
    else:
        text = export_hits(hits, to.form, replace(to.cut, title=title))
    if to.file == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    else:
        try:
            write_atomically(Path(to.file), text)
        except OSError as exc:
            raise ConfigError(
                f"{to.file} cannot be written: {exc.strerror or exc}; name another file"
            ) from exc
    texts = sum(1 for hit in hits if hit.kind not in PLAYABLE)
    if texts and to.form not in (ExportFormat.JSON, ExportFormat.CSV):
        typer.echo(f"left out of the {to.form}, being texts: {texts}", err=True)


def _place_files(to: FolderTarget, hits: Sequence[Hit]) -> bool:
    from mmsearch.cli import render
    from mmsearch.export.file_placement import place_files

    placements = place_files([hit.path for hit in hits], to.folder, to.way)
    placed = [placement for placement in placements if placement.target is not None]
    missing = [placement for placement in placements if placement.target is None]
    new = sum(placement.is_new for placement in placed)
    verb = {"copy": "copied", "link": "linked", "symlink": "linked"}[to.way.value]
    rest = f", {len(placed) - new} were there already" if new < len(placed) else ""
    typer.echo(f"{new} {verb} to {render.make_printable(str(to.folder))}{rest}", err=True)
    for placement in missing:
        name = render.shorten_path(placement.source)
        typer.secho(f"  not {verb}: {name}: {placement.reason}", err=True, fg="red")
    return not missing
