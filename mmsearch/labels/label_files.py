"""Labels and templates as a user writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmsearch.errors import ConfigError

MAX_LABELS = 10_000
MAX_LABEL_CHARS = 200
MAX_TEMPLATES = 100
LARGEST_FILE = 4 << 20
"""Bytes."""
HOLE = "{}"
COMMENT = "#"


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels in a file: one a line, in UTF-8; lines that begin with # are comments.

    Raises ConfigError, naming the line, for what cannot be a label, and for a file that cannot be
    read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as exc:
        said = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"the labels {path} cannot be read: {said}") from exc
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"the labels {path} are more than {LARGEST_FILE >> 20} MB: shorten them")
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
    return _checked(lines)


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels without those that are empty or said before; raises ConfigError as `read_labels`."""
    return _checked((f"the label {label[:40]!r}", label.strip()) for label in labels)


def _checked(labels: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for where, text in labels:
        if not text:
            continue
        if not text.isprintable():  # lone surrogates are not printable either
            raise ConfigError(f"{where}: has characters that cannot be shown; take them out")
        if len(text) > MAX_LABEL_CHARS:
            raise ConfigError(
                f"{where}: is longer than {MAX_LABEL_CHARS} characters; a label is a word or two"
            )
        found.setdefault(text.casefold(), text)
        if len(found) > MAX_LABELS:
            raise ConfigError(f"{where}: there are more than {MAX_LABELS:,} labels; use fewer")
    if len(found) < 2:
        raise ConfigError(
            f"{len(found)} labels are too few: a probability is that of one label against the "
            f"others, so name at least two, as in cat,dog,something else"
        )
    return tuple(found.values())


def checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Sentences with one `{}` where a label goes; raises ConfigError for others."""
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
