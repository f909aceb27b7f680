"""Runs a torch module on a GPU, or on the CPU, in batches as large as pays."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmsearch.errors import ModelError
from mmsearch.runtime.batching import GrowingBatch, compute
from mmsearch.runtime.device import Device

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mmsearch.runtime.network import Tensor

Precision = Literal["fp32", "bf16", "fp16"]
MEMORY_SHARE = 0.8
"""A batch is not doubled beyond this share of the memory that is free: others need some too."""
_MEMORY_IS_FULL = ("CUDA error: out of memory", "_ALLOC_FAILED", "can't allocate memory")
"""How cudaMalloc, cuBLAS and the CPU put it, in errors that are no torch.OutOfMemoryError."""
_WHAT_TO_DO = "close what else uses its memory, take a smaller model, or use --device cpu"


def best_precision(device: Device) -> Precision:
    """What a device computes fastest without losing much: bf16, else fp16, and fp32 on the CPU.

    bf16 has the range of fp32, so that no network overflows in it. Emulated bf16, which older GPUs
    offer (`is_bf16_supported` counts it unless told not to), is slower than their fp16.
    """
    if device.kind == "cpu":
        return "fp32"
    import torch

    with _on(device):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def is_overflow(error: BaseException) -> bool:
    """Whether an error of torch says that memory is full."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _MEMORY_IS_FULL)


def _on(device: Device) -> AbstractContextManager[Any]:
    """Makes a GPU the current one, as events, streams and `is_bf16_supported` want it."""
    if device.kind == "cpu":
        return nullcontext()
    import torch

    guard: AbstractContextManager[Any] = torch.cuda.device(device.index)
    return guard


class TorchNetwork:
    """One torch module on one device; fulfils `mmsearch.runtime.network.Network`.

    The module takes its inputs by name and gives a tensor, or several, whose first axis is that of
    the rows. Calls from several threads are taken one after the other.
    """

    def __init__(
        self, module: Any, device: Device, *, name: str, batch: int, precision: Precision
    ) -> None:
        self.device = device
        self.name = name
        self.batch = batch
        self.precision: Precision = precision
        self._module = module
        self._steps = _CudaSteps(self) if device.kind == "cuda" else _CpuSteps(self)
        self._growing = GrowingBatch(batch)
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        module: Any,
        device: Device,
        *,
        name: str = "the network",
        batch: int = 16,
        precision: Precision | None = None,
    ) -> TorchNetwork:
        """Put a module on a device, ready to run.

        `name` is what messages call it, `batch` the rows to begin with. Without a `precision` it is
        `best_precision`. Raises ModelError where the device cannot hold it.
        """
        import torch

        module = module.eval().requires_grad_(requires_grad=False)
        try:
            module = module.to(str(device))
            if any(isinstance(part, torch.nn.Conv2d) for part in module.modules()):
                # Tensor cores want the channels of a pixel side by side, as our pictures have them.
                module = module.to(memory_format=torch.channels_last)
            precision = precision or best_precision(device)
        except RuntimeError as exc:
            reason = f"memory is full: {_WHAT_TO_DO}" if is_overflow(exc) else str(exc)
            raise ModelError(f"{name} cannot be put on {device}: {reason}") from exc
        return cls(module, device, name=name, batch=batch, precision=precision)

    def run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        """The outputs for any number of rows: arrays of n rows, float32 where they are floats.

        Raises ModelError where memory is too small for a single row.
        """
        with self._lock, _on(self.device):
            outputs = self._run(inputs)
            if self.precision == "fp16" and not all(np.isfinite(one).all() for one in outputs):
                # Some models pass what fp16 can hold; it would happen again.
                self.precision = "fp32"
                outputs = self._run(inputs)
            self.batch = self._growing.size
        return outputs

    def _run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        rows = len(next(iter(inputs.values())))
        if rows == 0:  # the outputs of a row that is made up tell how wide those of none are
            row = {name: np.zeros((1, *one.shape[1:]), one.dtype) for name, one in inputs.items()}
            return [output[:0] for output in self._run(row)]
        work = sum(one.size for one in inputs.values()) / rows
        self._steps.inputs = inputs
        try:
            parts = compute(rows, self._growing, self._steps, work_per_row=work)
        finally:
            self._steps.inputs = {}
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def call(self, tensors: Mapping[str, Any]) -> tuple[Any, ...]:
        """The outputs for one batch that is on the device, floats as float32."""
        import torch

        lowered: AbstractContextManager[Any] = nullcontext()
        if self.precision != "fp32":
            kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
            lowered = torch.autocast(self.device.kind, dtype=kind)
        with torch.inference_mode():
            with lowered:
                outputs = self._module(**tensors)
            several = outputs if isinstance(outputs, tuple | list) else (outputs,)
            return tuple(one.float() if one.is_floating_point() else one for one in several)


