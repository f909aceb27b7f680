"""What index is built over how many vectors, and how hard it is searched."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum

from mmsearch.errors import StoreError


class Kind(StrEnum):
    """The families of indexes that FAISS builds here."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF_SQ8 = "ivf-sq8"
    IVF_RABITQ = "ivf-rabitq"
    IVF_RABITQ4 = "ivf-rabitq4"
    IVF_PQ = "ivf-pq"
    GPU_FLAT = "gpu-flat"
    GPU_IVF_PQ = "gpu-ivf-pq"
    CAGRA = "cagra"


GPU_KINDS = frozenset({Kind.GPU_FLAT, Kind.GPU_IVF_PQ, Kind.CAGRA})
FLAT_KINDS = frozenset({Kind.FLAT, Kind.GPU_FLAT})
GRAPH_KINDS = frozenset({Kind.HNSW, Kind.CAGRA})

LINKS = 32
"""Links of a vector in an HNSW; on its lowest level it has twice as many."""
CAGRA_LINKS = 64
PLACING = 64
"""Nodes of a graph that are visited to place a vector in it (efConstruction)."""
FINDING = 128
"""Nodes of the graph over the centroids that are visited to find the list of a vector."""
GRAPH_SAMPLE = 20_000
"""Vectors from which the ranges of 8-bit scalars are learnt."""
MOST_LISTS = 65_536
LISTS_PER_ROOT = 2
"""So many lists for each of the square root of the vectors."""
SAMPLED_A_LIST = 32
ROUNDS = 2
FLAT_LISTS = 8192
"""Above this, lists are found through a graph over their centroids."""
USUAL_LISTS = 8
USUAL_NODES = 64
EFFORTS = tuple(
    sorted([2**power for power in range(1, 13)] + [3 * 2**power for power in range(11)])
)
"""The steps of a ladder: lists that are visited; of a graph's nodes eight times as many."""
NODES_A_STEP = 8
MOST_NODES = 2048
MOST_SHARE = 0.5
"""Lists are tried up to this share of them: one bit a dimension is scanned so fast that half of
114,000 real sentences take 1.2 ms at recall@10 0.99, exact search 19 ms."""
DEAREST_REFINE = 4
"""The last step of a ladder compares so many times more candidates than the first."""

GPU_FLAT_ROWS = 1_000_000
"""Up to here a GPU compares all vectors: 1 GB at 512 dimensions, less than a millisecond of an
H100's memory bandwidth. Reckoned, not measured."""
CPU_ORDER = (Kind.IVF_RABITQ, Kind.HNSW, Kind.IVF_RABITQ4, Kind.IVF_SQ8)
"""Measured with other work beside it, one query, one thread, recall@10. Over 1M x 512 clustered
vectors lists of one bit a dimension gave 3270 queries/s at 0.996 in 87 bytes a vector, of 8-bit
scalars 1011/s at 0.997 in 524. Over 200k of them an HNSW took 55 s to build, lists 15 s, and gave
506/s at 0.97. Over 114k x 384 of real sentences, which fall into no clear lists, an HNSW needs
0.45 ms for 0.98 in 656 bytes a vector, lists of one bit 0.8 ms in 80. Product quantisers in as many
bytes are learnt for a minute and stay at 0.97."""

