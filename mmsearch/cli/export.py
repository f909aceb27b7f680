"""What `search` and `similar` do with hits besides showing them: export them, bring them together.

Everything that can be wrong with the options is said before the search begins.
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
    from mmsearch.export.file_placement import Way
    from mmsearch.export.formats import Cut, Form
    from mmsearch.types import Hit

STDOUT = "-"
DEFAULT_FPS = "25"

ExportOption = Annotated[
    str | None,
    typer.Option(
        "--export",
        metavar="FILE",
        help="Write the hits to a file too, in the form of its ending: .json, .csv, .m3u, .m3u8, "
        ".edl or .fcpxml; - for standard output, with --export-as.",
    ),
]
ExportAsOption = Annotated[
    str | None,
    typer.Option(
        "--export-as", metavar="FORM", help="json, csv, m3u, edl or fcpxml, whatever the ending."
    ),
]
FpsOption = Annotated[
    str,
    typer.Option(
        "--fps", metavar="N", help="Frames a second in an .edl or .fcpxml: 25, 29.97, 30000/1001."
    ),
]
CopyToOption = Annotated[
    Path | None,
    typer.Option("--copy-to", metavar="DIR", help="Copy the files that were found to a folder."),
]
LinkToOption = Annotated[
    Path | None,
    typer.Option("--link-to", metavar="DIR", help="The same with hard links: no second copy."),
]
SymlinkToOption = Annotated[
    Path | None,
    typer.Option("--symlink-to", metavar="DIR", help="The same with symbolic links."),
]


@dataclass(frozen=True, slots=True)
class Export:
    """The file that hits are written to, `-` for standard output, and how."""

    file: str
    form: Form
    cut: Cut


@dataclass(frozen=True, slots=True)
class Gathering:
    """The folder that the files of hits are brought to, and how."""

    folder: Path
    way: Way


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where hits go besides the terminal."""

    export: Export | None = None
    gathering: Gathering | None = None

    @property
    def takes_stdout(self) -> bool:
        """Whether nothing else may be printed there."""
        return self.export is not None and self.export.file == STDOUT

    @property
    def needs_details(self) -> bool:
        """Whether tags, and what files say of themselves, are written too."""
        return self.export is not None and self.export.form != "json"


def outlet(
    export: str | None,
    export_as: str | None,
    fps: str,
    *,
    copy_to: Path | None,
    link_to: Path | None,
    symlink_to: Path | None,
) -> Outlet:
    """What was asked for, checked; raises ConfigError or typer.BadParameter."""
    folders = {"copy": copy_to, "link": link_to, "symlink": symlink_to}
    given = [(way, folder) for way, folder in folders.items() if folder is not None]
    if len(given) > 1:
        raise typer.BadParameter("--copy-to, --link-to and --symlink-to exclude each other")
    if export is None and export_as is not None:
        raise typer.BadParameter("--export-as goes with --export")
    found = Outlet()
    if export is not None:
        found = Outlet(_export_to(export, export_as, fps))
    if given:
        from mmsearch.export.file_placement import Way

        ((way, folder),) = given
        found = replace(found, gathering=Gathering(folder, Way(way)))
    return found


def _export_to(file: str, named: str | None, fps: str) -> Export:
    # Only here: a plain search imports none of it.
    from mmsearch.export.formats import Cut, form_named, form_of
    from mmsearch.export.timecode import parse_rate

    if file == STDOUT and named is None:
        raise typer.BadParameter("--export - needs --export-as: json, csv, m3u, edl or fcpxml")
    form = form_of(Path(file)) if named is None else form_named(named)
    if file != STDOUT:
        _check_file(Path(file))
    return Export(file, form, Cut(rate=parse_rate(fps)))


def _check_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file: name another to export to")


def deliver(outlet: Outlet, hits: Sequence[Hit], title: str, json_text: Callable[[], str]) -> bool:
    """Do it; whether every file that was found got to its folder.

    `title` is what was asked. Raises ConfigError where a file or a folder cannot be written.
    """
    if outlet.export is not None:
        _export(outlet.export, hits, title, json_text)
    return outlet.gathering is None or _gather(outlet.gathering, hits)


def _export(to: Export, hits: Sequence[Hit], title: str, json_text: Callable[[], str]) -> None:
    from mmsearch.export.clips import PLAYABLE
    from mmsearch.export.formats import Form, exported
    from mmsearch.runtime.atomic_files import write_whole

    if to.form is Form.JSON:
        text = json_text() + "\n"
    else:
        text = exported(hits, to.form, replace(to.cut, title=title))
    if to.file == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    else:
        try:
            write_whole(Path(to.file), text)
        except OSError as exc:
            raise ConfigError(
                f"{to.file} cannot be written: {exc.strerror or exc}; name another file"
            ) from exc
    left = sum(1 for hit in hits if hit.kind not in PLAYABLE)
    if left and to.form not in (Form.JSON, Form.CSV):
        typer.echo(f"left out of the {to.form}, being texts: {left}", err=True)


def _gather(to: Gathering, hits: Sequence[Hit]) -> bool:
    from mmsearch.cli import render
    from mmsearch.export.file_placement import place

    placed = place([hit.path for hit in hits], to.folder, to.way)
    new = sum(1 for one in placed if one.target is not None and one.is_new)
    there = sum(1 for one in placed if one.target is not None and not one.is_new)
    done = {"copy": "copied", "link": "linked", "symlink": "linked"}[to.way.value]
    told = f"{new} {done} to {render.printable(str(to.folder))}"
    typer.echo(told + (f", {there} were there already" if there else ""), err=True)
    missing = [one for one in placed if one.target is None]
    for one in missing:
        name = render.shown_path(one.source)
        typer.secho(f"  not {done}: {name}: {one.reason}", err=True, fg="red")
    return not missing
