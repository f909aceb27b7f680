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
    from mmsearch.labels.classifier import Classification
    from mmsearch.labels.tagging import TaggingReport

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
    names = _parse_labels(labels)
    with Library.open(library or default_library(), create=False) as opened:
        report = opened.tag(
            names,
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
    """Show how probable each of some labels is for one file."""
    from mmsearch.library.library import Library
    from mmsearch.media.files import make_storable
    from mmsearch.models.provisioning import Runtime

    names = _parse_labels(labels)
    with Library.open(
        library or default_library(), create=False, runtime=Runtime(device="cpu")
    ) as opened:
        classification = opened.classify(
            file, names, templates=template or (), sound_templates=sound_template or ()
        )
    if json_object:
        answer = {"path": make_storable(str(file)), **_classification_object(classification)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _print_classification(classification)


def _parse_labels(text: str | None) -> tuple[str, ...]:
    """Reads `--labels`: a file, or the labels themselves."""
    from mmsearch.labels.label_files import check_labels, read_labels

    if text is None:
        raise typer.BadParameter("--labels is missing: a file, or labels with commas between")
    path = Path(text).expanduser()
    if path.is_file():
        return read_labels(path)
    if "," not in text:
        raise ConfigError(
            f"there is no file {text} with labels: name one, or write labels with commas "
            f"between, as in cat,dog,something else"
        )
    return check_labels(text.split(","))


def _print_report(report: TaggingReport) -> None:
    from mmsearch.cli.render import make_printable

    for name, count in list(report.labels.items())[:SHOWN_LABELS]:
        typer.echo(f"{count:>7,}  {make_printable(name)}")
    if len(report.labels) > SHOWN_LABELS:
        typer.echo(f"and {len(report.labels) - SHOWN_LABELS} more labels", err=True)
    typer.echo(
        f"{report.tagged:,} of {report.segments:,} segments tagged, {report.changed:,} changed",
        err=True,
    )
    _print_omissions(report.left_out)


def _print_classification(classification: Classification) -> None:
    from mmsearch.cli.render import make_printable

    for space, tags in classification.spaces.items():
        if len(classification.spaces) > 1:
            typer.echo(f"{space}:")
        for label in tags:
            typer.echo(f"{label.probability:6.3f}  {make_printable(label.name)}")
    _print_omissions(classification.left_out)


def _print_omissions(reasons: tuple[str, ...]) -> None:
    for reason in reasons:
        typer.secho(reason, err=True, dim=True)


def _classification_object(classification: Classification) -> dict[str, object]:
    spaces = {
        space: [{"label": label.name, "probability": round(label.probability, 4)} for label in tags]
        for space, tags in classification.spaces.items()
    }
    return {"spaces": spaces, "left_out": list(classification.left_out)}
