"""Presets: the models of a library, as data, with their calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mmsearch.errors import ConfigError
from mmsearch.models.calibration import (
    DEFAULT_CALIBRATION,
    ENCODER_CALIBRATIONS,
    MINI_CALIBRATIONS,
    SIGLIP_CALIBRATIONS,
    Calibration,
)

ROLES = ("image", "sound", "speech", "text")
"""Every preset has one model for each."""
OCR = "ocr"
"""The role of the OCR pipeline, which may be left empty."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model for a role.

    `encoder` is a name of `mmsearch.plugins`, `source` what that encoder loads: nothing for what
    comes with the installation, else a hub repository, an open_clip NAME/TAG, or a folder.
    `revision` is a commit or a branch; empty for the newest, whose commit a library then records.
    `weights_sha256` pins the weights; a library fills it in. `licence` is an SPDX id, empty where
    it is the user's own affair.
    """

    encoder: str
    source: str = ""
    revision: str = ""
    licence: str = ""
    weights_sha256: str = ""
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.encoder}:{self.source}" if self.source else self.encoder


RAPIDOCR = ModelSpec("rapidocr", licence="Apache-2.0")
NO_OCR = ModelSpec("none")


@dataclass(frozen=True, slots=True)
class Preset:
    """The models of a library.

    `calibrations` maps "query kind>space" to a curve; a pair without one cannot be searched.
    `others` are encoders of plugins, for formats that only plugins read. `speech_on_gpu` replaces
    `speech` in a library that is created on a machine with a GPU. `ocr` is the OCR pipeline: NO_OCR
    for none, None for the one that is installed where a library is created.
    """

    name: str
    text: ModelSpec
    image: ModelSpec
    sound: ModelSpec
    speech: ModelSpec
    calibrations: Mapping[str, Calibration]
    summary: str
    others: tuple[ModelSpec, ...] = ()
    speech_on_gpu: ModelSpec | None = None
    ocr: ModelSpec | None = None

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """The models by role, and the others by the names of their encoders."""
        specs: dict[str, ModelSpec] = {role: getattr(self, role) for role in ROLES}
        if self.ocr is not None and self.ocr != NO_OCR:
            specs[OCR] = self.ocr
        return specs | {spec.encoder: spec for spec in self.others}

    def with_models(self, models: Mapping[str, ModelSpec]) -> Preset:
        """Returns the preset with other models for some roles, and with their calibrations.

        Raises ConfigError for models that do not go together.
        """
        replaced = {role: spec for role, spec in models.items() if role in ROLES}
        curves = dict(self.calibrations)
        for role, spec in replaced.items():
            if spec.encoder != getattr(self, role).encoder or role == "image":
                curves = {
                    pair: curve for pair, curve in curves.items() if pair.split(">")[1] != role
                }
                curves |= ENCODER_CALIBRATIONS.get(spec.encoder, {})
        image, text = replaced.get("image", self.image), replaced.get("text", self.text)
        if image.encoder == "tagging" and text.encoder != "minilm":
            raise ConfigError(
                f"the image model 'tagging' takes words through the text model 'minilm', not "
                f"{text}: choose another image model too, or leave the text model out"
            )
        others = tuple(spec for role, spec in models.items() if role not in (*ROLES, OCR))
        for spec in others:
            own = {f"{spec.encoder}>{spec.encoder}": DEFAULT_CALIBRATION}
            curves |= ENCODER_CALIBRATIONS.get(spec.encoder, own)
        return replace(
            self,
            **replaced,  # type: ignore[arg-type]  # the names of its fields, as checked above
            others=others or self.others,
            ocr=models.get(OCR, self.ocr),
            calibrations=MappingProxyType(curves),
            speech_on_gpu=None if "speech" in replaced else self.speech_on_gpu,
        )


MINI = Preset(
    name="mini",
    text=ModelSpec("minilm", licence="Apache-2.0"),
    image=ModelSpec("tagging", licence="Apache-2.0"),
    sound=ModelSpec("whisper-sound", licence="MIT"),
    speech=ModelSpec("faster-whisper", "tiny.en", licence="MIT"),
    calibrations=MINI_CALIBRATIONS,
    summary="small models that come with the installation; English; nothing is downloaded",
)

_E5 = ModelSpec(
    "sentence",
    "intfloat/multilingual-e5-small",
    licence="MIT",
    settings=MappingProxyType({"query_prefix": "query: ", "passage_prefix": "passage: "}),
)
_CLAP = ModelSpec("clap", "laion/clap-htsat-unfused", licence="Apache-2.0")

CLIP = Preset(
    name="clip",
    text=_E5,
    image=ModelSpec("open-clip", "timm/ViT-B-16-SigLIP2-256", licence="Apache-2.0"),
    sound=_CLAP,
    speech=ModelSpec("faster-whisper", "small", licence="MIT"),
    speech_on_gpu=ModelSpec("faster-whisper", "large-v3-turbo", licence="MIT"),
    calibrations=MappingProxyType(
        {**SIGLIP_CALIBRATIONS, **ENCODER_CALIBRATIONS["clap"], **ENCODER_CALIBRATIONS["sentence"]}
    ),
    summary="recommended: SigLIP 2, CLAP, Whisper small and E5; many languages; 3.1 GB to fetch",
)

# MobileCLIP2 is faster still, but its weights are for research only (Apple's AMLR licence).
FAST = Preset(
    name="fast",
    text=_E5,
    image=ModelSpec("open-clip", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", licence="MIT"),
    sound=_CLAP,
    speech=ModelSpec("faster-whisper", "base", licence="MIT"),
    calibrations=MappingProxyType(
        {
            **ENCODER_CALIBRATIONS["open-clip"],
            **ENCODER_CALIBRATIONS["clap"],
            **ENCODER_CALIBRATIONS["sentence"],
        }
    ),
    summary="a small CLIP for large collections on a CPU; pictures in English; 1.8 GB to fetch",
)

# EmbeddingGemma has terms of use of its own; Qwen3 is Apache-2.0. SigLIP 2 knows many languages,
# PE-Core (as good in English) does not.
BEST = Preset(
    name="best",
    text=ModelSpec(
        "sentence",
        "Qwen/Qwen3-Embedding-0.6B",
        licence="Apache-2.0",
        settings=MappingProxyType(
            {
                "query_prefix": "Instruct: Given a web search query, retrieve relevant passages "
                "that answer the query\nQuery:",
                "pooling": "last",
            }
        ),
    ),
    image=ModelSpec("open-clip", "timm/ViT-SO400M-16-SigLIP2-384", licence="Apache-2.0"),
    sound=ModelSpec("clap", "laion/larger_clap_general", licence="Apache-2.0"),
    speech=ModelSpec("faster-whisper", "large-v3", licence="MIT"),
    calibrations=MappingProxyType(
        {
            **SIGLIP_CALIBRATIONS,
            **ENCODER_CALIBRATIONS["clap"],
            "text>text": Calibration(midpoint=0.45, steepness=16.0),
            "tags>text": Calibration(midpoint=0.50, steepness=16.0),
        }
    ),
    summary="the best open weights, for a GPU; many languages; 10 GB to fetch",
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (MINI, CLIP, FAST, BEST)}
)
DEFAULT_PRESET = MINI.name
_KEYS = frozenset({"extends", "summary", "others", OCR, *ROLES})
_SPEC_KEYS = frozenset({"encoder", "source", "revision", "licence", "weights_sha256"})


def find_preset(name: str, own: Mapping[str, object] = MappingProxyType({})) -> Preset:
    """Returns the preset of that name, of those built in or of the user's `own`.

    `own` is the table `presets` of config.toml. Raises ConfigError, which lists the presets, or
    names the fault of the user's.
    """
    if name in own:
        return _parse_preset(name, own[name])
    if name in PRESETS:
        return PRESETS[name]
    names = ", ".join(sorted({*PRESETS, *own}))
    raise ConfigError(f"there is no preset {name!r}; there are: {names}")


def _parse_preset(name: str, table: object) -> Preset:
    """Parses a preset of config.toml, which `extends` one that is built in."""
    where = f"config.toml, [presets.{name}]"
    if name in PRESETS:
        raise ConfigError(f"{where}: {name!r} is built in: give yours another name")
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table: extends = 'mini', image = 'NAME/TAG', ...")
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        keys = ", ".join(sorted(_KEYS))
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; the keys are {keys}")
    base = table.get("extends", DEFAULT_PRESET)
    if base not in PRESETS:
        raise ConfigError(f"{where}: extends = {base!r}, but it can be {', '.join(PRESETS)}")
    models = {
        role: _parse_model_setting(role, table[role], where)
        for role in (*ROLES, OCR)
        if role in table
    }
    others = table.get("others", [])
    if not isinstance(others, list):
        raise ConfigError(f"{where}: others must be a list of names of encoders")
    models |= {str(encoder): ModelSpec(str(encoder)) for encoder in others}
    summary = str(table.get("summary", f"{base} with models of your own"))
    return replace(PRESETS[base].with_models(models), name=name, summary=summary)


def _parse_model_setting(role: str, value: object, where: str) -> ModelSpec:
    if isinstance(value, str):
        return parse_model(role, value)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ConfigError(f"{where}: {role} must be a model, or a table of texts with `source`")
    return replace(
        parse_model(role, value.get("source", "")),
        **{key: text for key, text in value.items() if key in _SPEC_KEYS - {"source"}},
        settings=MappingProxyType({k: text for k, text in value.items() if k not in _SPEC_KEYS}),
    )


_DEFAULT_ENCODERS = {
    "image": "open-clip",
    "sound": "clap",
    "speech": "faster-whisper",
    "text": "sentence",
    OCR: RAPIDOCR.encoder,
}
_PACKAGED = {"image": "tagging", "sound": "whisper-sound", "text": "minilm"}


def parse_model(role: str, text: str) -> ModelSpec:
    """Parses the value of `--image-model` and its like: [ENCODER:]SOURCE.

    Without an encoder the source is one for open_clip (image), ClapModel (sound), faster-whisper
    (speech) or a sentence encoder (text). The names of what comes with the installation stand for
    themselves; `ocr` can be `none`.
    """
    if role == OCR and text in (RAPIDOCR.encoder, NO_OCR.encoder):
        return RAPIDOCR if text == RAPIDOCR.encoder else NO_OCR
    if text == _PACKAGED.get(role):
        return ModelSpec(text)
    encoder, colon, source = text.partition(":")
    is_encoder = bool(colon) and encoder.replace("-", "").isalnum() and len(encoder) > 1
    if is_encoder and not source.startswith("//"):
        return ModelSpec(encoder, source)
    return ModelSpec(_DEFAULT_ENCODERS[role], text)
