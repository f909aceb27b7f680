"""Joins what the spaces say of one asset into one score."""

from __future__ import annotations

from collections.abc import Iterable


def noisy_or(scores: Iterable[float]) -> float:
    """The chance that at least one of independent signs is right: 1 - prod(1 - s), in 0..1.

    Pearl 1988, section 4.3.2. It is never below the best of the scores, and weak signs add little.
    """
    missed = 1.0
    for score in scores:
        missed *= 1.0 - min(max(score, 0.0), 1.0)
    return 1.0 - missed
