"""Explains in words how to get the weights of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmsearch.config import HubSettings
from mmsearch.errors import ModelError, WeightsMissing

OPTIONS = "--image-model, --sound-model, --speech-model or --text-model"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on the hub; `name` is its name for `mmsearch models pull`."""

    name: str
    source: str
    revision: str
    settings: HubSettings

    @property
    def page(self) -> str:
        """The web page of the repository."""
        return f"{self.settings.endpoint}/{self.source}"


def explain_unreachable(model: ModelSource, reason: str) -> WeightsMissing:
    """Returns the error for a machine whose network does not reach the hub."""
    revision = f" --revision {model.revision}" if model.revision else ""
    return WeightsMissing(
        f"the weights of {model.source} are not on this machine, and {reason}.\n"
        f"On a machine with a network:\n"
        f"  pip install 'mmsearch[clip]'\n"
        f"  mmsearch models pull {model.name}\n"
        f"  mmsearch models export {model.name} --to FOLDER\n"
        f"carry FOLDER over, and here:\n"
        f"  mmsearch models pull {model.name} --from FOLDER\n"
        f"Or, without mmsearch on the other machine:\n"
        f"  hf download {model.source}{revision} --local-dir FOLDER\n"
        f"and name that folder here with {OPTIONS}.{_mention_folder(model)}"
    )


def explain_offline(model: ModelSource) -> WeightsMissing:
    """Returns the error for a machine that must stay off the network."""
    return explain_unreachable(model, "HF_HUB_OFFLINE forbids to fetch them")


def explain_cut_off(model: ModelSource, error: Exception) -> ModelError:
    """Returns the error for a transfer that did not finish."""
    if is_final_answer(error):
        return explain_error(model, error)
    return WeightsMissing(
        f"fetching {model.source} from {model.settings.endpoint} was cut off "
        f"({_describe_error(error)}); what has arrived is kept: "
        f"`mmsearch models pull {model.name}` goes on from there"
    )


def is_final_answer(error: Exception) -> bool:
    """Tests if the hub answered, and will answer the same again."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError) and error.response.status_code < 500


def explain_unusable(model: ModelSource, where: str, lacks: str) -> WeightsMissing:
    """Returns the error for a folder or repository without files that are read."""
    return WeightsMissing(
        f"{where} has {lacks}: only .safetensors and .onnx files (and CTranslate2's model.bin) are "
        f"read, never a pickle; name another repository or folder with {OPTIONS}"
    )


def explain_error(model: ModelSource, error: Exception) -> ModelError:
    """Turns an error of the hub's client into one that says what to do."""
    from huggingface_hub import errors

    source, hub = model.source, model.settings.endpoint
    again = f"mmsearch models pull {model.name}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return explain_offline(model)
    if isinstance(error, errors.GatedRepoError):
        return _explain_gated(model)
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsMissing(
            f"the repository {source} has no revision {model.revision or 'main'!r}: choose one of "
            f"those at {model.page}/commits, or leave the revision out for the newest"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsMissing(
            f"the hub has no repository {source}, or a private one: look for it at {hub} and "
            f"correct the name; for a private one log in with `hf auth login`, then {again}"
            f"{_mention_folder(model)}"
        )
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return _explain_gated(model)
        if status == 404:
            return WeightsMissing(
                f"{error.response.url} is not there: look at {model.page} for what {source} has"
            )
        return explain_unreachable(model, f"{hub} answers with status {status}; later it may work")
    return explain_unreachable(model, f"{hub} cannot be reached ({_describe_error(error)})")


def _mention_folder(model: ModelSource) -> str:
    is_here = Path(model.source).is_dir()
    return f"\n(For the folder of that name, write ./{model.source})" if is_here else ""


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")


def _explain_gated(model: ModelSource) -> WeightsMissing:
    return WeightsMissing(
        f"{model.source} is given only to those who agree to its terms: agree at {model.page} with "
        f"your account, log in here with `hf auth login` (or set HF_TOKEN), then "
        f"mmsearch models pull {model.name}"
    )