class _CpuSteps:
    """Batches on the CPU, each computed when it is begun."""

    depth = 1

    def __init__(self, network: TorchNetwork) -> None:
        self.inputs: Mapping[str, Tensor] = {}
        self._network = network

    def begin(self, start: int, stop: int) -> tuple[Any, ...]:
        import torch

        tensors = {}
        for name, one in self.inputs.items():
            # A copy: torch takes no arrays that run backwards, nor gladly those it must not change.
            tensors[name] = torch.from_numpy(np.array(one[start:stop], order="C"))
        return self._network.call(tensors)

    def fetch(self, begun: tuple[Any, ...]) -> list[Any]:
        return [output.numpy() for output in begun]

    def is_overflow(self, error: BaseException) -> bool:
        return is_overflow(error)

    def release(self) -> None:
        pass  # the allocator of the CPU keeps nothing

    def has_room(self) -> bool:
        return False  # larger batches take more memory there, and hardly less time

    def advice(self) -> str:
        return (
            f"{self._network.name}: the memory is too small for a batch of one: close other "
            "programs, or take a smaller model"
        )


class _CudaSteps:
    """Batches on a GPU: one is copied there while the one before it is computed.

    Rows go over a stream of their own and from pinned memory, so that neither they nor the host
    wait for what is computed. Two batches are on their way, so that the next is queued when one
    ends. All of it happens with the GPU as the current device.
    """

    depth = 2

    def __init__(self, network: TorchNetwork) -> None:
        import torch

        self.inputs: Mapping[str, Tensor] = {}
        self._network = network
        self._cuda = torch.cuda
        with _on(network.device):
            self._copying = torch.cuda.Stream()
            self._held_bytes = torch.cuda.memory_allocated()  # the weights, for the most part
            torch.cuda.reset_peak_memory_stats()

    def begin(self, start: int, stop: int) -> tuple[list[Any], Any]:
        computing = self._cuda.current_stream()
        tensors = {}
        with self._cuda.stream(self._copying):
            for name, one in self.inputs.items():
                pinned = _pinned(one[start:stop])
                tensors[name] = pinned.to(str(self._network.device), non_blocking=True)
                # Its memory is not for the next copy before it was computed with.
                tensors[name].record_stream(computing)
        computing.wait_stream(self._copying)
        outputs = []
        for output in self._network.call(tensors):
            host = _empty(tuple(output.shape), output.dtype)
            outputs.append(host.copy_(output, non_blocking=True))
        done = self._cuda.Event()
        done.record(computing)
        return outputs, done

    def fetch(self, begun: tuple[list[Any], Any]) -> list[Any]:
        outputs, done = begun
        done.synchronize()
        return [output.numpy() for output in outputs]

    def is_overflow(self, error: BaseException) -> bool:
        return is_overflow(error)

    def release(self) -> None:
        self._cuda.empty_cache()

    def has_room(self) -> bool:
        """Whether twice of what the largest batch took leaves a share of the memory to others."""
        free, _ = self._cuda.mem_get_info()
        allocated = self._cuda.memory_allocated()
        spare = free + self._cuda.memory_reserved() - allocated
        batch = self._cuda.max_memory_allocated() - self._held_bytes
        return bool(2 * batch <= MEMORY_SHARE * spare)

    def advice(self) -> str:
        free, total = self._cuda.mem_get_info()
        return (
            f"{self._network.name}: {free / 2**20:.0f} of {total / 2**20:.0f} MiB are free on "
            f"{self._network.device}, too little for a batch of one: {_WHAT_TO_DO}"
        )


def _pinned(rows: Tensor) -> Any:
    """Rows in pinned memory, which torch keeps and uses again once copies from it are done."""
    import torch

    pinned = _empty(rows.shape, torch.from_numpy(np.empty(0, rows.dtype)).dtype)
    np.copyto(pinned.numpy(), rows)
    return pinned


def _empty(shape: tuple[int, ...], dtype: Any) -> Any:
    import torch

    return torch.empty(shape, dtype=dtype, pin_memory=True)
