"""Runs a torch module on a GPU or the CPU in batches of the fastest size."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmsearch.errors import ModelError
from mmsearch.runtime.batching import BatchSizer, compute_in_batches
from mmsearch.runtime.device import Device

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mmsearch.runtime.network import Tensor

Precision = Literal["fp32", "bf16", "fp16"]
MEMORY_SHARE = 0.8
"""A batch is not doubled beyond this share of the free memory: other programs need some too."""
_MEMORY_IS_FULL = ("CUDA error: out of memory", "_ALLOC_FAILED", "can't allocate memory")
"""Messages of cudaMalloc, cuBLAS and the CPU in errors other than torch.OutOfMemoryError."""
_REMEDY = "close what else uses its memory, take a smaller model, or use --device cpu"


def best_precision(device: Device) -> Precision:
    """Returns the fastest precision of little loss: bf16, else fp16, and fp32 on the CPU.

    bf16 has the range of fp32, so that no network overflows in it. Emulated bf16, which older GPUs
    offer (`is_bf16_supported` counts it unless told not to), is slower than their fp16.
    """
    if device.kind == "cpu":
        return "fp32"
    import torch

    with _use_device(device):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def is_overflow(error: BaseException) -> bool:
    """Tests if an error of torch means that memory is full."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _MEMORY_IS_FULL)


def _use_device(device: Device) -> AbstractContextManager[Any]:
    """Makes a GPU the current one, as events, streams and `is_bf16_supported` require."""
    if device.kind == "cpu":
        return nullcontext()
    import torch

    guard: AbstractContextManager[Any] = torch.cuda.device(device.index)
    return guard


class TorchNetwork:
    """One torch module on one device; fulfils `mmsearch.runtime.network.Network`.

    The module takes its inputs by name and returns a tensor, or several, whose first axis is that
    of the rows. Calls from several threads run one after the other.
    """

    def __init__(
        self, module: Any, device: Device, *, name: str, batch: int, precision: Precision
    ) -> None:
        self.device = device
        self.name = name
        self.batch = batch
        self.precision: Precision = precision
        self._module = module
        self._batches = _CudaDevice(self) if device.kind == "cuda" else _CpuDevice(self)
        self._sizer = BatchSizer(batch)
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
        """Puts a module on a device, ready to run.

        `name` is for messages, `batch` the rows to begin with, `precision` that of
        `best_precision` by default. Raises ModelError if the device cannot hold the module.
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
            reason = f"memory is full: {_REMEDY}" if is_overflow(exc) else str(exc)
            raise ModelError(f"{name} cannot be put on {device}: {reason}") from exc
        return cls(module, device, name=name, batch=batch, precision=precision)

    def run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        """Returns the outputs for any number of rows, (n, ...); floats are float32.

        Raises ModelError if memory is too small for a single row.
        """
        with self._lock, _use_device(self.device):
            outputs = self._run(inputs)
            if self.precision == "fp16" and not all(np.isfinite(rows).all() for rows in outputs):
                # Some models pass what fp16 can hold; it would happen again.
                self.precision = "fp32"
                outputs = self._run(inputs)
            self.batch = self._sizer.size
        return outputs

    def _run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        rows = len(next(iter(inputs.values())))
        if rows == 0:  # the outputs for a row of zeros have the shape
            row = {name: np.zeros((1, *t.shape[1:]), t.dtype) for name, t in inputs.items()}
            return [output[:0] for output in self._run(row)]
        work = sum(tensor.size for tensor in inputs.values()) / rows
        self._batches.inputs = inputs
        try:
            parts = compute_in_batches(rows, self._sizer, self._batches, work_per_row=work)
        finally:
            self._batches.inputs = {}
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def call(self, tensors: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the outputs for one batch that is on the device, floats as float32."""
        import torch

        lowered: AbstractContextManager[Any] = nullcontext()
        if self.precision != "fp32":
            kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
            lowered = torch.autocast(self.device.kind, dtype=kind)
        with torch.inference_mode():
            with lowered:
                outputs = self._module(**tensors)
            several = outputs if isinstance(outputs, tuple | list) else (outputs,)
            return tuple(t.float() if t.is_floating_point() else t for t in several)


