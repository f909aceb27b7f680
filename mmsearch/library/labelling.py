"""Tags what is in a library, and classifies files, with labels that the user gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import ConfigError, QueryError
from mmsearch.labels import tagging
from mmsearch.labels.classifier import Prompts, classify_vectors, make_classifiers
from mmsearch.library.examples import encode_example
from mmsearch.query.algebra import Term, TermKind

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.labels.classifier import Classification
    from mmsearch.labels.tagging import TaggingReport, TaggingThresholds
    from mmsearch.library.live_snapshot import LiveSnapshot
    from mmsearch.snapshot.snapshot import Snapshot


def tag_segments(
    live: LiveSnapshot, encoders: Encoders, prompts: Prompts, thresholds: TaggingThresholds
) -> TaggingReport:
    """Tags segments with the labels that fit; raises ConfigError where no model takes words."""
    classifiers, left_out = make_classifiers(prompts, encoders, live.read().filled_spaces)
    if left_out and not classifiers:
        raise ConfigError("; ".join(left_out))
    with live.write() as writer:
        report = tagging.tag(classifiers, live.reopen, writer.replace_tags, thresholds)
    return replace(report, left_out=tuple(left_out))


def untag_segments(live: LiveSnapshot) -> int:
    """Takes away all tags that labels gave; returns from how many segments."""
    with live.write() as writer:
        return tagging.untag(live.reopen(), writer.replace_tags)


def classify_file(
    path: Path, snapshot: Snapshot, encoders: Encoders, prompts: Prompts
) -> Classification:
    """Classifies a file, indexed or not; raises QueryError where it has nothing to compare."""
    example = encode_example(Term(TermKind.FILE, str(path)), encoders, snapshot)
    classifiers, left_out = make_classifiers(prompts, encoders, frozenset(example.vectors))
    if not classifiers:
        reason = "; ".join(left_out) or "there is nothing to see or hear in it"
        raise QueryError(f"{path} cannot be classified: {reason}")
    return classify_vectors(classifiers, example.vectors, left_out)
