"""Loaders of plugins: asked before the built-in ones, and held to the same limits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch import plugins
from mmsearch.errors import DecodeError, MediaError, MediaTooLarge, PluginError, UnsupportedMedia
from mmsearch.media.base import (
    AudioBlock,
    Content,
    Cue,
    Described,
    Limits,
    Loader,
    LoadOptions,
    Passage,
    Picture,
    PluginLoader,
    Reading,
    describe_pixel_excess,
)
from mmsearch.media.strings import clean
from mmsearch.media.text_detection import prepare_ocr_picture
from mmsearch.runtime.resize import fitted_pixels

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_CONTENTS = (AudioBlock, Cue, Described, Passage, Picture, Reading)


@dataclass(frozen=True, slots=True)
class PluginClaim:
    """What the plugins said of a file: the loader of the first that claims it, if one does.

    `failed` tells of those that raised, `broken` of those that cannot be imported.
    """

    loader: Loader | None = None
    failed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def explain_error(self, path: Path, error: MediaError) -> MediaError:
        """The error of a file that nothing reads, with the plugins that perhaps would have."""
        if not isinstance(error, UnsupportedMedia):
            return error
        if self.failed:
            return DecodeError(path, f"{self.failed[0]}; without it: {error.reason}")
        if self.broken:
            return UnsupportedMedia(path, f"{error.reason} ({self.broken[0]})")
        return error


def claim_file(path: Path, head: bytes) -> PluginClaim:
    """Ask the plugins in the order of their names; `head` is the first 8 KiB of the file."""
    failed: list[str] = []
    offered, broken = _make_installed_loaders(tuple(sys.path))
    for guarded in offered:
        try:
            if guarded.plugin.claims(path, head):
                return PluginClaim(guarded)
        except Exception as exc:  # a stranger's code, given a stranger's bytes
            failed.append(f"{guarded.title} failed to look at it ({_format_error(exc)})")
    return PluginClaim(None, tuple(failed), broken)


@lru_cache(maxsize=1)
def _make_installed_loaders(search_path: tuple[str, ...]) -> tuple[tuple[GuardedLoader, ...], tuple[str, ...]]:
    """The loaders of plugins, made once for a `sys.path`, and why others are none."""
    offered, broken = [], []
    for entry in plugins.entry_points(plugins.LOADERS).values():
        try:
            offered.append(GuardedLoader(entry, _make_plugin(entry)))
        except PluginError as exc:
            broken.append(str(exc))
    return tuple(offered), tuple(broken)


def _make_plugin(entry: EntryPoint) -> PluginLoader:
    kind = plugins.imported(entry)
    try:
        made = kind()
    except Exception as exc:  # as above
        raise PluginError(f"{_format_title(entry)} cannot be made ({_format_error(exc)})") from exc
    for method in ("claims", "load"):
        if not callable(getattr(made, method, None)):
            raise PluginError(f"{_format_title(entry)} is no loader: it has no method {method!r}")
    return made  # type: ignore[no-any-return]  # a stranger's; it has the methods


class GuardedLoader:
    """A plugin's loader whose contents are checked, and whose errors name it."""

    def __init__(self, entry: EntryPoint, plugin: PluginLoader) -> None:
        self.name = entry.name
        self.title = _format_title(entry)
        self.plugin = plugin

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """What the plugin yields, fitted and checked; raises only MediaError and MemoryError.

        That the plugin lacks a package costs its own files alone.
        """
        count = 0
        try:
            for content in self.plugin.load(path, options):
                self._check_order(path, count, content, options.limits)
                count += 1
                yield self._check_content(path, content, options)
        except (MediaError, MemoryError):
            raise
        except Exception as exc:  # decoders of hostile bytes raise whatever they like
            raise DecodeError(path, f"{self.title} failed ({_format_error(exc)})") from exc
        if count == 0:
            raise DecodeError(path, f"{self.title} yielded nothing")

    def _check_order(self, path: Path, before: int, content: Any, limits: Limits) -> None:
        if before == 0 and not isinstance(content, Described):
            raise DecodeError(path, f"{self.title} did not begin with a Described")
        if before >= limits.contents:
            raise MediaTooLarge(path, f"{self.title} made more than {before:,} parts of it")

    def _check_content(self, path: Path, content: Any, options: LoadOptions) -> Content:
        limits = options.limits
        match content:
            case Picture(pixels):
                self._check_array(path, content, pixels, "uint8", (3,))
                height, width = pixels.shape[:2]
                if pixels.shape[2] != 3:
                    raise DecodeError(path, f"{self.title} gave a Picture that is no RGB")
                if height * width > limits.pixels:
                    raise MediaTooLarge(path, describe_pixel_excess(width, height, limits))
                part = None
                if options.legible_px:
                    part = prepare_ocr_picture(partial(fitted_pixels, pixels), options)
                return replace(content, pixels=fitted_pixels(pixels, options.picture), legible=part)
            case AudioBlock(samples):
                self._check_array(path, content, samples, "float32", (1,))
                self._check_values(path, content, samples.size, limits)
            case Reading(values):
                self._check_array(path, content, values, "float32", (1, 2, 3))
                self._check_values(path, content, values.size, limits)
            case Cue(text) | Passage(text):
                if len(text) > limits.text_chars:
                    raise MediaTooLarge(
                        path,
                        f"{self.title} gave a text of {len(text):,} characters, the limit is "
                        f"{limits.text_chars:,}",
                    )
        if not isinstance(content, _CONTENTS):
            raise DecodeError(path, f"{self.title} gave a {type(content).__name__}, no content")
        return content

    def _check_array(
        self, path: Path, content: Content, array: Any, dtype: str, dims: tuple[int, ...]
    ) -> None:
        found = getattr(array, "dtype", type(array).__name__)
        if found != dtype or array.ndim not in dims or not array.size:
            shape = getattr(array, "shape", "?")
            wanted = " or ".join(map(str, dims))
            raise DecodeError(
                path,
                f"{self.title} gave a {type(content).__name__} of {found}, shape {shape}: it takes "
                f"{dtype} of {wanted} dimensions, not empty",
            )

    def _check_values(self, path: Path, content: Content, count: int, limits: Limits) -> None:
        if count > limits.values:
            raise MediaTooLarge(
                path,
                f"{self.title} gave a {type(content).__name__} of {count:,} values, the limit is "
                f"{limits.values:,}: it must hand over smaller parts",
            )


def _format_title(entry: EntryPoint) -> str:
    return f"the plugin {entry.name!r} of the package {plugins.package(entry)!r}"


def _format_error(exc: Exception) -> str:
    return clean(f"{type(exc).__name__}: {exc}") or type(exc).__name__
