"""Lists the files of a repository of the hub, and selects those that a model needs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from mmsearch.config import HubSettings
from mmsearch.errors import ModelError
from mmsearch.models.weights import CTRANSLATE2_NAME, check_file_name, is_pickle, is_weights
from mmsearch.runtime.atomic_files import write_atomically

TRIES = 3
BUSY = frozenset({408, 429, 500, 502, 503, 504})
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
INDEX = ".safetensors.index.json"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository.

    `blob` is what the hub's cache calls its content: the sha256 of large files, git's hash of
    others. `sha256` is empty where the hub does not tell it.
    """

    name: str
    size_bytes: int
    blob: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at a commit."""

    commit: str
    files: tuple[RemoteFile, ...]

    def save(self, path: Path) -> None:
        """Stores the listing, so that the hub need not be asked again; failures are ignored."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(asdict(self)))
        except OSError:
            return

    @classmethod
    def read(cls, path: Path) -> Listing | None:
        """Reads a stored listing; None where there is none, or it is torn."""
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            files = [RemoteFile(**one) for one in read["files"]]
            for file in files:
                _check_file(file)
            return cls(str(read["commit"]), tuple(files))
        except (OSError, ValueError, TypeError, KeyError, ModelError):
            return None


def import_client() -> ModuleType:
    """Imports huggingface_hub, told to send nothing about this machine."""
    import huggingface_hub
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    return huggingface_hub


def http_error_class() -> type[Exception]:
    """Returns the root error of the client's HTTP library: httpx up to 1.x, httpx2 since."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # imported there

    error: type[Exception] = HTTPError
    return error


def build_headers() -> dict[str, str]:
    """Builds request headers: the user's token where there is one, nothing of the machine."""
    built: dict[str, str] = import_client().utils.build_hf_headers(
        library_name="mmsearch", library_version=version("mmsearch")
    )
    return built


def check_source(source: str) -> None:
    """Raises ModelError for a source that can be no repository."""
    if not _REPOSITORY.fullmatch(source):
        raise ModelError(
            f"{source!r} is neither a folder (those begin with / or ./) nor the name of a "
            f"repository on the hub (OWNER/NAME)"
        )


def fetch_listing(settings: HubSettings, source: str, revision: str) -> Listing:
    """Asks the hub for the files under a revision; "" is the newest.

    Raises what huggingface_hub raises, and ModelError for an answer that no hub gives.
    """
    hub = import_client()
    from huggingface_hub.errors import HfHubHTTPError

    api = hub.HfApi(endpoint=settings.endpoint, headers=build_headers())
    for trial in range(TRIES):
        try:
            info = api.model_info(
                source,
                revision=revision or None,
                timeout=settings.answer_timeout_s,
                files_metadata=True,
            )
        except HfHubHTTPError as exc:
            if exc.response.status_code not in BUSY or trial + 1 == TRIES:
                raise
            time.sleep(0.5 * 2**trial)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise _unexpected_answer(settings) from exc
        else:
            break
    if not isinstance(info.sha, str) or not info.sha.isalnum():
        raise _unexpected_answer(settings)
    files = tuple(_to_remote_file(sibling) for sibling in info.siblings or ())
    return Listing(info.sha, files)


def select_names(
    names: Sequence[str], patterns: Sequence[str], always: Mapping[str, Any]
) -> list[str]:
    """Returns the names that match a pattern, in which * matches slashes too, or are in `always`.

    What may be a pickle is left out, but for a model.bin where a pattern names it.
    """
    ctranslate2 = any(PurePosixPath(pattern).name == CTRANSLATE2_NAME for pattern in patterns)
    return sorted(
        name
        for name in names
        if (name in always or any(fnmatchcase(name, pattern) for pattern in patterns))
        and not is_pickle(name, ctranslate2=ctranslate2)
    )


def describe_missing(folder: Path, names: Sequence[str], patterns: Sequence[str]) -> str:
    """Describes the files that a folder lacks for a model; empty when it seems complete."""
    if not names:
        return f"no file that matches {' or '.join(patterns)}"
    if any(is_weights(pattern) for pattern in patterns) and not any(map(is_weights, names)):
        return "no weights as .safetensors or .onnx"
    for name in names:
        if name.endswith(INDEX):
            shards = _read_shards(folder / name)
            beside = {str(PurePosixPath(name).with_name(shard)) for shard in shards}
            if not beside <= set(names):
                return f"no {min(beside - set(names))}, which {name} lists"
    return ""


def _read_shards(index: Path) -> set[str]:
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return {check_file_name(str(name)) for name in listed}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(f"{index} does not list the files of a model: {exc}") from exc


def _to_remote_file(sibling: Any) -> RemoteFile:
    lfs = sibling.lfs
    return _check_file(
        RemoteFile(
            name=sibling.rfilename,
            size_bytes=(lfs.size if lfs else sibling.size) or 0,
            blob=(lfs.sha256 if lfs else sibling.blob_id) or "",
            sha256=lfs.sha256 if lfs else "",
        )
    )


def _check_file(file: RemoteFile) -> RemoteFile:
    """Refuses a file whose name or hash would lead out of the cache's folders."""
    check_file_name(file.name)
    if not file.blob.isalnum() or (file.sha256 and len(file.sha256) != 64):
        raise ModelError(f"the hub gives no hash for {file.name}")
    return file


def _unexpected_answer(settings: HubSettings) -> ModelError:
    return ModelError(
        f"{settings.endpoint} does not answer as the hub does: is a proxy or a login page in "
        f"between, or HF_ENDPOINT wrong?"
    )
