"""Whether one of two rankings is better, or the difference may be chance: a paired bootstrap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmsearch.evaluation.measures import NDCG, ValueArray
from mmsearch.evaluation.query_runner import MEASURES, REFUSED_RIGHTLY, REFUSED_WRONGLY, Judged

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 20_070
DRAWN_AT_ONCE = 1 << 21
"""Draws that are held in memory together: some 50 MB."""
DECIDED_BY = (NDCG, REFUSED_RIGHTLY)
"""What the verdict goes by: the first that was measured. Named beforehand, since among ten
measures one differs by chance."""
LOWER_IS_BETTER = frozenset({REFUSED_WRONGLY})


@dataclass(frozen=True, slots=True)
class Difference:
    """What B has over A in one measure: means, the interval of their difference, and its p value.

    `low` and `high` bound the difference with 95 % confidence. `p_value` is the chance of a
    difference at least as large, in either direction, were there none.
    """

    measure: str
    queries: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def is_significant(self) -> bool:
        """At the 5 % level."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def gain(self) -> float:
        """The difference, positive where B is better."""
        return -self.difference if self.measure in LOWER_IS_BETTER else self.difference


def differences(
    a: Judged, b: Judged, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Difference]:
    """Compare two judgements of the same queries, measure by measure; unmeasured ones are left out.

    Raises ValueError where the queries are not the same.
    """
    compared: dict[str, Difference] = {}
    for names in _measured_alike(a, b):
        is_measured = ~np.isnan(a.values[names[0]])
        one = np.stack([a.values[name][is_measured] for name in names], axis=1)
        other = np.stack([b.values[name][is_measured] for name in names], axis=1)
        found = paired_bootstrap(other - one, resamples=resamples, seed=seed)
        for column, (name, (low, high, p_value)) in enumerate(zip(names, found, strict=True)):
            mean_a, mean_b = float(one[:, column].mean()), float(other[:, column].mean())
            compared[name] = Difference(
                name, len(one), mean_a, mean_b, mean_b - mean_a, low, high, p_value
            )
    return [compared[name] for name in MEASURES if name in compared]


def _measured_alike(a: Judged, b: Judged) -> list[list[str]]:
    """The measures that were taken, grouped by the queries that they apply to."""
    groups: defaultdict[bytes, list[str]] = defaultdict(list)
    for name in MEASURES:
        is_measured = ~np.isnan(a.values[name])
        if not np.array_equal(is_measured, ~np.isnan(b.values[name])):
            raise ValueError("the queries of both sides must be the same")
        if is_measured.any():
            groups[is_measured.tobytes()].append(name)
    return list(groups.values())


def paired_bootstrap(
    gains: ValueArray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[tuple[float, float, float]]:
    """The 95 % interval and the two-sided p value of the mean of each column of `gains`.

    `gains` is (queries, measures): what one side has over the other. Queries are drawn with
    replacement (Efron and Tibshirani 1993; for two systems on the same queries: Koehn, EMNLP 2004;
    Sakai, SIGIR 2006), the same for all measures. The interval is between percentiles of the
    means. The p value is by the shift method (Smucker et al., CIKM 2007): the share of means that
    lie as far from the observed one as it lies from 0; one is added to both counts, since what was
    observed is a sample too (Davison and Hinkley 1997).
    """
    observed = gains.mean(axis=0)
    means = np.concatenate(list(_resampled(gains, resamples, seed)))
    tail = 100 * (1 - CONFIDENCE) / 2
    bounds = np.percentile(means, (tail, 100 - tail), axis=0)
    # Sums in another order differ in the last digits: what is as far is not less far.
    as_far = np.abs(means - observed) >= np.abs(observed) * (1 - 1e-9) - 1e-12
    p_values = (np.count_nonzero(as_far, axis=0) + 1) / (resamples + 1)
    return list(zip(bounds[0].tolist(), bounds[1].tolist(), p_values.tolist(), strict=True))


def _resampled(gains: ValueArray, resamples: int, seed: int) -> Iterator[ValueArray]:
    """Means of resamples, (some, measures) at a time."""
    queries = len(gains)
    draw = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // queries)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = draw.integers(queries, size=(rows, queries), dtype=np.int64)
        drawn += np.arange(rows, dtype=np.int64)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=rows * queries)
        yield counts.reshape(rows, queries).astype(np.float64) @ gains / queries


def verdict(compared: Sequence[Difference], *, a: str = "A", b: str = "B") -> str:
    """One sentence: which is better, or that the difference may be chance."""
    by_name = {one.measure: one for one in compared}
    one = next((by_name[name] for name in DECIDED_BY if name in by_name), None)
    if one is None:
        return "Nothing was measured."
    figures = (
        f"{one.measure} {one.a:.3f} and {one.b:.3f}, difference {one.difference:+.3f} "
        f"(95 % from {one.low:+.3f} to {one.high:+.3f}, p {shown_p(one.p_value)}, "
        f"{one.queries:,} queries)"
    )
    if one.difference == 0 and one.low == one.high:
        return f"{a} and {b} rank alike: {figures}."
    if not one.is_significant:
        return f"The difference between {a} and {b} may be chance: {figures}."
    return f"{b if one.gain > 0 else a} is better: {figures}."


def shown_p(p_value: float) -> str:
    """0.0312 as = 0.031; below a thousandth, only that."""
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"
