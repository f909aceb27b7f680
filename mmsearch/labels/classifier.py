"""Classifies vectors of a space by the vectors of labels (zero-shot)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.unit_rows import normalize_rows
from mmsearch.errors import ConfigError
from mmsearch.labels.label_files import HOLE, check_labels, check_templates
from mmsearch.types import Tag

if TYPE_CHECKING:
    from mmsearch.encoders.base import ImageEncoder, SoundEncoder
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.types import FloatArray

PICTURE_TEMPLATES = ("a photo of a {}",)
SOUND_TEMPLATES = ("this is a sound of {}",)
LABELS_PER_BATCH = 256


@dataclass(frozen=True, slots=True)
class Prompts:
    """Labels, and the sentences that they are put into for pictures and sounds.

    Several sentences are averaged, which in CLIP's paper is worth 3.5 % on ImageNet.
    """

    labels: tuple[str, ...]
    picture_templates: tuple[str, ...] = PICTURE_TEMPLATES
    sound_templates: tuple[str, ...] = SOUND_TEMPLATES

    @classmethod
    def create(
        cls,
        labels: Sequence[str],
        picture_templates: Sequence[str] = (),
        sound_templates: Sequence[str] = (),
    ) -> Prompts:
        """Checks labels and templates; empty templates are the defaults. Raises ConfigError."""
        if isinstance(labels, str):
            raise ConfigError(f"labels are a list, not one text: [{labels[:40]!r}, ...]")
        return cls(
            check_labels(labels),
            check_templates(picture_templates) or PICTURE_TEMPLATES,
            check_templates(sound_templates) or SOUND_TEMPLATES,
        )


@dataclass(frozen=True, slots=True)
class Classifier:
    """The labels in one space: `directions` is (n, dim) float32 with unit rows, one a label.

    A vector v has label i with the probability softmax(scale * directions v)[i] (Radford et al.,
    ICML 2021, section 3.1): one among these labels, however little they fit.
    """

    space: str
    labels: tuple[str, ...]
    directions: FloatArray
    scale: float

    def compute_probabilities(self, vectors: FloatArray) -> FloatArray:
        """Returns (k, n) float32 for (k, dim) unit rows; each row sums to 1."""
        logits = self.scale * (vectors @ self.directions.T)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return np.asarray(logits, dtype=np.float32)

    def select_best(
        self, probabilities: FloatArray, *, at_most: int, at_least: float
    ) -> tuple[Tag, ...]:
        """Returns the labels of one row of probabilities, the best first."""
        order = np.argsort(-probabilities, kind="stable")[:at_most]
        return tuple(
            Tag(self.labels[i], float(probabilities[i]))
            for i in order.tolist()
            if probabilities[i] >= at_least
        )


def make_classifiers(
    prompts: Prompts, encoders: Encoders, spaces: Collection[str]
) -> tuple[list[Classifier], list[str]]:
    """Makes a classifier for each space that words enter; returns reasons for the others.

    The cosines are scaled by the `logit_scale` of the model's training; without one, by the
    steepness of its curve of scores: a logistic curve of one label's cosine is the softmax of two
    labels. Of 56 photographs of one of 30 labels `mini` gives 64 % the right one, with a mean
    probability of 0.63; of five labels 87 %, with 0.85 (`benchmarks/labels.py`).
    """
    candidates: list[tuple[str, ImageEncoder | SoundEncoder, tuple[str, ...]]] = [
        ("pictures", encoders.image, prompts.picture_templates),
        ("sounds", encoders.sound, prompts.sound_templates),
    ]
    classifiers: list[Classifier] = []
    left_out: list[str] = []
    for contents, encoder, templates in candidates:
        space = encoder.space.name
        if space not in spaces:
            continue
        curve = encoders.preset.calibrations.get(f"text>{space}")
        if curve is None or not getattr(encoder, "takes_words", True):
            left_out.append(
                f"{contents} get no labels: the model {encoder.space.model} takes no words; a "
                f"library of preset clip has one that does"
            )
            continue
        scale: float | None = getattr(encoder, "logit_scale", None)
        directions = _encode_directions(prompts.labels, templates, encoder.encode_texts)
        scale = curve.steepness if scale is None else scale
        classifiers.append(Classifier(space, prompts.labels, directions, scale))
    return classifiers, left_out


@dataclass(frozen=True, slots=True)
class Classification:
    """The labels of a file by space, all of them with the most probable first.

    Of a film or a long recording the probabilities are the mean over its frames or windows.
    """

    spaces: dict[str, tuple[Tag, ...]]
    left_out: tuple[str, ...] = ()


def classify_vectors(
    classifiers: Sequence[Classifier],
    vectors: Mapping[str, FloatArray],
    left_out: Sequence[str] = (),
) -> Classification:
    """Classifies a file by its (k, dim) unit rows in each space."""
    spaces = {}
    for classifier in classifiers:
        mean = classifier.compute_probabilities(vectors[classifier.space]).mean(axis=0)
        count = len(classifier.labels)
        spaces[classifier.space] = classifier.select_best(mean, at_most=count, at_least=0.0)
    return Classification(spaces, tuple(left_out))


def _encode_directions(
    labels: Sequence[str], templates: Sequence[str], encode: Callable[[Sequence[str]], FloatArray]
) -> FloatArray:
    """Averages the unit vectors of a label's sentences, and normalizes the mean."""
    parts = []
    for start in range(0, len(labels), LABELS_PER_BATCH):
        batch = labels[start : start + LABELS_PER_BATCH]
        means = [
            encode([template.replace(HOLE, label) for label in batch]) for template in templates
        ]
        parts.append(np.mean(means, axis=0))
    return normalize_rows(np.concatenate(parts))
