"""`mmsearch models`: presets and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import JsonOption

if TYPE_CHECKING:
    from mmsearch.models.registry import ModelListing

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

    presets = registry.list_presets()
    if json_object:
        answer = {
            "presets": [
                {
                    "name": preset,
                    "summary": summary,
                    "models": [_model_object(listing) for listing in models],
                }
                for preset, summary, models in presets
            ]
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for preset, summary, models in presets:
        typer.echo(f"{typer.style(preset, bold=True)}  {summary}")
        for listing in models:
            name = listing.spec.source or listing.spec.encoder
            licence = listing.spec.licence or "licence unknown"
            typer.echo(f"  {listing.role:<7} {name:<48} {licence:<11} {_describe_state(listing)}")


def _model_object(listing: ModelListing) -> dict[str, object]:
    return {
        "place": listing.role,
        "encoder": listing.spec.encoder,
        "source": listing.spec.source,
        "licence": listing.spec.licence,
        "state": listing.state,
        "size_bytes": listing.size_bytes,
        "folder": None if listing.folder is None else str(listing.folder),
    }


def _describe_state(listing: ModelListing) -> str:
    from mmsearch.formatting import format_size

    texts = {"packaged": "comes with mmsearch", "here": "here", "missing": "not here"}
    colour = {"packaged": "green", "here": "green", "missing": "yellow"}[listing.state]
    amount = f", {format_size(listing.size_bytes)}" if listing.size_bytes else ""
    return typer.style(texts[listing.state] + amount, fg=colour)


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
    from mmsearch.cli.provisioning_display import ProvisioningDisplay
    from mmsearch.models import registry

    if source is not None:
        for stored in registry.import_models(source, names or []):
            typer.echo(str(stored.folder))
        return
    if not names:
        raise typer.BadParameter("name a preset or a model to pull: mmsearch models list")
    specs = registry.find_models(names)
    with ProvisioningDisplay(is_shown=True) as display:
        for stored in registry.pull_models(specs, display.show, again=again):
            typer.echo(str(stored.folder))


@app.command()
def verify(names: NamesArgument = None, json_object: JsonOption = False) -> None:
    """Hash every file of the models that are here; exit code 1 where one is not as it was."""
    from mmsearch.models import registry

    results = registry.verify_models(names or [])
    if json_object:
        checks = [
            {"folder": str(stored.folder), "problems": problems} for stored, problems in results
        ]
        typer.echo(json.dumps({"models": checks}, ensure_ascii=False))
    else:
        for stored, problems in results:
            mark = typer.style("BAD ", fg="red") if problems else typer.style("ok  ", fg="green")
            typer.echo(f"{mark} {stored.card.source}  {stored.folder}")
            for problem in problems:
                typer.echo(f"     {problem}")
        if not results:
            typer.echo("No models are here besides those that come with mmsearch.", err=True)
    if any(problems for _, problems in results):
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
    for folder in registry.export_models(names, to):
        typer.echo(str(folder))


@app.command()
def path(names: NamesArgument = None) -> None:
    """Where models are: the store, or the folder of each that is named."""
    from mmsearch.models import registry

    for folder in registry.list_folders(names or []):
        typer.echo(str(folder))
