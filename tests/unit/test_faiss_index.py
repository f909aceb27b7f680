"""FAISS indexes: built and stopped, kept in files that are not trusted, searched side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import ConfigError, StoreError
from mmsearch.index.base import NO_ROW
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.faiss_build import BuildStopped
from mmsearch.index.faiss_gpu import GpuIndex, count_gpus
from mmsearch.index.faiss_index import FaissIndex, is_available
from mmsearch.index.live_index import rank_by_vectors
from mmsearch.index.recipes import (
    GPU_KINDS,
    IndexKind,
    Recipe,
    estimate_memory_bytes,
    list_effort_steps,
    list_recipes,
    make_recipe,
)
from mmsearch.index.vector_matrix import Matrix

pytestmark = pytest.mark.skipif(not is_available(), reason="FAISS is not installed")

CPU_KINDS = [kind for kind in IndexKind if kind not in GPU_KINDS]
each_kind = pytest.mark.parametrize("kind", CPU_KINDS)
DIM = 32


def unit(seed: int, rows: int, dim: int = DIM) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def matrix(rows: int = 3000, seed: int = 1) -> Matrix:
    values = unit(seed, rows).astype(np.float16)
    return Matrix([values[: rows // 3], values[rows // 3 :]], DIM)


def clustered(seed: int, rows: int, queries: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((rows // 100, dim))
    values = centres[random.integers(0, len(centres), rows + queries)]
    values = values + random.standard_normal(values.shape) * np.arange(1, dim + 1) ** -0.2
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return values[:rows].astype(np.float16), values[rows:]


def built(kind: IndexKind, vectors: Matrix) -> FaissIndex:
    return FaissIndex.build(vectors, make_recipe(kind, vectors.count, vectors.dim), threads=1)


@each_kind
@pytest.mark.parametrize("use_mmap", [True, False])
def test_an_index_answers_from_its_file_as_it_did_when_it_was_built(
    kind: IndexKind, use_mmap: bool, tmp_path: Path
) -> None:
    index = built(kind, matrix())
    index.save(tmp_path / "index")
    again = FaissIndex.open(tmp_path / "index", index.recipe, use_mmap=use_mmap)
    queries = unit(2, 5)
    allowed = np.random.default_rng(3).random(3000) < 0.5
    assert again.count == 3000
    assert again.memory_bytes == (tmp_path / "index").stat().st_size
    for passing in (None, allowed):
        expected = index.find_candidates(queries, 20, allowed=passing)
        assert np.array_equal(again.find_candidates(queries, 20, allowed=passing), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@each_kind
def test_an_index_is_mapped_not_read(kind: IndexKind, tmp_path: Path) -> None:
    index = built(kind, matrix())
    index.save(tmp_path / "index")
    again = FaissIndex.open(tmp_path / "index", index.recipe)
    assert str(tmp_path / "index") in Path("/proc/self/maps").read_text()
    assert again.count == 3000


@each_kind
def test_only_some_rows_are_built_in_and_numbered_by_their_order(kind: IndexKind) -> None:
    vectors = matrix()
    rows = np.sort(np.random.default_rng(4).choice(3000, 1000, replace=False))
    index = FaissIndex.build(vectors, make_recipe(kind, 1000, DIM), rows=rows, threads=1)
    assert index.count == 1000
    found = index.find_candidates(vectors.take(rows[:50]), 10)
    assert np.mean([at in named for at, named in enumerate(found)]) > 0.95


@each_kind
def test_no_row_is_named_twice_or_against_the_mask(kind: IndexKind) -> None:
    index = built(kind, matrix())
    for share in (0.0, 0.001, 0.01, 0.1, 0.9):
        allowed = np.random.default_rng(5).random(3000) < share
        for named in index.find_candidates(unit(6, 4), 50, allowed=allowed):
            kept = named[named != NO_ROW]
            assert len(set(kept.tolist())) == len(kept) == min(50, allowed.sum()) or share > 0
            assert allowed[kept].all()


@each_kind
def test_a_build_is_stopped_between_batches(kind: IndexKind) -> None:
    asked = 0

    def is_stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(BuildStopped):
        FaissIndex.build(
            matrix(30_000), make_recipe(kind, 30_000, DIM), threads=1, is_stopped=is_stopped
        )
    assert asked == 4


@each_kind
def test_progress_rises_to_its_end(kind: IndexKind) -> None:
    told: list[float] = []
    FaissIndex.build(matrix(), make_recipe(kind, 3000, DIM), on_progress=told.append)
    assert told == sorted(told)
    assert told[0] == 0.0
    assert told[-1] == pytest.approx(1.0)


def test_the_same_recipe_builds_the_same_index() -> None:
    one, other = (built(IndexKind.IVF_RABITQ, matrix()) for _ in range(2))
    queries = unit(8, 10)
    assert np.array_equal(one.find_candidates(queries, 20), other.find_candidates(queries, 20))


@each_kind
def test_a_damaged_file_is_refused(kind: IndexKind, tmp_path: Path) -> None:
    vectors = matrix(600)
    index = built(kind, vectors)
    path = tmp_path / "index"
    index.save(path)
    whole = path.read_bytes()
    random = np.random.default_rng(9)
    sizes = [0, 1, 3, 4, 5, 8, 33, 64, len(whole) - 1, *random.integers(0, len(whole), 25).tolist()]
    for size in sizes:
        for use_mmap in (True, False):
            path.unlink()
            path.write_bytes(whole[:size])
            with pytest.raises(StoreError):
                FaissIndex.open(path, index.recipe, use_mmap=use_mmap)


@each_kind
def test_a_foreign_file_is_refused(kind: IndexKind, tmp_path: Path) -> None:
    one = make_recipe(kind, 600, DIM)
    random = np.random.default_rng(10)
    for number, content in enumerate(
        [b"", b"\0" * 5000, b"not an index", *(random.bytes(size) for size in (1, 100, 70_000))]
    ):
        path = tmp_path / str(number)
        path.write_bytes(content)
        with pytest.raises(StoreError):
            FaissIndex.open(path, one)
    with pytest.raises(StoreError):
        FaissIndex.open(tmp_path / "missing", one)


def test_an_index_of_another_kind_is_refused(tmp_path: Path) -> None:
    built(IndexKind.HNSW, matrix(600)).save(tmp_path / "index")
    with pytest.raises(StoreError, match="ivf-sq8"):
        FaissIndex.open(tmp_path / "index", make_recipe(IndexKind.IVF_SQ8, 600, DIM))


def test_no_damaged_byte_brings_the_process_down(tmp_path: Path) -> None:
    """In a process of its own: whoever opens without a checksum may get nonsense, no crash."""
    script = """
