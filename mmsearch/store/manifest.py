"""library.toml: the models and spaces that a library was created with and is checked against."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsearch.errors import FormatVersionError, LibraryNotFound, StoreError
from mmsearch.models.presets import ModelSpec
from mmsearch.store.location import Location, format_part_name
from mmsearch.store.schema import FORMAT_VERSION
from mmsearch.types import Provenance, Space, WeightFile

NAME = "library.toml"
PART = format_part_name(NAME)
_SPEC_TEXTS = ("source", "revision", "licence", "weights_sha256")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The format version of a library, its models, and the spaces of its vectors.

    `models` are by role. A library of an earlier version records none and no `speech`: those of its
    preset apply.
    """

    preset: str
    speech_model: str
    spaces: tuple[Space, ...]
    format_version: int = FORMAT_VERSION
    models: Mapping[str, ModelSpec] = field(default_factory=dict, hash=False)
    speech: Provenance | None = None

    def to_toml(self) -> str:
        """Returns the text of library.toml."""
        lines = [
            "# Written by mmsearch; it tells with which models the vectors here were made.",
            f"format_version = {self.format_version}",
            f"preset = {_quote(self.preset)}",
            f"speech_model = {_quote(self.speech_model)}",
        ]
        for role, model in self.models.items():
            lines += ["", f"[models.{_quote(role)}]", f"encoder = {_quote(model.encoder)}"]
            for name in _SPEC_TEXTS:
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
                *_format_provenance(space.provenance),
            ]
        if self.speech is not None:
            lines += ["", "[speech]", *_format_provenance(self.speech)]
        return "\n".join(lines) + "\n"


def _format_provenance(provenance: Provenance) -> list[str]:
    lines = [
        f"model = {_quote(provenance.model)}",
        f"revision = {_quote(provenance.revision)}",
        f"weights_sha256 = {_quote(provenance.weights_sha256)}",
    ]
    if provenance.files:
        lines.append("files = [")
        lines += [
            f"  {{ name = {_quote(file.name)}, sha256 = {_quote(file.sha256)}, "
            f"size_bytes = {file.size_bytes} }},"
            for file in provenance.files
        ]
        lines.append("]")
    return lines


def _quote(text: str) -> str:
    # A JSON string is a TOML basic string, but for one character that TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def exists(library: Path | Location) -> bool:
    """Returns True if there is a library. Raises StoreError if that cannot be determined."""
    return Location.parse(library).exists(NAME)


def read(library: Path | Location) -> Manifest:
    """Reads library.toml.

    Raises LibraryNotFound if there is none, FormatVersionError for one from a newer mmsearch, and
    StoreError for one that cannot be read or parsed.
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
        speech = loaded.get("speech")
        return Manifest(
            preset=str(loaded["preset"]),
            speech_model=str(loaded["speech_model"]),
            spaces=tuple(_parse_space(space) for space in loaded["spaces"]),
            format_version=version,
            models={role: _parse_spec(spec) for role, spec in loaded.get("models", {}).items()},
            speech=None if speech is None else _parse_provenance(speech),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise StoreError(f"{path} is incomplete: {exc!r}") from exc


def _parse_space(loaded: dict[str, Any]) -> Space:
    provenance = _parse_provenance(loaded)
    return Space(
        name=str(loaded["name"]),
        dim=int(loaded["dim"]),
        metric="cosine",
        model=provenance.model,
        revision=provenance.revision,
        weights_sha256=provenance.weights_sha256,
        files=provenance.files,
    )


def _parse_provenance(loaded: dict[str, Any]) -> Provenance:
    return Provenance(
        model=str(loaded["model"]),
        revision=str(loaded["revision"]),
        weights_sha256=str(loaded["weights_sha256"]),
        files=tuple(
            WeightFile(str(file["name"]), str(file["sha256"]), int(file["size_bytes"]))
            for file in loaded.get("files", ())
        ),
    )


def _parse_spec(loaded: dict[str, Any]) -> ModelSpec:
    texts = {name: str(loaded.get(name, "")) for name in _SPEC_TEXTS}
    settings = {str(key): str(value) for key, value in loaded.get("settings", {}).items()}
    return ModelSpec(encoder=str(loaded["encoder"]), settings=settings, **texts)


def write(library: Path | Location, manifest: Manifest) -> None:
    """Writes library.toml completely or not at all."""
    Location.parse(library).write(NAME, manifest.to_toml().encode())
