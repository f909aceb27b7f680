"""library.toml: what a library was made with, so that it is never mixed with something else."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import FormatVersionError, LibraryNotFound, StoreError
from mmsearch.store.schema import FORMAT_VERSION
from mmsearch.types import Space

NAME = "library.toml"
PART = f".{NAME}.part"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The form of the tables, the preset, its speech model, and the spaces of its vectors."""

    preset: str
    speech_model: str
    spaces: tuple[Space, ...]
    format_version: int = FORMAT_VERSION

    def to_toml(self) -> str:
        """The text of library.toml."""
        lines = [
            "# Written by mmsearch; it tells with which models the vectors here were made.",
            f"format_version = {self.format_version}",
            f"preset = {_quote(self.preset)}",
            f"speech_model = {_quote(self.speech_model)}",
        ]
        for space in self.spaces:
            lines += [
                "",
                "[[spaces]]",
                f"name = {_quote(space.name)}",
                f"dim = {space.dim}",
                f"metric = {_quote(space.metric)}",
                f"model = {_quote(space.model)}",
                f"revision = {_quote(space.revision)}",
                f"weights_sha256 = {_quote(space.weights_sha256)}",
            ]
        return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    # A JSON string is a TOML basic string, but for one character that TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def exists(library: Path) -> bool:
    """Whether the folder is a library."""
    return (library / NAME).is_file()


def read(library: Path) -> Manifest:
    """Read library.toml.

    Raises LibraryNotFound where there is none, FormatVersionError for one from a newer mmsearch,
    and StoreError for one that cannot be understood.
    """
    path = library / NAME
    try:
        loaded = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise LibraryNotFound(
            f"there is no library at {library}: make one with "
            f"`mmsearch index FOLDER`, or name another with --library"
        ) from exc
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise StoreError(f"{path} cannot be read: {exc}") from exc
    version = loaded.get("format_version")
    if not isinstance(version, int):
        raise StoreError(f"{path} names no format_version: it is not a library of mmsearch")
    if version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{library} has format {version}, this mmsearch reads up to {FORMAT_VERSION}: "
            f"pip install --upgrade mmsearch"
        )
    try:
        spaces = tuple(
            Space(
                name=str(space["name"]),
                dim=int(space["dim"]),
                metric="cosine",
                model=str(space["model"]),
                revision=str(space["revision"]),
                weights_sha256=str(space["weights_sha256"]),
            )
            for space in loaded["spaces"]
        )
        return Manifest(str(loaded["preset"]), str(loaded["speech_model"]), spaces, version)
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(f"{path} is incomplete: {exc!r}") from exc


def write(library: Path, manifest: Manifest) -> None:
    """Write library.toml whole or not at all."""
    part = library / PART
    with part.open("w", encoding="utf-8") as stream:
        stream.write(manifest.to_toml())
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(library / NAME)
