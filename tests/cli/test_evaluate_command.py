"""`mmsearch evaluate`: figures as a table and as JSON, comparisons, what is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mmsearch.cli.evaluate import EvaluationSide, _parse_side
from mmsearch.errors import ConfigError, QueryError
from mmsearch.library.library import Library
from mmsearch.query.ranking import Ranking
from tests.conftest import Cli
from tests.fakes import write_text

KNOWN: list[dict[str, Any]] = [
    {"query": "a kitten playing with a ball of yarn", "relevant": ["photos/IMG_0144.jpg"]},
    {"query": "how to repair a puncture", "relevant": ["documents/bike_care.md"]},
    {"query": "four score and seven years ago", "relevant": ["documents/gettysburg_address.txt"]},
    {
        "query": "a rocket on its launch pad",
        "relevant": ["videos/MVI_0007.mp4"],
        "kinds": ["video"],
        "span": [0, 6.6],
    },
    {"query": "xylograph qwzx", "relevant": []},
]


def parsed(ran: subprocess.CompletedProcess[bytes]) -> Any:
    """The one JSON object that stdout holds."""
    assert ran.returncode == 0, ran.stderr.decode()
    (line,) = ran.stdout.decode().splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five queries over the samples, one of which nothing answers."""
    path = tmp_path_factory.mktemp("known") / "queries.jsonl"
    return write_text(path, "\n".join(map(json.dumps, KNOWN)) + "\n")


