"""What models there are, by the names that people use, and what is done with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.config import own_presets
from mmsearch.encoders.base import Context
from mmsearch.encoders.stored_model import find, stored_model
from mmsearch.errors import ConfigError, ModelError, WeightsMissing
from mmsearch.models import presets, provisioning
from mmsearch.models.model_card import CARD, StoredModel, read_card
from mmsearch.models.presets import ModelSpec, Preset
from mmsearch.models.provisioning import OnSupply, Runtime


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of a preset; `state` is packaged, here or missing."""

    place: str
    spec: ModelSpec
    state: str
    size_bytes: int = 0
    folder: Path | None = None


def _presets() -> dict[str, Preset]:
    own: Mapping[str, object] = own_presets()
    return {name: presets.find(name, own) for name in (*presets.PRESETS, *own)}


def listed() -> list[tuple[str, str, list[Listed]]]:
    """Every preset: its name, what it is, and its models."""
    context = Runtime().context()
    return [
        (name, preset.summary, [_listed(place, spec, context) for place, spec in _places(preset)])
        for name, preset in _presets().items()
    ]


def _places(preset: Preset) -> list[tuple[str, ModelSpec]]:
    places = list(preset.specs.items())
    if preset.speech_on_gpu is not None:
        places.append(("on GPU", preset.speech_on_gpu))
    return places


def _listed(place: str, spec: ModelSpec, context: Context) -> Listed:
    if not provisioning.is_kept(spec):
        return Listed(place, spec, "packaged")
    stored = find(spec, context)
    if stored is None:
        return Listed(place, spec, "missing")
    total = sum(file.size_bytes for file in stored.card.files)
    return Listed(place, spec, "here", total, stored.folder)


def named(names: Sequence[str]) -> list[ModelSpec]:
    """The models that names mean, each once; raises ConfigError for a name that means nothing."""
    known = _presets()
    found: dict[tuple[str, str, str], ModelSpec] = {}
    for name in names:
        for spec in _named(name, known):
            found[(spec.encoder, spec.source, spec.revision)] = spec
    return list(found.values())


def _named(name: str, known: Mapping[str, Preset]) -> list[ModelSpec]:
    if name in known:
        return list(known[name].specs.values())
    written, _, revision = name.partition("@")
    for preset in known.values():
        for _, spec in _places(preset):
            if written in (str(spec), spec.source) and spec.source:
                return [replace(spec, revision=revision or spec.revision)]
    if ":" in written:
        return [replace(presets.parse_model("image", written), revision=revision)]
    raise ConfigError(
        f"there is no preset and no model {name!r}: name one of `mmsearch models list`, or write "
        f"ENCODER:SOURCE, as in open-clip:ViT-B-32/laion2b_s34b_b79k"
    )


def pull(
    specs: Sequence[ModelSpec], on_supply: OnSupply = provisioning.ignore, *, again: bool = False
) -> Iterator[StoredModel]:
    """Bring models here, one after the other; what comes with the installation is passed over.

    With `again` those that are here are converted and measured anew.
    """
    context = Runtime().context()
    for spec in specs:
        if provisioning.is_kept(spec):
            yield stored_model(provisioning.renewed(spec, context, on_supply, again=again), context)


def take(folder: Path, names: Sequence[str]) -> list[StoredModel]:
    """Take models from a folder that `export` wrote: all of them, or those that are named.

    Raises ConfigError where the folder has none, WeightsMissing where it lacks one that is named.
    """
    context = Runtime().context()
    offered = [path.parent for path in sorted(folder.glob(f"*/{CARD}"))]
    if (folder / CARD).is_file():
        offered.append(folder)
    if not offered:
        raise ConfigError(f"{folder} has no models that `mmsearch models export` wrote")
    cards = {path: read_card(path) for path in offered}
    if not names:
        return [context.store.take(path) for path in offered]
    taken = []
    for spec in (one for one in named(names) if provisioning.is_kept(one)):
        fitting = [
            path
            for path, card in cards.items()
            if (card.encoder, card.source) == (spec.encoder, spec.source)
        ]
        if not fitting:
            raise WeightsMissing(f"{folder} has no {spec}: export it there first")
        taken.append(context.store.take(fitting[-1]))
    return taken


def export(names: Sequence[str], target: Path) -> list[Path]:
    """Copy models that are here into a folder; raises WeightsMissing for one that is not."""
    context = Runtime().context()
    specs = [spec for spec in named(names) if provisioning.is_kept(spec)]
    if not specs:
        raise ModelError(f"{', '.join(names)}: comes with mmsearch, there is nothing to export")
    models = [stored_model(spec, context) for spec in specs]
    return [context.store.export(stored, target / stored.folder.name) for stored in models]


def verify(names: Sequence[str]) -> list[tuple[StoredModel, list[str]]]:
    """Every model that is here, or those that are named, with what is wrong with each."""
    context = Runtime().context()
    if names:
        models = [
            stored_model(spec, context) for spec in named(names) if provisioning.is_kept(spec)
        ]
    else:
        models = context.store.all()
    return [(stored, context.store.verify(stored)) for stored in models]


def folders(names: Sequence[str]) -> list[Path]:
    """The folders of models that are here; of the store itself where none is named."""
    context = Runtime().context()
    if not names:
        return [context.store.root]
    specs = [spec for spec in named(names) if provisioning.is_kept(spec)]
    return [stored_model(spec, context).folder for spec in specs]
