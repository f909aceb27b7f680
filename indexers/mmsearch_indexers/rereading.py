"""Finds what an earlier run left unread and this one can read."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError, UnsupportedMedia
from mmsearch.media.asset_ids import make_refused_id
from mmsearch.media.base import Limits
from mmsearch.media.files import make_storable
from mmsearch.segmentation.segmenter import make_empty_segment
from mmsearch.store.reader import Reader
from mmsearch.store.rows import EncodedAsset, EncodedSegment
from mmsearch.types import Asset, Metadata, Modality, Omission, OmissionCause
from mmsearch_indexers.discovery import DiscoveredFile

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders

_EXTRA_MODULES = {"raw": ("rawpy", "imagecodecs")}
_LIMIT_NAMES = frozenset(field.name for field in fields(Limits))


def list_due_assets(reader: Reader, limits: Limits, encoders: Encoders) -> set[str]:
    """Returns the ids of assets of which more can be read now: limits were raised, extras came."""
    return {
        asset_id
        for asset_id, omissions in reader.read_omissions().items()
        if any(_is_readable_now(each, limits, encoders) for each in omissions)
    }


def _is_readable_now(omission: Omission, limits: Limits, encoders: Encoders) -> bool:
    if omission.cause is OmissionCause.LIMIT and omission.name in _LIMIT_NAMES:
        return bool(getattr(limits, omission.name) > omission.value)
    if omission.cause is OmissionCause.EXTRA:
        if omission.name == "ocr":
            return encoders.ocr is not None
        modules = _EXTRA_MODULES.get(omission.name, ())
        return bool(modules) and all(importlib.util.find_spec(each) for each in modules)
    return False


def make_refused_asset(file: DiscoveredFile, error: MediaError, limits: Limits) -> EncodedAsset:
    """Makes the asset of a file that cannot be read, so that it is found by its name."""
    asset_id = make_refused_id(make_storable(file.path), file.size_bytes, file.mtime_ns)
    omissions = (_make_omission(error, limits),)
    asset = Asset(asset_id, Modality.OTHER, file.size_bytes, Metadata(), omissions=omissions)
    segment = make_empty_segment(asset_id, Modality.OTHER)
    return EncodedAsset(asset, (EncodedSegment(segment, ()),))


def _make_omission(error: MediaError, limits: Limits) -> Omission:
    if error.needs in _LIMIT_NAMES:
        value = float(getattr(limits, error.needs))
        return Omission(OmissionCause.LIMIT, error.reason, error.needs, value)
    if error.needs:
        return Omission(OmissionCause.EXTRA, error.reason, error.needs)
    is_unsupported = isinstance(error, UnsupportedMedia)
    cause = OmissionCause.UNSUPPORTED if is_unsupported else OmissionCause.DAMAGED
    return Omission(cause, error.reason)


def describe_omissions(omissions: Iterable[Omission]) -> tuple[str, ...]:
    """Returns what was not read, a phrase each."""
    return tuple(dict.fromkeys(omission.detail for omission in omissions))
