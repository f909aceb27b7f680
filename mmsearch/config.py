"""Settings: the only reader of environment variables and of config.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from mmsearch.errors import ConfigError

APP = "mmsearch"
PREFIX = "MMSEARCH_"


def config_path() -> Path:
    """Returns the path of config.toml: `MMSEARCH_CONFIG`, else in the platform's config folder."""
    named = os.environ.get(f"{PREFIX}CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_dir(APP)) / "config.toml"


def default_library() -> Path:
    """Returns the library that is used when none is named."""
    return Path(platformdirs.user_data_dir(APP)) / "default"


def cache_dir() -> Path:
    """Returns the folder for what can be made again; it can be deleted at any time."""
    named = os.environ.get(f"{PREFIX}CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir(APP))


def models_dir() -> Path:
    """Returns the model store: `MMSEARCH_MODELS`, else in the platform's data folder."""
    named = os.environ.get(f"{PREFIX}MODELS")
    return Path(named) if named else Path(platformdirs.user_data_dir(APP)) / "models"


@dataclass(frozen=True, slots=True)
class HubSettings:
    """The hub and its cache, by the variables of huggingface_hub.

    `answer_timeout_s` is for asking what there is, `data_timeout_s` for the next piece of a file.
    """

    endpoint: str
    cache_dir: Path
    is_offline: bool
    answer_timeout_s: float
    data_timeout_s: float


def hub_settings() -> HubSettings:
    """Reads HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and the timeouts.

    huggingface_hub reads them when it is imported; here they are read when they are needed. Raises
    ConfigError for a timeout that is no number.
    """
    home = (
        os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    )
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return HubSettings(
        endpoint=(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
        cache_dir=Path(os.path.expandvars(cache or f"{home}/hub")).expanduser(),
        is_offline=offline.upper() in {"1", "ON", "YES", "TRUE"},
        answer_timeout_s=_seconds("HF_HUB_ETAG_TIMEOUT"),
        data_timeout_s=_seconds("HF_HUB_DOWNLOAD_TIMEOUT"),
    )


def _seconds(name: str) -> float:
    written = os.environ.get(name) or "10"
    try:
        seconds = int(written)  # as huggingface_hub reads it
    except ValueError:
        seconds = 0
    if not 0 < seconds < 3600:
        raise ConfigError(f"{name}={written!r} is no number of seconds: leave it out, or set 10")
    return seconds


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The address and credentials of an S3-compatible storage; the client fills empty ones."""

    endpoint: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    allow_http: bool


def storage_settings() -> StorageSettings:
    """Reads AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and their like.

    An endpoint that begins with http:// is reached without TLS. Storages other than AWS need no
    region, but the signature does, so it has a default.
    """

    def first(*names: str) -> str:
        return next((value for name in names if (value := os.environ.get(f"AWS_{name}"))), "")

    endpoint = first("ENDPOINT_URL_S3", "ENDPOINT_URL", "ENDPOINT").rstrip("/")
    return StorageSettings(
        endpoint=endpoint,
        region=first("REGION", "DEFAULT_REGION") or ("us-east-1" if endpoint else ""),
        key_id=first("ACCESS_KEY_ID"),
        secret=first("SECRET_ACCESS_KEY"),
        token=first("SESSION_TOKEN"),
        allow_http=endpoint.startswith("http://") or first("ALLOW_HTTP").lower() in {"1", "true"},
    )


def server_token() -> str:
    """Reads `MMSEARCH_TOKEN`, which a server requires and a client sends; empty for none."""
    return os.environ.get(f"{PREFIX}TOKEN", "")


def cpu_count() -> int:
    """Counts the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory_bytes() -> int:
    """Estimates the memory that this process may still take, within its limit."""
    import psutil  # here: few commands ask

    free: int = psutil.virtual_memory().available
    limit = _cgroup_limit_bytes()
    return free if limit is None else min(free, limit)


def _cgroup_limit_bytes() -> int | None:
    """Returns the rest of a container's memory limit, None without a limit."""
    root = Path("/sys/fs/cgroup")
    try:
        most = int((root / "memory.max").read_text())
        return max(0, most - int((root / "memory.current").read_text()))
    except (OSError, ValueError):  # none, or "max"
        return None


def file_settings() -> Mapping[str, object]:
    """Reads the keys of config.toml, dashes as underscores; empty without a file.

    Raises ConfigError where the file cannot be read or is not TOML.
    """
    path = config_path()
    try:
        with path.open("rb") as stream:
            loaded = tomllib.load(stream)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}; mend it or move it away") from exc
    return {key.replace("-", "_"): value for key, value in loaded.items()}


PRESETS = "presets"


def own_presets() -> Mapping[str, object]:
    """Reads the user's presets: the tables `[presets.NAME]` of config.toml.

    Raises ConfigError where the file cannot be read.
    """
    own = file_settings().get(PRESETS, {})
    if not isinstance(own, dict):
        raise ConfigError(f"{config_path()}: presets must be tables: [presets.NAME]")
    return own


def settings(names: frozenset[str]) -> dict[str, object]:
    """Reads the settings of some names from environment and file; the environment wins.

    The option `--decode-timeout` is `MMSEARCH_DECODE_TIMEOUT` in the environment and
    `decode_timeout` (or `decode-timeout`) in the file. Raises ConfigError for a key in the file
    that no option has. A variable that is set to nothing counts as not set.
    """
    from_file = {key: value for key, value in file_settings().items() if key != PRESETS}
    unknown = sorted(set(from_file) - names)
    if unknown:
        raise ConfigError(
            f"{config_path()}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(names))}"
        )
    values: dict[str, object] = dict(from_file)
    for name in names:
        value = os.environ.get(PREFIX + name.upper())
        if value:
            values[name] = value
    return values
