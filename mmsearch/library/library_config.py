"""The models and spaces of a library: created from a preset, read and checked by its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmsearch.config import own_presets
from mmsearch.encoders.base import Context
from mmsearch.encoders.bundle import Encoders
from mmsearch.encoders.registry import find_encoder_class
from mmsearch.errors import ConfigError, MmsearchError, WeightsMismatch
from mmsearch.media.files import make_absolute
from mmsearch.models import presets
from mmsearch.models.presets import ModelSpec, Preset, parse_model
from mmsearch.models.provisioning import OnProvisioning, is_gpu_used, provision_preset
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.schema import FORMAT_VERSION
from mmsearch.store.writer import Lock, create


def parse_models(models: Mapping[str, str]) -> dict[str, ModelSpec]:
    """Parses the models that are named for places; folders and files become absolute."""
    specs = {place: parse_model(place, written) for place, written in models.items()}
    return {
        place: replace(spec, source=_make_absolute(spec.source)) for place, spec in specs.items()
    }


def _make_absolute(source: str) -> str:
    """Makes a path absolute; a name that is no path stays as it is."""
    path = Path(source).expanduser()
    return make_absolute(path) if source and path.exists() else source


def create_library(
    folder: Location, preset: Preset, context: Context, on_provisioning: OnProvisioning
) -> None:
    """Creates an empty library for a preset whose models are provisioned first."""
    if preset.speech_on_gpu is not None and is_gpu_used(context):
        preset = replace(preset, speech=preset.speech_on_gpu)
    # Said once and kept: without a word OCR comes when it is installed.
    declined = {presets.OCR: presets.NO_OCR} if preset.ocr == presets.NO_OCR else {}
    preset = replace(
        provision_preset(preset, context, on_provisioning), ocr=_choose_ocr(preset, context)
    )
    encoders = Encoders(preset, context)
    manifest = Manifest(
        preset=preset.name,
        speech_model=preset.speech.source,
        spaces=encoders.spaces,
        models=preset.specs | declined,
        speech=encoders.speech,
    )
    create(folder, manifest)


def _choose_ocr(preset: Preset, context: Context) -> ModelSpec:
    """Returns the OCR model of a new library: named, else installed; raises MissingExtra."""
    from mmsearch.encoders.ocr import rapidocr

    spec = preset.ocr or (presets.RAPIDOCR if rapidocr.is_installed() else presets.NO_OCR)
    if spec == presets.NO_OCR:
        return spec
    made_by = find_encoder_class(spec).describe(spec, context)
    return replace(spec, revision=made_by.revision, weights_sha256=made_by.weights_sha256)


def adopt_ocr(
    folder: Location, manifest: Manifest, context: Context, models: Mapping[str, ModelSpec]
) -> Manifest:
    """Gives OCR to a library without it: named in `models`, or installed since and not declined.

    Raises MissingExtra and LibraryLocked where it is named.
    """
    from mmsearch.encoders.ocr import rapidocr

    is_named = models.get(presets.OCR) == presets.RAPIDOCR
    recorded = manifest.models.get(presets.OCR)
    has_ocr = recorded is not None and recorded != presets.NO_OCR
    is_current = manifest.format_version == FORMAT_VERSION and bool(manifest.models)
    is_due = recorded is None and is_current and rapidocr.is_installed()
    if has_ocr or not (is_named or is_due):
        return manifest
    try:
        spec = _choose_ocr(replace(read_preset(manifest), ocr=presets.RAPIDOCR), context)
        with Lock(folder):
            manifest = manifests.read(folder)
            manifest = replace(manifest, models={**manifest.models, presets.OCR: spec})
            manifests.write(folder, manifest)
    except (MmsearchError, OSError):
        if is_named:
            raise
    return manifest


def read_preset(manifest: Manifest) -> Preset:
    """Returns the preset of a library, with the models that its manifest records.

    Curves are those of the preset of that name, or of each model where the preset is the user's own
    and no longer in config.toml.
    """
    own = own_presets()
    is_known = manifest.preset in presets.PRESETS or manifest.preset in own
    base = presets.find_preset(manifest.preset if is_known else presets.DEFAULT_PRESET, own)
    models = manifest.models
    if not models:  # a library of an earlier version records its speech model alone
        models = {"speech": replace(base.speech, source=manifest.speech_model)}
    has = base.specs
    others = {place: spec for place, spec in models.items() if _differs(spec, has.get(place))}
    kept = base.with_models(others) if others else base
    places = {place: spec for place, spec in models.items() if place in presets.ROLES}
    return replace(
        kept,
        **places,  # type: ignore[arg-type]  # the names of its fields, as checked above
        name=manifest.preset,
        ocr=models.get(presets.OCR, presets.NO_OCR),
        others=tuple(
            spec for place, spec in models.items() if place not in (*presets.ROLES, presets.OCR)
        ),
    )


def check_request(
    folder: Location, manifest: Manifest, *, preset: str | None, models: Mapping[str, ModelSpec]
) -> None:
    """Raises ConfigError for another preset or model than the library has."""
    if preset is not None and preset != manifest.preset:
        raise ConfigError(_find_other(folder, "preset", manifest.preset, preset))
    has = read_preset(manifest).specs
    for place, spec in models.items():
        made_with = has.get(place, presets.NO_OCR)
        if place == presets.OCR and made_with == presets.NO_OCR:
            continue  # it can be added, see `adopt_ocr`
        if _differs(spec, made_with):
            raise ConfigError(_find_other(folder, f"{place} model", str(made_with), str(spec)))


def check_weights(folder: Location, manifest: Manifest, encoders: Encoders) -> None:
    """Raises WeightsMismatch where the vectors were made with other weights than are here."""
    now = {space.name: space for space in encoders.spaces}
    for recorded in manifest.spaces:
        if recorded.name not in now:
            raise WeightsMismatch(
                f"the library {folder} has a space {recorded.name!r}, for which there is no model "
                f"here: install the version of mmsearch that made it, or index into a new library"
            )
        here = now[recorded.name]
        if here != recorded:
            raise WeightsMismatch(
                f"the library {folder} was made with {recorded.model} {recorded.revision} "
                f"({recorded.weights_sha256[:12]}) in space {recorded.name!r}, but {here.model} "
                f"{here.revision} ({here.weights_sha256[:12]}) is installed: install the version "
                f"of mmsearch that made it, or index into a new library"
            )


def _differs(one: ModelSpec, other: ModelSpec | None) -> bool:
    return other is None or (one.encoder, one.source) != (other.encoder, other.source)


def _find_other(folder: Location, what: str, has: str, asked: str) -> str:
    return (
        f"the library {folder} was made with {what} {has!r} and cannot take {asked!r}: "
        f"leave the option out, or make another library with --library DIR"
    )
