"""The model registry: lists, fetches, verifies and exports models for `mmsearch models`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.config import own_presets
from mmsearch.encoders.base import Context
from mmsearch.encoders.stored_model import find_stored_model, require_stored_model
from mmsearch.errors import ConfigError, ModelError, WeightsMissing
from mmsearch.models import presets, provisioning
from mmsearch.models.model_card import CARD, StoredModel, read_card
from mmsearch.models.presets import ModelSpec, Preset
from mmsearch.models.provisioning import OnProvisioning, Runtime


@dataclass(frozen=True, slots=True)
class ModelListing:
    """A model of a preset; `state` is packaged, here or missing."""

    role: str
    spec: ModelSpec
    state: str
    size_bytes: int = 0
    folder: Path | None = None


def _load_presets() -> dict[str, Preset]:
    own: Mapping[str, object] = own_presets()
    return {name: presets.find_preset(name, own) for name in (*presets.PRESETS, *own)}


def list_presets() -> list[tuple[str, str, list[ModelListing]]]:
    """Returns every preset as its name, its summary and its models."""
    context = Runtime().create_context()
    return [
        (name, preset.summary, [_list_model(*pair, context) for pair in _list_roles(preset)])
        for name, preset in _load_presets().items()
    ]


def _list_roles(preset: Preset) -> list[tuple[str, ModelSpec]]:
    gpu = () if preset.speech_on_gpu is None else (("on GPU", preset.speech_on_gpu),)
    return [*preset.specs.items(), *gpu]


def _list_model(role: str, spec: ModelSpec, context: Context) -> ModelListing:
    if not provisioning.is_in_store(spec):
        return ModelListing(role, spec, "packaged")
    stored = find_stored_model(spec, context)
    if stored is None:
        return ModelListing(role, spec, "missing")
    size_bytes = sum(file.size_bytes for file in stored.card.files)
    return ModelListing(role, spec, "here", size_bytes, stored.folder)


def find_models(names: Sequence[str]) -> list[ModelSpec]:
    """Returns the models of presets and models by name, each once.

    Raises ConfigError for an unknown name.
    """
    available = _load_presets()
    specs = [spec for name in names for spec in _find_models_by_name(name, available)]
    return list({(spec.encoder, spec.source, spec.revision): spec for spec in specs}.values())


def _find_models_by_name(name: str, available: Mapping[str, Preset]) -> list[ModelSpec]:
    if name in available:
        return list(available[name].specs.values())
    model, _, revision = name.partition("@")
    for preset in available.values():
        for _, spec in _list_roles(preset):
            if model in (str(spec), spec.source) and spec.source:
                return [replace(spec, revision=revision or spec.revision)]
    if ":" in model:
        return [replace(presets.parse_model("image", model), revision=revision)]
    raise ConfigError(
        f"there is no preset and no model {name!r}: name one of `mmsearch models list`, or write "
        f"ENCODER:SOURCE, as in open-clip:ViT-B-32/laion2b_s34b_b79k"
    )


def _find_stored_specs(names: Sequence[str]) -> list[ModelSpec]:
    return [spec for spec in find_models(names) if provisioning.is_in_store(spec)]


def pull_models(
    specs: Sequence[ModelSpec],
    on_provisioning: OnProvisioning = provisioning.ignore_events,
    *,
    again: bool = False,
) -> Iterator[StoredModel]:
    """Brings models here, one after the other; skips what comes with the installation.

    With `again` those that are here are converted and measured anew.
    """
    context = Runtime().create_context()
    for spec in filter(provisioning.is_in_store, specs):
        fresh = provisioning.refresh_model(spec, context, on_provisioning, again=again)
        yield require_stored_model(fresh, context)


def import_models(folder: Path, names: Sequence[str]) -> list[StoredModel]:
    """Imports the named models, else all, from a folder that `export_models` wrote.

    Raises ConfigError where the folder has none, WeightsMissing where it lacks one that is named.
    """
    store = Runtime().create_context().store
    folders = [path.parent for path in sorted(folder.glob(f"*/{CARD}"))]
    if (folder / CARD).is_file():
        folders.append(folder)
    if not folders:
        raise ConfigError(f"{folder} has no models that `mmsearch models export` wrote")
    cards = {path: read_card(path) for path in folders}
    if not names:
        return [store.import_model(path) for path in folders]
    by_name = {(card.encoder, card.source): path for path, card in cards.items()}
    models = []
    for spec in _find_stored_specs(names):
        if (spec.encoder, spec.source) not in by_name:
            raise WeightsMissing(f"{folder} has no {spec}: export it there first")
        models.append(store.import_model(by_name[spec.encoder, spec.source]))
    return models


def export_models(names: Sequence[str], target: Path) -> list[Path]:
    """Copies models that are here into a folder; raises WeightsMissing for one that is not."""
    context = Runtime().create_context()
    specs = _find_stored_specs(names)
    if not specs:
        raise ModelError(f"{', '.join(names)}: comes with mmsearch, there is nothing to export")
    models = [require_stored_model(spec, context) for spec in specs]
    return [context.store.export(stored, target / stored.folder.name) for stored in models]


def verify_models(names: Sequence[str]) -> list[tuple[StoredModel, list[str]]]:
    """Returns the named models, else all that are here, with the problems of each."""
    context = Runtime().create_context()
    models = [require_stored_model(spec, context) for spec in _find_stored_specs(names)]
    models = models if names else context.store.list_models()
    return [(stored, context.store.verify(stored)) for stored in models]


def list_folders(names: Sequence[str]) -> list[Path]:
    """Returns the folders of models that are here; that of the store if none is named."""
    context = Runtime().create_context()
    if not names:
        return [context.store.root]
    return [require_stored_model(spec, context).folder for spec in _find_stored_specs(names)]