_CODES = {
    Kind.IVF_SQ8: ("SQ8", 2),
    Kind.IVF_RABITQ: ("RaBitQfs", 8),
    Kind.IVF_RABITQ4: ("RaBitQ4", 2),
    Kind.IVF_PQ: ("PQ{parts}x4fsr", 8),
    Kind.GPU_IVF_PQ: ("PQ{parts}np", 4),
}
"""What FAISS calls the codes, and how many candidates they need for each row that is wanted."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is built, and how hard it is searched.

    `factory` is what FAISS is asked for. `effort` is how many lists, or nodes of a graph, a query
    visits; `refine` how many candidates are compared exactly for each row that is wanted.
    `lists` is the number of lists (0 where there are none); what is learnt, is learnt from
    `train_rows` rows, the lists in `iterations` rounds. `build_effort` is how many nodes of a graph
    are visited to place a vector in it, or to find its list.
    """

    kind: Kind
    factory: str
    effort: int = 1
    refine: int = 1
    lists: int = 0
    train_rows: int = 0
    iterations: int = 0
    build_effort: int = 0
    seed: int = 0

    def to_json(self) -> str:
        """As text, for the header of an index."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """What `to_json` wrote. Raises StoreError for anything else."""
        names = [field.name for field in fields(cls)]
        try:
            told = json.loads(text)
            kind, factory, *numbers = [told.pop(name) for name in names]
            is_known = not told and isinstance(factory, str)
            one = cls(Kind(kind), factory, *map(int, numbers))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise StoreError("the header of an index names no recipe") from exc
        if not is_known:
            raise StoreError("the header of an index names a recipe that is not known here")
        return one


def list_count(count: int) -> int:
    """How many lists `count` vectors are kept in: a power of two near 2 * sqrt(count)."""
    root = max(1.0, LISTS_PER_ROOT * math.sqrt(count))
    return int(min(MOST_LISTS, 2 ** round(math.log2(root)), max(1, count // 8)))


def recipe(kind: Kind, count: int, dim: int) -> Recipe:
    """How an index of this kind over `count` vectors is built, at the usual effort."""
    if kind in FLAT_KINDS:
        return Recipe(kind, "Flat")
    if kind is Kind.CAGRA:
        return Recipe(kind, f"HNSW{CAGRA_LINKS // 2},Flat", USUAL_NODES, 2)
    if kind is Kind.HNSW:
        sampled = min(count, GRAPH_SAMPLE)
        factory = f"HNSW{LINKS},SQ8"
        return Recipe(kind, factory, USUAL_NODES, 2, train_rows=sampled, build_effort=PLACING)
    lists = list_count(count)
    code, refine = _CODES[kind]
    coarse = f"IVF{lists}"
    if kind not in GPU_KINDS and lists > FLAT_LISTS:
        coarse += f"_HNSW{LINKS}"
    factory = f"{coarse},{code.format(parts=_parts(kind, dim))}"
    if "RaBitQ" in code:
        # RaBitQ takes each dimension for as good as any other: a random rotation sees to that.
        turned = "HR" if dim & (dim - 1) == 0 else f"RR{dim}"
        factory = f"{turned},{factory}"
    return Recipe(
        kind,
        factory,
        effort=min(lists, USUAL_LISTS),
        refine=refine,
        lists=lists,
        train_rows=min(count, SAMPLED_A_LIST * lists),
        iterations=ROUNDS,
        build_effort=FINDING,
    )


def recipes(count: int, dim: int, *, has_gpu: bool) -> list[Recipe]:
    """The recipes that are worth trying, the best first; what does not fit is for the caller."""
    on_gpu = [Kind.CAGRA, Kind.GPU_IVF_PQ] if has_gpu else []
    if has_gpu:
        on_gpu.insert(0 if count <= GPU_FLAT_ROWS else 1, Kind.GPU_FLAT)
    return [recipe(kind, count, dim) for kind in (*on_gpu, *CPU_ORDER)]


def ladder(one: Recipe, count: int) -> list[Recipe]:
    """The recipe at rising efforts over `count` vectors, up to where exact search is better."""
    if one.kind in FLAT_KINDS:
        return [one]
    most, scale = (MOST_SHARE * one.lists, 1) if one.lists else (MOST_NODES, NODES_A_STEP)
    tried = {scale * effort for effort in EFFORTS if scale * effort <= min(most, count)}
    steps = [replace(one, effort=effort) for effort in sorted(tried | {one.effort})]
    return [*steps, replace(steps[-1], refine=DEAREST_REFINE * one.refine)]


def memory_bytes(one: Recipe, count: int, dim: int) -> int:
    """What its index over `count` vectors takes in memory and on disk, estimated."""
    code = one.factory.rpartition(",")[2]
    turned = 1 << (dim - 1).bit_length() if one.factory.startswith("HR") else dim
    each = _code_bytes(code, turned)
    graph = 4.0 * 2 * LINKS + 16  # links of the lowest level; what higher ones take is a few bytes
    if one.kind in GRAPH_KINDS:
        return int(count * (each + graph))
    if not one.lists:
        return int(count * each)
    centroids = one.lists * (4 * turned + (graph if "_HNSW" in one.factory else 0))
    padding = (
        16 * one.lists if code.endswith(("fs", "fsr")) else 0
    )  # lists are filled up to 32 vectors
    transform = 4 * dim * dim if one.factory.startswith("RR") else 0
    return int((count + padding) * each + 8 * count + centroids + transform)


def _parts(kind: Kind, dim: int) -> int:
    """Into how many parts a product quantiser cuts a vector."""
    wide = 8 if kind is Kind.GPU_IVF_PQ else 4
    return next(dim // width for width in range(min(wide, dim), 0, -1) if dim % width == 0)


def _code_bytes(code: str, dim: int) -> float:
    """What FAISS keeps of a vector of `dim` dimensions, without its number."""
    bits = re.fullmatch(r"RaBitQ(?:fs)?([2-9])?(?:fs)?", code)
    if bits is not None:
        return dim * int(bits[1] or 1) / 8 + (20 if bits[1] else 8)
    parts = re.fullmatch(r"PQ([0-9]+)(x4fsr|np)?", code)
    if parts is not None:
        return int(parts[1]) / (2 if parts[2] == "x4fsr" else 1)
    return float(dim if code == "SQ8" else 4 * dim)
