"""Fits the curves of `mmsearch/models/presets.py` on queries with known answers.

Run from the repository: `.venv/bin/python scripts/fit_calibration.py QUERIES.json LIBRARY`, where
LIBRARY has indexed all files that QUERIES.json names: a list of {"query": ..., "space": "image" or
"text", "relevant": [absolute path, ...]}. A query counts for its own space alone.

For each space a logistic regression (Platt 1999) of "is relevant" on the best cosine of an asset.
Relevant pairs weigh together 1, others together `ODDS`: in a library a hit is worth showing when it
is likely right among many that are wrong, not when it is likelier than one wrong pair.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import mmsearch
from mmsearch.search import query_vectors

ODDS = 10.0
SPACES = ("image", "text")
ROUNDS = 100


def pairs(library: mmsearch.Library, queries: list[dict], space: str) -> tuple:
    """Best cosines of (relevant, other) assets in a space, over the queries."""
    snapshot = library.snapshot()
    arrays = snapshot.spaces[space]
    count = len(snapshot.modalities)
    places = snapshot.paths(range(count))
    home = {path: asset for asset, paths in enumerate(places) for path in paths}
    relevant, others = [], []
    for query in queries:
        found = query_vectors.encode_texts([query["query"]], library._encoders)
        vectors = next(one.vectors for one in found if one.space == space)
        near = arrays.index.search(vectors, arrays.index.count)
        best = np.full(count, np.nan)
        np.fmax.at(best, arrays.assets[near.rows], near.similarities)
        meant = {home[path] for path in query["relevant"] if path in home}
        for asset, cosine in enumerate(best):
            if np.isnan(cosine):
                continue
            if asset not in meant:
                others.append(cosine)
            elif query["space"] == space:
                relevant.append(cosine)
    return np.array(relevant), np.array(others)


def logistic(relevant: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Midpoint and steepness by Newton's method on the weighted likelihood."""
    x = np.concatenate([relevant, others])
    y = np.concatenate([np.ones(len(relevant)), np.zeros(len(others))])
    weight = np.where(y == 1, 1 / len(relevant), ODDS / len(others))
    design = np.stack([x, np.ones_like(x)], axis=1)
    theta = np.array([5.0, -2.0])
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-design @ theta))
        gradient = design.T @ (weight * (p - y))
        hessian = design.T @ (design * (weight * p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        theta -= np.linalg.solve(hessian, gradient)
    return float(-theta[1] / theta[0]), float(theta[0])


def main() -> None:
    queries = json.loads(Path(sys.argv[1]).read_text())
    with mmsearch.open(sys.argv[2], create=False) as library:
        for space in SPACES:
            relevant, others = pairs(library, queries, space)
            midpoint, steepness = logistic(relevant, others)
            kept = np.percentile(relevant, [5, 10, 50])
            print(
                f"text>{space}: midpoint {midpoint:.3f}, steepness {steepness:.1f} from "
                f"{len(relevant)} relevant and {len(others)} other pairs; the relevant lie at "
                f"{kept[0]:.2f} (5 %), {kept[1]:.2f} (10 %), {kept[2]:.2f} (half)"
            )


if __name__ == "__main__":
    main()
