"""Loaders of plugins, which come before the built-in ones and obey the same limits."""

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
from mmsearch.media.pictures.text_detection import prepare_ocr_picture
from mmsearch.media.strings import clean
from mmsearch.runtime.resize import fit_pixels

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class PluginClaim:
    """The loader of the first plugin that claims a file, if any.

    `failed` are messages of plugins that raised, `broken` of those that cannot be imported.
    """

    loader: Loader | None = None
    failed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def explain_error(self, path: Path, error: MediaError) -> MediaError:
        """Returns the error of an unsupported file with the plugins that might have read it."""
        if not isinstance(error, UnsupportedMedia):
            return error
        if self.failed:
            return DecodeError(path, f"{self.failed[0]}; without it: {error.reason}")
        if self.broken:
            return UnsupportedMedia(path, f"{error.reason} ({self.broken[0]})")
        return error


def claim_file(path: Path, head: bytes) -> PluginClaim:
    """Asks the plugins in the order of their names; `head` is the first 8 KiB of the file."""
    failed: list[str] = []
    loaders, broken = _make_installed_loaders(tuple(sys.path))
    for loader in loaders:
        try:
            if loader.plugin.claims(path, head):
                return PluginClaim(loader)
        except Exception as exc:  # third-party code on untrusted bytes
            failed.append(f"{loader.title} failed to look at it ({_format_error(exc)})")
    return PluginClaim(None, tuple(failed), broken)


@lru_cache(maxsize=1)
def _make_installed_loaders(
    search_path: tuple[str, ...],
) -> tuple[tuple[GuardedLoader, ...], tuple[str, ...]]:
    """Makes the loaders of plugins, once for a `sys.path`; also returns the reasons of failures."""
    loaders, broken = [], []
    for entry in plugins.list_entry_points(plugins.LOADERS).values():
        try:
            loaders.append(GuardedLoader(entry, _make_plugin(entry)))
        except PluginError as exc:
            broken.append(str(exc))
    return tuple(loaders), tuple(broken)


def _make_plugin(entry: EntryPoint) -> PluginLoader:
    loader_class = plugins.import_entry(entry)
    try:
        loader = loader_class()
    except Exception as exc:  # as above
        raise PluginError(f"{_format_title(entry)} cannot be made ({_format_error(exc)})") from exc
    for method in ("claims", "load"):
        if not callable(getattr(loader, method, None)):
            raise PluginError(f"{_format_title(entry)} is no loader: it has no method {method!r}")
    return loader  # type: ignore[no-any-return]  # third-party; it has the methods


class GuardedLoader:
    """A plugin's loader whose contents are checked and whose errors name the plugin."""

    def __init__(self, entry: EntryPoint, plugin: PluginLoader) -> None:
        self.name = entry.name
        self.title = _format_title(entry)
        self.plugin = plugin

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields the plugin's contents, fitted and checked; raises MediaError or MemoryError only.

        A package that the plugin lacks is also an error of the file.
        """
        count = 0
        try:
            for content in self.plugin.load(path, options):
                self._check_order(path, count, content, options.limits)
                count += 1
                yield self._check_content(path, content, options)
        except (MediaError, MemoryError):
            raise
        except Exception as exc:  # decoders of hostile bytes raise anything
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
                    raise MediaTooLarge(
                        path, describe_pixel_excess(width, height, limits), needs="pixels"
                    )
                ocr_picture = prepare_ocr_picture(partial(fit_pixels, pixels), options)
                fitted = fit_pixels(pixels, options.picture)
                return replace(content, pixels=fitted, ocr_picture=ocr_picture)
            case AudioBlock(samples):
                self._check_array(path, content, samples, "float32", (1,))
                self._check_values(path, content, samples.size, limits)
            case Reading(values):
                self._check_array(path, content, values, "float32", (1, 2, 3))
                self._check_values(path, content, values.size, limits)
            case Cue(text) | Passage(text):
                if len(text) > limits.text_chars:
                    size = f"a text of {len(text):,} characters, the limit is {limits.text_chars:,}"
                    raise MediaTooLarge(path, f"{self.title} gave {size}")
        if not isinstance(content, Content):
            raise DecodeError(path, f"{self.title} gave a {type(content).__name__}, no content")
        return content

    def _check_array(
        self, path: Path, content: Content, array: Any, dtype: str, dims: tuple[int, ...]
    ) -> None:
        actual = getattr(array, "dtype", type(array).__name__)
        if actual != dtype or array.ndim not in dims or not array.size:
            shape = getattr(array, "shape", "?")
            raise DecodeError(
                path,
                f"{self.title} gave a {type(content).__name__} of {actual}, shape {shape}: it "
                f"takes {dtype} of {' or '.join(map(str, dims))} dimensions, not empty",
            )

    def _check_values(self, path: Path, content: Content, count: int, limits: Limits) -> None:
        if count > limits.values:
            raise MediaTooLarge(
                path,
                f"{self.title} gave a {type(content).__name__} of {count:,} values, the limit is "
                f"{limits.values:,}: it must hand over smaller parts",
            )


def _format_title(entry: EntryPoint) -> str:
    return f"the plugin {entry.name!r} of the package {plugins.package_name(entry)!r}"


def _format_error(exc: Exception) -> str:
    return clean(f"{type(exc).__name__}: {exc}") or type(exc).__name__
