"""Settings: the only reader of environment variables and of config.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
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


def cpu_count() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def settings(names: frozenset[str]) -> dict[str, object]:
    """The settings among `names` that environment or file give; the environment wins.

    The option `--decode-timeout` is `MMSEARCH_DECODE_TIMEOUT` in the environment and
    `decode_timeout` (or `decode-timeout`) in the file. Raises ConfigError for a key in the file
    that no option has. A variable that is set to nothing counts as not set.
    """
    from_file = file_settings()
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
