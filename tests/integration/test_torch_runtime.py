"""A torch module gives the same vectors through the runtime as when it is called directly.

What only a GPU does is played by a stand-in for `torch.cuda` that writes down what it is asked.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import ModelError
from mmsearch.runtime.batching import compute_in_batches
from mmsearch.runtime.device import CPU, Device
from mmsearch.runtime.torch import TorchNetwork, best_precision, is_overflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

SIZE = 64
CONTEXT = 12
GPU = Device("cuda", 1)


class Pictures(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Pixels as bytes to unit rows, with the scaling inside."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.rows: list[int] = []

    def forward(self, pixels: Any) -> Any:
        self.rows.append(len(pixels))
        scaled = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return torch.nn.functional.normalize(self.model.encode_image(scaled).float(), dim=-1)


class Words(torch.nn.Module):  # type: ignore[misc]
    """Tokens to unit rows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Any) -> Any:
        return torch.nn.functional.normalize(self.model.encode_text(tokens).float(), dim=-1)


@pytest.fixture(scope="module")
def clip() -> Any:
    """A ViT-B-32 but for its size."""
    torch.manual_seed(3)
    vision = open_clip.CLIPVisionCfg(
        layers=2, width=64, head_width=32, patch_size=16, image_size=SIZE
    )
    text = open_clip.CLIPTextCfg(
        context_length=CONTEXT, vocab_size=400, width=64, heads=2, layers=2
    )
    return open_clip.CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text).eval()


def pixels(rows: int, seed: int = 1) -> NDArray[np.uint8]:
    shape = (rows, SIZE, SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values: NDArray[np.float32] = (left * right).sum(axis=1) / norms
    return values


def direct(module: Any, **inputs: Any) -> NDArray[np.float32]:
    with torch.no_grad():
        values: NDArray[np.float32] = module(
            **{name: torch.from_numpy(one) for name, one in inputs.items()}
        ).numpy()
    return values


# The same vectors


@pytest.mark.parametrize("precision", [None, "fp32"])
def test_pictures_have_the_vectors_of_a_direct_call(clip: Any, precision: Any) -> None:
    network = TorchNetwork.open(Pictures(clip), CPU, batch=4, precision=precision)
    pictures = pixels(11)

    (vectors,) = network.run({"pixels": pictures})

    assert vectors.dtype == np.float32
    assert cosines(vectors, direct(Pictures(clip), pixels=pictures)).min() >= 0.9999


def test_pictures_in_bf16_have_nearly_the_vectors_of_a_direct_call(clip: Any) -> None:
    network = TorchNetwork.open(Pictures(clip), CPU, batch=4, precision="bf16")
    pictures = pixels(11)

    (vectors,) = network.run({"pixels": pictures})

    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    like = cosines(vectors, direct(Pictures(clip), pixels=pictures))
    assert 0.999 <= like.min() < 0.9999999  # it was bf16 indeed


def test_words_have_the_vectors_of_a_direct_call(clip: Any) -> None:
    network = TorchNetwork.open(Words(clip), CPU, batch=4)
    tokens = np.random.default_rng(2).integers(1, 400, (9, CONTEXT), dtype=np.int64)

    (vectors,) = network.run({"tokens": tokens})

    assert cosines(vectors, direct(Words(clip), tokens=tokens)).min() >= 0.9999


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 17])
def test_any_number_of_rows_is_computed(clip: Any, rows: int) -> None:
    network = TorchNetwork.open(Pictures(clip), CPU, batch=4)
    pictures = pixels(rows)

    (vectors,) = network.run({"pixels": pictures})

    assert vectors.shape == (rows, 32)
    assert vectors.dtype == np.float32
    if rows:
        assert cosines(vectors, direct(Pictures(clip), pixels=pictures)).min() >= 0.9999


def test_arrays_that_cannot_be_written_to_or_lie_scattered_are_taken(clip: Any) -> None:
    network = TorchNetwork.open(Pictures(clip), CPU, batch=4)
    frozen = pixels(5)
    frozen.flags.writeable = False
    scattered = pixels(10)[::-2]

    assert network.run({"pixels": frozen})[0].shape == (5, 32)
    (vectors,) = network.run({"pixels": scattered})
    expected = direct(Pictures(clip), pixels=np.ascontiguousarray(scattered))
    assert cosines(vectors, expected).min() >= 0.9999


