"""`mmsearch tag` and `mmsearch classify`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import JsonOption, LibraryOption
from mmsearch.config import default_library
from mmsearch.errors import ConfigError

if TYPE_CHECKING:
    from mmsearch.labels.classifier import Classified
    from mmsearch.labels.tagging import Report

SHOWN_LABELS = 10
KEPT_PROBABILITY = 0.3
KEPT_TAGS = 3

LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FILE|A,B,...",
        help="A file with a label a line and # before comments, or labels with commas between.",
    ),
]
TemplateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        help="What a picture with the label is called, {} for the label; several are averaged. "
        "Default: 'a photo of a {}'.",
    ),
]
SoundTemplateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sound-template",
        metavar="TEXT",
        help="The same for sounds. Default: 'this is a sound of {}'.",
    ),
]


def tag(
    labels: LabelsOption = None,
    template: TemplateOption = None,
    sound_template: SoundTemplateOption = None,
    min_probability: Annotated[
        float,
        typer.Option(
            "--min-probability", min=0.001, max=1.0, help="Labels that are less sure are not kept."
        ),
    ] = KEPT_PROBABILITY,
    at_most: Annotated[
        int, typer.Option("--at-most", min=1, max=20, help="Labels kept of one segment.")
    ] = KEPT_TAGS,
    clear: Annotated[
        bool, typer.Option("--clear", help="Take away all tags that labels gave, and stop.")
    ] = False,
    library: LibraryOption = None,
    json_object: JsonOption = False,
) -> None:
    """Tag what is in the library with labels of your own; no file is read again.

    A probability is that of one label against the others: add labels such as "something else".
    """
    from mmsearch.library.library import Library

    if clear:
        if labels is not None:
            raise typer.BadParameter("--clear and --labels exclude each other")
        with Library.open(library or default_library(), create=False) as opened:
            count = opened.untag()
        if json_object:
            typer.echo(json.dumps({"cleared": count}))
        else:
            typer.echo(f"{count:,} segments lost the tags that labels gave", err=True)
        return
    wanted = _labels(labels)
    with Library.open(library or default_library(), create=False) as opened:
        report = opened.tag(
            wanted,
            templates=template or (),
            sound_templates=sound_template or (),
            min_probability=min_probability,
            at_most=at_most,
        )
    if json_object:
        typer.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    else:
        _print_report(report)


def classify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file, indexed or not.")],
    labels: LabelsOption = None,
    template: TemplateOption = None,
    sound_template: SoundTemplateOption = None,
    library: LibraryOption = None,
    json_object: JsonOption = False,
) -> None:
    """How probable each of some labels is for one file."""
    from mmsearch.library.library import Library
    from mmsearch.media.files import storable
    from mmsearch.models.provisioning import Runtime

    wanted = _labels(labels)
    with Library.open(
        library or default_library(), create=False, runtime=Runtime(device="cpu")
    ) as opened:
        found = opened.classify(
            file, wanted, templates=template or (), sound_templates=sound_template or ()
        )
    if json_object:
        told = {"path": storable(str(file)), **_classified_object(found)}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        _print_classified(found)


def _labels(written: str | None) -> tuple[str, ...]:
    """What `--labels` names: a file, or the labels themselves."""
    from mmsearch.labels.label_files import checked_labels, read_labels

    if written is None:
        raise typer.BadParameter("--labels is missing: a file, or labels with commas between")
    path = Path(written).expanduser()
    if path.is_file():
        return read_labels(path)
    if "," not in written:
        raise ConfigError(
            f"there is no file {written} with labels: name one, or write labels with commas "
            f"between, as in cat,dog,something else"
        )
    return checked_labels(written.split(","))


def _print_report(report: Report) -> None:
    from mmsearch.cli.render import printable

    for name, count in list(report.labels.items())[:SHOWN_LABELS]:
        typer.echo(f"{count:>7,}  {printable(name)}")
    if len(report.labels) > SHOWN_LABELS:
        typer.echo(f"and {len(report.labels) - SHOWN_LABELS} more labels", err=True)
    typer.echo(
        f"{report.tagged:,} of {report.segments:,} segments tagged, {report.changed:,} changed",
        err=True,
    )
    _print_left_out(report.left_out)


def _print_classified(found: Classified) -> None:
    from mmsearch.cli.render import printable

    for space, tags in found.spaces.items():
        if len(found.spaces) > 1:
            typer.echo(f"{space}:")
        for one in tags:
            typer.echo(f"{one.probability:6.3f}  {printable(one.name)}")
    _print_left_out(found.left_out)


def _print_left_out(reasons: tuple[str, ...]) -> None:
    for reason in reasons:
        typer.secho(reason, err=True, dim=True)


def _classified_object(found: Classified) -> dict[str, object]:
    spaces = {
        space: [{"label": one.name, "probability": round(one.probability, 4)} for one in tags]
        for space, tags in found.spaces.items()
    }
    return {"spaces": spaces, "left_out": list(found.left_out)}
