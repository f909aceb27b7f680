"""library.toml: what a library was made with, so that it is never mixed with something else."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsearch.errors import FormatVersionError, LibraryNotFound, StoreError
from mmsearch.models.presets import ModelSpec
from mmsearch.store.location import Location, part_name
from mmsearch.store.schema import FORMAT_VERSION
from mmsearch.types import Provenance, Space, WeightFile

NAME = "library.toml"
PART = part_name(NAME)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The form of the tables, the models that were chosen, and the spaces of its vectors.

    `models` are by place. A library of an earlier version records none and no `speech`: those of
    its preset are meant.
    """

    preset: str
    speech_model: str
    spaces: tuple[Space, ...]
    format_version: int = FORMAT_VERSION
    models: Mapping[str, ModelSpec] = field(default_factory=dict, hash=False)
    speech: Provenance | None = None

    def to_toml(self) -> str:
        """The text of library.toml."""
        lines = [
            "# Written by mmsearch; it tells with which models the vectors here were made.",
            f"format_version = {self.format_version}",
            f"preset = {_quote(self.preset)}",
            f"speech_model = {_quote(self.speech_model)}",
        ]
        for place, model in self.models.items():
            lines += ["", f"[models.{_quote(place)}]", f"encoder = {_quote(model.encoder)}"]
            for name in ("source", "revision", "licence", "weights_sha256"):
                lines += [f"{name} = {_quote(value)}"] if (value := getattr(model, name)) else []
            if settings := sorted(model.settings.items()):
                pairs = (f"{_quote(key)} = {_quote(value)}" for key, value in settings)
                lines.append(f"settings = {{ {', '.join(pairs)} }}")
        for space in self.spaces:
            lines += [
                "",
                "[[spaces]]",
                f"name = {_quote(space.name)}",
                f"dim = {space.dim}",
                f"metric = {_quote(space.metric)}",
                *_provenance_lines(space.provenance),
            ]
        if self.speech is not None:
            lines += ["", "[speech]", *_provenance_lines(self.speech)]
        return "\n".join(lines) + "\n"


def _provenance_lines(made_by: Provenance) -> list[str]:
    lines = [
        f"model = {_quote(made_by.model)}",
        f"revision = {_quote(made_by.revision)}",
        f"weights_sha256 = {_quote(made_by.weights_sha256)}",
    ]
    if made_by.files:
        lines.append("files = [")
        lines += [
            f"  {{ name = {_quote(file.name)}, sha256 = {_quote(file.sha256)}, "
            f"size_bytes = {file.size_bytes} }},"
            for file in made_by.files
        ]
        lines.append("]")
    return lines


def _quote(text: str) -> str:
    # A JSON string is a TOML basic string, but for one character that TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def exists(library: Path | Location) -> bool:
    """Whether there is a library. Raises StoreError where that cannot be told."""
    return Location.parse(library).exists(NAME)


def read(library: Path | Location) -> Manifest:
    """Read library.toml.

    Raises LibraryNotFound where there is none, FormatVersionError for one from a newer mmsearch,
    and StoreError for one that cannot be read or understood.
    """
    path = f"{library}/{NAME}"
    try:
        content = Location.parse(library).read(NAME)
        if content is None:
            raise LibraryNotFound(
                f"there is no library at {library}: make one with "
                f"`mmsearch index FOLDER`, or name another with --library"
            )
        loaded = tomllib.loads(content.decode())
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
                files=_files(space),
            )
            for space in loaded["spaces"]
        )
        models = {place: _spec(of) for place, of in loaded.get("models", {}).items()}
        speech = loaded.get("speech")
        return Manifest(
            preset=str(loaded["preset"]),
            speech_model=str(loaded["speech_model"]),
            spaces=spaces,
            format_version=version,
            models=models,
            speech=None if speech is None else _provenance(speech),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise StoreError(f"{path} is incomplete: {exc!r}") from exc


def _provenance(loaded: dict[str, Any]) -> Provenance:
    return Provenance(
        model=str(loaded["model"]),
        revision=str(loaded["revision"]),
        weights_sha256=str(loaded["weights_sha256"]),
        files=_files(loaded),
    )


def _files(loaded: dict[str, Any]) -> tuple[WeightFile, ...]:
    return tuple(
        WeightFile(str(file["name"]), str(file["sha256"]), int(file["size_bytes"]))
        for file in loaded.get("files", ())
    )


def _spec(loaded: dict[str, Any]) -> ModelSpec:
    settings = loaded.get("settings", {})
    return ModelSpec(
        encoder=str(loaded["encoder"]),
        source=str(loaded.get("source", "")),
        revision=str(loaded.get("revision", "")),
        licence=str(loaded.get("licence", "")),
        weights_sha256=str(loaded.get("weights_sha256", "")),
        settings={str(key): str(value) for key, value in settings.items()},
    )


def write(library: Path | Location, manifest: Manifest) -> None:
    """Write library.toml whole or not at all."""
    Location.parse(library).write(NAME, manifest.to_toml().encode())
