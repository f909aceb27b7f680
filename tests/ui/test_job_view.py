"""Indexing in words: paths that can be added, jobs, failures."""

from __future__ import annotations

import csv
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmsearch_ui import job_view

from mmsearch.errors import ConfigError
from mmsearch.jobs import Job, JobState
from mmsearch.store.rows import FileRow

BEGAN = datetime(2024, 5, 1, 12, tzinfo=UTC)


def job(state: JobState, **said: object) -> Job:
    plain: dict[str, object] = {"paths": ("/media/photos",), "seq": 1, "created_at": BEGAN}
    return Job(id="a", state=state, **{**plain, **said})  # type: ignore[arg-type]


def row(path: str, message: str = "broken picture") -> FileRow:
    return FileRow(path, None, 3, 0, "DecodeError", f"{path}: {message}")


def test_a_folder_and_a_file_can_be_added(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.touch()

    assert job_view.check_path(f"  {tmp_path} ", tmp_path / "library") == tmp_path
    assert job_view.check_path(f"'{file}'", tmp_path / "library") == file


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "Write the path"),
        ("photos", "whole path"),
        ("s3://bucket/photos", "whole path"),
        ("/nowhere/at/all", "does not exist"),
        ("/a\0b", "NUL"),
        ("/" + "x" * 5000, "cannot be looked at|does not exist"),
        ("~nobody-of-that-name/x", "no such home folder"),
        ("/dev/null", "neither a folder nor a file"),
    ],
)
def test_what_cannot_be_added_is_said(written: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        job_view.check_path(written, tmp_path)


def test_a_wrong_path_names_the_part_that_is_right(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path} does\\."):
        job_view.check_path(str(tmp_path / "photos/2024"), tmp_path / "library")


def test_the_library_is_not_added_to_itself(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "tables")

    for inside in (tmp_path, tmp_path / "tables", tmp_path / "link"):
        with pytest.raises(ConfigError, match="library itself"):
            job_view.check_path(str(inside), tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_said_to_be_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)

    with pytest.raises(ConfigError, match="lack the right"):
        job_view.check_path(str(closed), tmp_path / "library")


def test_folders_are_listed_without_files_and_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "A", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")

    assert job_view.list_folders(tmp_path) == ["A", "b"]
    with pytest.raises(ConfigError, match="cannot be listed"):
        job_view.list_folders(tmp_path / "gone")


def test_a_job_tells_how_far_it_is_and_how_long_it_takes_still() -> None:
    shown = job_view.describe_job(
        job(
            JobState.RUNNING,
            done=30,
            total=120,
            rate_per_s=2.0,
            counts={"indexed": 29, "failed": 1},
        )
    )

    assert shown.title == "/media/photos"
    assert shown.share == 0.25
    assert shown.line == "30 of 120 files, 2.0 files/s, 45 s left"
    assert shown.counts == "29 indexed, 1 failed"


def test_each_state_of_a_job_has_words() -> None:
    ended = {"started_at": BEGAN, "finished_at": BEGAN + timedelta(seconds=95)}
    lines = {
        "waits for its turn": job(JobState.QUEUED),
        "looking for files": job(JobState.RUNNING),
        "5 of 5 files, building the index of image, 40%": job(
            JobState.RUNNING, done=5, total=5, step="building the index of image, 40%"
        ),
        "done in 1 min 35 s": job(JobState.DONE, **ended),
        "stopped in 1 min 35 s; what was finished is kept": job(JobState.CANCELLED, **ended),
        "failed: no room": job(JobState.FAILED, message="no room", **ended),
    }

    assert {job_view.describe_job(one).line: one for one in lines.values()} == lines
    assert (
        job_view.describe_job(job(JobState.DONE, counts=MappingProxyType({}))).counts
        == "nothing to do"
    )
    assert job_view.describe_job(job(JobState.QUEUED, paths=("/a", "/b", "/c", "/d"))).title == (
        "/a, /b, /c and 1 more"
    )


@given(st.floats(0, 1e7))
def test_a_duration_is_never_far_off(seconds: float) -> None:
    factors = {"h": 3600, "min": 60, "s": 1}
    said = job_view.format_duration(seconds).replace(",", "").split()

    told = sum(
        int(number) * factors[unit] for number, unit in zip(said[::2], said[1::2], strict=True)
    )
    assert abs(told - seconds) <= max(1, 0.1 * seconds)


def test_failures_are_filtered_by_all_words() -> None:
    rows = [row("/a/One.jpg"), row("/b/two.jpg", "takes too long"), row("/b/three.png")]

    assert job_view.filter_failures(rows, "") == rows
    assert job_view.filter_failures(rows, "one") == rows[:1]
    assert job_view.filter_failures(rows, "/b/ LONG") == rows[1:2]
    assert job_view.filter_failures(rows, "decodeerror png") == rows[2:]


def test_a_failure_does_not_repeat_its_path() -> None:
    failure = job_view.describe_failure(row("/a/one.jpg"))

    assert (failure["file"], failure["folder"]) == ("one.jpg", "/a")
    assert (failure["what"], failure["reason"]) == ("broken", "broken picture")


def test_a_table_of_failures_runs_nothing_in_a_spreadsheet() -> None:
    rows = [row('/a/one,\n"two".jpg'), FileRow("/b", None, 0, 0, "E", "=1+1")]

    table = list(csv.reader(io.StringIO(job_view.failures_to_csv(rows).decode())))

    assert table[0] == ["path", "error", "message"]
    assert table[1][0] == '/a/one,\n"two".jpg'
    assert table[2] == ["/b", "E", "'=1+1"]


def test_what_is_gone_is_not_tried_again(tmp_path: Path) -> None:
    there = tmp_path / "there.jpg"
    there.touch()

    assert job_view.plan_retry([row(str(there)), row(str(tmp_path / "gone.jpg"))]) == (
        [str(there)],
        [str(tmp_path / "gone.jpg")],
    )


def test_of_many_failures_the_uppermost_folders_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_view, "MAX_RETRIED", 2)
    for name in ("a/b/1", "a/b/2", "a/3", "ab/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rows = [row(str(tmp_path / name)) for name in ("a/b/1", "a/b/2", "a/3", "ab/4")]

    assert job_view.plan_retry(rows)[0] == [str(tmp_path / "a"), str(tmp_path / "ab")]
