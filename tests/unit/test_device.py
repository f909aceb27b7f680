"""The device is the one asked for, or the best that can be used, and torch is not imported."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from mmsearch.errors import ConfigError
from mmsearch.runtime import gpus
from mmsearch.runtime.device import CPU, Device, DeviceChoice, resolve_device
from mmsearch.runtime.gpus import Gpu, Machine, TorchBuild

LARGE = Gpu(0, "NVIDIA H100", 80 * 2**30, (9, 0))
OLD = Gpu(0, "GeForce GTX 1080", 8 * 2**30, (6, 1))
CUDA_TORCH = TorchBuild("2.15.0+cu132", (13, 2))
GOOD = Machine((LARGE,), driver_cuda=(13, 2), torch=CUDA_TORCH)
BARE = Machine(without_gpu="no NVIDIA driver was found", torch=CUDA_TORCH)


def with_torch(torch: TorchBuild | None, *, gpu: Gpu = LARGE, driver: int = 13) -> Machine:
    return Machine((gpu,), driver_cuda=(driver, 0), torch=torch)


# Parsing


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", None),
        ("cpu", CPU),
        ("cuda", Device("cuda", 0)),
        ("cuda:0", Device("cuda", 0)),
        ("cuda:13", Device("cuda", 13)),
        (" CUDA:1 ", Device("cuda", 1)),
    ],
)
def test_a_device_is_parsed(text: str, device: Device | None) -> None:
    assert Device.parse(text) == device


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "mps", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1.0", "cuda 1", "cuda:٣",
     "cuda:99999", "cuda:1\ncuda:2"],
)  # fmt: skip
def test_what_is_no_device_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match="it can be auto, cpu, cuda or cuda:N"):
        Device.parse(text)


@pytest.mark.parametrize("text", ["cpu", "cuda:0", "cuda:7"])
def test_a_device_is_written_as_it_is_parsed(text: str) -> None:
    device = Device.parse(text)

    assert str(device) == text


# Settling


def test_the_cpu_is_taken_where_it_is_asked_for_without_a_look_at_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmsearch.runtime.device.inspect_machine", lambda: pytest.fail("looked"))

    assert resolve_device("cpu") == DeviceChoice(CPU)


def test_auto_takes_a_gpu_that_can_be_used() -> None:
    assert resolve_device("auto", machine=GOOD) == DeviceChoice(Device("cuda", 0), LARGE)


def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_nothing() -> None:
    assert resolve_device("auto", machine=BARE) == DeviceChoice(CPU)


def test_auto_passes_over_a_gpu_that_torch_cannot_use() -> None:
    second = Gpu(1, LARGE.name, LARGE.memory_bytes, LARGE.capability)
    machine = Machine((OLD, second), driver_cuda=(13, 2), torch=CUDA_TORCH)

    assert resolve_device("auto", machine=machine).device == Device("cuda", 1)


UNUSABLE = [
    (with_torch(None), r"torch is not installed: pip install 'mmsearch\[clip\]'"),
    (with_torch(TorchBuild("2.15.0+cpu", None)), r"2\.15\.0\+cpu\) has no CUDA: install another"),
    (with_torch(CUDA_TORCH, driver=12), r"knows CUDA 12\.0 .* needs 13\.2: update the driver"),
    (with_torch(CUDA_TORCH, gpu=OLD), r"too old .* capability 7\.5 and finds 6\.1"),
]


@pytest.mark.parametrize(("machine", "reason"), UNUSABLE)
def test_auto_falls_back_to_the_cpu_and_says_why(machine: Machine, reason: str) -> None:
    choice = resolve_device("auto", machine=machine)

    assert choice.device == CPU
    assert choice.gpu is None
    assert choice.reason.startswith(f"a GPU is there ({machine.gpus[0]}), but ")
    with pytest.raises(ConfigError, match=reason):
        raise ConfigError(choice.reason)


@pytest.mark.parametrize(("machine", "reason"), UNUSABLE)
def test_a_gpu_that_was_asked_for_and_cannot_be_used_is_an_error(
    machine: Machine, reason: str
) -> None:
    with pytest.raises(ConfigError, match=rf"--device cuda: .* is there, but .*{reason}"):
        resolve_device("cuda", machine=machine)


def test_an_old_gpu_serves_an_older_torch() -> None:
    machine = with_torch(TorchBuild("2.6.0+cu124", (12, 4)), gpu=OLD, driver=12)

    assert resolve_device("auto", machine=machine).device == Device("cuda", 0)


@pytest.mark.parametrize(("machine", "_reason"), UNUSABLE)
def test_what_needs_no_torch_takes_the_gpu_all_the_same(machine: Machine, _reason: str) -> None:
    assert resolve_device("auto", needs_torch=False, machine=machine).device == Device("cuda", 0)


def test_cuda_without_a_gpu_says_what_was_found_and_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no NVIDIA driver was found.*or use --device cpu"):
        resolve_device("cuda:0", machine=BARE)


def test_a_gpu_beyond_the_last_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"cuda:1: .*there are: cuda:0 \(NVIDIA H100, 80 GiB\)"):
        resolve_device("cuda:1", machine=GOOD)


# What the driver says


class Driver:
    """Answers as libcuda does."""

    def __init__(self, gpus: tuple[Gpu, ...] = (), *, init: int = 0, version: int = 13020) -> None:
        self.gpus = gpus
        self.init = init
        self.version = version

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the names of cuda.h
        assert flags == 0
        return self.init

    def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802
        return tell(count, len(self.gpus))

    def cuDriverGetVersion(self, version: object) -> int:  # noqa: N802
        return tell(version, self.version)

    def cuDeviceGet(self, handle: object, index: int) -> int:  # noqa: N802
        return tell(handle, index)

    def cuDeviceGetName(  # noqa: N802
        self, name: ctypes.Array[ctypes.c_char], size: int, handle: ctypes.c_int
    ) -> int:
        name.value = self.gpus[handle.value].name.encode()[: size - 1]
        return 0

    def cuDeviceTotalMem_v2(self, memory: object, handle: ctypes.c_int) -> int:  # noqa: N802
        return tell(memory, self.gpus[handle.value].memory_bytes)

    def cuDeviceGetAttribute(  # noqa: N802
        self, value: object, attribute: int, handle: ctypes.c_int
    ) -> int:
        return tell(value, self.gpus[handle.value].capability[attribute - 75])

    def cuGetErrorString(self, code: int, said: object) -> int:  # noqa: N802
        return tell(said, f"error {code}".encode())


def tell(target: object, value: object) -> int:
    target._obj.value = value  # type: ignore[attr-defined]  # what byref points at
    return 0


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The machine is looked at anew."""
    monkeypatch.setattr(gpus, "inspect_machine", gpus.inspect_machine.__wrapped__)
    return monkeypatch


