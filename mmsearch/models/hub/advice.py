"""What to do when the weights of a model cannot be had, in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmsearch.config import HubSettings
from mmsearch.errors import ModelError, WeightsMissing

OPTIONS = "--image-model, --sound-model, --speech-model or --text-model"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: `name` is what `mmsearch models pull` calls it."""

    name: str
    source: str
    revision: str
    settings: HubSettings

    @property
    def page(self) -> str:
        """Where a person can look at it."""
        return f"{self.settings.endpoint}/{self.source}"


def unreachable(asked: Asked, reason: str) -> WeightsMissing:
    """For a machine without a network, or whose network does not reach the hub."""
    revision = f" --revision {asked.revision}" if asked.revision else ""
    return WeightsMissing(
        f"the weights of {asked.source} are not on this machine, and {reason}.\n"
        f"On a machine with a network:\n"
        f"  pip install 'mmsearch[clip]'\n"
        f"  mmsearch models pull {asked.name}\n"
        f"  mmsearch models export {asked.name} --to FOLDER\n"
        f"carry FOLDER over, and here:\n"
        f"  mmsearch models pull {asked.name} --from FOLDER\n"
        f"Or, without mmsearch on the other machine:\n"
        f"  hf download {asked.source}{revision} --local-dir FOLDER\n"
        f"and name that folder here with {OPTIONS}.{_folder_here(asked)}"
    )


def offline(asked: Asked) -> WeightsMissing:
    """For a machine that was told to stay off the network."""
    return unreachable(asked, "HF_HUB_OFFLINE forbids to fetch them")


def cut_off(asked: Asked, error: Exception) -> ModelError:
    """For a hub that told what there is, and then did not give it."""
    if is_answer(error):
        return explain(asked, error)
    return WeightsMissing(
        f"fetching {asked.source} from {asked.settings.endpoint} was cut off ({_why(error)}); what "
        f"has arrived is kept: `mmsearch models pull {asked.name}` goes on from there"
    )


def is_answer(error: Exception) -> bool:
    """Whether the hub has spoken, and will say the same again."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError) and error.response.status_code < 500


def unusable(asked: Asked, where: str, lacks: str) -> WeightsMissing:
    """For a folder or repository that has not the files that are read."""
    return WeightsMissing(
        f"{where} has {lacks}: only .safetensors and .onnx files (and CTranslate2's model.bin) are "
        f"read, never a pickle; name another repository or folder with {OPTIONS}"
    )


def explain(asked: Asked, error: Exception) -> ModelError:
    """An error of the hub's client as one that says what to do."""
    from huggingface_hub import errors

    source, hub = asked.source, asked.settings.endpoint
    again = f"mmsearch models pull {asked.name}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return offline(asked)
    if isinstance(error, errors.GatedRepoError):
        return _closed(asked)
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsMissing(
            f"the repository {source} has no revision {asked.revision or 'main'!r}: choose one of "
            f"those at {asked.page}/commits, or leave the revision out for the newest"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsMissing(
            f"the hub has no repository {source}, or a private one: look for it at {hub} and "
            f"correct the name; for a private one log in with `hf auth login`, then {again}"
            f"{_folder_here(asked)}"
        )
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return _closed(asked)
        if status == 404:
            return WeightsMissing(
                f"{error.response.url} is not there: look at {asked.page} for what {source} has"
            )
        return unreachable(asked, f"{hub} answers with status {status}; later it may work")
    return unreachable(asked, f"{hub} cannot be reached ({_why(error)})")


def _folder_here(asked: Asked) -> str:
    is_here = Path(asked.source).is_dir()
    return f"\n(For the folder of that name, write ./{asked.source})" if is_here else ""


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")


def _closed(asked: Asked) -> WeightsMissing:
    return WeightsMissing(
        f"{asked.source} is given only to those who agree to its terms: agree at {asked.page} with "
        f"your account, log in here with `hf auth login` (or set HF_TOKEN), then "
        f"mmsearch models pull {asked.name}"
    )
