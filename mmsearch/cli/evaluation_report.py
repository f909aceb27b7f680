"""Draws the figures of an evaluation, and of a comparison of two."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from mmsearch.cli.render import printable

if TYPE_CHECKING:
    from rich.table import Table

    from mmsearch.evaluation import Difference, Report
    from mmsearch.evaluation.report import Ranked

NOTHING = "–"


def print_report(report: Report, *, cut_off: float) -> None:
    """The figures of one library, for people."""
    _print_ranking(report)
    for name, value in _rows(report, cut_off):
        typer.echo(f"{typer.style(f'{name:<10}', bold=True)} {value}")


def _print_ranking(report: Report) -> None:
    """The measures of the ranking: all queries, and by the kind of the right files."""
    if not report.answerable:
        return
    columns: list[tuple[str, Report | Ranked, int]] = [("all", report, report.answerable)]
    if len(report.kinds) > 1:
        columns += [(kind, one, one.queries) for kind, one in report.kinds.items()]
    table = _table("", *(name for name, _, _ in columns))
    table.add_row("queries", *(f"{queries:,}" for _, _, queries in columns))
    for cut in report.recall:
        table.add_row(f"recall@{cut}", *(_share(one.recall[cut]) for _, one, _ in columns))
    table.add_row("MRR", *(_share(one.mrr) for _, one, _ in columns))
    table.add_row("nDCG@10", *(_share(one.ndcg_at_10) for _, one, _ in columns))
    table.add_row("MAP@10", *(_share(one.map_at_10) for _, one, _ in columns))
    _print(table)


def _rows(report: Report, cut_off: float) -> Iterator[tuple[str, str]]:
    if report.spans:
        yield (
            "moments",
            f"{_share(report.span_hits)} of {report.spans:,} overlap by half; "
            f"mean IoU {_share(report.span_iou)}",
        )
    if report.class_accuracy is not None:
        yield "classes", f"accuracy {_share(report.class_accuracy)}"
    none = report.no_match
    if none.queries:
        yield (
            "no match",
            f"precision {_share(none.precision)}, recall {_share(none.recall)} of "
            f"{none.queries:,} queries without an answer; AUROC {_share(none.auroc)}",
        )
    if none.refused_wrongly is not None:
        count = round(none.refused_wrongly * report.answerable)
        yield (
            "refused",
            f"{_share(none.refused_wrongly)} of the queries with an answer ({count:,} of "
            f"{report.answerable:,}), at the cut-off {cut_off:g}",
        )
    warm = ", the first query not counted" if report.queries > 1 else ""
    yield (
        "latency",
        f"p50 {report.latency_ms_p50:.1f} ms, p95 {report.latency_ms_p95:.1f} ms, "
        f"p99 {report.latency_ms_p99:.1f} ms{warm}",
    )


def print_comparison(
    names: Sequence[str], reports: Sequence[Report], compared: Sequence[Difference]
) -> None:
    """Two reports side by side, with what is between them, and the verdict."""
    from mmsearch.evaluation import verdict

    for letter, name in zip("AB", names, strict=True):
        typer.echo(f"{typer.style(letter, bold=True)}  {printable(name)}")
    table = _table("", "queries", "A", "B", "B − A", "95 %", "p")
    for one in compared:
        table.add_row(
            one.measure,
            f"{one.queries:,}",
            _share(one.a),
            _share(one.b),
            f"{one.difference:+.3f}",
            f"{one.low:+.3f} to {one.high:+.3f}",
            f"{one.p_value:.3f}" if one.p_value >= 0.001 else "< 0.001",
            style="bold" if one.is_significant else None,
        )
    a, b = reports
    for name, of_a, of_b in (
        ("no match, precision", a.no_match.precision, b.no_match.precision),
        ("no match, AUROC", a.no_match.auroc, b.no_match.auroc),
        ("class accuracy", a.class_accuracy, b.class_accuracy),
    ):
        if of_a is not None or of_b is not None:
            table.add_row(name, "", _share(of_a), _share(of_b))
    for name, ms_of_a, ms_of_b in (
        ("latency p50, ms", a.latency_ms_p50, b.latency_ms_p50),
        ("latency p95, ms", a.latency_ms_p95, b.latency_ms_p95),
        ("latency p99, ms", a.latency_ms_p99, b.latency_ms_p99),
    ):
        table.add_row(name, "", f"{ms_of_a:.1f}", f"{ms_of_b:.1f}", f"{ms_of_b - ms_of_a:+.1f}")
    _print(table)
    typer.echo(verdict(compared))


@contextlib.contextmanager
def counting(total: int, *, is_shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where that is a terminal; call what it gives after each query."""
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


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(table)
