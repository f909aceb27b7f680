"""Prints the report of an evaluation, and the comparison of two."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from mmsearch.cli.render import make_printable

if TYPE_CHECKING:
    from rich.table import Table

    from mmsearch.evaluation import EvaluationReport, MeasureDifference
    from mmsearch.evaluation.report import RankingMeans

NOTHING = "–"


def print_report(report: EvaluationReport, *, cut_off: float) -> None:
    """Prints the report of one library, for people."""
    _print_ranking(report)
    for name, value in _build_rows(report, cut_off):
        typer.echo(f"{typer.style(f'{name:<10}', bold=True)} {value}")


def _print_ranking(report: EvaluationReport) -> None:
    """Prints the measures of the ranking: all queries, and by the kind of the right files."""
    if not report.answerable:
        return
    kinds = report.kinds if len(report.kinds) > 1 else {}
    columns: list[EvaluationReport | RankingMeans] = [report, *kinds.values()]
    counts = [report.answerable, *(means.queries for means in kinds.values())]
    table = _build_table("", "all", *kinds)
    table.add_row("queries", *(f"{count:,}" for count in counts))
    for cut in report.recall:
        table.add_row(f"recall@{cut}", *(_format_share(means.recall[cut]) for means in columns))
    table.add_row("MRR", *(_format_share(means.mrr) for means in columns))
    table.add_row("nDCG@10", *(_format_share(means.ndcg_at_10) for means in columns))
    table.add_row("MAP@10", *(_format_share(means.map_at_10) for means in columns))
    _print_table(table)


def _build_rows(report: EvaluationReport, cut_off: float) -> Iterator[tuple[str, str]]:
    if report.spans:
        yield (
            "moments",
            f"{_format_share(report.span_hits)} of {report.spans:,} overlap by half; "
            f"mean IoU {_format_share(report.span_iou)}",
        )
    if report.class_accuracy is not None:
        yield "classes", f"accuracy {_format_share(report.class_accuracy)}"
    no_match = report.no_match
    if no_match.queries:
        yield (
            "no match",
            f"precision {_format_share(no_match.precision)}, recall "
            f"{_format_share(no_match.recall)} of {no_match.queries:,} queries without an answer; "
            f"AUROC {_format_share(no_match.auroc)}",
        )
    if no_match.refused_wrongly is not None:
        count = round(no_match.refused_wrongly * report.answerable)
        yield (
            "refused",
            f"{_format_share(no_match.refused_wrongly)} of the queries with an answer "
            f"({count:,} of {report.answerable:,}), at the cut-off {cut_off:g}",
        )
    warm = ", the first query not counted" if report.queries > 1 else ""
    yield (
        "latency",
        f"p50 {report.latency_ms_p50:.1f} ms, p95 {report.latency_ms_p95:.1f} ms, "
        f"p99 {report.latency_ms_p99:.1f} ms{warm}",
    )


def print_comparison(
    names: Sequence[str],
    reports: Sequence[EvaluationReport],
    differences: Sequence[MeasureDifference],
) -> None:
    """Prints two reports side by side, with their differences and the verdict."""
    from mmsearch.evaluation import write_verdict

    for letter, name in zip("AB", names, strict=True):
        typer.echo(f"{typer.style(letter, bold=True)}  {make_printable(name)}")
    table = _build_table("", "queries", "A", "B", "B − A", "95 %", "p")
    for difference in differences:
        table.add_row(
            difference.measure,
            f"{difference.queries:,}",
            _format_share(difference.a),
            _format_share(difference.b),
            f"{difference.difference:+.3f}",
            f"{difference.low:+.3f} to {difference.high:+.3f}",
            f"{difference.p_value:.3f}" if difference.p_value >= 0.001 else "< 0.001",
            style="bold" if difference.is_significant else None,
        )
    a, b = reports
    for name, of_a, of_b in (
        ("no match, precision", a.no_match.precision, b.no_match.precision),
        ("no match, AUROC", a.no_match.auroc, b.no_match.auroc),
        ("class accuracy", a.class_accuracy, b.class_accuracy),
    ):
        if of_a is not None or of_b is not None:
            table.add_row(name, "", _format_share(of_a), _format_share(of_b))
    for name, ms_of_a, ms_of_b in (
        ("latency p50, ms", a.latency_ms_p50, b.latency_ms_p50),
        ("latency p95, ms", a.latency_ms_p95, b.latency_ms_p95),
        ("latency p99, ms", a.latency_ms_p99, b.latency_ms_p99),
    ):
        table.add_row(name, "", f"{ms_of_a:.1f}", f"{ms_of_b:.1f}", f"{ms_of_b - ms_of_a:+.1f}")
    _print_table(table)
    typer.echo(write_verdict(differences))


@contextlib.contextmanager
def show_progress(total: int, *, is_shown: bool) -> Iterator[Callable[[], None]]:
    """Shows a bar on a terminal's standard error; yields a function to call per query."""
    if not (is_shown and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=2,  # drawing takes time from what is timed
    ) as bar:
        task = bar.add_task("asking", total=total)
        yield lambda: bar.advance(task)


def _format_share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _build_table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    return table


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(table)
