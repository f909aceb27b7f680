"""Chooses the device that networks run on, without importing torch or ctranslate2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmsearch.errors import ConfigError
from mmsearch.runtime.gpus import inspect_machine

if TYPE_CHECKING:
    from mmsearch.runtime.gpus import Gpu, Machine

AUTO = "auto"
ALLOWED = "auto, cpu, cuda or cuda:N"
FIRST_OF_CUDA_13 = (7, 5)
"""CUDA 13 compiles for no GPU before Turing (its release notes)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device; `str()` gives cpu or cuda:N, as torch takes it."""

    kind: Literal["cpu", "cuda"]
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> Device | None:
        """Parses a device, None for auto; `cuda` is the first GPU.

        Raises ConfigError, which lists the devices.
        """
        name = text.strip().lower()
        if name == AUTO:
            return None
        if name == "cpu":
            return CPU
        match = re.fullmatch(r"cuda(?::([0-9]{1,4}))?", name, re.ASCII)
        if match is None:
            raise ConfigError(f"there is no device {text!r}: it can be {ALLOWED}")
        return cls("cuda", int(match[1] or 0))

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


CPU = Device("cpu")


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """A device with its GPU; `reason` tells a user why `auto` passes over a GPU, else is empty."""

    device: Device
    gpu: Gpu | None = None
    reason: str = ""


def resolve_device(
    text: str, *, needs_torch: bool = True, machine: Machine | None = None
) -> DeviceChoice:
    """Chooses the device that a setting names: auto is the first usable GPU, else the CPU.

    `needs_torch` is False if only CTranslate2 runs on the GPU. `machine` is this one by default.
    Raises ConfigError for an unknown device and for an unusable GPU; auto never fails.
    """
    requested = Device.parse(text)
    if requested == CPU:
        return DeviceChoice(CPU)
    machine = machine or inspect_machine()
    if requested is None:
        for gpu in machine.gpus:
            if not _find_obstacle(gpu, machine, needs_torch=needs_torch):
                return DeviceChoice(Device("cuda", gpu.index), gpu)
        if not machine.gpus:
            return DeviceChoice(CPU)
        obstacle = _find_obstacle(machine.gpus[0], machine, needs_torch=needs_torch)
        return DeviceChoice(CPU, reason=f"a GPU is there ({machine.gpus[0]}), but {obstacle}")
    if not machine.gpus:
        raise ConfigError(f"--device {text}: {machine.without_gpu}; or use --device cpu")
    if requested.index >= len(machine.gpus):
        listed = ", ".join(f"cuda:{gpu.index} ({gpu})" for gpu in machine.gpus)
        raise ConfigError(f"--device {text}: there is no such GPU; there are: {listed}")
    chosen = machine.gpus[requested.index]
    obstacle = _find_obstacle(chosen, machine, needs_torch=needs_torch)
    if obstacle:
        raise ConfigError(f"--device {text}: {chosen} is there, but {obstacle}")
    return DeviceChoice(requested, chosen)


def _find_obstacle(gpu: Gpu, machine: Machine, *, needs_torch: bool) -> str:
    """Returns the reason why torch cannot use a GPU, with a remedy; empty if it can."""
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
            f"its driver knows CUDA {_format_version(machine.driver_cuda)} and this torch needs "
            f"{_format_version(torch.cuda)}: update the driver, or {install}"
        )
    if torch.cuda >= (13, 0) and gpu.capability < FIRST_OF_CUDA_13:
        needed, capability = _format_version(FIRST_OF_CUDA_13), _format_version(gpu.capability)
        return (
            f"it is too old for this torch ({torch.version}), which needs compute capability "
            f"{needed} and finds {capability}: {install}"
        )
    return ""


def _format_version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
