"""Writes hits as CSV, a row for each moment."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mmsearch.export.clips import moments_of_hit, span_of_moment, spell_out
from mmsearch.types import Hit, Moment

COLUMNS = (
    "rank",
    "score",
    "path",
    "kind",
    "moment",
    "moment_kind",
    "moment_score",
    "start_s",
    "end_s",
    "page",
    "text",
    "tags",
    "why",
    "asset_id",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
QUOTE = "'"


def write_csv(hits: Sequence[Hit]) -> str:
    """Writes RFC 4180 with a header: commas, quotes doubled, CR LF; to be encoded as UTF-8.

    Texts go through `guard_formula`, so that no spreadsheet runs the content of a file.
    """
    stream = io.StringIO(newline="")
    rows = csv.writer(stream, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for hit in hits:
        for number, moment in enumerate(moments_of_hit(hit), start=1):
            rows.writerow(_build_row(hit, number, moment))
    return stream.getvalue()


def _build_row(hit: Hit, number: int, moment: Moment) -> list[object]:
    segment = moment.segment
    span = span_of_moment(moment)
    return [
        hit.rank,
        f"{hit.score:.4f}",
        guard_formula(hit.path),
        hit.kind.value,
        number,
        segment.kind.value,
        f"{moment.score:.4f}",
        "" if span is None else f"{span.start_s:.3f}",
        "" if span is None else f"{span.end_s:.3f}",
        "" if segment.place.page is None else segment.place.page,
        guard_formula(segment.text or ""),
        guard_formula("; ".join(tag.name for tag in segment.tags)),
        guard_formula(hit.why),
        hit.asset.id,
    ]


def guard_formula(text: str) -> str:
    """Puts an apostrophe before a text that a spreadsheet would read as a formula.

    A text that begins with an apostrophe gets another, so that removing one restores every text.
    The characters are those that OWASP names (CSV Injection). NUL, which no CSV can hold, is left
    out.
    """
    plain = spell_out(text).replace("\0", "")
    return QUOTE + plain if plain.startswith((*_FORMULA, QUOTE)) else plain