def test_several_inputs_and_outputs_keep_their_rows_together() -> None:
    class Two(torch.nn.Module):  # type: ignore[misc]
        def forward(self, left: Any, right: Any) -> Any:
            return left + right, left

    network = TorchNetwork.open(Two(), CPU, batch=2)
    left = np.arange(5, dtype=np.int64)

    total, same = network.run({"right": left * 10, "left": left})

    assert total.tolist() == [0, 11, 22, 33, 44]
    assert same.tolist() == left.tolist()
    assert same.dtype == np.int64


def test_threads_may_share_a_network(clip: Any) -> None:
    network = TorchNetwork.open(Pictures(clip), CPU, batch=2)
    givens = [pixels(5, seed) for seed in range(4)]
    found: dict[int, NDArray[np.float32]] = {}

    def run(number: int) -> None:
        (found[number],) = network.run({"pixels": givens[number]})

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, asked in enumerate(givens):
        assert cosines(found[number], direct(Pictures(clip), pixels=asked)).min() >= 0.9999


def test_nothing_is_kept_of_a_call(clip: Any) -> None:
    network = TorchNetwork.open(Pictures(clip), CPU, batch=2)
    network.run({"pixels": pixels(5)})

    assert network._batches.inputs == {}
    assert not any(one.requires_grad for one in network._module.parameters())


# Memory


class Limited(torch.nn.Module):  # type: ignore[misc]
    """Doubles its rows; raises what `fails` gives for a number of rows."""

    def __init__(self, fails: Any) -> None:
        super().__init__()
        self.fails = fails
        self.computed: list[int] = []

    def forward(self, values: Any) -> Any:
        error = self.fails(len(values))
        if error is not None:
            raise error
        self.computed.append(len(values))
        return values * 2.0


def full(_rows: int = 0) -> Exception:
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return error


FULL = [
    full(),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", FULL, ids=lambda one: type(one).__name__)
def test_full_memory_halves_the_batch_and_repeats_the_rows(error: Exception) -> None:
    module = Limited(lambda rows: error if rows > 3 else None)
    network = TorchNetwork.open(module, CPU, batch=16)
    values = np.arange(40, dtype=np.float32)[:, None]

    (doubled,) = network.run({"values": values})

    assert (doubled == values * 2).all()
    assert network.batch == 2
    assert sum(module.computed) == 40


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access was encountered"), ValueError("x")]
)
def test_other_errors_do_not_count_as_full_memory(error: Exception) -> None:
    network = TorchNetwork.open(Limited(lambda _rows: error), CPU)

    assert not is_overflow(error)
    with pytest.raises(type(error)):
        network.run({"values": np.zeros((4, 1), np.float32)})


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 90),
    batch=st.integers(1, 32),
    limit=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_outputs_are_complete_and_in_order_whenever_memory_is_full(
    rows: int, batch: int, limit: int, seed: int
) -> None:
    chance = random.Random(seed)

    def fails(count: int) -> Exception | None:
        return full() if count > limit or (count > 1 and chance.random() < 0.2) else None

    module = Limited(fails)
    network = TorchNetwork.open(module, CPU, batch=batch)
    values = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)

    for _ in range(2):
        (doubled,) = network.run({"values": values})
        assert (doubled == values * 2).all()
    assert max(module.computed) <= limit


def test_full_memory_at_one_row_says_what_to_do() -> None:
    network = TorchNetwork.open(Limited(full), CPU, name="the image network of ViT-B-32")

    with pytest.raises(ModelError, match=r"the image network of .*a smaller model") as it:
        network.run({"values": np.zeros((4, 1), np.float32)})
    assert isinstance(it.value.__cause__, torch.OutOfMemoryError)


def test_a_network_that_had_full_memory_once_goes_on() -> None:
    errors = [full(), full()]
    network = TorchNetwork.open(Limited(lambda _rows: errors.pop() if errors else None), CPU)
    values = np.ones((50, 1), np.float32)

    network.run({"values": values})
    (doubled,) = network.run({"values": values})

    assert (doubled == 2).all()
    assert network.batch == 4


