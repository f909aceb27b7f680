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
    """Where config.toml is looked for: `MMSEARCH_CONFIG`, else the platform's config folder."""
    named = os.environ.get(f"{PREFIX}CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_dir(APP)) / "config.toml"


def default_library() -> Path:
    """The library that is meant when none is named."""
    return Path(platformdirs.user_data_dir(APP)) / "default"


def cache_dir() -> Path:
    """Where converted weights are kept; what is in it can be deleted at any time."""
    named = os.environ.get(f"{PREFIX}CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir(APP))


def models_dir() -> Path:
    """Where models are kept ready to run: `MMSEARCH_MODELS`, else the platform's data folder."""
    named = os.environ.get(f"{PREFIX}MODELS")
    return Path(named) if named else Path(platformdirs.user_data_dir(APP)) / "models"


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Where the hub and its cache are: the variables that huggingface_hub has for it.

    `answer_timeout_s` is for asking what there is, `data_timeout_s` for the next piece of a file.
    """

    endpoint: str
    cache_dir: Path
    is_offline: bool
    answer_timeout_s: float
    data_timeout_s: float


def hub_settings() -> HubSettings:
    """What HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and the timeouts say now.

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
    """How an S3-compatible storage is reached; what is empty is left to the client."""

    endpoint: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    allow_http: bool


def storage_settings() -> StorageSettings:
    """What AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and their like say now.

    An endpoint that is written with http:// may be reached without TLS. A storage that is not of
    AWS asks for no region; the signature wants one.
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
    """What `MMSEARCH_TOKEN` says, which a server asks for and a client shows; empty if nothing."""
    return os.environ.get(f"{PREFIX}TOKEN", "")


def cpu_count() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory_bytes() -> int:
    """About what this process may still take: what the machine has free, and its limit allows."""
    import psutil  # here: few commands ask

    free: int = psutil.virtual_memory().available
    limit = _cgroup_limit_bytes()
    return free if limit is None else min(free, limit)


def _cgroup_limit_bytes() -> int | None:
    """What a container leaves to its processes, None where nothing is said."""
    root = Path("/sys/fs/cgroup")
    try:
        most = int((root / "memory.max").read_text())
        return max(0, most - int((root / "memory.current").read_text()))
    except (OSError, ValueError):  # none, or "max"
        return None


def file_settings() -> Mapping[str, object]:
    """The keys of config.toml, dashes turned into underscores; empty where there is no file.

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
    """The user's presets: the tables `[presets.NAME]` of config.toml, as they are written there.

    Raises ConfigError where the file cannot be read.
    """
    own = file_settings().get(PRESETS, {})
    if not isinstance(own, dict):
        raise ConfigError(f"{config_path()}: presets must be tables: [presets.NAME]")
    return own


def settings(names: frozenset[str]) -> dict[str, object]:
    """The settings among `names` that environment or file give; the environment wins.

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
