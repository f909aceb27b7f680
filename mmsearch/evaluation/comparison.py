"""Compares two rankings with a paired bootstrap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmsearch.evaluation.measures import NDCG, ValueArray
from mmsearch.evaluation.query_runner import MEASURES, REFUSED_RIGHTLY, REFUSED_WRONGLY, Judgements

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 20_070
DRAWN_AT_ONCE = 1 << 21
"""Draws held in memory together: some 50 MB."""
DECIDED_BY = (NDCG, REFUSED_RIGHTLY)
"""The measures that the verdict goes by: the first that was measured. They are fixed beforehand,
since among ten measures one differs by chance."""
LOWER_IS_BETTER = frozenset({REFUSED_WRONGLY})


@dataclass(frozen=True, slots=True)
class MeasureDifference:
    """The difference of B and A in a measure: means, interval and p value.

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
        """True at the 5 % level."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def gain(self) -> float:
        """The difference, positive where B is better."""
        return -self.difference if self.measure in LOWER_IS_BETTER else self.difference


def compare_judgements(
    a: Judgements, b: Judgements, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[MeasureDifference]:
    """Compares two runs of the same queries, measure by measure; unmeasured ones are left out.

    Raises ValueError where the queries are not the same.
    """
    compared: dict[str, MeasureDifference] = {}
    for names in _group_measures(a, b):
        is_measured = ~np.isnan(a.values[names[0]])
        values_a = np.stack([a.values[name][is_measured] for name in names], axis=1)
        values_b = np.stack([b.values[name][is_measured] for name in names], axis=1)
        intervals = compute_paired_bootstrap(values_b - values_a, resamples=resamples, seed=seed)
        for column, (name, (low, high, p_value)) in enumerate(zip(names, intervals, strict=True)):
            mean_a, mean_b = float(values_a[:, column].mean()), float(values_b[:, column].mean())
            compared[name] = MeasureDifference(
                name, len(values_a), mean_a, mean_b, mean_b - mean_a, low, high, p_value
            )
    return [compared[name] for name in MEASURES if name in compared]


def _group_measures(a: Judgements, b: Judgements) -> list[list[str]]:
    """Groups the measures by the queries that they apply to."""
    groups: defaultdict[bytes, list[str]] = defaultdict(list)
    for name in MEASURES:
        is_measured = ~np.isnan(a.values[name])
        if not np.array_equal(is_measured, ~np.isnan(b.values[name])):
            raise ValueError("the queries of both sides must be the same")
        if is_measured.any():
            groups[is_measured.tobytes()].append(name)
    return list(groups.values())


def compute_paired_bootstrap(
    gains: ValueArray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[tuple[float, float, float]]:
    """Returns the 95 % interval and the two-sided p value of the mean of each column of `gains`.

    `gains` is (queries, measures): the differences of the two sides. Queries are drawn with
    replacement (Efron and Tibshirani 1993; for two systems on the same queries: Koehn, EMNLP 2004;
    Sakai, SIGIR 2006), the same for all measures. The interval is between percentiles of the
    means. The p value is by the shift method (Smucker et al., CIKM 2007): the share of means that
    lie as far from the observed one as it lies from 0; one is added to both counts, since the
    observation is a sample too (Davison and Hinkley 1997).
    """
    observed = gains.mean(axis=0)
    means = np.concatenate(list(_resample(gains, resamples, seed)))
    tail = 100 * (1 - CONFIDENCE) / 2
    bounds = np.percentile(means, (tail, 100 - tail), axis=0)
    # The tolerance is for sums in another order, which differ in the last digits.
    as_far = np.abs(means - observed) >= np.abs(observed) * (1 - 1e-9) - 1e-12
    p_values = (np.count_nonzero(as_far, axis=0) + 1) / (resamples + 1)
    return list(zip(bounds[0].tolist(), bounds[1].tolist(), p_values.tolist(), strict=True))


def _resample(gains: ValueArray, resamples: int, seed: int) -> Iterator[ValueArray]:
    """Yields means of resamples, (some, measures) at a time."""
    queries = len(gains)
    rng = np.random.default_rng(seed)
    batch_rows = max(1, DRAWN_AT_ONCE // queries)
    for start in range(0, resamples, batch_rows):
        rows = min(batch_rows, resamples - start)
        indices = rng.integers(queries, size=(rows, queries), dtype=np.int64)
        indices += np.arange(rows, dtype=np.int64)[:, None] * queries
        counts = np.bincount(indices.ravel(), minlength=rows * queries)
        yield counts.reshape(rows, queries).astype(np.float64) @ gains / queries


def write_verdict(compared: Sequence[MeasureDifference], *, a: str = "A", b: str = "B") -> str:
    """Writes one sentence: which side is better, or that the difference may be chance."""
    by_name = {difference.measure: difference for difference in compared}
    decisive = next((by_name[name] for name in DECIDED_BY if name in by_name), None)
    if decisive is None:
        return "Nothing was measured."
    figures = (
        f"{decisive.measure} {decisive.a:.3f} and {decisive.b:.3f}, "
        f"difference {decisive.difference:+.3f} "
        f"(95 % from {decisive.low:+.3f} to {decisive.high:+.3f}, p {format_p(decisive.p_value)}, "
        f"{decisive.queries:,} queries)"
    )
    if decisive.difference == 0 and decisive.low == decisive.high:
        return f"{a} and {b} rank alike: {figures}."
    if not decisive.is_significant:
        return f"The difference between {a} and {b} may be chance: {figures}."
    return f"{b if decisive.gain > 0 else a} is better: {figures}."


def format_p(p_value: float) -> str:
    """Formats 0.0312 as = 0.031, and less than a thousandth as < 0.001."""
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"