def test_weights_that_do_not_fit_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise full()

    module = Limited(lambda _rows: None)
    monkeypatch.setattr(module, "to", fail)

    with pytest.raises(ModelError, match=r"the text network cannot be put on cuda:1: memory is ful"
                                         r"l: .*--device cpu"):  # fmt: skip
        TorchNetwork.open(module, GPU, name="the text network")


# Precision


class Cuda:
    """Plays `torch.cuda`: everything is done at once on the CPU, and written down."""

    def __init__(self, *, bf16: bool = True, free_bytes: int = 2**40) -> None:
        self.bf16 = bf16
        self.free_bytes = free_bytes
        self.log: list[str] = []
        self.streams = 0
        self.current: list[int] = []
        self.used = "computing"
        self.peak_bytes = 0

    def install(self, patch: pytest.MonkeyPatch) -> Cuda:
        for name in ("Stream", "Event", "stream", "device", "current_stream", "empty_cache",
                     "memory_allocated", "memory_reserved", "max_memory_allocated",
                     "mem_get_info", "reset_peak_memory_stats", "is_bf16_supported"):  # fmt: skip
            patch.setattr(torch.cuda, name, getattr(self, name))
        empty, to, copy_ = torch.empty, torch.Tensor.to, torch.Tensor.copy_

        def pinned(*sizes: Any, pin_memory: bool = False, **options: Any) -> Any:
            assert self.current == [1]
            if pin_memory:
                self.log.append("pin")
            return empty(*sizes, **options)

        def moved(tensor: Any, *where: Any, non_blocking: bool = False, **options: Any) -> Any:
            if where == ("cuda:1",):
                assert non_blocking
                self.log.append(f"to the device on {self.used}: {tensor.dtype}")
                return tensor.clone()
            return to(tensor, *where, non_blocking=non_blocking, **options)

        def copied(tensor: Any, source: Any, non_blocking: bool = False) -> Any:
            if non_blocking:
                self.log.append(f"to the host on {self.used}: {source.dtype}")
            return copy_(tensor, source, non_blocking)

        patch.setattr(torch, "empty", pinned)
        patch.setattr(torch.Tensor, "to", moved)
        patch.setattr(torch.Tensor, "copy_", copied)
        patch.setattr(torch.nn.Module, "to", lambda module, *_where, **_options: module)
        patch.setattr(
            torch.Tensor,
            "record_stream",
            lambda _tensor, stream: self.log.append(f"kept for {stream.name}"),
        )
        return self

    @contextlib.contextmanager
    def device(self, index: int) -> Iterator[None]:
        self.current.append(index)
        yield
        self.current.pop()

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.used = self.used, stream.name
        yield
        self.used = before

    def Stream(self) -> Stream:  # noqa: N802 - the name in torch
        return Stream(self, "copying")

    def current_stream(self) -> Stream:
        return Stream(self, self.used)

    def Event(self) -> Event:  # noqa: N802
        return Event(self)

    def empty_cache(self) -> None:
        self.log.append("freed")

    def memory_allocated(self) -> int:
        return 0

    def memory_reserved(self) -> int:
        return 0

    def max_memory_allocated(self) -> int:
        return self.peak_bytes

    def mem_get_info(self) -> tuple[int, int]:
        return self.free_bytes, 2**40

    def reset_peak_memory_stats(self) -> None:
        self.peak_bytes = 0

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return self.bf16 or including_emulation


class Stream:
    def __init__(self, cuda: Cuda, name: str) -> None:
        self.cuda = cuda
        self.name = name

    def wait_stream(self, other: Stream) -> None:
        self.cuda.log.append(f"{self.name} waits for {other.name}")


class Event:
    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda

    def record(self, stream: Stream) -> None:
        self.cuda.log.append(f"marked on {stream.name}")

    def synchronize(self) -> None:
        self.cuda.log.append("fetched")


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_computes_in_bf16_unless_it_would_emulate_it(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: str
) -> None:
    cuda = Cuda(bf16=bf16).install(monkeypatch)

    assert best_precision(GPU) == precision
    assert cuda.current == []


def test_the_cpu_computes_in_fp32() -> None:
    assert best_precision(CPU) == "fp32"


