"""What encoders whose models live in the store have in common."""

from __future__ import annotations

from mmsearch.encoders.base import Context
from mmsearch.errors import WeightsMismatch, WeightsMissing
from mmsearch.models.model_card import StoredModel
from mmsearch.models.presets import ModelSpec
from mmsearch.types import Provenance, Space


def find(spec: ModelSpec, context: Context) -> StoredModel | None:
    """The model in the store, or None; raises WeightsMismatch for one that was tampered with."""
    return context.store.find(
        spec.encoder, spec.source, revision=spec.revision, weights_sha256=spec.weights_sha256
    )


def stored_model(spec: ModelSpec, context: Context) -> StoredModel:
    """The model in the store.

    Raises WeightsMissing where it is not there, and WeightsMismatch where there is one of the same
    name with other weights; both say what to do.
    """
    found = find(spec, context)
    if found is not None:
        return found
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


def provenance_of(stored: StoredModel) -> Provenance:
    """Which model it is."""
    card = stored.card
    return Provenance(card.source, card.revision, card.weights_sha256, tuple(card.weights))


def logit_scale(stored: StoredModel, name: str) -> float | None:
    """By what its cosines were multiplied in training before the softmax; None where not known."""
    written = stored.card.settings.get(name)
    return float(written) if isinstance(written, (int, float)) and written > 0 else None


def space_of(name: str, stored: StoredModel) -> Space:
    """The space of that name that the model fills."""
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
