"""Labels as directions in a space, and how probable each is for what lies there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import ConfigError
from mmsearch.labels.label_files import HOLE, checked_labels, checked_templates
from mmsearch.types import Tag

if TYPE_CHECKING:
    from mmsearch.encoders.base import ImageEncoder, SoundEncoder
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.types import FloatArray

PICTURE_TEMPLATES = ("a photo of a {}",)
SOUND_TEMPLATES = ("this is a sound of {}",)
TEXTS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is asked: labels, and the sentences that they are put into, for pictures and sounds.

    Several sentences are averaged, which in CLIP's paper is worth 3.5 % on ImageNet.
    """

    labels: tuple[str, ...]
    picture_templates: tuple[str, ...] = PICTURE_TEMPLATES
    sound_templates: tuple[str, ...] = SOUND_TEMPLATES

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        picture_templates: Sequence[str] = (),
        sound_templates: Sequence[str] = (),
    ) -> Prompts:
        """Checked; without templates the usual ones. Raises ConfigError."""
        if isinstance(labels, str):
            raise ConfigError(f"labels are a list, not one text: [{labels[:40]!r}, ...]")
        return cls(
            checked_labels(labels),
            checked_templates(picture_templates) or PICTURE_TEMPLATES,
            checked_templates(sound_templates) or SOUND_TEMPLATES,
        )


@dataclass(frozen=True, slots=True)
class Classifier:
    """Labels in one space: `directions` is (n, dim) float32 with unit rows, one a label.

    A vector v is of label i with the probability softmax(scale * directions v)[i] (Radford et al.,
    ICML 2021, section 3.1): one among these labels, however little they fit.
    """

    space: str
    labels: tuple[str, ...]
    directions: FloatArray
    scale: float

    def probabilities(self, vectors: FloatArray) -> FloatArray:
        """(k, n) float32 for (k, dim) unit rows; each row sums to 1."""
        logits = self.scale * (vectors @ self.directions.T)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        found: FloatArray = logits.astype(np.float32, copy=False)
        return found

    def best(self, probabilities: FloatArray, *, at_most: int, at_least: float) -> tuple[Tag, ...]:
        """The labels of one row of probabilities, the best first."""
        order = np.argsort(-probabilities, kind="stable")[:at_most]
        return tuple(
            Tag(self.labels[i], float(probabilities[i]))
            for i in order.tolist()
            if probabilities[i] >= at_least
        )


def classifiers(
    prompts: Prompts, encoders: Encoders, spaces: Collection[str]
) -> tuple[list[Classifier], list[str]]:
    """A classifier for each of the spaces that words enter, and why there is none for others.

    The cosines are scaled as the model was trained; where it does not say how, by the steepness of
    its curve of scores: a logistic curve of one label's cosine is the softmax of two labels. Of 56
    photographs of one of 30 labels `mini` gives 64 % the right one, with a mean probability of
    0.63; of five labels 87 %, with 0.85 (`benchmarks/labels.py`).
    """
    curves = encoders.preset.calibrations
    found: list[Classifier] = []
    left_out: list[str] = []
    image, sound = encoders.image, encoders.sound
    if image.space.name in spaces:
        curve = curves.get(f"text>{image.space.name}")
        if curve is None:
            left_out.append(_without_words("pictures", image))
        else:
            directions = _directions(prompts.labels, prompts.picture_templates, image.encode_texts)
            scale = _scale(image, curve.steepness)
            found.append(Classifier(image.space.name, prompts.labels, directions, scale))
    if sound.space.name in spaces:
        curve = curves.get(f"text>{sound.space.name}")
        if curve is None or not sound.takes_words:
            left_out.append(_without_words("sounds", sound))
        else:
            directions = _directions(prompts.labels, prompts.sound_templates, sound.encode_texts)
            scale = _scale(sound, curve.steepness)
            found.append(Classifier(sound.space.name, prompts.labels, directions, scale))
    return found, left_out


@dataclass(frozen=True, slots=True)
class Classified:
    """What a file is among some labels, by space, all labels with the most probable first.

    Of a film or a long recording the probabilities are the mean over its frames or windows.
    """

    spaces: dict[str, tuple[Tag, ...]]
    left_out: tuple[str, ...] = ()


def classified(
    found: Sequence[Classifier], vectors: Mapping[str, FloatArray], left_out: Sequence[str] = ()
) -> Classified:
    """The labels of a file, from its (k, dim) unit rows in each space."""
    spaces = {}
    for one in found:
        mean = one.probabilities(vectors[one.space]).mean(axis=0)
        spaces[one.space] = one.best(mean, at_most=len(one.labels), at_least=0.0)
    return Classified(spaces, tuple(left_out))


def _scale(encoder: ImageEncoder | SoundEncoder, steepness: float) -> float:
    """`logit_scale` is what the models of CLIP's kind have; plugins may say theirs."""
    said: float | None = getattr(encoder, "logit_scale", None)
    return steepness if said is None else said


def _without_words(what: str, encoder: ImageEncoder | SoundEncoder) -> str:
    return (
        f"{what} get no labels: the model {encoder.space.model} takes no words; a library of "
        f"preset clip has one that does"
    )


def _directions(
    labels: Sequence[str], templates: Sequence[str], encode: Callable[[Sequence[str]], FloatArray]
) -> FloatArray:
    """The mean of the unit vectors of a label's sentences, made unit again."""
    parts = []
    for start in range(0, len(labels), TEXTS_AT_A_TIME):
        some = labels[start : start + TEXTS_AT_A_TIME]
        means = [encode([one.replace(HOLE, label) for label in some]) for one in templates]
        parts.append(np.mean(means, axis=0))
    return unit_rows(np.concatenate(parts))


def unit_rows(rows: FloatArray) -> FloatArray:
    """(n, dim) rows made unit; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = (rows / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit
