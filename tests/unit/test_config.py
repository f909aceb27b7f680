"""Settings from environment and file; that an argument beats both is tested with the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch import config
from mmsearch.errors import ConfigError

NAMES = frozenset({"limit", "min_score", "include"})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMSEARCH_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def test_without_a_file_there_are_no_settings(file: Path) -> None:
    assert not file.exists()
    assert config.settings(NAMES) == {}


def test_keys_may_be_written_with_dashes(file: Path) -> None:
    file.write_text('min-score = 0.3\nlimit = 5\ninclude = ["*.jpg"]\n')

    assert config.settings(NAMES) == {"min_score": 0.3, "limit": 5, "include": ["*.jpg"]}


def test_the_environment_beats_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("limit = 5\nmin_score = 0.3\n")
    monkeypatch.setenv("MMSEARCH_LIMIT", "7")
    monkeypatch.setenv("MMSEARCH_MIN_SCORE", "")
    monkeypatch.setenv("MMSEARCH_SOMETHING_ELSE", "x")

    assert config.settings(NAMES) == {"limit": "7", "min_score": 0.3}


def test_an_unknown_key_is_an_error_that_lists_the_known(file: Path) -> None:
    file.write_text("limitt = 5\n")

    with pytest.raises(ConfigError, match=r"'limitt'.*include, limit, min_score"):
        config.settings(NAMES)


@pytest.mark.parametrize("content", [b"limit = ", b"\xff\xfe", b"limit = 1\nlimit = 2"])
def test_a_file_that_is_no_toml_is_an_error_that_names_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=str(file)):
        config.settings(NAMES)


def test_a_folder_in_place_of_the_file_is_an_error(file: Path) -> None:
    file.mkdir()

    with pytest.raises(ConfigError):
        config.settings(NAMES)


def test_the_cache_can_be_put_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path))

    assert config.cache_dir() == tmp_path


def test_the_default_library_lies_in_the_data_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert config.default_library() == tmp_path / "mmsearch" / "default"


def test_there_is_at_least_one_processor() -> None:
    assert config.cpu_count() >= 1
