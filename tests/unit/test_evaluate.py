"""The measures: against values worked out by hand, and by their properties."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import ConfigError
from mmsearch.evaluate import (
    Answer,
    KnownQuery,
    evaluate,
    ndcg_at_k,
    overlaps_by_half,
    read_queries,
    recall_at_k,
    reciprocal_rank,
)
from mmsearch.types import Span
from tests.conftest import SAMPLE_DATA

founds = st.lists(st.booleans(), max_size=12)


def test_measures_are_those_worked_out_by_hand() -> None:
    found = [False, True, False, True, False]

    assert recall_at_k(found, 3, 1) == 0.0
    assert recall_at_k(found, 3, 2) == 0.5  # two could be there
    assert recall_at_k(found, 3, 5) == pytest.approx(2 / 3)
    assert reciprocal_rank(found) == 0.5
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg_at_k(found, 3, 5) == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)


@given(founds, st.integers(1, 12), st.integers(1, 12))
def test_measures_lie_between_0_and_1(found: list[bool], k: int, more: int) -> None:
    relevant = max(sum(found), more)

    assert 0.0 <= recall_at_k(found, relevant, k) <= 1.0
    assert 0.0 <= ndcg_at_k(found, relevant, k) <= 1.0 + 1e-9
    assert 0.0 <= reciprocal_rank(found) <= 1.0


@given(st.integers(1, 10), st.integers(1, 10))
def test_a_perfect_ranking_scores_1(relevant: int, k: int) -> None:
    found = [True] * relevant + [False] * 3

    assert recall_at_k(found, relevant, k) == 1.0
    assert ndcg_at_k(found, relevant, k) == pytest.approx(1.0)
    assert reciprocal_rank(found) == 1.0


@given(founds, st.integers(0, 10))
def test_moving_a_relevant_answer_up_never_lowers_a_measure(found: list[bool], at: int) -> None:
    if at + 1 < len(found) and not found[at] and found[at + 1]:
        better = found.copy()
        better[at], better[at + 1] = True, False
        relevant = sum(found)
        assert ndcg_at_k(better, relevant, 10) >= ndcg_at_k(found, relevant, 10)
        assert reciprocal_rank(better) >= reciprocal_rank(found)
        assert recall_at_k(better, relevant, 5) >= recall_at_k(found, relevant, 5)


def test_nothing_found_scores_0() -> None:
    assert recall_at_k([], 2, 5) == ndcg_at_k([False], 2, 5) == reciprocal_rank([False]) == 0.0


@pytest.mark.parametrize(
    ("found", "expected"),
    [(Span(10, 20), True), (Span(12, 13), True), (Span(0, 100), True), (Span(15, 25), True),
     (Span(16, 26), False), (Span(20, 30), False), (Span(9, 10), False)],
)  # fmt: skip
def test_a_span_is_hit_when_one_covers_half_of_the_other(found: Span, *, expected: bool) -> None:
    assert overlaps_by_half(found, Span(10, 20)) is expected


def test_an_evaluation_means_over_queries(tmp_path: Path) -> None:
    queries = [
        KnownQuery("first", frozenset({"/a"}), spans=(("/a", Span(0, 10)),)),
        KnownQuery("third", frozenset({"/c", "/d"})),
        KnownQuery("missed", frozenset({"/z"}), spans=(("/z", Span(0, 1)),)),
    ]
    ranking = [
        Answer(("/a",), 0.9, (Span(1, 9),)),
        Answer(("/b", "/elsewhere"), 0.8, ()),
        Answer(("/copy of c", "/c"), 0.7, (Span(0, 1),)),
    ]

    report = evaluate(queries, lambda _query, limit: ranking[:limit])

    assert report.queries == 3
    assert report.recall == {
        "1": pytest.approx(1 / 3), "5": pytest.approx(0.5), "10": pytest.approx(0.5),
    }  # fmt: skip
    assert report.mrr == pytest.approx((1 + 1 / 3) / 3)
    assert (report.spans, report.span_hits) == (2, 0.5)
    assert 0 <= report.latency_ms_p50 <= report.latency_ms_p95


def test_a_query_file_is_read_with_paths_beside_it(tmp_path: Path) -> None:
    rows = [
        {"query": "drums", "relevant": ["a.ogg"], "kinds": ["audio"], "span": [1, 2.5]},
        {"query": "dogs", "relevant": ["b.jpg", "c.mp4"], "spans": {"c.mp4": [3, 4]}},
    ]
    path = tmp_path / "queries.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")

    first, second = read_queries(path)

    assert first == KnownQuery(
        "drums", frozenset({str(tmp_path / "a.ogg")}), ("audio",),
        ((str(tmp_path / "a.ogg"), Span(1, 2.5)),),
    )  # fmt: skip
    assert second.spans == ((str(tmp_path / "c.mp4"), Span(3, 4)),)


def test_a_span_belongs_to_the_film_though_a_picture_is_named_first(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "rocket", "relevant": ["a.jpg", "b.mp4"], "span": [5, 10]}')
    (query,) = read_queries(path)
    film = Answer((str(tmp_path / "b.mp4"),), 0.5, (Span(5, 10),))
    picture = Answer((str(tmp_path / "a.jpg"),), 0.9, ())

    assert evaluate([query], lambda *_: [picture, film]).span_hits == 1.0
    assert evaluate([query], lambda *_: [picture]).span_hits == 0.0


@pytest.mark.parametrize(
    "line",
    ["not json", "[]", "{}", '{"query": "x"}', '{"query": "x", "relevant": 3}',
     '{"query": "x", "relevant": ["a"], "span": [1]}', '"x"',
     '{"query": "x", "relevant": [], "span": [1, 2]}'],
)  # fmt: skip
def test_a_line_that_is_no_query_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "fine", "relevant": ["a"]}\n' + line + "\n")

    with pytest.raises(ConfigError, match="line 2"):
        read_queries(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_file_without_queries_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_bytes(content)

    with pytest.raises(ConfigError):
        read_queries(path)


def test_the_queries_of_the_sample_data_name_files_that_are_there() -> None:
    known = read_queries(SAMPLE_DATA / "queries.jsonl")

    assert len(known) >= 50
    for query in known:
        assert query.relevant
        assert all(Path(path).is_file() for path in query.relevant), query.query
        assert all(span.end_s > span.start_s for _, span in query.spans), query.query
