"""Evaluates a library on queries with known answers: measures, layouts, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.evaluation.comparison import MeasureDifference, compare_judgements, write_verdict
from mmsearch.evaluation.file_lookup import LibraryFile, intersect_files, list_files
from mmsearch.evaluation.known_answers import JudgedHit, KnownQuery, LocatedQueries, locate_queries
from mmsearch.evaluation.layouts import AUTO, ESC50, LAYOUTS, read_layout, read_queries
from mmsearch.evaluation.measures import CUTS, DEPTH, import_ir_measures
from mmsearch.evaluation.query_runner import Judgements, Search, run_queries
from mmsearch.evaluation.report import (
    EvaluationReport,
    NoMatchRates,
    build_report,
    compute_class_accuracy,
)
from mmsearch.evaluation.spans import OVERLAP, compute_iou, overlaps_by_half

__all__ = [
    "AUTO",
    "CUTS",
    "DEPTH",
    "ESC50",
    "LAYOUTS",
    "OVERLAP",
    "EvaluationReport",
    "JudgedHit",
    "Judgements",
    "KnownQuery",
    "LibraryFile",
    "LocatedQueries",
    "MeasureDifference",
    "NoMatchRates",
    "Search",
    "build_report",
    "compare_judgements",
    "compute_class_accuracy",
    "compute_iou",
    "evaluate",
    "import_ir_measures",
    "intersect_files",
    "list_files",
    "locate_queries",
    "overlaps_by_half",
    "read_layout",
    "read_queries",
    "run_queries",
    "write_verdict",
]


def evaluate(
    queries: Sequence[KnownQuery], search: Search, *, cut_off: float = 0.0
) -> EvaluationReport:
    """Runs every query once and reports; `search(query, limit)` returns the ranking, best first."""
    return build_report(run_queries(queries, search, cut_off=cut_off))
