"""Hits as CSV: a row a moment."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mmsearch.export.clips import spelled, stretch
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


def to_csv(hits: Sequence[Hit]) -> str:
    """RFC 4180 with a header: commas, quotes doubled, CR LF; to be written as UTF-8.

    Texts are `guarded`, so that no spreadsheet computes what a file says.
    """
    written = io.StringIO(newline="")
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for hit in hits:
        moments = hit.moments or (Moment(hit.segment, hit.score),)
        for number, moment in enumerate(moments, start=1):
            rows.writerow(_row(hit, number, moment))
    return written.getvalue()


def _row(hit: Hit, number: int, moment: Moment) -> list[object]:
    segment = moment.segment
    span = stretch(moment)
    return [
        hit.rank,
        f"{hit.score:.4f}",
        guarded(hit.path),
        hit.kind.value,
        number,
        segment.kind.value,
        f"{moment.score:.4f}",
        "" if span is None else f"{span.start_s:.3f}",
        "" if span is None else f"{span.end_s:.3f}",
        "" if segment.place.page is None else segment.place.page,
        guarded(segment.text or ""),
        guarded("; ".join(tag.name for tag in segment.tags)),
        guarded(hit.why),
        hit.asset.id,
    ]


def guarded(text: str) -> str:
    """With an apostrophe before what a spreadsheet would take for a formula, or for a guard.

    To read it back, take one leading apostrophe away. The characters are those that OWASP names
    (CSV Injection). NUL, which no CSV can hold, is left out.
    """
    plain = spelled(text).replace("\0", "")
    return QUOTE + plain if plain.startswith((*_FORMULA, QUOTE)) else plain
