"""How well a library answers queries whose answers are known: measures, layouts, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.evaluation.comparison import Difference, differences, verdict
from mmsearch.evaluation.file_lookup import HeldFile, files_of, held_by_all
from mmsearch.evaluation.known_answers import Answer, KnownQuery, Located, located
from mmsearch.evaluation.layouts import AUTO, ESC50, LAYOUTS, read, read_queries
from mmsearch.evaluation.measures import CUTS, DEPTH, require_measures
from mmsearch.evaluation.query_runner import Judged, Search, judge
from mmsearch.evaluation.report import NoMatch, Report, class_accuracy, report
from mmsearch.evaluation.spans import OVERLAP, intersection_over_union, overlaps_by_half

__all__ = [
    "AUTO",
    "CUTS",
    "DEPTH",
    "ESC50",
    "LAYOUTS",
    "OVERLAP",
    "Answer",
    "Difference",
    "HeldFile",
    "Judged",
    "KnownQuery",
    "Located",
    "NoMatch",
    "Report",
    "Search",
    "class_accuracy",
    "differences",
    "evaluate",
    "files_of",
    "held_by_all",
    "intersection_over_union",
    "judge",
    "located",
    "overlaps_by_half",
    "read",
    "read_queries",
    "report",
    "require_measures",
    "verdict",
]


def evaluate(queries: Sequence[KnownQuery], search: Search, *, cut_off: float = 0.0) -> Report:
    """Ask every query once and report; `search(query, limit)` gives the ranking, best first."""
    return report(judge(queries, search, cut_off=cut_off))
