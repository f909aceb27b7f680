"""Finds the GPUs of this machine by its driver, and the build of torch by its files."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
CUBLAS = "cublas64_12.dll" if sys.platform == "win32" else "libcublas.so.12"
_COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h
_DRIVER_TOO_OLD = 35  # CUDA_ERROR_INSUFFICIENT_DRIVER of cuda.h
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE of cuda.h


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, numbered as torch numbers it."""

    index: int
    name: str
    memory_bytes: int
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name}, {self.memory_bytes / 2**30:.0f} GiB"


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """The installed torch; `cuda` is the version that it was built for, None without CUDA."""

    version: str
    cuda: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Machine:
    """GPUs, driver and torch; `without_gpu` tells why there is no GPU, and what to do."""

    gpus: tuple[Gpu, ...] = ()
    without_gpu: str = ""
    driver_cuda: tuple[int, int] = (0, 0)
    torch: TorchBuild | None = None


@cache
def inspect_machine() -> Machine:
    """Queries the driver and the installed packages, once a process; never fails."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        reason = f"no NVIDIA driver was found ({DRIVER} does not load): install one from nvidia.com"
        return Machine(without_gpu=reason, torch=find_torch_build())
    try:
        gpus, without_gpu = _query_driver(driver)
        version = ctypes.c_int()
        driver.cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError) as exc:  # a driver so old, or a stub, that functions lack
        return Machine(without_gpu=f"{DRIVER} is no NVIDIA driver that can be used: {exc}")
    cuda = (version.value // 1000, version.value % 1000 // 10)
    return Machine(gpus, without_gpu, cuda, find_torch_build())


def _query_driver(driver: ctypes.CDLL) -> tuple[tuple[Gpu, ...], str]:
    """Returns the GPUs by the driver's interface (cuda.h), or the reason why there are none."""
    code = driver.cuInit(0)
    count = ctypes.c_int()
    if code == 0:
        code = driver.cuDeviceGetCount(ctypes.byref(count))
    if code != 0 and code != _NO_DEVICE:
        message = ctypes.c_char_p()
        driver.cuGetErrorString(code, ctypes.byref(message))
        reason = (message.value or b"an unknown error").decode("utf-8", "replace")
        remedy = "update the driver" if code == _DRIVER_TOO_OLD else "see what nvidia-smi says"
        return (), f"the NVIDIA driver does not start ({reason}, code {code}): {remedy}"
    if count.value == 0:
        return (), (
            "the NVIDIA driver finds no GPU: see what nvidia-smi says, and whether "
            "CUDA_VISIBLE_DEVICES hides it"
        )
    return tuple(_read_gpu(driver, index) for index in range(count.value)), ""


def _read_gpu(driver: ctypes.CDLL, index: int) -> Gpu:
    handle = ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    memory = ctypes.c_size_t()
    capability = [ctypes.c_int(), ctypes.c_int()]
    driver.cuDeviceGet(ctypes.byref(handle), index)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    for value, attribute in zip(capability, _COMPUTE_CAPABILITY, strict=True):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
    major, minor = (value.value for value in capability)
    return Gpu(index, name.value.decode("utf-8", "replace"), memory.value, (major, minor))


def find_torch_build() -> TorchBuild | None:
    """Reads the build of the installed torch from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        text = (Path(spec.submodule_search_locations[0]) / "version.py").read_text()
    except (OSError, UnicodeDecodeError):
        text = ""
    version = re.search(r"^__version__[^=\n]*= *['\"]([^'\"]+)", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b[^=\n]*= *['\"](\d+)\.(\d+)", text, re.MULTILINE)
    return TorchBuild(
        version[1] if version else "of an unknown version",
        (int(cuda[1]), int(cuda[2])) if cuda else None,
    )


def load_cublas() -> str:
    """Loads cuBLAS 12 for CTranslate2; returns a remedy if it is missing, else an empty text.

    CTranslate2 4.8 opens it by its bare name when it first multiplies, while torch 2.15 brings
    cuBLAS 13: with both installed Whisper still fails on a GPU. A library that is loaded already is
    found by its name wherever it lies, so the one of the package nvidia-cublas-cu12 is loaded here.
    """
    spec = importlib.util.find_spec("nvidia")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    packaged = [
        Path(place) / "cublas" / folder / CUBLAS for place in places for folder in ("lib", "bin")
    ]
    for library in (CUBLAS, *(str(path) for path in packaged if path.is_file())):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return ""
    return (
        f"Whisper needs cuBLAS 12 on a GPU ({CUBLAS} is not there): pip install nvidia-cublas-cu12"
    )
