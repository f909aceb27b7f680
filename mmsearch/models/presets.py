"""Presets: which models make up a library, as data, and how their similarities become scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from mmsearch.errors import ConfigError

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

PLACES = ("image", "sound", "speech", "text")
"""Every preset has one model in each."""
OCR = "ocr"
"""The place of what reads the writing in pictures; it may be empty."""


MOST_STRETCHED = 2.0
"""A background that is wider or narrower still says more of the library than of the model."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic curve from cosine to score: 0.5 at `midpoint`, the steeper the surer.

    Platt 1999, with constants fitted by `scripts/fit_calibration.py`. Where the encoder knows how
    near the best match could be, `ceiling_weight` times that is taken off: what it has a word for
    must come nearer than what it has only something like. `background` is the mean and the standard
    deviation of the cosines of strangers where the curve was set, for a curve that nobody fitted:
    it is moved to where they lie in the library (ADR 14).
    """

    midpoint: float
    steepness: float
    ceiling_weight: float = 0.0
    background: tuple[float, float] | None = None

    def moved(self, mean: float, std: float) -> Calibration:
        """The curve where strangers have that mean and standard deviation instead."""
        if self.background is None:
            return self
        usual_mean, usual_std = self.background
        stretch = min(max(std / usual_std, 1 / MOST_STRETCHED), MOST_STRETCHED)
        return replace(
            self,
            midpoint=mean + (self.midpoint - usual_mean) * stretch,
            steepness=self.steepness / stretch,
        )

    def score(self, similarity: float) -> float:
        """The score (0..1) of a cosine alone."""
        return 1.0 / (1.0 + math.exp(-self.steepness * (similarity - self.midpoint)))

    def scores(self, similarities: FloatArray, ceiling: float = 0.0) -> FloatArray:
        """(n,) scores (0..1) of (n,) cosines; `ceiling` is the greatest that there could be."""
        import numpy as np

        told = similarities.astype(np.float64) - self.ceiling_weight * ceiling - self.midpoint
        scores: FloatArray = (1.0 / (1.0 + np.exp(-self.steepness * told))).astype(np.float32)
        return scores


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model takes a place, as data.

    `encoder` is a name of `mmsearch.plugins`, `source` what that encoder loads: nothing for what
    comes with the installation, else a hub repository, an open_clip NAME/TAG, or a folder.
    `revision` is a commit or a branch; empty for the newest, and then the commit it stood for is
    what a library records. `weights_sha256` pins the weights; a library fills it in. `licence` is
    an SPDX id, empty where it is the user's own affair.
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

    `calibrations` maps "what is asked > space" to a curve; what is not listed cannot be asked.
    `others` are encoders of plugins, for what only plugins read. `speech_on_gpu` takes the place
    of `speech` where a library is made on a machine with a GPU. `ocr` reads the writing in
    pictures: NO_OCR for none, None for what is installed where a library is made.
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
        """The models by their places; the others by their own names."""
        places = {place: getattr(self, place) for place in PLACES}
        if self.ocr not in (None, NO_OCR):
            places[OCR] = self.ocr
        return places | {spec.encoder: spec for spec in self.others}

    def with_models(self, models: Mapping[str, ModelSpec]) -> Preset:
        """The same with other models in some places, which brings their own curves."""
        kept = {place: spec for place, spec in models.items() if place in PLACES}
        curves = dict(self.calibrations)
        for place, spec in kept.items():
            if spec.encoder != getattr(self, place).encoder or place == "image":
                curves = {
                    pair: curve for pair, curve in curves.items() if pair.split(">")[1] != place
                }
                curves |= CURVES.get(spec.encoder, {})
        image, text = kept.get("image", self.image), kept.get("text", self.text)
        if image.encoder == "tagging" and text.encoder != "minilm":
            raise ConfigError(
                f"the image model 'tagging' takes words through the text model 'minilm', not "
                f"{text}: choose another image model too, or leave the text model out"
            )
        others = tuple(spec for place, spec in models.items() if place not in (*PLACES, OCR))
        for spec in others:
            curves |= CURVES.get(spec.encoder, {f"{spec.encoder}>{spec.encoder}": ALIKE})
        return replace(
            self,
            **kept,  # type: ignore[arg-type]  # the names of its fields, as checked above
            others=others or self.others,
            ocr=models.get(OCR, self.ocr),
            calibrations=MappingProxyType(curves),
            speech_on_gpu=None if "speech" in kept else self.speech_on_gpu,
        )


ALIKE = Calibration(midpoint=0.70, steepness=8.0)
"""For vectors of one kind compared with each other, where nothing better is known."""

# What is asked of a model that nobody has fitted here; a plugin may add to it for its own name.
# No CLIP or CLAP weights could be fetched where these were set: they follow from the models'
# published temperatures and biases, and wait for `scripts/fit_calibration.py` on real ones. Their
# backgrounds put the middle of the curve four standard deviations above strangers, where it lies
# for mini's texts: in a library the middle goes where that library's own background puts it.
CURVES: Mapping[str, Mapping[str, Calibration]] = MappingProxyType(
    {
        # Softmax-trained CLIP (logit scale 100): matching pairs of the published LAION and DataComp
        # models lie about 0.25 to 0.35, strangers about 0.05 to 0.2.
        "open-clip": {
            "text>image": Calibration(midpoint=0.235, steepness=45.0, background=(0.11, 0.03)),
            "image>image": Calibration(midpoint=0.72, steepness=14.0),
        },
        # CLAP (Wu et al., ICASSP 2023): matching pairs 0.3 to 0.6, strangers about 0.
        "clap": {
            "text>sound": Calibration(midpoint=0.30, steepness=14.0, background=(0.03, 0.065)),
            "sound>sound": Calibration(midpoint=0.70, steepness=10.0),
        },
        "laion-clap": {
            "text>sound": Calibration(midpoint=0.30, steepness=14.0, background=(0.03, 0.065)),
            "sound>sound": Calibration(midpoint=0.70, steepness=10.0),
        },
        # E5 was trained at temperature 0.01: its cosines lie between 0.7 and 1.0 (model card).
        "sentence": {
            "text>text": Calibration(midpoint=0.845, steepness=60.0, background=(0.76, 0.02)),
            "tags>text": Calibration(midpoint=0.87, steepness=60.0),
        },
    }
)
# SigLIP 2 (Tschannen et al. 2025) says how probable a match is: sigmoid(112 cos - 16.5), given one
# match among 32,768 pairs. The curve is that with one among a hundred instead.
SIGLIP = {
    "text>image": Calibration(midpoint=0.095, steepness=112.0, background=(0.01, 0.02)),
    "image>image": Calibration(midpoint=0.72, steepness=14.0),
}

MINI = Preset(
    name="mini",
    text=ModelSpec("minilm", licence="Apache-2.0"),
    image=ModelSpec("tagging", licence="Apache-2.0"),
    sound=ModelSpec("whisper-sound", licence="MIT"),
    speech=ModelSpec("faster-whisper", "tiny.en", licence="MIT"),
    calibrations=MappingProxyType(
        {
            # 380 captions of 76 photographs against 100 queries that nothing answers: the ceiling
            # takes the area under the ROC curve of their best pictures from 0.875 to 0.912, and at
            # what 95 of 100 captions reach (0.179, a score of 0.3) refuses 60 of 100 of the others
            # instead of 45. A logistic fit has steepness 19.
            "text>image": Calibration(midpoint=0.229, steepness=17.0, ceiling_weight=0.5),
            # Of the same 100 queries half find a text at 0.325, a quarter at 0.363, a tenth at 0.4;
            # of 20 questions and quotations with answers all but those that exact words find too
            # are at 0.38 or above, which is a score of 0.32.
            "text>text": Calibration(midpoint=0.43, steepness=15.0),
            # Set by hand, for want of known answers: like pictures and like sounds.
            "image>image": Calibration(midpoint=0.70, steepness=10.0),
            "tags>text": Calibration(midpoint=0.55, steepness=15.0),
            "sound>sound": Calibration(midpoint=0.70, steepness=8.0),
        }
    ),
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
    calibrations=MappingProxyType({**SIGLIP, **CURVES["clap"], **CURVES["sentence"]}),
    summary="recommended: SigLIP 2, CLAP, Whisper small and E5; many languages; 3.1 GB to fetch",
)

# MobileCLIP2 is faster still, but its weights are for research only (Apple's AMLR licence).
FAST = Preset(
    name="fast",
    text=_E5,
    image=ModelSpec("open-clip", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", licence="MIT"),
    sound=_CLAP,
    speech=ModelSpec("faster-whisper", "base", licence="MIT"),
    calibrations=MappingProxyType({**CURVES["open-clip"], **CURVES["clap"], **CURVES["sentence"]}),
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
            **SIGLIP,
            **CURVES["clap"],
            "text>text": Calibration(midpoint=0.45, steepness=16.0),
            "tags>text": Calibration(midpoint=0.50, steepness=16.0),
        }
    ),
    summary="the best open weights, for a GPU; many languages; 10 GB to fetch",
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (MINI, CLIP, FAST, BEST)}
)
DEFAULT = MINI.name
_FIELDS = frozenset({"extends", "summary", "others", OCR, *PLACES})


def find(name: str, own: Mapping[str, object] = MappingProxyType({})) -> Preset:
    """The preset of that name, of those built in or of the user's `own`.

    `own` is the table `presets` of config.toml. Raises ConfigError, which lists those there are, or
    says what is wrong with the user's.
    """
    if name in own:
        return _own(name, own[name])
    if name in PRESETS:
        return PRESETS[name]
    listed = ", ".join(sorted({*PRESETS, *own}))
    raise ConfigError(f"there is no preset {name!r}; there are: {listed}")


def _own(name: str, written: object) -> Preset:
    """A preset from config.toml: `extends` one that is built in, with other models in places."""
    where = f"config.toml, [presets.{name}]"
    if name in PRESETS:
        raise ConfigError(f"{where}: {name!r} is built in: give yours another name")
    if not isinstance(written, dict):
        raise ConfigError(f"{where} must be a table: extends = 'mini', image = 'NAME/TAG', ...")
    unknown = sorted(set(written) - _FIELDS)
    if unknown:
        listed = ", ".join(sorted(_FIELDS))
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; the keys are {listed}")
    base = written.get("extends", DEFAULT)
    if base not in PRESETS:
        raise ConfigError(f"{where}: extends = {base!r}, but it can be {', '.join(PRESETS)}")
    models = {
        place: _written(place, written[place], where)
        for place in (*PLACES, OCR)
        if place in written
    }
    others = written.get("others", [])
    if not isinstance(others, list):
        raise ConfigError(f"{where}: others must be a list of names of encoders")
    models |= {str(one): ModelSpec(str(one)) for one in others}
    summary = str(written.get("summary", f"{base} with models of your own"))
    return replace(PRESETS[base].with_models(models), name=name, summary=summary)


def _written(place: str, value: object, where: str) -> ModelSpec:
    if isinstance(value, str):
        return parse_model(place, value)
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ConfigError(f"{where}: {place} must be a model, or a table of texts with `source`")
    known = {"encoder", "source", "revision", "licence", "weights_sha256"}
    spec = parse_model(place, value.get("source", ""))
    return replace(
        spec,
        **{key: text for key, text in value.items() if key in known - {"source"}},
        settings=MappingProxyType({k: text for k, text in value.items() if k not in known}),
    )


_ENCODER_OF = {
    "image": "open-clip",
    "sound": "clap",
    "speech": "faster-whisper",
    "text": "sentence",
    OCR: RAPIDOCR.encoder,
}
_PACKAGED = {"image": "tagging", "sound": "whisper-sound", "text": "minilm"}


def parse_model(place: str, written: str) -> ModelSpec:
    """What `--image-model` and its like take: [ENCODER:]SOURCE.

    Without an encoder the source is one for open_clip (image), ClapModel (sound), faster-whisper
    (speech) or a sentence encoder (text). The names of what comes with the installation stand for
    themselves; `ocr` can be `none`.
    """
    if place == OCR and written in (RAPIDOCR.encoder, NO_OCR.encoder):
        return RAPIDOCR if written == RAPIDOCR.encoder else NO_OCR
    packaged = _PACKAGED.get(place)
    if written == packaged:
        return ModelSpec(written)
    encoder, colon, source = written.partition(":")
    is_named = bool(colon) and encoder.replace("-", "").isalnum() and len(encoder) > 1
    if is_named and not source.startswith("//"):
        return ModelSpec(encoder, source)
    return ModelSpec(_ENCODER_OF[place], written)
