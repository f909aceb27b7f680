"""`search` and `similar` with --export, --copy-to, --link-to and --symlink-to."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import Cli


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def found(cli: Cli, library: Path, *arguments: str | Path) -> bytes:
    ran = cli("search", "a beach by the sea", "--library", library, "--min-score", "0", *arguments)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def timeless(text: bytes | str) -> dict[str, object]:
    read: dict[str, object] = json.loads(text)
    return {key: value for key, value in read.items() if key != "took_ms"}


def test_json_is_what_json_prints(small_library: Path, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "hits.json"
    shown = found(cli, small_library, "--json", "--export", target)
    assert json.loads(target.read_text()) == json.loads(shown)


@pytest.mark.slow
def test_every_form_names_the_files_that_were_found(
    small_library: Path, cli: Cli, tmp_path: Path
) -> None:
    told = json.loads(found(cli, small_library, "--json"))
    playable = [hit["path"] for hit in told["hits"] if hit["kind"] != "text"]
    assert playable
    for ending in ("csv", "m3u8", "edl", "fcpxml"):
        found(cli, small_library, "--export", tmp_path / f"hits.{ending}")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "hits.csv").read_text(), newline="")))
    assert list(dict.fromkeys(row["path"] for row in rows)) == [hit["path"] for hit in told["hits"]]
    assert len(rows) == sum(len(hit["moments"]) for hit in told["hits"])
    lines = (tmp_path / "hits.m3u8").read_text().splitlines()
    assert lines[:2] == ["#EXTM3U", "#PLAYLIST:a beach by the sea"]
    named = [unquote(line[7:]) for line in lines if line.startswith("file://")]
    assert list(dict.fromkeys(named)) == playable
    edl = (tmp_path / "hits.edl").read_text()
    clips = re.findall(r"^\* FROM CLIP NAME: (.*)$", edl, re.MULTILINE)
    assert list(dict.fromkeys(clips)) == [Path(path).name for path in playable]
    root = ET.fromstring((tmp_path / "hits.fcpxml").read_text().split("\n", 2)[2])
    sources = [unquote(one.attrib["src"][7:]) for one in root.iter("media-rep")]
    assert sources == playable


def test_moments_of_a_film_have_their_times(small_library: Path, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "hits.edl"
    arguments = ("--kinds", "video", "--export", target, "--fps", "29.97")
    told = json.loads(found(cli, small_library, "--json", *arguments))
    (hit,) = told["hits"]
    first = next(line for line in target.read_text().splitlines() if line.startswith("001  "))
    source_in = first.split()[4]
    hours, minutes, seconds, frames = map(int, source_in.split(":"))
    frame = ((hours * 60 + minutes) * 60 + seconds) * 30 + frames
    begins = {moment["start_s"] for moment in hit["moments"]} | {hit["segment"]["start_s"]}
    assert any(abs(frame * 1001 / 30000 - begin) < 0.02 for begin in begins)


@pytest.mark.slow
def test_standard_output_is_the_export_alone(small_library: Path, cli: Cli) -> None:
    printed = found(cli, small_library, "--export", "-", "--export-as", "m3u")
    assert printed.startswith(b"#EXTM3U\n")
    as_json = found(cli, small_library, "--export", "-", "--export-as", "json")
    assert timeless(as_json) == timeless(found(cli, small_library, "--json"))


def test_similar_exports_too(small_library: Path, samples: Path, cli: Cli, tmp_path: Path) -> None:
    ran = cli(
        "similar", samples / "photos/beach.jpg", "--library", small_library, "--min-score", "0",
        "--export", tmp_path / "hits.csv", "--copy-to", tmp_path / "copies",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    assert (tmp_path / "hits.csv").read_text().startswith("rank,score,path")
    assert any((tmp_path / "copies").iterdir())


@pytest.mark.parametrize("option", ["--copy-to", "--link-to", "--symlink-to"])
def test_what_was_found_is_brought_together(
    option: str, small_library: Path, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    told = json.loads(found(cli, small_library, "--json", option, folder))
    paths = {Path(hit["path"]).name: Path(hit["path"]) for hit in told["hits"]}
    assert names(folder) == sorted(paths)
    for name, path in paths.items():
        target = folder / name
        assert target.read_bytes() == path.read_bytes()
        assert target.stat().st_mtime_ns == path.stat().st_mtime_ns
        assert target.is_symlink() == (option == "--symlink-to")
        assert (target.stat().st_ino == path.stat().st_ino) == (option != "--copy-to")


def test_nothing_found_is_an_empty_export(small_library: Path, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "hits.fcpxml"
    ran = cli(
        "search", "beach", "--library", small_library, "--in", tmp_path / "elsewhere",
        "--export", target, "--copy-to", tmp_path / "out",
    )  # fmt: skip
    assert ran.returncode == 4
    assert "<spine />" in target.read_text()
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--export", "hits.xls"], 1, "no form 'xls'"),
        (["--export", "hits"], 1, "has no ending"),
        (["--export", "nowhere/hits.csv"], 1, "there is no folder nowhere"),
        (["--export", "-"], 2, "needs --export-as"),
        (["--export-as", "csv"], 2, "goes with --export"),
        (["--export", "-", "--export-as", "csv", "--json"], 2, "excludes --json"),
        (["--export", "hits.edl", "--fps", "fast"], 1, "no frame rate"),
        (["--copy-to", "a", "--link-to", "b"], 2, "exclude each other"),
        (["--copy-to", "/dev/null"], 1, "name another folder"),
    ],
)
def test_wrong_use_is_told(
    arguments: list[str], code: int, said: str, small_library: Path, cli: Cli, tmp_path: Path
) -> None:
    ran = cli(
        "search", "beach", "--library", small_library, *arguments,
        cwd=tmp_path, env={"COLUMNS": "200"},
    )  # fmt: skip
    assert ran.returncode == code
    assert said in ran.stderr.decode()
    assert names(tmp_path) == []


@pytest.mark.slow
def test_what_is_gone_is_told_and_the_rest_is_copied(
    samples: Path, cli: Cli, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    for name in ("beach.jpg", "breakfast.jpg"):
        files.mkdir(exist_ok=True)
        (files / name).write_bytes((samples / "photos" / name).read_bytes())
    library = tmp_path / "library"
    assert cli("index", files, "--library", library).returncode == 0
    (files / "beach.jpg").unlink()
    ran = cli(
        "search", "photo", "--library", library, "--min-score", "0",
        "--copy-to", tmp_path / "out", env={"COLUMNS": "200"},
    )  # fmt: skip
    assert ran.returncode == 1
    assert b"1 copied to" in ran.stderr
    assert b"beach.jpg: No such file or directory" in ran.stderr
    assert names(tmp_path / "out") == ["breakfast.jpg"]