def test_the_driver_tells_name_memory_and_capability(fresh: pytest.MonkeyPatch) -> None:
    second = Gpu(1, "RTX 5090", 32 * 2**30, (12, 0))
    fresh.setattr(ctypes, "CDLL", lambda _name: Driver((LARGE, second)))
    found = gpus.inspect_machine()

    assert found.gpus == (LARGE, second)
    assert found.driver_cuda == (13, 2)
    assert not found.without_gpu


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        (Driver(), "finds no GPU.*nvidia-smi.*CUDA_VISIBLE_DEVICES"),
        (Driver(init=100), "finds no GPU"),
        (Driver(init=35), r"does not start \(error 35, code 35\): update the driver"),
        (Driver(init=999), r"does not start \(error 999, code 999\): see what nvidia-smi says"),
        (object(), "no NVIDIA driver that can be used"),
    ],
)
def test_a_driver_without_a_gpu_tells_why(
    fresh: pytest.MonkeyPatch, driver: object, told: str
) -> None:
    fresh.setattr(ctypes, "CDLL", lambda _name: driver)
    found = gpus.inspect_machine()

    assert found.gpus == ()
    with pytest.raises(ConfigError, match=told):
        resolve_device("cuda", machine=found)


def test_no_driver_is_told(fresh: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    fresh.setattr(ctypes, "CDLL", fail)

    assert "no NVIDIA driver was found" in gpus.inspect_machine().without_gpu


# What is installed


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which packages are found."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("version", "build"),
    [
        (
            "__version__ = '2.15.0+cu132'\ncuda: Optional[str] = '13.2'\n",
            TorchBuild("2.15.0+cu132", (13, 2)),
        ),
        (
            "__version__ = '2.15.0+cpu'\ncuda: Optional[str] = None\n",
            TorchBuild("2.15.0+cpu", None),
        ),
        ("__version__ = '2.6.0'\ncuda = '12.4'\n", TorchBuild("2.6.0", (12, 4))),
        ("", TorchBuild("of an unknown version", None)),
    ],
)
def test_the_cuda_of_torch_is_read_from_its_files(
    packages: Path, version: str, build: TorchBuild
) -> None:
    (packages / "torch").mkdir()
    (packages / "torch/__init__.py").write_text("raise ImportError('torch was imported')")
    (packages / "torch/version.py").write_text(version)

    assert gpus.find_torch_build() == build


def test_torch_may_be_missing(packages: Path) -> None:
    assert packages.is_dir()
    assert gpus.find_torch_build() is None


def test_cublas_is_found_in_its_package(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = packages / "nvidia/cublas/lib" / gpus.CUBLAS
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    loaded = []

    def load(name: str) -> None:
        if name != str(packaged):
            raise OSError(name)
        loaded.append(name)

    monkeypatch.setattr(ctypes, "CDLL", load)

    assert gpus.load_cublas() == ""
    assert loaded == [str(packaged)]


def test_a_missing_cublas_is_told_with_what_to_install(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", fail)

    assert packages.is_dir()
    assert gpus.load_cublas().endswith("pip install nvidia-cublas-cu12")


def test_settling_on_a_device_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from mmsearch.runtime.device import resolve_device\n"
        "choice = resolve_device('auto')\n"
        "heavy = {'torch', 'ctranslate2', 'numpy', 'faster_whisper'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else 0)\n"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert ran.returncode == 0, ran.stderr.decode()
