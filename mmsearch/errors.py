"""Every error that mmsearch raises on purpose.

MmsearchError
├─ ConfigError
├─ PluginError ── MissingExtra
├─ MediaError ─── UnsupportedMedia, DecodeError, MediaTooLarge
├─ ModelError ─── WeightsMissing, WeightsMismatch
├─ StoreError ─── FormatVersionError, LibraryLocked, LibraryNotFound
├─ MediaGone
└─ QueryError
"""

from __future__ import annotations

from pathlib import Path


class MmsearchError(Exception):
    """The root: catch this to catch whatever mmsearch raises on purpose."""


class ConfigError(MmsearchError):
    """A setting has a value that cannot be used."""


class PluginError(MmsearchError):
    """A plugin could not be found or loaded."""


class MissingExtra(PluginError):
    """A feature needs packages that are not installed; the message names the pip extra."""


class MediaError(MmsearchError):
    """One file cannot be read; ingest skips it, records the reason and goes on.

    `needs` is the field of `mmsearch.media.base.Limits` or the pip extra that would admit the file,
    if one would.
    """

    def __init__(self, path: str | Path, reason: str, *, needs: str = "") -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason
        self.needs = needs


class UnsupportedMedia(MediaError):
    """The content is of no kind that mmsearch reads."""


class DecodeError(MediaError):
    """The content is of a known kind, but broken, or takes too long to decode."""


class MediaTooLarge(MediaError):
    """The file passes a limit: bytes, pixels, or memory of the decoder."""


class ModelError(MmsearchError):
    """A model cannot be used."""


class WeightsMissing(ModelError):
    """Weights are not on this machine; the message says how to get them."""


class WeightsMismatch(ModelError):
    """Weights are there, but they are not those that were pinned or recorded."""


class StoreError(MmsearchError):
    """The library on disk cannot be used."""


class FormatVersionError(StoreError):
    """The library was written by a newer mmsearch."""


class LibraryLocked(StoreError):
    """Another process is writing to the library."""


class LibraryNotFound(StoreError):
    """There is no library where one was expected."""


class QueryError(MmsearchError):
    """A query cannot be understood or answered."""


class MediaGone(MmsearchError):
    """No file of an asset is there any more as it was when it was indexed."""

    def __init__(self, asset_id: str, reason: str) -> None:
        super().__init__(f"asset {asset_id}: {reason}")
        self.asset_id = asset_id
        self.reason = reason


SKIPPABLE: dict[str, type[MediaError]] = {
    cls.__name__: cls for cls in (UnsupportedMedia, DecodeError, MediaTooLarge)
}
"""The errors that ingest records and passes over, by the name under which they are stored."""
