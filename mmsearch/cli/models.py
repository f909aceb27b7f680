"""`mmsearch models`: presets and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import JsonOption

if TYPE_CHECKING:
    from mmsearch.models.registry import Listed

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...",
        help="A preset, or a model as ENCODER:SOURCE[@REVISION], or the source of one of a preset.",
        show_default=False,
    ),
]

app = typer.Typer(no_args_is_help=True, help="Presets and weights: list, pull, verify, export.")


@app.command("list")
def list_models(json_object: JsonOption = False) -> None:
    """Every preset, its models, their licences, and what of them is on this machine."""
    from mmsearch.models import registry

    listed = registry.listed()
    if json_object:
        told = {
            "presets": [
                {"name": preset, "summary": summary, "models": [_object(one) for one in models]}
                for preset, summary, models in listed
            ]
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for preset, summary, models in listed:
        typer.echo(f"{typer.style(preset, bold=True)}  {summary}")
        for one in models:
            name = one.spec.source or one.spec.encoder
            licence = one.spec.licence or "licence unknown"
            typer.echo(f"  {one.place:<7} {name:<48} {licence:<11} {_state(one)}")


def _object(one: Listed) -> dict[str, object]:
    return {
        "place": one.place,
        "encoder": one.spec.encoder,
        "source": one.spec.source,
        "licence": one.spec.licence,
        "state": one.state,
        "size_bytes": one.size_bytes,
        "folder": None if one.folder is None else str(one.folder),
    }


def _state(one: Listed) -> str:
    from mmsearch.cli.render import size

    said = {"packaged": "comes with mmsearch", "here": "here", "missing": "not here"}[one.state]
    colour = {"packaged": "green", "here": "green", "missing": "yellow"}[one.state]
    amount = f", {size(one.size_bytes)}" if one.size_bytes else ""
    return typer.style(said + amount, fg=colour)


@app.command()
def pull(
    names: NamesArgument = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="From what `models export` wrote, offline."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Convert and measure anew: they were pulled on a busy machine, say."
        ),
    ] = False,
) -> None:
    """Fetch models and convert them for this machine; what is here already costs nothing."""
    from mmsearch.cli.provisioning_display import SupplyDisplay
    from mmsearch.models import registry

    if source is not None:
        for stored in registry.take(source, names or []):
            typer.echo(str(stored.folder))
        return
    if not names:
        raise typer.BadParameter("name a preset or a model to pull: mmsearch models list")
    specs = registry.named(names)
    with SupplyDisplay(is_shown=True) as display:
        for stored in registry.pull(specs, display.show, again=again):
            typer.echo(str(stored.folder))


@app.command()
def verify(names: NamesArgument = None, json_object: JsonOption = False) -> None:
    """Hash every file of the models that are here; exit code 1 where one is not as it was."""
    from mmsearch.models import registry

    checked = registry.verify(names or [])
    if json_object:
        told = [{"folder": str(stored.folder), "problems": wrong} for stored, wrong in checked]
        typer.echo(json.dumps({"models": told}, ensure_ascii=False))
    else:
        for stored, wrong in checked:
            mark = typer.style("BAD ", fg="red") if wrong else typer.style("ok  ", fg="green")
            typer.echo(f"{mark} {stored.card.source}  {stored.folder}")
            for problem in wrong:
                typer.echo(f"     {problem}")
        if not checked:
            typer.echo("No models are here besides those that come with mmsearch.", err=True)
    if any(wrong for _, wrong in checked):
        raise typer.Exit(1)


@app.command()
def export(
    names: NamesArgument = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to, made if needed.")
    ] = None,
) -> None:
    """Copy converted models into a folder that another machine can pull from, without torch."""
    from mmsearch.models import registry

    if to is None or not names:
        raise typer.BadParameter("name what to export, and where: mmsearch models export clip --to")
    for folder in registry.export(names, to):
        typer.echo(str(folder))


@app.command()
def path(names: NamesArgument = None) -> None:
    """Where models are: the store, or the folder of each that is named."""
    from mmsearch.models import registry

    for folder in registry.folders(names or []):
        typer.echo(str(folder))