@pytest.fixture(scope="module")
def papers(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the documents alone."""
    folder = tmp_path_factory.mktemp("papers") / "library"
    with Library.open(folder) as library:
        library.index(samples / "documents")
    return folder


def test_the_object_has_every_figure(
    cli: Cli, small_library: Path, samples: Path, queries: Path
) -> None:
    ran = cli("evaluate", "--library", small_library, queries, "--media", samples, "--json")

    told = parsed(ran)
    assert (told["queries"], told["answerable"], told["layout"]) == (5, 4, "jsonl")
    assert told["recall"]["5"] == 1.0
    assert 0.0 < told["mrr"] <= told["ndcg_at_10"] <= 1.0
    assert list(told["kinds"]) == ["image", "video", "text"]
    assert told["kinds"]["text"]["queries"] == 2
    assert told["spans"] == 1
    assert 0.0 < told["span_iou"] <= 1.0
    assert told["no_match"]["queries"] == 1
    assert told["no_match"]["recall"] in (0.0, 1.0)
    assert 0.0 <= told["no_match"]["auroc"] <= 1.0
    assert 0.0 < told["latency_ms_p50"] <= told["latency_ms_p95"] <= told["latency_ms_p99"]
    assert told["missing"] == {"files": 0, "queries_left_out": 0, "first": []}
    assert told["class_accuracy"] is None


def test_a_cut_off_that_nothing_passes_refuses_every_query(
    cli: Cli, small_library: Path, samples: Path, queries: Path
) -> None:
    ran = cli(
        "evaluate", "--library", small_library, queries, "--media", samples, "--json",
        "--min-score", "1",
    )  # fmt: skip

    told = parsed(ran)
    assert told["cut_off"] == 1.0
    assert told["no_match"]["recall"] == 1.0
    assert told["no_match"]["precision"] == pytest.approx(1 / 5)
    assert told["no_match"]["refused_wrongly"] == 1.0
    assert told["recall"]["5"] == 1.0  # the ranking is judged as it comes


def test_the_table_is_for_people(
    cli: Cli, small_library: Path, samples: Path, queries: Path
) -> None:
    ran = cli("evaluate", "--library", small_library, queries, "--media", samples)

    lines = ran.stdout.decode().splitlines()
    assert lines[0].split() == ["all", "image", "video", "text"]
    names = [line.split()[0] for line in lines[1:]]
    assert names == [
        "queries", "recall@1", "recall@5", "recall@10", "MRR", "nDCG@10", "MAP@10", "moments",
        "no", "refused", "latency",
    ]  # fmt: skip
    assert "first query not counted" in lines[-1]
    assert max(map(len, lines)) <= 100
    assert b"\x1b" not in ran.stdout + ran.stderr


def test_two_libraries_are_compared_by_the_files_that_both_have(
    cli: Cli, small_library: Path, papers: Path, samples: Path, queries: Path
) -> None:
    arguments = [
        "evaluate", queries, "--media", samples, "--compare", small_library, papers,
    ]  # fmt: skip
    ran = cli(*arguments, "--json")
    shown = cli(*arguments)

    told = parsed(ran)
    assert (told["a"]["name"], told["b"]["name"]) == (str(small_library), str(papers))
    assert told["a"]["answerable"] == told["b"]["answerable"] == 2
    assert told["missing"]["files"] == told["missing"]["queries_left_out"] == 2
    by_name = {one["measure"]: one for one in told["differences"]}
    assert by_name["nDCG@10"]["queries"] == 2
    assert by_name["nDCG@10"]["a"] == told["a"]["ndcg_at_10"]
    assert 0 < by_name["nDCG@10"]["p_value"] <= 1
    assert "no match, rightly" in by_name
    assert told["verdict"] in shown.stdout.decode().splitlines()
    assert b"2 of 4 right files are not in both libraries" in ran.stderr
    assert b"latency p50" in shown.stdout
    assert max(len(line) for line in shown.stdout.decode().splitlines()[2:-1]) <= 100


def test_a_library_ranks_like_itself(
    cli: Cli, small_library: Path, samples: Path, queries: Path
) -> None:
    ran = cli(
        "evaluate", queries, "--media", samples, "--compare", small_library, small_library,
        "--json",
    )  # fmt: skip

    told = parsed(ran)
    assert {one["difference"] for one in told["differences"]} == {0.0}
    assert {one["p_value"] for one in told["differences"]} == {1.0}
    assert told["verdict"].startswith("A and B rank alike")


def test_missing_files_are_told_on_standard_error(
    cli: Cli, papers: Path, samples: Path, queries: Path
) -> None:
    ran = cli("evaluate", "--library", papers, queries, "--media", samples, "--json")

    told = parsed(ran)
    assert told["answerable"] == 2
    assert told["missing"]["files"] == 2
    assert str(samples / "photos/IMG_0144.jpg") in told["missing"]["first"]
    assert b"2 of 4 right files are not in the library" in ran.stderr
    assert b"2 queries that only they answer" in ran.stderr


@pytest.mark.slow
def test_the_queries_themselves_are_no_answer(cli: Cli, samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    shutil.copytree(samples / "documents", folder / "documents")
    path = write_text(folder / "queries.jsonl", json.dumps(KNOWN[1]) + "\n")
    with Library.open(tmp_path / "library") as library:
        library.index(folder)
        first = library.search(KNOWN[1]["query"], min_score=0.0)[0]
    assert first.path == str(path)

    ran = cli("evaluate", "--library", tmp_path / "library", path, "--json")

    assert parsed(ran)["recall"]["1"] == 1.0
    assert b"queries.jsonl is in the library itself" in ran.stderr


def test_categories_of_sounds_are_evaluated_as_classes(
    cli: Cli, small_library: Path, tmp_path: Path
) -> None:
    rows = ["filename,fold,category", "hallway.mp3,1,footsteps", "canal.flac,1,water_flowing"]
    path = write_text(tmp_path / "esc50.csv", "\n".join(rows) + "\n")

    ran = cli("evaluate", "--library", small_library, path, "--json")

    told = parsed(ran)
    assert told["layout"] == "esc50"
    assert told["class_accuracy"] in (0.0, 0.5, 1.0)
    assert told["kinds"]["audio"]["queries"] == 2
    assert b"1 more files of the kind that is asked for are in the library" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compare", "no-such-folder", "neither"], b"'no-such-folder' is neither a library"),
        (["--library", "no-such-folder"], b"no-such-folder"),
        (["--library", "LIBRARY", "--layout", "msmarco"], b"there is no layout 'msmarco'"),
        (["--library", "LIBRARY", "--split", "test"], b"no splits"),
        (["--library", "LIBRARY", "--media", "/nowhere"], b"none of the 4 right files"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_of_one_line(
    cli: Cli, small_library: Path, queries: Path, arguments: list[str], told: bytes
) -> None:
    given = [str(small_library) if word == "LIBRARY" else word for word in arguments]

    ran = cli("evaluate", queries, *given)

    assert ran.returncode == 1
    assert told in ran.stderr
    assert ran.stdout == b""
    assert b"Traceback" not in ran.stderr


def test_without_the_extra_its_name_is_told_before_anything_is_read(
    cli: Cli, tmp_path: Path
) -> None:
    write_text(tmp_path / "ir_measures.py", "raise ImportError('as if not installed')\n")

    ran = cli("evaluate", "none.jsonl", cwd=tmp_path)

    assert ran.returncode == 1
    assert b"pip install 'mmsearch[evaluate]'" in ran.stderr


def test_a_side_is_a_library_or_settings_of_the_usual_one(small_library: Path) -> None:
    usual = Path("/usual")

    assert _parse_side(str(small_library), usual) == EvaluationSide(
        str(small_library), str(small_library)
    )
    assert _parse_side("fusion=rrf,words=off", usual) == EvaluationSide(
        "fusion=rrf,words=off", usual, Ranking(fusion="rrf", words=False)
    )
    with pytest.raises(ConfigError, match="neither a library nor settings"):
        _parse_side("nowhere", usual)
    with pytest.raises(QueryError, match="fusion"):
        _parse_side("fusion=magic", usual)


def test_two_ways_of_ranking_are_compared_in_one_library(
    cli: Cli, small_library: Path, samples: Path, queries: Path
) -> None:
    ran = cli(
        "evaluate", queries, "--media", samples, "--library", small_library, "--json",
        "--compare", "words=off", "vectors=off",
    )  # fmt: skip

    told = parsed(ran)
    assert (told["a"]["name"], told["b"]["name"]) == ("words=off", "vectors=off")
    assert told["a"]["ndcg_at_10"] > told["b"]["ndcg_at_10"]  # no word names the kitten's photo
    assert told["missing"]["files"] == 0
