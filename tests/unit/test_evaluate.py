"""The measures: against values worked out by hand, against formulas, and by their properties."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import ConfigError, MissingExtra
from mmsearch.evaluation import (
    JudgedHit,
    KnownQuery,
    LibraryFile,
    build_report,
    compute_class_accuracy,
    compute_iou,
    evaluate,
    import_ir_measures,
    locate_queries,
    overlaps_by_half,
    read_queries,
    run_queries,
)
from mmsearch.evaluation.measures import RankingJudgement, compute_measures, judge_ranking
from mmsearch.evaluation.report import compute_auroc
from mmsearch.types import (
    Asset,
    Hit,
    Metadata,
    Modality,
    Moment,
    Place,
    Segment,
    SegmentKind,
    Span,
)
from tests.conftest import SAMPLE_DATA

founds = st.lists(st.booleans(), max_size=10)
spans = st.tuples(st.floats(0, 100), st.floats(0.01, 100)).map(
    lambda pair: Span(pair[0], pair[0] + pair[1])
)


def measured(right: Sequence[bool], relevant: int) -> dict[str, float]:
    values = compute_measures([RankingJudgement(tuple(right), relevant)])
    return {name: float(row[0]) for name, row in values.items()}


def answer(*paths: str, score: float = 0.5, spans: tuple[Span, ...] = ()) -> JudgedHit:
    return JudgedHit(paths, score, spans)


# rankings


def test_measures_are_those_worked_out_by_hand() -> None:
    got = measured([False, True, False, True, False], 3)

    assert got["recall@1"] == 0.0
    assert got["recall@5"] == pytest.approx(2 / 3)
    assert got["MRR"] == 0.5
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert got["nDCG@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert got["MAP@10"] == pytest.approx((1 / 2 + 2 / 4) / 3)


def test_recall_is_of_as_many_as_can_be_there() -> None:
    got = measured([True, True, False, True, True, False], 40)

    assert got["recall@1"] == 1.0
    assert got["recall@5"] == pytest.approx(4 / 5)
    assert got["recall@10"] == pytest.approx(4 / 10)


@given(founds, st.integers(0, 12))
def test_measures_agree_with_their_formulas(right: list[bool], missed: int) -> None:
    relevant = sum(right) + missed
    if not relevant:
        return
    got = measured(right, relevant)

    for cut in (1, 5, 10):
        assert got[f"recall@{cut}"] == pytest.approx(sum(right[:cut]) / min(relevant, cut))
    first = next((rank for rank, is_right in enumerate(right, start=1) if is_right), None)
    assert got["MRR"] == pytest.approx(1 / first if first else 0.0)
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(right, start=1) if hit)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, 10) + 1))
    assert got["nDCG@10"] == pytest.approx(gain / ideal)
    assert all(0.0 <= value <= 1.0 + 1e-9 for value in got.values())


@given(founds, st.integers(0, 9), st.integers(0, 5))
def test_moving_a_right_answer_up_never_lowers_a_measure(
    right: list[bool], at: int, missed: int
) -> None:
    if at + 1 < len(right) and not right[at] and right[at + 1]:
        better = right.copy()
        better[at], better[at + 1] = True, False
        before, after = (measured(one, sum(right) + missed) for one in (right, better))
        assert all(after[name] >= before[name] - 1e-12 for name in before)


@given(st.integers(1, 10))
def test_a_perfect_ranking_scores_1(relevant: int) -> None:
    got = measured([True] * relevant, relevant)
    assert got == pytest.approx(dict.fromkeys(got, 1.0))


@pytest.mark.parametrize("right", [[], [False], [False] * 10])
def test_nothing_found_scores_0(right: list[bool]) -> None:
    got = measured(right, 2)
    assert got == dict.fromkeys(got, 0.0)


def test_what_one_answer_shows_together_is_one_right_file() -> None:
    answers = [answer("/x"), answer("/a", "/a resized"), answer("/b")]

    assert judge_ranking(answers, {"/a", "/a resized", "/b", "/gone"}) == RankingJudgement(
        (False, True, True), 3
    )


def test_a_right_file_that_comes_again_is_neither_right_nor_wrong() -> None:
    answers = [answer("/a"), answer("/a"), answer("/x"), answer("/x"), answer("/b")]

    assert judge_ranking(answers, {"/a", "/b"}) == RankingJudgement((True, False, False, True), 2)


def test_right_files_of_another_kind_are_passed_over() -> None:
    answers = [answer("/film"), answer("/x"), answer("/photo")]

    assert judge_ranking(answers, {"/photo"}, {"/film"}) == RankingJudgement((False, True), 1)


def test_without_the_library_of_measures_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)

    with pytest.raises(MissingExtra, match=r"mmsearch\[evaluate\]"):
        import_ir_measures()


# moments


@pytest.mark.parametrize(
    ("found", "expected"),
    [(Span(10, 20), True), (Span(12, 13), True), (Span(0, 100), True), (Span(15, 25), True),
     (Span(16, 26), False), (Span(20, 30), False), (Span(9, 10), False)],
)  # fmt: skip
def test_a_span_is_hit_when_one_covers_half_of_the_other(found: Span, *, expected: bool) -> None:
    assert overlaps_by_half(found, Span(10, 20)) is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [(Span(10, 20), 1.0), (Span(15, 25), 1 / 3), (Span(12, 13), 0.1), (Span(0, 100), 0.1),
     (Span(20, 30), 0.0)],
)  # fmt: skip
def test_overlap_is_intersection_over_union(found: Span, expected: float) -> None:
    assert compute_iou(found, Span(10, 20)) == pytest.approx(expected)


@given(spans, spans)
def test_overlap_is_symmetric_and_between_0_and_1(one: Span, other: Span) -> None:
    overlap = compute_iou(one, other)

    assert 0.0 <= overlap <= 1.0 + 1e-9
    assert overlap == pytest.approx(compute_iou(other, one))
    assert compute_iou(one, one) == pytest.approx(1.0)
    assert (overlap > 0) <= (one.overlap_s(other) > 0)


def test_a_span_belongs_to_the_film_though_a_picture_is_named_first(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "rocket", "relevant": ["a.jpg", "b.mp4"], "span": [5, 10]}')
    (query,) = read_queries(path)
    film = answer(str(tmp_path / "b.mp4"), spans=(Span(5, 10),))
    picture = answer(str(tmp_path / "a.jpg"), score=0.9)

    assert evaluate([query], lambda *_: [picture, film]).span_hits == 1.0
    assert evaluate([query], lambda *_: [picture]).span_hits == 0.0


def test_only_the_best_moment_counts() -> None:
    query = KnownQuery("rocket", frozenset({"/film"}), spans=(("/film", Span(0, 10)),))
    found = answer("/film", spans=(Span(50, 60), Span(0, 10)))

    got = evaluate([query], lambda *_: [found])

    assert (got.spans, got.span_hits, got.span_iou) == (1, 0.0, 0.0)


def test_an_answer_takes_the_stretch_of_a_moment_before_its_segment() -> None:
    def moment(span: Span | None, stretch: Span | None) -> Moment:
        segment = Segment("s", "a", SegmentKind.FRAME, Place(span=span))
        return Moment(segment, 0.5, span=stretch)

    moments = (
        moment(Span(2, 3), Span(0, 9)),
        moment(Span(5, 6), None),
        moment(None, None),
    )
    hit = Hit(
        1, 0.7, "/a", Asset("a", Modality.VIDEO, 1, Metadata()), moments[0].segment,
        moments=moments, also_at=("/copy",), duplicates=("/smaller",),
    )  # fmt: skip

    got = JudgedHit.from_hit(hit)

    assert got == JudgedHit(("/a", "/copy", "/smaller"), 0.7, (Span(0, 9), Span(5, 6)))


# no match


def test_refusals_are_counted_on_both_sides() -> None:
    scores = {"cat": 0.9, "dog": 0.3, "hidden": 0.05, "unicorn": 0.04, "dragon": 0.2}
    queries = [
        KnownQuery(name, frozenset({"/a"}) if name in ("cat", "dog", "hidden") else frozenset())
        for name in scores
    ]

    none = evaluate(
        queries, lambda query, _: [answer("/a", score=scores[query.query])], cut_off=0.1
    ).no_match

    assert none.queries == 2
    assert none.precision == 1 / 2  # hidden and unicorn were refused
    assert none.recall == 1 / 2
    assert none.refused_wrongly == pytest.approx(1 / 3)
    assert none.auroc == pytest.approx(5 / 6)


def test_what_scores_the_cut_off_is_shown_and_nothing_at_all_is_refused() -> None:
    queries = [KnownQuery("unicorn", frozenset())]

    def share(answers: list[JudgedHit]) -> float | None:
        return evaluate(queries, lambda *_: answers, cut_off=0.1).no_match.recall

    assert share([answer("/a", score=0.1)]) == 0.0
    assert share([answer("/a", score=0.0999)]) == 1.0
    assert share([]) == 1.0


def test_without_unanswerable_queries_there_is_no_figure_for_them() -> None:
    none = evaluate([KnownQuery("cat", frozenset({"/a"}))], lambda *_: [], cut_off=0.1).no_match

    assert (none.queries, none.precision, none.recall, none.auroc) == (0, None, None, None)
    assert none.refused_wrongly == 1.0


def test_queries_without_an_answer_leave_the_ranking_as_it_is() -> None:
    known = [KnownQuery("cat", frozenset({"/a"})), KnownQuery("dog", frozenset({"/z"}))]
    alone = evaluate(known, lambda *_: [answer("/a")])
    among = evaluate([*known, KnownQuery("unicorn", frozenset())], lambda *_: [answer("/a")])

    assert (among.queries, among.answerable) == (3, 2)
    assert among.recall == alone.recall
    assert (among.mrr, among.ndcg_at_10) == (alone.mrr, alone.ndcg_at_10)


scores = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=12)


@given(scores, scores)
def test_auroc_is_the_share_of_pairs_in_order(high: list[float], low: list[float]) -> None:
    pairs = [(one > other) + (one == other) / 2 for one in high for other in low]

    assert compute_auroc(np.array(high), np.array(low)) == pytest.approx(sum(pairs) / len(pairs))


def test_an_area_needs_both_sides() -> None:
    assert compute_auroc(np.array([]), np.array([1.0])) is None
    assert compute_auroc(np.array([1.0]), np.array([])) is None


# reports


def test_an_evaluation_means_over_queries() -> None:
    queries = [
        KnownQuery("first", frozenset({"/a"}), spans=(("/a", Span(0, 10)),)),
        KnownQuery("third", frozenset({"/c", "/d"})),
        KnownQuery("missed", frozenset({"/z"}), spans=(("/z", Span(0, 1)),)),
    ]
    ranking = [
        answer("/a", score=0.9, spans=(Span(1, 9),)),
        answer("/b", "/elsewhere", score=0.8),
        answer("/copy of c", "/c", score=0.7, spans=(Span(0, 1),)),
    ]

    got = evaluate(queries, lambda _query, limit: ranking[:limit])

    assert got.queries == 3
    assert got.recall == {
        "1": pytest.approx(1 / 3), "5": pytest.approx(0.5), "10": pytest.approx(0.5),
    }  # fmt: skip
    assert got.mrr == pytest.approx((1 + 1 / 3) / 3)
    assert got.map_at_10 == pytest.approx((1 + 1 / 6) / 3)
    assert (got.spans, got.span_hits) == (2, 0.5)
    assert got.span_iou == pytest.approx(0.8 / 2)
    assert 0 <= got.latency_ms_p50 <= got.latency_ms_p95 <= got.latency_ms_p99


def test_kinds_are_those_of_the_right_files() -> None:
    held = {
        "/photo": LibraryFile("p", Modality.IMAGE),
        "/film": LibraryFile("f", Modality.VIDEO),
        "/song": LibraryFile("s", Modality.AUDIO),
    }
    queries = [
        KnownQuery("rocket", frozenset({"/photo", "/film"})),
        KnownQuery("tune", frozenset({"/song"})),
        KnownQuery("unicorn", frozenset()),
    ]
    ranking = [answer("/photo"), answer("/film"), answer("/song")]

    got = build_report(run_queries(queries, lambda *_: ranking, files=held)).kinds

    assert list(got) == ["image", "audio", "video"]
    assert [one.queries for one in got.values()] == [1, 1, 1]
    assert got["video"].recall["1"] == 1.0  # the photograph before it was right too
    assert got["audio"].mrr == pytest.approx(1 / 3)


def test_the_first_query_warms_up_and_its_time_is_not_counted() -> None:
    queries = [KnownQuery(str(number), frozenset({"/a"})) for number in range(5)]

    judged = run_queries(queries, lambda *_: [])

    assert judged.latencies_ms.shape == (4,)
    assert run_queries(queries[:1], lambda *_: []).latencies_ms.shape == (1,)
    assert (judged.latencies_ms > 0).all()


def test_percentiles_are_times_that_were_taken() -> None:
    judged = run_queries([KnownQuery("a", frozenset({"/a"}))] * 3, lambda *_: [])
    got = build_report(judged)

    times = judged.latencies_ms.tolist()
    assert {got.latency_ms_p50, got.latency_ms_p95, got.latency_ms_p99} <= set(times)
    assert got.latency_ms_p99 == max(times)


def test_a_file_is_of_the_class_that_it_scores_highest_for() -> None:
    queries = [
        KnownQuery("dog", frozenset({"/dog 1", "/dog 2"})),
        KnownQuery("rain", frozenset({"/rain 1", "/rain 2"})),
    ]
    rankings = {
        "dog": [answer("/dog 1", score=0.9), answer("/rain 1", score=0.6)],
        "rain": [
            answer("/rain 1", score=0.8),
            answer("/dog 1", score=0.2),
            answer("/dog 2", score=0.1),
        ],
    }

    got = compute_class_accuracy(
        queries, lambda query, limit: rankings[query.query][:limit], limit=4
    )

    assert got == 2 / 4  # dog 2 was taken for rain, rain 2 was not found


# what the library has


def test_files_that_are_not_in_the_library_are_told_and_not_counted() -> None:
    held = {"/a": LibraryFile("1", Modality.IMAGE), "/b": LibraryFile("2", Modality.VIDEO)}
    queries = [
        KnownQuery("half", frozenset({"/a", "/gone"}), spans=(("/gone", Span(0, 1)),)),
        KnownQuery("none", frozenset({"/away", "/gone"})),
        KnownQuery("unicorn", frozenset()),
    ]

    got = locate_queries(queries, held)

    assert got.queries == (KnownQuery("half", frozenset({"/a"})), queries[2])
    assert got.missing == ("/away", "/gone")
    assert got.left_out == 1


def test_copies_are_one_right_file() -> None:
    held = {path: LibraryFile("same", Modality.IMAGE) for path in ("/a", "/copy of a")}
    query = KnownQuery("cat", frozenset(held))

    (got,) = locate_queries([query], held).queries

    assert evaluate([got], lambda *_: [answer("/a", "/copy of a")]).recall["5"] == 1.0
    assert len(got.relevant) == 1


def test_a_library_without_any_right_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"none of the 1 right files.*/gone.*--media"):
        locate_queries([KnownQuery("cat", frozenset({"/gone"}))], {})

    unanswerable = [KnownQuery("unicorn", frozenset())]
    assert locate_queries(unanswerable, {}).queries == tuple(unanswerable)


def test_the_queries_of_the_sample_data_name_files_that_are_there() -> None:
    known = read_queries(SAMPLE_DATA / "queries.jsonl")

    assert len(known) >= 50
    for query in known:
        assert all(Path(path).is_file() for path in query.relevant), query.query
        assert all(span.end_s > span.start_s for _, span in query.spans), query.query
