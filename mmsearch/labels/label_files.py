"""Reads and checks labels and templates of a user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmsearch.errors import ConfigError

MAX_LABELS = 10_000
MAX_LABEL_CHARS = 200
MAX_TEMPLATES = 100
MAX_FILE_BYTES = 4 << 20
HOLE = "{}"
COMMENT = "#"


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads labels from a file: one a line, in UTF-8; lines that begin with # are comments.

    Raises ConfigError for a line that cannot be a label, and for a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"the labels {path} cannot be read: {reason}") from exc
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"the labels {path} are more than {MAX_FILE_BYTES >> 20} MB: shorten them"
        )
    lines = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as exc:
            raise ConfigError(
                f"{path}, line {number}: is no UTF-8; save the file as UTF-8"
            ) from exc
        if text and not text.startswith(COMMENT):
            lines.append((f"{path}, line {number}", text))
    return _check_placed_labels(lines)


def check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Drops empty and repeated labels; raises ConfigError as `read_labels`."""
    return _check_placed_labels((f"the label {label[:40]!r}", label.strip()) for label in labels)


def _check_placed_labels(labels: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for place, text in labels:
        if not text:
            continue
        if not text.isprintable():  # lone surrogates are not printable either
            raise ConfigError(f"{place}: has characters that cannot be shown; take them out")
        if len(text) > MAX_LABEL_CHARS:
            raise ConfigError(
                f"{place}: is longer than {MAX_LABEL_CHARS} characters; a label is a word or two"
            )
        unique.setdefault(text.casefold(), text)
        if len(unique) > MAX_LABELS:
            raise ConfigError(f"{place}: there are more than {MAX_LABELS:,} labels; use fewer")
    if len(unique) < 2:
        raise ConfigError(
            f"{len(unique)} labels are too few: a probability is that of one label against the "
            f"others, so name at least two, as in cat,dog,something else"
        )
    return tuple(unique.values())


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Drops repeated templates; raises ConfigError for one that has not one `{}`."""
    for template in templates:
        if template.count(HOLE) != 1:
            raise ConfigError(
                f"the template {template[:80]!r} must have one {HOLE}, where the label goes: "
                f"'a photo of a {HOLE}'"
            )
        if not template.isprintable() or len(template) > MAX_LABEL_CHARS:
            raise ConfigError(
                f"the template {template[:80]!r} must be one line of at most {MAX_LABEL_CHARS} "
                f"characters"
            )
    if len(templates) > MAX_TEMPLATES:
        raise ConfigError(f"{len(templates)} templates are too many: use at most {MAX_TEMPLATES}")
    return tuple(dict.fromkeys(templates))
