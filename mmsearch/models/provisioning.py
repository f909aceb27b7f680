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
from mmsearch.encoders.registry import encoder_class
from mmsearch.encoders.stored_model import find
from mmsearch.errors import ConfigError, WeightsMismatch, WeightsMissing
from mmsearch.models.model_card import CARD
from mmsearch.models.model_store import ModelCard, StoredModel, Tower, default_store
from mmsearch.models.presets import ModelSpec, Preset
from mmsearch.models.weights import named_folder
from mmsearch.runtime.atomic_files import place
from mmsearch.runtime.device import Device, resolve

if TYPE_CHECKING:
    from mmsearch.models.hub.hub import Download, SourceModel
    from mmsearch.runtime.network import Network


PRECISIONS = ("auto", "fp32", "int8")


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a user wants models to run.

    `device` is auto, cpu, cuda or cuda:N; `precision` auto, fp32 or int8, for networks on a CPU;
    `language` is what is spoken in recordings, None to detect it.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"
    language: str | None = None

    def context(self) -> Context:
        """The same for encoders, with the store of this machine; raises ConfigError."""
        Device.parse(self.device)
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"there is no precision {self.precision!r}: it can be {', '.join(PRECISIONS)}"
            )
        return Context(
            store=default_store(),
            device=self.device,
            threads=self.threads,
            precision=self.precision,
            language=self.language,
            open_on_gpu=open_on_gpu,
        )


@dataclass(frozen=True, slots=True)
class Supplying:
    """What is being done to bring a model here; `share` is how much of it, where that is known."""

    model: str
    what: str
    done_bytes: int = 0
    total_bytes: int = 0
    share: float | None = None


OnSupply = Callable[[Supplying], object]


def ignore(_event: Supplying) -> None:
    """For those who do not want to know."""


def on_gpu(context: Context) -> bool:
    """Whether media will be encoded on a GPU."""
    return resolve(context.device, needs_torch=False).device.kind == "cuda"


def open_on_gpu(stored: StoredModel, tower: str, where: Device) -> Network:
    """A tower of a stored model as torch runs it on a GPU, from the weights as published.

    Raises WeightsMissing where only the converted model was brought here, WeightsMismatch where the
    published weights are others now.
    """
    from mmsearch.models.conversion.torch_towers import open_torch
    from mmsearch.models.hub import hub

    card = stored.card
    family = encoder_class(ModelSpec(card.encoder, card.source))
    located = hub.locate(
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
    return open_torch(card.encoder, located.folder, tower, where, settings=settings)


def supply(preset: Preset, context: Context, on_supply: OnSupply = ignore) -> Preset:
    """The preset with every model here, and its revision and weights filled in.

    Raises WeightsMissing where a model is not here and cannot be fetched (the message says how to
    bring it over), WeightsMismatch, MissingExtra where a conversion needs packages, ModelError.
    """
    return replace(
        preset,
        text=supplied(preset.text, context, on_supply),
        image=supplied(preset.image, context, on_supply),
        sound=supplied(preset.sound, context, on_supply),
        speech=supplied(preset.speech, context, on_supply),
        others=tuple(supplied(spec, context, on_supply) for spec in preset.others),
    )


def supplied(spec: ModelSpec, context: Context, on_supply: OnSupply = ignore) -> ModelSpec:
    """One model, brought here where it was not."""
    if not is_kept(spec):
        return spec
    folder = named_folder(spec.source)
    is_source = folder is not None and not (folder / CARD).is_file()
    # What lies in a folder can change: it is hashed before it is believed to be what is here.
    stored = None if is_source else find(spec, context)
    return _filled_in(spec, stored or _bring(spec, context, on_supply))


def renewed(
    spec: ModelSpec, context: Context, on_supply: OnSupply = ignore, *, again: bool = False
) -> ModelSpec:
    """One model, brought here where it was not, or is not as it was any more, or `again`."""
    if not again:
        with contextlib.suppress(WeightsMismatch, WeightsMissing):
            return supplied(spec, context, on_supply)
    return _filled_in(spec, _bring(spec, context, on_supply, is_stale=True))


def _filled_in(spec: ModelSpec, stored: StoredModel) -> ModelSpec:
    card = stored.card
    return replace(
        spec,
        revision=card.revision,
        weights_sha256=card.weights_sha256,
        licence=spec.licence or card.licence,
    )


def is_kept(spec: ModelSpec) -> bool:
    """Whether a model lives in the store, rather than in an installed package."""
    family = encoder_class(spec)
    return bool(getattr(family, "patterns", ())) and spec.source not in family.packaged


def _bring(
    spec: ModelSpec, context: Context, on_supply: OnSupply, *, is_stale: bool = False
) -> StoredModel:
    family = encoder_class(spec)
    from mmsearch.models.hub import hub  # here: a search never fetches

    def tell(what: str, **amounts: Any) -> None:
        on_supply(Supplying(spec.source, what, **amounts))

    def fetched(file: Download) -> None:
        tell("fetching", done_bytes=file.done_bytes, total_bytes=file.total_bytes)

    located = hub.locate(
        family.repository(spec.source),
        revision=spec.revision,
        patterns=family.patterns,
        name=str(spec),
        on_progress=fetched,
    )
    digest = located.weights_sha256
    if spec.weights_sha256 not in ("", digest):
        raise WeightsMismatch(
            f"{spec.source} has weights {digest[:12]} at revision {located.revision or 'unknown'}, "
            f"but {spec.weights_sha256[:12]} (revision {spec.revision or 'unknown'}) are wanted: "
            f"name that revision, or index into a new library"
        )
    pinned = replace(spec, weights_sha256=digest)
    with context.store.lock():  # who waited here finds what the other has made
        stored = None if is_stale else find(pinned, context)
        return stored or context.store.add(
            lambda folder: _kept(spec, family, located, folder, tell)
        )


def _kept(
    spec: ModelSpec,
    family: Any,
    located: SourceModel,
    folder: Path,
    tell: Callable[..., None],
) -> ModelCard:
    """Fill the folder of a model that is to be kept, and write its card."""
    from mmsearch.models.conversion import process as conversion

    parts: dict[str, Any] = {}
    if family.is_converted:
        parts = conversion.run(
            spec.encoder,
            located.folder,
            folder,
            settings=dict(spec.settings),
            on_progress=lambda step, share: tell(step, share=share),
        )
    else:
        for file in located.files:
            place(located.folder / file.name, folder / file.name)
    return ModelCard(
        encoder=spec.encoder,
        source=spec.source,
        revision=located.revision,
        licence=spec.licence,
        weights=located.files,
        weights_sha256=located.weights_sha256,
        dim=int(parts.get("dim", 0)),
        towers={name: Tower(**tower) for name, tower in parts.get("towers", {}).items()},
        settings=parts.get("settings", {}),
        made_with=parts.get("made_with", {}),
    )
