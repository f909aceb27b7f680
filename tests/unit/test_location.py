"""Where a library lies: what a user writes, what Lance is told, and files written whole."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.config import storage_settings
from mmsearch.errors import ConfigError, MissingExtra, StoreError
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location

AWS = (
    "ENDPOINT_URL_S3", "ENDPOINT_URL", "ENDPOINT", "REGION", "DEFAULT_REGION", "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ALLOW_HTTP",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AWS:
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.mark.parametrize(
    "written",
    [
        "s3://bucket/a/library",
        "s3://bucket/a/library/",
        "S3://bucket//a/library",
        Path("s3://bucket/a/library"),  # a path drops a slash
    ],
)
def test_a_uri_is_understood_also_as_a_path(written: str | Path) -> None:
    location = Location.parse(written)

    assert location.is_remote
    assert str(location) == "s3://bucket/a/library"
    assert location.table_uri("files") == "s3://bucket/a/library/tables/files.lance"
    assert (location.objects.bucket, location.objects.prefix) == ("bucket", "a/library")


@pytest.mark.parametrize(
    "written", ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/../x", "gs://bucket/library"]
)
def test_a_uri_that_names_no_library_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"s3://BUCKET/PREFIX"):
        Location.parse(written)


def test_a_path_becomes_absolute_and_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = Location.parse(Path("x/../my library"))

    monkeypatch.chdir("/")
    assert location.folder == tmp_path / "my library"
    assert not location.is_remote
    assert location.storage_options is None
    assert location.table_uri("files") == str(tmp_path / "my library/tables/files.lance")
    assert location.cache_folder == tmp_path / "my library" / "index"


def test_the_home_folder_can_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert Location.parse("~/library").folder == tmp_path / "library"


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(names.filter(lambda name: name not in (".", "..")), min_size=2, max_size=4))
def test_parsing_twice_is_parsing_once(parts: list[str]) -> None:
    remote = Location.parse("s3://" + "/".join(parts))
    local = Location.parse("/" + "/".join(parts))

    assert Location.parse(remote.uri) == Location.parse(remote) == remote
    assert Location.parse(local.uri) == Location.parse(local) == local
    assert remote.is_remote
    assert not local.is_remote


def test_what_lance_is_told_comes_from_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage:9000/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")

    options = Location.parse("s3://bucket/library").storage_options

    assert options is not None
    assert options["aws_endpoint"] == "http://storage:9000"
    assert options["aws_region"] == "us-east-1"  # a signature wants one
    assert options["aws_access_key_id"] == "me"
    assert options["allow_http"] == "true"
    assert "aws_session_token" not in options
    assert "hidden" not in repr(storage_settings())


def test_without_variables_it_is_aws_over_tls_and_the_client_finds_the_rest() -> None:
    options = Location.parse("s3://bucket/library").storage_options

    assert options is not None
    assert not [key for key in options if key.startswith("aws_")]
    assert options["allow_http"] == "false"


def test_the_cache_of_a_remote_library_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path))
    one = Location.parse("s3://bucket/one").cache_folder
    other = Location.parse("s3://bucket/other").cache_folder
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere:9000")
    elsewhere = Location.parse("s3://bucket/one").cache_folder

    assert len({one, other, elsewhere}) == 3
    assert all(folder.is_relative_to(tmp_path) for folder in (one, other, elsewhere))


def test_a_remote_library_has_no_folder() -> None:
    with pytest.raises(StoreError, match=r"s3://bucket/library is no folder"):
        _ = Location.parse("s3://bucket/library").folder


def test_without_obstore_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(MissingExtra, match=r"pip install 'mmsearch\[s3\]'"):
        Location.parse("s3://bucket/library").read("library.toml")


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = Location.parse(tmp_path)
    location.write("library.toml", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        location.write("library.toml", b"new")

    assert location.read("library.toml") == b"old"
    assert {one.name for one in tmp_path.iterdir()} <= {"library.toml", manifests.PART}


def test_files_that_are_not_there_are_neither_read_nor_an_error(tmp_path: Path) -> None:
    location = Location.parse(tmp_path / "nothing" / "here")

    assert location.read("library.toml") is None
    assert not location.exists("library.toml")
    Location.parse(tmp_path).delete("library.toml")