import sys
from pathlib import Path
import numpy as np
from mmsearch.errors import StoreError
from mmsearch.index.faiss_index import FaissIndex
from mmsearch.index.recipes import Recipe
path, told = Path(sys.argv[1]), Path(sys.argv[2])
recipe = Recipe.from_json(told.read_text())
whole = path.read_bytes()
random = np.random.default_rng(11)
refused = 0
for at in random.integers(0, min(len(whole), 120), 60).tolist():
    torn = bytearray(whole)
    torn[at] ^= int(random.integers(1, 256))
    copy = path.with_name(f"torn{at}")
    copy.write_bytes(torn)
    try:
        FaissIndex.open(copy, recipe)
    except StoreError:
        refused += 1
    copy.unlink()
print(refused)
"""
    for kind in CPU_KINDS:
        index = built(kind, matrix(300))
        path, told = tmp_path / kind, tmp_path / f"{kind}.json"
        index.save(path)
        told.write_text(index.recipe.to_json())
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), str(told)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (kind, done.stderr[-500:])
        assert int(done.stdout) > 2


def test_searches_side_by_side_do_not_mix_their_efforts_and_masks() -> None:
    vectors = matrix(4000)
    index = built(IndexKind.IVF_SQ8, vectors)
    queries = unit(12, 8)
    efforts = [1, 2, 4, index.recipe.lists]
    masks = [None, np.arange(4000) % 2 == 0, np.arange(4000) % 2 == 1]
    asked = [(effort, mask) for effort in efforts for mask in range(3)] * 20

    def ask(one: tuple[int, int]) -> np.ndarray:
        effort, mask = one
        at_effort = index.with_recipe(replace(index.recipe, effort=effort))
        return at_effort.find_candidates(queries, 10, allowed=masks[mask])

    expected = {one: ask(one) for one in set(asked)}
    with ThreadPoolExecutor(6) as pool:
        for one, found in zip(asked, pool.map(ask, asked), strict=True):
            assert np.array_equal(found, expected[one]), one


def test_more_effort_finds_more() -> None:
    stored, queries = clustered(13, 8000, 50, DIM)
    vectors = Matrix.from_array(stored)
    true = ExactIndex(vectors).nearest(queries, 10).rows
    index = built(IndexKind.IVF_RABITQ, vectors)
    recalls = []
    for one in list_effort_steps(index.recipe, vectors.count):
        named = index.with_recipe(one).find_candidates(queries, 10 * one.refine)
        found = rank_by_vectors(vectors, queries, named, 10).rows
        recalls.append(
            sum(len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True)) / true.size
        )
    assert recalls[-1] >= 0.99
    assert recalls[-1] > recalls[0]


def test_a_search_leaves_the_threads_of_others_alone() -> None:
    import faiss

    index = built(IndexKind.IVF_SQ8, matrix())
    faiss.omp_set_num_threads(2)
    other = threading.Thread(target=lambda: index.find_candidates(unit(14, 1), 5))
    other.start()
    other.join()
    assert faiss.omp_get_max_threads() == 2


def test_faiss_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys, mmsearch.index.faiss_index as index, mmsearch.index.live_index;"
        "index.is_available(); sys.exit('faiss' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@given(
    kind=st.sampled_from(list(IndexKind)),
    count=st.integers(1, 10**9),
    dim=st.sampled_from([4, 16, 100, 384, 512, 768, 1024]),
)
def test_a_recipe_survives_its_header(kind: IndexKind, count: int, dim: int) -> None:
    one = make_recipe(kind, count, dim)
    assert Recipe.from_json(one.to_json()) == one
    assert estimate_memory_bytes(one, count, dim) > 0


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '"flat"', '{"kind": "flat"}', '{"kind": "x", "factory": "Flat"}'],
)
def test_a_header_that_names_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        Recipe.from_json(text)


def test_a_header_of_another_version_is_refused() -> None:
    told = json.loads(make_recipe(IndexKind.HNSW, 1000, DIM).to_json())
    with pytest.raises(StoreError):
        Recipe.from_json(json.dumps(told | {"more": 1}))


@each_kind
def test_memory_is_estimated_within_a_tenth(kind: IndexKind, tmp_path: Path) -> None:
    dim = 128
    vectors = Matrix.from_array(unit(15, 12_000, dim).astype(np.float16))
    one = make_recipe(kind, 12_000, dim)
    index = FaissIndex.build(vectors, replace(one, train_rows=4000, build_effort=16))
    index.save(tmp_path / "index")
    actual = (tmp_path / "index").stat().st_size
    assert estimate_memory_bytes(one, 12_000, dim) == pytest.approx(actual, rel=0.1)


def test_recipes_ask_for_a_gpu_only_where_there_is_one() -> None:
    for count in (1, 1000, 10**5, 10**6, 10**7):
        assert not GPU_KINDS & {one.kind for one in list_recipes(count, 512, has_gpu=False)}
        assert GPU_KINDS & {one.kind for one in list_recipes(count, 512, has_gpu=True)}


@pytest.mark.parametrize("kind", list(IndexKind))
def test_a_ladder_rises(kind: IndexKind) -> None:
    one = make_recipe(kind, 10**6, 512)
    steps = list_effort_steps(one, 10**6)
    assert all(
        replace(step, effort=1, refine=1) == replace(one, effort=1, refine=1) for step in steps
    )
    assert all(
        low.effort <= high.effort and low.refine <= high.refine and low != high
        for low, high in pairwise(steps)
    )
    assert one in steps


@pytest.mark.skipif(is_available() and count_gpus() > 0, reason="there is a GPU")
def test_what_needs_a_gpu_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GPU"):
        FaissIndex.build(matrix(), make_recipe(IndexKind.CAGRA, 3000, DIM))
    index = FaissIndex.build(matrix(), make_recipe(IndexKind.GPU_FLAT, 3000, DIM))
    index.save(tmp_path / "index")
    with pytest.raises(ConfigError, match="GPU"):
        FaissIndex.open(tmp_path / "index", index.recipe, device="cuda")


@pytest.mark.parametrize("kind", [IndexKind.GPU_FLAT, IndexKind.GPU_IVF_PQ])
def test_an_index_for_a_gpu_is_searched_on_a_cpu_too(kind: IndexKind, tmp_path: Path) -> None:
    vectors = matrix()
    index = FaissIndex.build(vectors, make_recipe(kind, 3000, DIM))
    index.save(tmp_path / "index")
    again = FaissIndex.open(tmp_path / "index", index.recipe, device="cpu")
    found = again.find_candidates(vectors.take(np.arange(20)), 5)
    assert np.mean([row in named for row, named in enumerate(found)]) > 0.9


def test_what_a_filter_leaves_of_what_a_gpu_found_comes_first_and_is_padded() -> None:
    vectors = matrix(500)
    flat = FaissIndex.build(
        vectors, make_recipe(IndexKind.GPU_FLAT, 500, DIM)
    ).index  # searched alike
    queries = unit(17, 3)
    allowed = np.random.default_rng(18).random(500) < 0.1
    found = GpuIndex(flat, None).find_candidates(queries, 60, 1, allowed)
    true = ExactIndex(vectors).nearest(queries, 60, allowed=allowed).rows
    assert np.array_equal(found, true)


def test_a_cagra_graph_from_a_gpu_is_searched_on_a_cpu(tmp_path: Path) -> None:
    import faiss

    vectors = matrix(2000)
    graph = faiss.IndexHNSWCagra(DIM, 16, faiss.METRIC_L2)  # as a GPU gives it back
    graph.add(vectors.take(np.arange(2000)))
    one = make_recipe(IndexKind.CAGRA, 2000, DIM)
    FaissIndex(graph, one).save(tmp_path / "index")
    again = FaissIndex.open(tmp_path / "index", one, device="cpu")
    found = again.find_candidates(vectors.take(np.arange(20)), 5)
    assert np.mean([row in named for row, named in enumerate(found)]) > 0.9
    with pytest.raises(StoreError):
        FaissIndex.open(tmp_path / "index", make_recipe(IndexKind.HNSW, 2000, DIM))


@pytest.mark.skipif(not is_available() or not count_gpus(), reason="there is no GPU")
@pytest.mark.parametrize("kind", sorted(GPU_KINDS))
def test_an_index_on_a_gpu_answers_as_exact_search_does(kind: IndexKind, tmp_path: Path) -> None:
    vectors = matrix(20_000)
    queries = unit(16, 64)
    index = FaissIndex.build(vectors, make_recipe(kind, 20_000, DIM))
    index.save(tmp_path / "index")
    for device in ("cuda", "cpu"):
        again = FaissIndex.open(tmp_path / "index", index.recipe, device=device)
        hard = again.with_recipe(list_effort_steps(index.recipe, 20_000)[-1])
        for allowed in (None, np.arange(20_000) % 3 == 0):
            named = hard.find_candidates(queries, 10 * hard.recipe.refine, allowed=allowed)
            found = rank_by_vectors(vectors, queries, named, 10).rows
            true = ExactIndex(vectors).nearest(queries, 10, allowed=allowed).rows
            hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True))
            assert hits / true.size > 0.9, (device, allowed is None)
