"""The parts that encoders of stored models share."""

from __future__ import annotations

from typing import ClassVar

from mmsearch.encoders.base import Context
from mmsearch.errors import WeightsMismatch, WeightsMissing
from mmsearch.models.model_card import StoredModel
from mmsearch.models.presets import ModelSpec
from mmsearch.types import Provenance, Space


def find_stored_model(spec: ModelSpec, context: Context) -> StoredModel | None:
    """Returns the model in the store, or None; raises WeightsMismatch for altered files."""
    return context.store.find(
        spec.encoder, spec.source, revision=spec.revision, weights_sha256=spec.weights_sha256
    )


def require_stored_model(spec: ModelSpec, context: Context) -> StoredModel:
    """Returns the model in the store.

    Raises WeightsMissing, or WeightsMismatch if there is one of that name with other weights; both
    say what to do.
    """
    stored = find_stored_model(spec, context)
    if stored is not None:
        return stored
    other = context.store.find(spec.encoder, spec.source)
    if other is not None:
        raise WeightsMismatch(
            f"{spec.source} is here with weights {other.card.weights_sha256[:12]} (revision "
            f"{other.card.revision or 'unknown'}), but {spec.weights_sha256[:12]} (revision "
            f"{spec.revision or 'unknown'}) are those wanted: `mmsearch models pull "
            f"{spec}@{spec.revision or 'REVISION'}` fetches them, or index into a new library"
        )
    raise WeightsMissing(
        f"the model {spec.source} is not on this machine: `mmsearch models pull {spec}` fetches "
        f"it. Without a network: pull it elsewhere, `mmsearch models export {spec} --to FOLDER`, "
        f"carry FOLDER over, and here `mmsearch models pull {spec} --from FOLDER`"
    )


def make_provenance(stored: StoredModel) -> Provenance:
    """Returns the provenance of a model."""
    card = stored.card
    return Provenance(card.source, card.revision, card.weights_sha256, tuple(card.weights))


def read_logit_scale(stored: StoredModel, name: str) -> float | None:
    """Returns the factor of the cosines before the softmax of the training, None if unknown."""
    scale = stored.card.settings.get(name)
    return float(scale) if isinstance(scale, (int, float)) and scale > 0 else None


def make_space(name: str, stored: StoredModel) -> Space:
    """Returns the space of that name that the model fills."""
    card = stored.card
    return Space(
        name=name,
        dim=card.dim,
        metric="cosine",
        model=card.source,
        revision=card.revision,
        weights_sha256=card.weights_sha256,
        files=tuple(card.weights),
    )


class StoredEncoder:
    """The part of an encoder class that selects its model of the store.

    `kind` is also the name of the space that it fills.
    """

    kind: ClassVar[str]
    packaged: ClassVar[tuple[str, ...]] = ()
    is_converted: ClassVar[bool] = True

    @staticmethod
    def repository(source: str) -> str:
        """Returns the source itself."""
        return source

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """Returns the space it fills; raises WeightsMissing or WeightsMismatch."""
        return make_space(cls.kind, require_stored_model(spec, context))
