"""Which device networks run on, found without importing what runs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmsearch.errors import ConfigError
from mmsearch.runtime.gpus import look

if TYPE_CHECKING:
    from mmsearch.runtime.gpus import Gpu, Machine

AUTO = "auto"
ALLOWED = "auto, cpu, cuda or cuda:N"
FIRST_OF_CUDA_13 = (7, 5)
"""CUDA 13 compiles for no GPU before Turing (its release notes)."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where a network runs; `str()` gives cpu or cuda:N, as torch wants it."""

    kind: Literal["cpu", "cuda"]
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> Device | None:
        """The device that a person named, None for auto; `cuda` is the first GPU.

        Raises ConfigError, which lists what is allowed.
        """
        named = text.strip().lower()
        if named == AUTO:
            return None
        if named == "cpu":
            return CPU
        match = re.fullmatch(r"cuda(?::([0-9]{1,4}))?", named, re.ASCII)
        if match is None:
            raise ConfigError(f"there is no device {text!r}: it can be {ALLOWED}")
        return cls("cuda", int(match[1] or 0))

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


CPU = Device("cpu")


@dataclass(frozen=True, slots=True)
class Choice:
    """The device that was settled on, its GPU, and why it is not one that could be expected.

    `reason` is a sentence for a person: it is there when `auto` passes over a GPU, and empty where
    there is nothing to tell.
    """

    device: Device
    gpu: Gpu | None = None
    reason: str = ""


def resolve(text: str, *, needs_torch: bool = True, machine: Machine | None = None) -> Choice:
    """Settle a person's wish: auto takes the first GPU that can be used, else the CPU.

    `needs_torch` is False where only CTranslate2 runs on the GPU. `machine` is this one unless
    given. Raises ConfigError for what is no device, and for cuda where it cannot be used; auto
    never fails. Imports neither torch nor ctranslate2.
    """
    wish = Device.parse(text)
    if wish == CPU:
        return Choice(CPU)
    machine = machine or look()
    if wish is None:
        for gpu in machine.gpus:
            if not _obstacle(gpu, machine, needs_torch=needs_torch):
                return Choice(Device("cuda", gpu.index), gpu)
        if not machine.gpus:
            return Choice(CPU)
        obstacle = _obstacle(machine.gpus[0], machine, needs_torch=needs_torch)
        return Choice(CPU, reason=f"a GPU is there ({machine.gpus[0]}), but {obstacle}")
    if not machine.gpus:
        raise ConfigError(f"--device {text}: {machine.without_gpu}; or use --device cpu")
    if wish.index >= len(machine.gpus):
        listed = ", ".join(f"cuda:{gpu.index} ({gpu})" for gpu in machine.gpus)
        raise ConfigError(f"--device {text}: there is no such GPU; there are: {listed}")
    chosen = machine.gpus[wish.index]
    obstacle = _obstacle(chosen, machine, needs_torch=needs_torch)
    if obstacle:
        raise ConfigError(f"--device {text}: {chosen} is there, but {obstacle}")
    return Choice(wish, chosen)


def _obstacle(gpu: Gpu, machine: Machine, *, needs_torch: bool) -> str:
    """Why torch cannot use a GPU, and what to do about it; empty where it can."""
    if not needs_torch:
        return ""
    torch = machine.torch
    if torch is None:
        return "torch is not installed: pip install 'mmsearch[clip]'"
    install = "install another, which https://pytorch.org/get-started/locally helps to choose"
    if torch.cuda is None:
        return f"this torch ({torch.version}) has no CUDA: {install}"
    if torch.cuda[0] > machine.driver_cuda[0]:
        return (
            f"its driver knows CUDA {_dotted(machine.driver_cuda)} and this torch needs "
            f"{_dotted(torch.cuda)}: update the driver, or {install}"
        )
    if torch.cuda >= (13, 0) and gpu.capability < FIRST_OF_CUDA_13:
        return (
            f"it is too old for this torch ({torch.version}), which needs compute capability "
            f"{_dotted(FIRST_OF_CUDA_13)} and finds {_dotted(gpu.capability)}: {install}"
        )
    return ""


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
