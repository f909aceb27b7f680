"""Recipes of FAISS indexes: factory strings, training and search effort by number of vectors."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum

from mmsearch.errors import StoreError


class IndexKind(StrEnum):
    """The families of indexes that are built with FAISS."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF_SQ8 = "ivf-sq8"
    IVF_RABITQ = "ivf-rabitq"
    IVF_RABITQ4 = "ivf-rabitq4"
    IVF_PQ = "ivf-pq"
    GPU_FLAT = "gpu-flat"
    GPU_IVF_PQ = "gpu-ivf-pq"
    CAGRA = "cagra"


GPU_KINDS = frozenset({IndexKind.GPU_FLAT, IndexKind.GPU_IVF_PQ, IndexKind.CAGRA})
FLAT_KINDS = frozenset({IndexKind.FLAT, IndexKind.GPU_FLAT})
GRAPH_KINDS = frozenset({IndexKind.HNSW, IndexKind.CAGRA})

LINKS = 32
"""Links of a vector in an HNSW; twice as many on its lowest level."""
CAGRA_LINKS = 64
BUILD_NODES = 64
"""Nodes of a graph that are visited to place a vector in it (efConstruction)."""
CENTROID_NODES = 128
"""Nodes of the graph over the centroids that are visited to find the list of a vector."""
GRAPH_SAMPLE = 20_000
"""Vectors from which the ranges of 8-bit scalars are learnt."""
MAX_LISTS = 65_536
LISTS_PER_ROOT = 2
"""Lists, as a multiple of the square root of the number of vectors."""
SAMPLES_PER_LIST = 32
KMEANS_ROUNDS = 2
FLAT_LISTS = 8192
"""Above this, lists are found through a graph over their centroids."""
DEFAULT_LISTS = 8
DEFAULT_NODES = 64
EFFORTS = tuple(
    sorted([2**power for power in range(1, 13)] + [3 * 2**power for power in range(11)])
)
"""The steps of search effort: lists to visit, or an eighth of the nodes of a graph to visit."""
NODES_PER_STEP = 8
MAX_NODES = 2048
MAX_LIST_SHARE = 0.5
"""Lists are tried up to this share of them: one bit a dimension is scanned so fast that half of
114,000 real sentences take 1.2 ms at recall@10 0.99, exact search 19 ms."""
LAST_REFINE_FACTOR = 4
"""The last step compares so many times more candidates than the first."""

GPU_FLAT_ROWS = 1_000_000
"""Up to here a GPU compares all vectors: 1 GB at 512 dimensions, less than a millisecond of an
H100's memory bandwidth. Calculated, not measured."""
CPU_ORDER = (IndexKind.IVF_RABITQ, IndexKind.HNSW, IndexKind.IVF_RABITQ4, IndexKind.IVF_SQ8)
"""Measured with other work beside it, one query, one thread, recall@10. Over 1M x 512 clustered
vectors lists of one bit a dimension gave 3270 queries/s at 0.996 in 87 bytes a vector, of 8-bit
scalars 1011/s at 0.997 in 524. Over 200k of them an HNSW took 55 s to build, lists 15 s, and gave
506/s at 0.97. Over 114k x 384 of real sentences, which fall into no clear lists, an HNSW needs
0.45 ms for 0.98 in 656 bytes a vector, lists of one bit 0.8 ms in 80. Product quantisers in as many
bytes are learnt for a minute and stay at 0.97."""

_CODES = {
    IndexKind.IVF_SQ8: ("SQ8", 2),
    IndexKind.IVF_RABITQ: ("RaBitQfs", 8),
    IndexKind.IVF_RABITQ4: ("RaBitQ4", 2),
    IndexKind.IVF_PQ: ("PQ{parts}x4fsr", 8),
    IndexKind.GPU_IVF_PQ: ("PQ{parts}np", 4),
}
"""The names of the codes in FAISS, and the candidates they need for each wanted row."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The construction of an index and the effort of searching it.

    `factory` is the factory string of FAISS. `effort` is the number of lists, or nodes of a graph,
    that a query visits; `refine` the candidates that are compared exactly for each wanted row.
    `lists` is the number of lists (0 for none); training uses `train_rows` rows, and `iterations`
    rounds of k-means. `build_effort` is the number of graph nodes visited to place a vector, or to
    find its list.
    """

    kind: IndexKind
    factory: str
    effort: int = 1
    refine: int = 1
    lists: int = 0
    train_rows: int = 0
    iterations: int = 0
    build_effort: int = 0
    seed: int = 0

    def to_json(self) -> str:
        """Returns it as text, for the header of an index."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Parses the text of `to_json`. Raises StoreError for anything else."""
        try:
            values = json.loads(text)
            kind, factory, *numbers = [values.pop(field.name) for field in fields(cls)]
            is_known = not values and isinstance(factory, str)
            recipe = cls(IndexKind(kind), factory, *map(int, numbers))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise StoreError("the header of an index names no recipe") from exc
        if not is_known:
            raise StoreError("the header of an index names a recipe that is not known here")
        return recipe


