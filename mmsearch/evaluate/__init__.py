"""How well a library answers queries whose answers are known: measures, layouts, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.evaluate.compare import Difference, differences, verdict
from mmsearch.evaluate.files import HeldFile, files_of, held_by_all
from mmsearch.evaluate.judge import Judged, Search, judge
from mmsearch.evaluate.known import Answer, KnownQuery, Located, located
from mmsearch.evaluate.layouts import AUTO, ESC50, LAYOUTS, read, read_queries
from mmsearch.evaluate.measures import CUTS, DEPTH, require_measures
from mmsearch.evaluate.report import NoMatch, Report, class_accuracy, report
from mmsearch.evaluate.spans import OVERLAP, intersection_over_union, overlaps_by_half

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
