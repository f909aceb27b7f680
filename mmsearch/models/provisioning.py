"""Brings models to this machine: from a folder, the store, the hub's cache or the hub.

An encoder whose model is kept in the store has, besides what `mmsearch.encoders.base` asks for,
`patterns` (which files of a repository it wants), `packaged` (sources that need no store),
`is_converted` (whether `mmsearch.models.conversion` makes networks of it) and `repository(source)`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.encoders.base import Context
from mmsearch.encoders.registry import find_encoder_class
from mmsearch.encoders.stored_model import find_stored_model
from mmsearch.errors import ConfigError, WeightsMismatch, WeightsMissing
from mmsearch.models.model_card import CARD
from mmsearch.models.model_store import ModelCard, StoredModel, TowerCard, open_default_store
from mmsearch.models.presets import ModelSpec, Preset
from mmsearch.models.weights import parse_folder
from mmsearch.runtime.atomic_files import link_or_copy
from mmsearch.runtime.device import Device, resolve_device

if TYPE_CHECKING:
    from mmsearch.models.hub.source_model import Download, SourceModel
    from mmsearch.runtime.network import Network


PRECISIONS = ("auto", "fp32", "int8")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The settings with which models run.

    `device` is auto, cpu, cuda or cuda:N; `precision` auto, fp32 or int8, for networks on a CPU;
    `language` is the language spoken in recordings, None to detect it.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"
    language: str | None = None

    def create_context(self) -> Context:
        """Returns the settings for encoders, with the store of this machine; raises ConfigError."""
        Device.parse(self.device)
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"there is no precision {self.precision!r}: it can be {', '.join(PRECISIONS)}"
            )
        return Context(
            store=open_default_store(),
            device=self.device,
            threads=self.threads,
            precision=self.precision,
            language=self.language,
            open_on_gpu=open_on_gpu,
        )


@dataclass(frozen=True, slots=True)
class ProvisioningEvent:
    """A step of bringing a model here; `share` is the part of it that is done, if known."""

    model: str
    what: str
    done_bytes: int = 0
    total_bytes: int = 0
    share: float | None = None


OnProvisioning = Callable[[ProvisioningEvent], object]


def ignore_events(_event: ProvisioningEvent) -> None:
    """Does nothing."""


def is_gpu_used(context: Context) -> bool:
    """Tests if media will be encoded on a GPU."""
    return resolve_device(context.device, needs_torch=False).device.kind == "cuda"


def open_on_gpu(stored: StoredModel, tower: str, where: Device) -> Network:
    """Opens a tower of a stored model with torch on a GPU, from the weights as published.

    Raises WeightsMissing if only the converted model is here, WeightsMismatch if the published
    weights have changed.
    """
    from mmsearch.models.conversion.torch_towers import open_torch_tower
    from mmsearch.models.hub import source_model

    card = stored.card
    family = find_encoder_class(ModelSpec(card.encoder, card.source))
    located = source_model.locate(
        family.repository(card.source),
        revision=card.revision,
        patterns=family.patterns,
        name=card.name,
    )
    if located.weights_sha256 != card.weights_sha256:
        raise WeightsMismatch(
            f"{located.folder} has weights {located.weights_sha256[:12]}, but this library was "
            f"made with {card.weights_sha256[:12]}: bring those back, or use --device cpu"
        )
    settings = {name: str(value) for name, value in card.settings.items()}
    return open_torch_tower(card.encoder, located.folder, tower, where, settings=settings)


def provision_preset(
    preset: Preset, context: Context, on_provisioning: OnProvisioning = ignore_events
) -> Preset:
    """Brings every model of a preset here and fills in their revisions and weights.

    Raises WeightsMissing where a model is not here and cannot be fetched (the message says how to
    bring it over), WeightsMismatch, MissingExtra where a conversion needs packages, ModelError.
    """

    def provision(spec: ModelSpec) -> ModelSpec:
        return provision_model(spec, context, on_provisioning)

    return replace(
        preset,
        text=provision(preset.text),
        image=provision(preset.image),
        sound=provision(preset.sound),
        speech=provision(preset.speech),
        others=tuple(map(provision, preset.others)),
    )


def provision_model(
    spec: ModelSpec, context: Context, on_provisioning: OnProvisioning = ignore_events
) -> ModelSpec:
    """Brings one model here unless it is, and fills in its revision and weights."""
    if not is_in_store(spec):
        return spec
    folder = parse_folder(spec.source)
    is_source = folder is not None and not (folder / CARD).is_file()
    # Files in a folder can change: they are hashed before a stored model is taken for theirs.
    stored = None if is_source else find_stored_model(spec, context)
    return _pin_model(spec, stored or _fetch_and_convert(spec, context, on_provisioning))


def refresh_model(
    spec: ModelSpec,
    context: Context,
    on_provisioning: OnProvisioning = ignore_events,
    *,
    again: bool = False,
) -> ModelSpec:
    """Brings one model here if it is missing, its files have changed, or `again` is given."""
    if not again:
        with contextlib.suppress(WeightsMismatch, WeightsMissing):
            return provision_model(spec, context, on_provisioning)
    return _pin_model(spec, _fetch_and_convert(spec, context, on_provisioning, is_stale=True))


def _pin_model(spec: ModelSpec, stored: StoredModel) -> ModelSpec:
    card = stored.card
    return replace(
        spec,
        revision=card.revision,
        weights_sha256=card.weights_sha256,
        licence=spec.licence or card.licence,
    )


def is_in_store(spec: ModelSpec) -> bool:
    """Tests if a model lives in the store rather than in an installed package."""
    family = find_encoder_class(spec)
    return bool(getattr(family, "patterns", ())) and spec.source not in family.packaged


def _fetch_and_convert(
    spec: ModelSpec,
    context: Context,
    on_provisioning: OnProvisioning,
    *,
    is_stale: bool = False,
) -> StoredModel:
    family = find_encoder_class(spec)
    from mmsearch.models.hub import source_model  # here: a search never fetches

    def report_download(file: Download) -> None:
        on_provisioning(
            ProvisioningEvent(spec.source, "fetching", file.done_bytes, file.total_bytes)
        )

    located = source_model.locate(
        family.repository(spec.source),
        revision=spec.revision,
        patterns=family.patterns,
        name=str(spec),
        on_progress=report_download,
    )
    digest = located.weights_sha256
    if spec.weights_sha256 not in ("", digest):
        raise WeightsMismatch(
            f"{spec.source} has weights {digest[:12]} at revision {located.revision or 'unknown'}, "
            f"but {spec.weights_sha256[:12]} (revision {spec.revision or 'unknown'}) are wanted: "
            f"name that revision, or index into a new library"
        )

    def build(folder: Path) -> ModelCard:
        return _build_model(spec, family, located, folder, on_provisioning)

    pinned = replace(spec, weights_sha256=digest)
    with context.store.lock():  # who waited here finds what the other has made
        stored = None if is_stale else find_stored_model(pinned, context)
        return stored or context.store.add(build)


def _build_model(
    spec: ModelSpec,
    family: Any,
    located: SourceModel,
    folder: Path,
    on_provisioning: OnProvisioning,
) -> ModelCard:
    """Fills the folder of a model from its source and returns its card."""
    from mmsearch.models.conversion.process import run_conversion

    parts: dict[str, Any] = {}
    if family.is_converted:
        parts = run_conversion(
            spec.encoder,
            located.folder,
            folder,
            settings=dict(spec.settings),
            on_progress=lambda step, share: on_provisioning(
                ProvisioningEvent(spec.source, step, share=share)
            ),
        )
    else:
        for file in located.files:
            link_or_copy(located.folder / file.name, folder / file.name)
    return ModelCard(
        encoder=spec.encoder,
        source=spec.source,
        revision=located.revision,
        licence=spec.licence,
        weights=located.files,
        weights_sha256=located.weights_sha256,
        dim=int(parts.get("dim", 0)),
        towers={name: TowerCard(**tower) for name, tower in parts.get("towers", {}).items()},
        settings=parts.get("settings", {}),
        made_with=parts.get("made_with", {}),
    )
