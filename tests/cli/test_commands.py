"""The command line as scripts hold on to it: JSON shapes, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT, SAMPLES, Cli
from tests.fakes import write_picture, write_text

pytestmark = pytest.mark.usefixtures("small_library")


def parsed(out: bytes) -> Any:
    """The one JSON object that stdout holds."""
    (line,) = out.decode().splitlines()
    return json.loads(line)


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """Two texts and a broken picture: quick to index."""
    folder = tmp_path / "papers"
    write_text(folder / "bread.txt", "Knead the dough, let it rest, and bake it in a hot oven.")
    write_text(folder / "sea.txt", "The fishing boats came back to the harbour before the storm.")
    (folder / "broken.png").write_bytes(write_picture(tmp_path / "whole.png").read_bytes()[:40])
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


# search


def test_search_json_has_the_shape_of_the_contract(cli: Cli, small_library: Path) -> None:
    ran = cli(
        "search", "--library", small_library, "a", "kitten", "--json", "-n", "3", "--min-score", "0"
    )

    assert ran.returncode == 0
    assert ran.stderr == b""
    told = parsed(ran.stdout)
    assert list(told) == ["query", "preset", "took_ms", "total", "hits"]
    assert told["query"] == "a kitten"
    assert told["preset"] == "mini"
    assert told["took_ms"] > 0
    assert told["total"] == len(told["hits"]) == 3
    assert [hit["rank"] for hit in told["hits"]] == [1, 2, 3]
    scores = [hit["score"] for hit in told["hits"]]
    assert scores == sorted(scores, reverse=True)
    for hit in told["hits"]:
        assert {
            "rank",
            "score",
            "path",
            "kind",
            "asset_id",
            "segment",
            "spaces",
            "also_at",
            "why",
        } <= set(hit)
        assert {"kind", "start_s", "end_s", "page", "text"} <= set(hit["segment"])
        assert 0.0 <= hit["score"] <= 1.0
        assert hit["kind"] in ("image", "audio", "video", "text")
        assert Path(hit["path"]).is_absolute()
        assert hit["spaces"]
        for name, space in hit["spaces"].items():
            maker = set() if name == "name" else {"model", "revision", "weights_sha256"}
            assert set(space) == {"rank", "score"} | maker
            assert space["rank"] >= 1
        assert datetime.fromisoformat(hit["indexed_at"]).tzinfo is not None
    assert told["hits"][0]["path"].endswith(("IMG_0031.jpg", "IMG_0144.jpg"))


def test_a_moment_in_a_recording_has_its_seconds(cli: Cli, small_library: Path) -> None:
    ran = cli("search", "--library", small_library, "--json", "--kinds", "audio",
              "ask not what your country can do for you")  # fmt: skip

    best = parsed(ran.stdout)["hits"][0]
    assert best["path"].endswith("voice_memo_03.flac")
    assert best["segment"]["kind"] == "speech"
    assert "country" in best["segment"]["text"]
    assert best["segment"]["end_s"] > best["segment"]["start_s"] >= 0.0
    assert best["why"].startswith("speech: ")


def test_paths_are_one_a_line_and_with_0_end_in_nul(cli: Cli, small_library: Path) -> None:
    lines = cli("search", "--library", small_library, "kitten", "--paths", "--min-score", "0")
    nul = cli("search", "--library", small_library, "kitten", "--paths", "-0", "--min-score", "0")

    assert lines.stderr == b""
    assert lines.stdout.endswith(b"\n")
    paths = lines.stdout.removesuffix(b"\n").split(b"\n")
    assert nul.stdout == b"".join(path + b"\0" for path in paths)
    assert all(Path(os.fsdecode(path)).is_file() for path in paths)


def test_a_search_without_a_match_prints_nothing_on_stdout_and_exits_with_4(
    cli: Cli, small_library: Path
) -> None:
    for form in ([], ["--paths"]):
        ran = cli(
            "search",
            "--library",
            small_library,
            "quantum chromodynamics",
            "--min-score",
            "0.99",
            *form,
        )
        assert (ran.returncode, ran.stdout) == (4, b"")

    json_form = cli(
        "search", "--library", small_library, "quantum", "--min-score", "0.99", "--json"
    )
    assert json_form.returncode == 4
    assert parsed(json_form.stdout)["hits"] == []


def test_min_score_0_gives_as_many_as_are_asked_for(cli: Cli, small_library: Path) -> None:
    ran = cli(
        "search", "--library", small_library, "kitten", "--paths", "-n", "5", "--min-score", "0"
    )

    assert len(ran.stdout.splitlines()) == 5


def test_kinds_and_folders_narrow_the_search(cli: Cli, small_library: Path, samples: Path) -> None:
    ran = cli("search", "--library", small_library, "kitten", "--json", "--min-score", "0",
              "--kinds", "image,text", "--in", samples / "documents")  # fmt: skip

    hits = parsed(ran.stdout)["hits"]
    assert {hit["kind"] for hit in hits} == {"text"}
    assert all(hit["path"].startswith(str(samples / "documents")) for hit in hits)


def test_a_path_among_the_words_is_an_example(cli: Cli, small_library: Path, samples: Path) -> None:
    ran = cli("search", "--library", small_library, "./photos/IMG_0031.jpg", "--json", cwd=samples)
    asked = cli(
        "search",
        "--library",
        small_library,
        "--image",
        "photos/IMG_0031.jpg",
        "--json",
        cwd=samples,
    )

    assert parsed(ran.stdout)["hits"][0]["path"].endswith("IMG_0031.jpg")
    assert parsed(asked.stdout)["hits"][0]["path"].endswith("IMG_0031.jpg")


def test_similar_does_not_answer_with_the_file_itself(
    cli: Cli, small_library: Path, samples: Path
) -> None:
    ran = cli(
        "similar",
        "--library",
        small_library,
        samples / "photos/IMG_0031.jpg",
        "--paths",
        "--min-score",
        "0",
    )

    assert ran.returncode == 0
    assert b"IMG_0031.jpg" not in ran.stdout


def test_words_that_are_no_utf8_are_searched_for_all_the_same(
    command: list[str], small_library: Path
) -> None:
    for form in ("--json", "--paths"):
        ran = subprocess.run(
            [*command, "search", "--library", small_library, form, b"kitten caf\xe9"],
            capture_output=True,
            cwd=ROOT,
            check=False,
            timeout=120,
        )
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"IMG_0" in ran.stdout


def test_the_output_for_people_has_no_colours_in_a_pipe(cli: Cli, small_library: Path) -> None:
    ran = cli("search", "--library", small_library, "kitten", "--explain", env={"NO_COLOR": ""})

    assert ran.returncode == 0
    assert b"\x1b" not in ran.stdout
    assert b"similarity" in ran.stdout


def test_a_reader_that_goes_away_ends_the_search_quietly(
    command: list[str], small_library: Path
) -> None:
    for form in (["--paths"], ["--json"], []):
        process = subprocess.Popen(
            [*command, "search", "--library", str(small_library), "kitten", *form],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) in (0, 1)
        assert err == b""


# what is avoided, and how hits are put together


def hits(ran: subprocess.CompletedProcess[bytes]) -> list[str]:
    assert ran.returncode in (0, 4), ran.stderr
    return [Path(hit["path"]).name for hit in parsed(ran.stdout)["hits"]]


def test_what_follows_not_is_not_among_the_hits(cli: Cli, small_library: Path) -> None:
    options = ["--library", small_library, "--json", "--min-score", "0.05"]
    asked = ["kitten", "+breakfast"]
    plain = hits(cli("search", *asked, *options))
    without = cli("search", *asked, "--not", "breakfast", "--not=-zebra", *options)
    signed = cli("search", *options, "--", *asked, "-breakfast", "-zebra")
    nothing = cli("search", "kitten", "--not", "kitten", *options)

    kittens = {"IMG_0031.jpg", "IMG_0144.jpg"}
    assert {*kittens, "breakfast.jpg"} <= set(plain)
    assert kittens <= set(hits(without))
    assert "breakfast.jpg" not in hits(without)
    assert hits(without) == hits(signed)
    assert parsed(without.stdout)["query"] == "kitten +breakfast -breakfast -zebra"
    assert not kittens & set(hits(nothing))


def test_filters_alone_list_the_newest_first(cli: Cli, small_library: Path) -> None:
    options = ["--library", small_library, "--kinds", "image"]
    listed = cli("search", *options, "--json")
    shown = cli("search", *options, "-n", "1")
    without = cli("search", *options, "--json", "--not", "kitten", "-n", "3")
    none = cli("search", "--library", small_library, "--after", "2190")
    alone = cli("search", "--library", small_library)

    answer = parsed(listed.stdout)
    assert (answer["query"], len(answer["hits"])) == ("", 5)
    assert {(hit["kind"], hit["score"]) for hit in answer["hits"]} == {("image", 1.0)}
    kittens = {"IMG_0031.jpg", "IMG_0144.jpg"}
    assert kittens < set(hits(listed))
    assert hits(without) == [name for name in hits(listed) if name not in kittens]
    assert hits(listed)[0].encode() in shown.stdout
    assert shown.stdout.startswith(b"  1     \xe2\x80\x93  image")
    assert (none.returncode, none.stderr) == (4, b"No match. Try fewer filters.\n")
    assert alone.returncode == 1
    assert b"or narrow it by a filter" in alone.stderr


def test_an_example_to_avoid_is_a_path(cli: Cli, small_library: Path, samples: Path) -> None:
    options = ["--library", small_library, "--json", "--min-score", "0.05", "--kinds", "image"]
    ran = cli("search", "kitten", "--not", "./photos/IMG_0031.jpg", *options, cwd=samples)
    missing = cli("search", "kitten", "--not", "./none.jpg", *options, cwd=samples)
    alone = cli("search", "--not", "kitten", *options[:2])

    assert "IMG_0031.jpg" not in hits(ran)
    assert (missing.returncode, alone.returncode) == (1, 1)
    assert b"no such file" in missing.stderr
    assert b"the query is empty" in alone.stderr


def test_words_that_nothing_answers_have_no_hit(cli: Cli, small_library: Path) -> None:
    ran = cli("search", "--library", small_library, "xylophone zeppelin qwertz")
    forced = cli("search", "--library", small_library, "xylophone zeppelin qwertz", "--paths",
                 "--min-score", "0")  # fmt: skip

    assert (ran.returncode, ran.stdout) == (4, b"")
    assert b"--min-score 0" in ran.stderr
    assert len(forced.stdout.splitlines()) == 10


def test_without_groups_a_file_is_a_hit_for_each_of_its_moments(
    cli: Cli, small_library: Path
) -> None:
    options = ["--library", small_library, "--json", "--kinds", "video", "--min-score", "0"]
    grouped = parsed(cli("search", "rocket", *options).stdout)["hits"]
    each = parsed(cli("search", "rocket", "--no-group", *options).stdout)["hits"]

    assert len({hit["path"] for hit in each}) == len(grouped) == 1
    assert [hit["rank"] for hit in each] == list(range(1, len(each) + 1))
    starts = [hit["segment"]["start_s"] for hit in each]
    assert len(set(starts)) == len(starts) == len(grouped[0]["moments"])


def test_near_duplicates_are_shown_under_the_best_or_by_themselves(
    cli: Cli, samples: Path, tmp_path: Path, library: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with Image.open(samples / "photos/IMG_0031.jpg") as picture:
        picture.save(folder / "large.jpg", quality=95)
        picture.resize((picture.width // 2, picture.height // 2)).save(folder / "small.png")
    shutil.copy(samples / "photos/beach.jpg", folder)
    assert cli("index", "--library", library, folder).returncode == 0
    options = ["--library", library, "--json", "--min-score", "0"]

    grouped = parsed(cli("search", "a kitten", *options).stdout)["hits"]
    each = parsed(cli("search", "a kitten", "--no-dedupe", *options).stdout)["hits"]

    assert len(grouped) == 2
    shown = {Path(path).name for path in [grouped[0]["path"], *grouped[0]["duplicates"]]}
    assert shown == {"large.jpg", "small.png"}
    assert {Path(hit["path"]).name for hit in each} == {"large.jpg", "small.png", "beach.jpg"}
    assert all(not hit["duplicates"] for hit in each)


def test_settings_of_the_ranking_are_read_and_told_when_they_are_wrong(
    cli: Cli, small_library: Path
) -> None:
    options = ["--library", small_library, "--json"]
    by_rank = cli("search", "kitten", "--ranking", "fusion=rrf", *options)
    no_words = cli("search", "sprockets", "--ranking", "words=off", "--min-score", "0", *options)
    words = cli("search", "sprockets", "--ranking", "vectors=off", *options)
    wrong = cli("search", "kitten", "--ranking", "speed=9", *options)

    assert len(hits(by_rank)) == 10
    assert not {"words", "name"} & {
        name for hit in parsed(no_words.stdout)["hits"] for name in hit["spaces"]
    }
    assert hits(words) == ["bike_care.md"]
    assert set(parsed(words.stdout)["hits"][0]["spaces"]) <= {"words", "name"}
    assert wrong.returncode == 1
    assert b"fusion, vectors, words, dedupe, group" in wrong.stderr
    assert wrong.stderr.count(b"\n") == 1


def test_a_quoted_phrase_must_stand_there(cli: Cli, small_library: Path) -> None:
    options = ["--library", small_library, "--ranking", "vectors=off", "--paths"]
    there = cli("search", '"four score and seven years"', *options)
    not_there = cli("search", '"seven score and four years"', *options)

    assert there.stdout.endswith(b"gettysburg_address.txt\n")
    assert (not_there.returncode, not_there.stdout) == (4, b"")


# index


def test_index_json_prints_events_and_a_last_finished(
    cli: Cli, papers: Path, library: Path
) -> None:
    ran = cli("index", "--library", library, papers, "--json")

    assert ran.returncode == 0
    assert ran.stderr == b""
    events = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    finished = events.pop()
    assert list(finished) == [
        "event", "indexed", "updated", "moved", "skipped", "removed", "failed", "partial",
        "seconds",
    ]  # fmt: skip
    assert finished == {
        "event": "finished", "indexed": 2, "updated": 0, "moved": 0, "skipped": 0, "removed": 0,
        "failed": 1, "partial": 0, "seconds": finished["seconds"],
    }  # fmt: skip
    assert sorted(event["event"] for event in events) == ["failed", "indexed", "indexed"]
    (failed,) = (event for event in events if event["event"] == "failed")
    assert failed["path"] == str(papers / "broken.png")
    assert failed["error"] == "DecodeError"
    assert failed["message"]


def test_index_keeps_stdout_for_data_and_shows_no_bar_without_a_terminal(
    cli: Cli, papers: Path, library: Path
) -> None:
    ran = cli("index", "--library", library, papers)

    assert ran.returncode == 0
    assert ran.stdout == b""
    assert b"2 indexed, 1 failed" in ran.stderr
    assert b"broken.png" in ran.stderr
    assert b"\r" not in ran.stderr
    assert b"\x1b" not in ran.stderr


def test_failed_files_are_listed_with_type_and_message(
    cli: Cli, papers: Path, library: Path
) -> None:
    strict = cli("index", "--library", library, papers, "--strict")
    loose = cli("index", "--library", library, papers)
    told = parsed(cli("status", "--library", library, "--failed", "--json").stdout)
    lines = cli("status", "--library", library, "--failed").stdout.decode().splitlines()

    assert (strict.returncode, loose.returncode) == (3, 0)
    (failed,) = told["failed"]
    assert set(failed) == {"path", "error", "message"}
    assert failed["path"] == str(papers / "broken.png")
    assert failed["error"] == "DecodeError"
    assert [line.split("\t")[:2] for line in lines] == [[failed["path"], "DecodeError"]]


def test_status_json_has_the_shape_of_the_contract(cli: Cli, small_library: Path) -> None:
    told = parsed(cli("status", "--library", small_library, "--json").stdout)

    assert {
        "library",
        "preset",
        "assets",
        "segments",
        "spaces",
        "indexes",
        "failed",
        "size_bytes",
    } <= set(told)
    assert told["library"] == str(small_library)
    assert told["preset"] == "mini"
    assert sum(told["assets"].values()) == len(SAMPLES)
    assert set(told["assets"]) == {"image", "audio", "video", "text"}
    assert told["segments"]["image"] >= 5
    assert {space["name"] for space in told["spaces"]} == {
        index["space"] for index in told["indexes"]
    }
    assert told["failed"] == 0
    assert told["size_bytes"] > 10_000


def test_status_for_people_names_the_models(cli: Cli, small_library: Path) -> None:
    ran = cli("status", "--library", small_library)

    assert ran.returncode == 0
    assert b"MiniLM" in ran.stdout
    assert b"\x1b" not in ran.stdout


def test_remove_and_prune_tell_what_went(cli: Cli, papers: Path, library: Path) -> None:
    cli("index", "--library", library, papers)
    removed = cli("remove", "--library", library, papers / "bread.txt", "--json")
    (papers / "sea.txt").unlink()
    pruned = cli("prune", "--library", library, "--json")

    assert parsed(removed.stdout) == {"removed": [str(papers / "bread.txt")]}
    assert parsed(pruned.stdout) == {"removed": [str(papers / "sea.txt")]}
    assert (papers / "bread.txt").exists()


def test_a_file_name_cannot_drive_the_terminal(cli: Cli, tmp_path: Path, library: Path) -> None:
    folder = tmp_path / "evil"
    name = "harbour\x1b[31m\nstorm.txt"
    write_text(folder / name, "The fishing boats came back to the harbour before the storm.")
    (folder / "bad\x1b[2J.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    indexed = cli("index", "--library", library, folder)
    shown = cli("search", "--library", library, "boats in a storm", "--explain")
    failed = cli("status", "--library", library, "--failed")
    paths = cli("search", "--library", library, "boats in a storm", "--paths", "-0")

    assert b"1 indexed, 1 failed" in indexed.stderr
    for stream in (indexed.stderr, shown.stdout, failed.stdout):
        assert b"\x1b" not in stream
    assert b"harbour" in shown.stdout
    assert paths.stdout == os.fsencode(folder / name) + b"\0"


def test_evaluate_measures_known_queries(cli: Cli, small_library: Path, samples: Path) -> None:
    known = [
        {"query": "a kitten playing with a ball of yarn", "relevant": ["photos/IMG_0144.jpg"]},
        {"query": "how to repair a puncture", "relevant": ["documents/bike_care.md"]},
    ]
    queries = samples.parent / "evaluate" / "queries.jsonl"
    lines = [
        json.dumps({**row, "relevant": [str(samples / name) for name in row["relevant"]]})
        for row in known
    ]
    write_text(queries, "\n".join(lines) + "\n")

    told = parsed(cli("evaluate", "--library", small_library, queries, "--json").stdout)

    assert told["queries"] == 2
    assert told["recall"]["5"] == 1.0
    assert 0.0 < told["mrr"] <= 1.0
    assert told["latency_ms_p50"] > 0


def test_doctor_finds_a_good_library_well(cli: Cli, small_library: Path) -> None:
    ran = cli("doctor", "--library", small_library, "--json")

    findings = parsed(ran.stdout)["findings"]
    assert [finding for finding in findings if not finding["is_well"]] == []
    assert ran.returncode == 0


def test_doctor_repairs_and_the_library_answers_as_before(
    cli: Cli, small_library: Path, tmp_path: Path
) -> None:
    library = tmp_path / "copy"
    shutil.copytree(small_library, library)
    (library / "dirty").touch()
    sick = cli("doctor", "--library", library)
    repaired = cli("doctor", "--library", library, "--repair")

    assert sick.returncode == 1
    assert b"BAD" in sick.stdout
    assert repaired.returncode == 0
    assert cli("search", "--library", library, "kitten", "--paths").returncode == 0


# exit codes and errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "kitten", "--library", "nowhere"],
        ["status", "--library", "nowhere"],
        ["index", "does-not-exist"],
        ["search", "--library", "LIBRARY", "kitten", "--kinds", "smell"],
        ["search", "--library", "LIBRARY"],
        ["search", "--library", "LIBRARY", "./no-such-picture.jpg"],
        ["search", "--library", "LIBRARY", "--image", "no-such-picture.jpg"],
        ["similar", "--library", "LIBRARY", "no-such-picture.jpg"],
        ["evaluate", "--library", "LIBRARY", "no-such-queries.jsonl"],
    ],
)
def test_an_error_is_one_line_on_stderr_and_exit_1(
    cli: Cli, small_library: Path, tmp_path: Path, arguments: list[str]
) -> None:
    words = [str(small_library) if word == "LIBRARY" else word for word in arguments]
    ran = cli(*words, cwd=tmp_path)

    assert ran.returncode == 1
    assert ran.stdout == b""
    assert ran.stderr.startswith(b"mmsearch: ")
    assert ran.stderr.count(b"\n") == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["index"],
        ["search", "x", "--limit", "0"],
        ["search", "x", "--min-score", "2"],
        ["search", "x", "--json", "--paths"],
        ["search", "x", "-0"],
        ["search", "x", "--no-such-option"],
        ["similar"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_so_on_stderr(cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)

    assert ran.returncode == 2
    assert ran.stdout == b""
    assert b"Usage" in ran.stderr or b"Error" in ran.stderr


@pytest.mark.parametrize(
    "command_name",
    [None, "index", "search", "similar", "status", "remove", "prune", "doctor", "evaluate"],
)
def test_every_command_has_help(cli: Cli, command_name: str | None) -> None:
    ran = cli(*([command_name] if command_name else []), "--help")

    assert ran.returncode == 0
    assert b"Usage" in ran.stdout
    assert ran.stderr == b""


def test_version_is_that_of_the_package(cli: Cli) -> None:
    from importlib.metadata import version

    assert cli("--version").stdout.decode() == f"mmsearch {version('mmsearch')}\n"


# settings


def test_argument_beats_environment_beats_file(
    cli: Cli, small_library: Path, tmp_path: Path
) -> None:
    config = write_text(
        tmp_path / "config.toml", f'library = "{small_library}"\nlimit = 2\nmin-score = 0.0\n'
    )
    env = {"MMSEARCH_CONFIG": str(config)}

    def count(*arguments: str, **more: str) -> int:
        ran = cli("search", "kitten", "--paths", *arguments, env={**env, **more})
        assert ran.returncode == 0, ran.stderr
        return len(ran.stdout.splitlines())

    assert count() == 2
    assert count(MMSEARCH_LIMIT="3") == 3
    assert count("--limit", "4", MMSEARCH_LIMIT="3") == 4
    assert count(MMSEARCH_LIMIT="") == 2


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("MMSEARCH_JSON", "1", b'{"query"'), ("MMSEARCH_PATHS", "true", b"/"),
     ("MMSEARCH_IN", "/nowhere", b""), ("MMSEARCH_KINDS", "video", b"  1  "),
     ("MMSEARCH_MIN_SCORE", "1.0", b"")],
)  # fmt: skip
def test_every_option_of_search_has_a_variable_by_its_name(
    cli: Cli, small_library: Path, name: str, value: str, expected: bytes
) -> None:
    ran = cli("search", "rocket", env={"MMSEARCH_LIBRARY": str(small_library), name: value})

    assert ran.stdout.startswith(expected)
    assert (ran.stdout == b"") == (expected == b"")
    assert ran.returncode == (0 if expected else 4)


def test_options_that_repeat_can_be_set_too(cli: Cli, papers: Path, library: Path) -> None:
    listed = write_text(papers.parent / "config.toml", 'include = ["*.txt"]\nexclude = ["sea*"]\n')
    ran = cli("index", "--library", library, papers, "--json", env={"MMSEARCH_CONFIG": str(listed)})
    other = cli("index", "--library", library, papers, "--json", env={"MMSEARCH_INCLUDE": "sea.*"})

    assert json.loads(ran.stdout.splitlines()[-1])["indexed"] == 1
    assert json.loads(other.stdout.splitlines()[-1])["indexed"] == 1


@pytest.mark.parametrize("text", ["limitt = 3", "limit = [", "\x00"])
def test_a_config_file_that_is_wrong_is_an_error_that_names_it(
    cli: Cli, tmp_path: Path, text: str
) -> None:
    config = write_text(tmp_path / "config.toml", text)
    ran = cli("status", env={"MMSEARCH_CONFIG": str(config)})

    assert ran.returncode == 1
    assert str(config).encode() in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_a_value_that_is_no_number_is_wrong_usage(cli: Cli) -> None:
    ran = cli("search", "x", env={"MMSEARCH_LIMIT": "many"})

    assert ran.returncode == 2
    assert b"Traceback" not in ran.stderr


def test_help_works_with_a_broken_config(cli: Cli, tmp_path: Path) -> None:
    config = write_text(tmp_path / "config.toml", "limit = [")

    assert cli("--help", env={"MMSEARCH_CONFIG": str(config)}).returncode == 0