class _CpuDevice:
    """Computes batches on the CPU, each when it is begun."""

    depth = 1

    def __init__(self, network: TorchNetwork) -> None:
        self.inputs: Mapping[str, Tensor] = {}
        self._network = network

    def begin(self, start: int, stop: int) -> tuple[Any, ...]:
        import torch

        # Copies: torch refuses negative strides and warns about read-only arrays.
        return self._network.call(
            {
                name: torch.from_numpy(np.array(rows[start:stop], order="C"))
                for name, rows in self.inputs.items()
            }
        )

    def fetch(self, batch: tuple[Any, ...]) -> list[Any]:
        return [output.numpy() for output in batch]

    def is_overflow(self, error: BaseException) -> bool:
        return is_overflow(error)

    def release(self) -> None:
        pass  # the CPU allocator keeps nothing

    def has_room(self) -> bool:
        return False  # larger batches take more memory there, and hardly less time

    def format_advice(self) -> str:
        return (
            f"{self._network.name}: the memory is too small for a batch of one: close other "
            "programs, or take a smaller model"
        )


class _CudaDevice:
    """Computes batches on a GPU: one is copied there while the one before it is computed.

    Rows are copied in a stream of their own and from pinned memory, so that neither they nor the
    host wait for a computation. Two batches are in flight, so that the next is queued when one
    ends. The GPU must be the current device.
    """

    depth = 2

    def __init__(self, network: TorchNetwork) -> None:
        import torch

        self.inputs: Mapping[str, Tensor] = {}
        self._network = network
        self._cuda = torch.cuda
        with _use_device(network.device):
            self._copying = torch.cuda.Stream()
            self._held_bytes = torch.cuda.memory_allocated()  # the weights, for the most part
            torch.cuda.reset_peak_memory_stats()

    def begin(self, start: int, stop: int) -> tuple[list[Any], Any]:
        import torch

        computing = self._cuda.current_stream()
        tensors = {}
        with self._cuda.stream(self._copying):
            for name, rows in self.inputs.items():
                pinned = _pin(rows[start:stop])
                tensors[name] = pinned.to(str(self._network.device), non_blocking=True)
                # The next copy must not reuse its memory before it was computed with.
                tensors[name].record_stream(computing)
        computing.wait_stream(self._copying)
        outputs = []
        for output in self._network.call(tensors):
            host = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
            outputs.append(host.copy_(output, non_blocking=True))
        done = self._cuda.Event()
        done.record(computing)
        return outputs, done

    def fetch(self, batch: tuple[list[Any], Any]) -> list[Any]:
        outputs, done = batch
        done.synchronize()
        return [output.numpy() for output in outputs]

    def is_overflow(self, error: BaseException) -> bool:
        return is_overflow(error)

    def release(self) -> None:
        self._cuda.empty_cache()

    def has_room(self) -> bool:
        """Tests if twice the memory of the largest batch leaves a share to other programs."""
        free, _ = self._cuda.mem_get_info()
        allocated = self._cuda.memory_allocated()
        spare = free + self._cuda.memory_reserved() - allocated
        batch = self._cuda.max_memory_allocated() - self._held_bytes
        return bool(2 * batch <= MEMORY_SHARE * spare)

    def format_advice(self) -> str:
        free, total = self._cuda.mem_get_info()
        return (
            f"{self._network.name}: {free / 2**20:.0f} of {total / 2**20:.0f} MiB are free on "
            f"{self._network.device}, too little for a batch of one: {_REMEDY}"
        )


def _pin(rows: Tensor) -> Any:
    """Copies rows to pinned memory, which torch keeps and reuses once copies from it are done."""
    import torch

    dtype = torch.from_numpy(np.empty(0, rows.dtype)).dtype
    pinned = torch.empty(rows.shape, dtype=dtype, pin_memory=True)
    np.copyto(pinned.numpy(), rows)
    return pinned