def choose_list_count(count: int) -> int:
    """Returns the number of lists for `count` vectors: a power of two near 2 * sqrt(count)."""
    root = max(1.0, LISTS_PER_ROOT * math.sqrt(count))
    return int(min(MAX_LISTS, 2 ** round(math.log2(root)), max(1, count // 8)))


def make_recipe(kind: IndexKind, count: int, dim: int) -> Recipe:
    """Returns the recipe of this kind over `count` vectors, at the default effort."""
    if kind in FLAT_KINDS:
        return Recipe(kind, "Flat")
    if kind is IndexKind.CAGRA:
        return Recipe(kind, f"HNSW{CAGRA_LINKS // 2},Flat", DEFAULT_NODES, 2)
    if kind is IndexKind.HNSW:
        return Recipe(
            kind,
            f"HNSW{LINKS},SQ8",
            effort=DEFAULT_NODES,
            refine=2,
            train_rows=min(count, GRAPH_SAMPLE),
            build_effort=BUILD_NODES,
        )
    lists = choose_list_count(count)
    code, refine = _CODES[kind]
    coarse = f"IVF{lists}"
    if kind not in GPU_KINDS and lists > FLAT_LISTS:
        coarse += f"_HNSW{LINKS}"
    factory = f"{coarse},{code.format(parts=_choose_part_count(kind, dim))}"
    if "RaBitQ" in code:
        # RaBitQ assumes that all dimensions are alike: a random rotation makes them so.
        rotation = "HR" if dim & (dim - 1) == 0 else f"RR{dim}"
        factory = f"{rotation},{factory}"
    return Recipe(
        kind,
        factory,
        effort=min(lists, DEFAULT_LISTS),
        refine=refine,
        lists=lists,
        train_rows=min(count, SAMPLES_PER_LIST * lists),
        iterations=KMEANS_ROUNDS,
        build_effort=CENTROID_NODES,
    )


def list_recipes(count: int, dim: int, *, has_gpu: bool) -> list[Recipe]:
    """Returns the recipes that are worth trying, the best first, whether or not they fit."""
    on_gpu = [IndexKind.CAGRA, IndexKind.GPU_IVF_PQ] if has_gpu else []
    if has_gpu:
        on_gpu.insert(0 if count <= GPU_FLAT_ROWS else 1, IndexKind.GPU_FLAT)
    return [make_recipe(kind, count, dim) for kind in (*on_gpu, *CPU_ORDER)]


def list_effort_steps(recipe: Recipe, count: int) -> list[Recipe]:
    """Returns the recipe at rising efforts over `count` vectors, while exact search is slower."""
    if recipe.kind in FLAT_KINDS:
        return [recipe]
    if recipe.lists:
        most, scale = MAX_LIST_SHARE * recipe.lists, 1
    else:
        most, scale = MAX_NODES, NODES_PER_STEP
    efforts = {scale * effort for effort in EFFORTS if scale * effort <= min(most, count)}
    steps = [replace(recipe, effort=effort) for effort in sorted(efforts | {recipe.effort})]
    return [*steps, replace(steps[-1], refine=LAST_REFINE_FACTOR * recipe.refine)]


def estimate_memory_bytes(recipe: Recipe, count: int, dim: int) -> int:
    """Estimates the size of an index over `count` vectors in memory and on disk."""
    code = recipe.factory.rpartition(",")[2]
    code_dim = 1 << (dim - 1).bit_length() if recipe.factory.startswith("HR") else dim
    vector_bytes = _estimate_code_bytes(code, code_dim)
    graph_bytes = 4.0 * 2 * LINKS + 16  # links of the lowest level; higher ones take a few bytes
    if recipe.kind in GRAPH_KINDS:
        return int(count * (vector_bytes + graph_bytes))
    if not recipe.lists:
        return int(count * vector_bytes)
    centroid_bytes = 4 * code_dim + (graph_bytes if "_HNSW" in recipe.factory else 0)
    # Lists of packed codes are filled up to 32 vectors.
    padding = 16 * recipe.lists if code.endswith(("fs", "fsr")) else 0
    transform_bytes = 4 * dim * dim if recipe.factory.startswith("RR") else 0
    return int(
        (count + padding) * vector_bytes
        + 8 * count
        + recipe.lists * centroid_bytes
        + transform_bytes
    )


def _choose_part_count(kind: IndexKind, dim: int) -> int:
    """Returns the number of parts into which a product quantiser divides a vector."""
    wide = 8 if kind is IndexKind.GPU_IVF_PQ else 4
    return next(dim // width for width in range(min(wide, dim), 0, -1) if dim % width == 0)


def _estimate_code_bytes(code: str, dim: int) -> float:
    """Returns the bytes of the code of a vector of `dim` dimensions, without its number."""
    bits = re.fullmatch(r"RaBitQ(?:fs)?([2-9])?(?:fs)?", code)
    if bits is not None:
        return dim * int(bits[1] or 1) / 8 + (20 if bits[1] else 8)
    parts = re.fullmatch(r"PQ([0-9]+)(x4fsr|np)?", code)
    if parts is not None:
        return int(parts[1]) / (2 if parts[2] == "x4fsr" else 1)
    return float(dim if code == "SQ8" else 4 * dim)