@pytest.mark.parametrize(("bf16", "lowered"), [(True, "bfloat16"), (False, "float16")])
def test_a_module_on_a_gpu_runs_under_autocast(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, lowered: str
) -> None:
    asked: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def autocast(kind: str, *, dtype: Any) -> Iterator[None]:
        asked.append((kind, str(dtype)))
        yield

    Cuda(bf16=bf16).install(monkeypatch)
    monkeypatch.setattr(torch, "autocast", autocast)
    network = TorchNetwork.open(Limited(lambda _rows: None), GPU)

    network.run({"values": np.ones((3, 1), np.float32)})

    assert asked == [("cuda", f"torch.{lowered}")]


class Overflowing(torch.nn.Module):  # type: ignore[misc]
    """Passes what fp16 can hold."""

    def forward(self, values: Any) -> Any:
        halves = torch.is_autocast_enabled("cpu")
        return torch.where(torch.tensor(halves), torch.inf, values)


def test_what_does_not_fit_into_fp16_is_computed_in_fp32_from_then_on() -> None:
    network = TorchNetwork(Overflowing(), CPU, name="it", batch=4, precision="fp16")

    (values,) = network.run({"values": np.ones((6, 2), np.float32)})

    assert (values == 1).all()
    assert network.precision == "fp32"


# On a GPU


def open_on_gpu(module: Any, **options: Any) -> TorchNetwork:
    return TorchNetwork.open(module, GPU, precision="fp32", **options)


def test_rows_are_copied_while_the_batch_before_them_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda().install(monkeypatch)
    network = open_on_gpu(Limited(lambda _rows: None), batch=2)
    values = np.arange(6, dtype=np.uint8)[:, None]

    (doubled,) = network.run({"values": values})

    assert doubled.tolist() == (values * 2.0).tolist()
    sent = [
        "pin",
        "to the device on copying: torch.uint8",
        "kept for computing",
        "computing waits for copying",
        "pin",
        "to the host on computing: torch.float32",
        "marked on computing",
    ]
    assert cuda.log == [*sent, *sent, "fetched", *sent, "fetched", "fetched"]
    assert cuda.current == []


def test_a_gpu_gives_its_memory_back_before_the_rows_are_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda().install(monkeypatch)
    network = open_on_gpu(Limited(lambda rows: full() if rows > 4 else None), batch=8)
    values = np.arange(20, dtype=np.float32)[:, None]

    (doubled,) = network.run({"values": values})

    assert (doubled == values * 2).all()
    assert network.batch == 4
    assert cuda.log.count("freed") == 1


def test_a_batch_on_a_gpu_grows_only_into_memory_that_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda(free_bytes=1000).install(monkeypatch)
    row_bytes = 10

    def measure(rows: int) -> None:
        cuda.peak_bytes = max(cuda.peak_bytes, rows * row_bytes)

    network = open_on_gpu(Limited(measure), batch=4)
    ticks = iter(range(10**6))
    # Each batch takes as long. The clock is a default that was bound when the module was loaded.
    defaults = compute_in_batches.__kwdefaults__ | {"clock": lambda: float(next(ticks))}
    monkeypatch.setattr(compute_in_batches, "__kwdefaults__", defaults)
    for _ in range(12):
        network.run({"values": np.zeros((network.batch * 4, 1), np.float32)})

    # Twice 32 rows would take 640 bytes of 1000, twice 64 rows 1280.
    assert network.batch == 64


def test_full_memory_at_one_row_tells_how_much_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    Cuda(free_bytes=37 << 20).install(monkeypatch)
    network = open_on_gpu(Limited(full), name="the audio network of clap")

    with pytest.raises(
        ModelError, match=r"the audio network of clap: 37 of 1048576 MiB are free on cuda:1, .*"
        r"a smaller model, or use --device cpu",
    ):  # fmt: skip
        network.run({"values": np.zeros((4, 1), np.float32)})


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 60), limit=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_outputs_of_a_gpu_are_complete_and_in_order_whenever_memory_is_full(
    rows: int, limit: int, seed: int
) -> None:
    chance = random.Random(seed)

    def fails(count: int) -> Exception | None:
        return full() if count > limit or (count > 1 and chance.random() < 0.2) else None

    with pytest.MonkeyPatch.context() as patch:
        Cuda().install(patch)
        network = open_on_gpu(Limited(fails), batch=16)
        values = np.arange(rows, dtype=np.float32)[:, None]

        (doubled,) = network.run({"values": values})

    assert (doubled == values * 2).all()
