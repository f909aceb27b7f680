"""Encoders on a GPU: alone, through the runtime, and in `mmsearch index`, with random weights.

`python -m benchmarks.gpu` needs a GPU and `pip install 'mmsearch[clip]'`; `--device cpu` with few
rows tries the same code without one. Random weights compute what trained ones compute, so speed and
memory are those of the real models; vectors mean nothing. Whisper is the packaged tiny.en unless
`--whisper` names a folder with another.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import measure
from mmsearch.errors import ConfigError, MmsearchError
from mmsearch.runtime.device import Device, DeviceChoice, resolve_device
from mmsearch.runtime.gpus import load_cublas
from mmsearch.runtime.torch import TorchNetwork

IMAGE_MODELS = ("ViT-B-16-SigLIP2-256", "PE-Core-L-14-336")
BATCHES = (16, 32, 64, 128, 256, 512)
PHOTOGRAPH = (1280, 960)
SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table; `peak_bytes` is of the whole GPU, above what it held before."""

    what: str
    value: str
    peak_bytes: int | None = None


@dataclass(slots=True)
class Bench:
    """What is asked for, and the figures so far."""

    device: Device
    rows: int
    photographs: int
    whisper: str
    figures: list[Figure] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[Callable[[str, str], None]]:
        """Gives a function that notes a figure with the peak of the GPU's memory until then."""
        with _Memory(self.device) as memory:
            yield lambda what, value: self.figures.append(Figure(what, value, memory.peak_bytes))


class _Memory:
    """Looks at the memory of a GPU all the while; processes of their own count too."""

    INTERVAL_S = 0.05

    def __init__(self, device: Device) -> None:
        self.peak_bytes: int | None = None
        self._device = device
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Memory:
        if self._device.kind == "cuda":
            import torch

            torch.cuda.empty_cache()
            self._before = self._used()
            self.peak_bytes = 0
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _used(self) -> int:
        import torch

        free, total = torch.cuda.mem_get_info(self._device.index)
        return int(total - free)

    def _look(self) -> None:
        while not self._stop.wait(self.INTERVAL_S):
            self.peak_bytes = max(self.peak_bytes or 0, self._used() - self._before)


def rate(run: Callable[[], object], rows: int, *, runs: int = 3) -> float:
    """Rows a second in the fastest of some runs, after one that is not counted."""
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return rows / min(seconds[1:])


def alone(network: TorchNetwork, inputs: dict[str, Any], rows: int) -> tuple[float, int]:
    """Rows a second on tensors that lie on the device already, and the batch that gave them."""
    import torch

    def run() -> None:
        outputs = network.call(held)
        if network.device.kind == "cuda":
            torch.cuda.synchronize(network.device.index)
        del outputs

    best = (0.0, 0)
    for batch in (one for one in BATCHES if one <= rows):
        held = {
            name: torch.from_numpy(value[:batch]).to(str(network.device))
            for name, value in inputs.items()
        }
        try:
            best = max(best, (rate(run, batch, runs=10), batch))
        except torch.OutOfMemoryError:
            break
    return best


def through_runtime(network: TorchNetwork, inputs: dict[str, Any], rows: int) -> float:
    """Rows a second from arrays in the memory of the host, once the batch has settled."""
    for _ in range(8):  # each may double it
        network.run(inputs)
    return rate(lambda: network.run(inputs), rows)


def module_figures(bench: Bench, name: str, module: Any, inputs: dict[str, Any], unit: str) -> None:
    """A module alone and through the runtime."""
    with bench.watched() as note:
        network = TorchNetwork.open(module, bench.device, name=name)
        best, batch = alone(network, inputs, bench.rows)
        note(f"{name}: alone, {network.precision}, batch {batch}", f"{best:.1f} {unit}")
    with bench.watched() as note:
        reached = through_runtime(network, inputs, bench.rows)
        share = f"{reached / best:.0%}" if best else "-"
        note(f"{name}: runtime, batch {network.batch}", f"{reached:.1f} {unit} ({share})")


def image_module(name: str) -> tuple[Any, int]:
    """The image network of an open_clip model with random weights, and its size in pixels."""
    import open_clip
    import torch

    class Pictures(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self, visual: Any) -> None:
            super().__init__()
            self.visual = visual

        def forward(self, pixels: Any) -> Any:
            scaled = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
            return torch.nn.functional.normalize(self.visual(scaled).float(), dim=-1)

    config = open_clip.get_model_config(name)
    if config is None:
        raise SystemExit(f"open_clip {open_clip.__version__} knows no model {name!r}")
    model = open_clip.create_model(name, pretrained=None)
    return Pictures(model.visual), int(config["vision_cfg"]["image_size"])


def images(bench: Bench, name: str) -> None:
    module, size = image_module(name)
    pixels = np.random.default_rng(1).integers(0, 256, (bench.rows, size, size, 3), np.uint8)
    module_figures(bench, name, module, {"pixels": pixels}, "images/s")


def clap(bench: Bench) -> None:
    import torch
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection

    class Sound(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = ClapAudioModelWithProjection(ClapAudioConfig())

        def forward(self, features: Any) -> Any:
            return torch.nn.functional.normalize(
                self.model(input_features=features).audio_embeds.float(), dim=-1
            )

    shape = (bench.rows, 1, 1001, 64)
    features = np.random.default_rng(1).normal(-30, 20, shape).astype(np.float32)
    module_figures(bench, "CLAP (HTSAT)", Sound(), {"features": features}, "windows/s")


def whisper(bench: Bench) -> None:
    """Seconds of computing for a second of speech, in batches, as faster-whisper is called."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel, decode_audio

    from mmsearch.encoders.speech.transcriber import TINY_EN

    is_gpu = bench.device.kind == "cuda"
    problem = load_cublas() if is_gpu else ""
    if problem:
        bench.figures.append(Figure("Whisper", problem))
        return
    packaged = str(next(iter(TINY_EN.values())).verify().parent)
    spoken = sorted((SAMPLE_DATA / "recordings").glob("*.flac"))
    samples = np.concatenate([decode_audio(str(path)) for path in spoken])
    wanted = 600 if is_gpu else 30
    samples = np.tile(samples, int(wanted * 16_000 / len(samples)) + 1)
    with bench.watched() as note:
        model = WhisperModel(
            bench.whisper or packaged,
            device=bench.device.kind,
            device_index=bench.device.index,
            compute_type="float16" if is_gpu else "int8",
        )
        pipeline = BatchedInferencePipeline(model)

        def run() -> None:
            segments, _ = pipeline.transcribe(samples, language="en", batch_size=16)
            list(segments)

        speed = rate(run, len(samples), runs=2) / 16_000
        named = Path(bench.whisper).name if bench.whisper else "tiny.en"
        note(f"Whisper {named}", f"real-time factor {1 / speed:.4f} ({speed:.0f} s/s)")


def photographs(folder: Path, count: int) -> None:
    """JPEGs of 1.2 megapixels with structure of every size; each is another."""
    generator = np.random.default_rng(7)
    folder.mkdir(parents=True)
    for number in range(count):
        scene = np.zeros((PHOTOGRAPH[1], PHOTOGRAPH[0], 3), np.float32)
        for cells in (4, 16, 64, 256):
            coarse = generator.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
            layer = Image.fromarray(coarse).resize(PHOTOGRAPH, Image.Resampling.BICUBIC)
            scene += np.asarray(layer, np.float32) / cells**0.5
        scene *= 255.0 / scene.max()
        Image.fromarray(scene.astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=85)


def indexing(bench: Bench, names: Sequence[str]) -> None:
    """Whole processes over few and over many photographs: the difference is without start-up."""
    from tests import models

    few = max(1, bench.photographs // 10)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photographs(root / "few", few)
        photographs(root / "many", bench.photographs)
        environment = {**os.environ, "MMSEARCH_MODELS": str(root / "store")}
        for name in names:
            source = models.save_open_clip(root / name, name)
            index = [*measure.MMSEARCH, "index", "--image-model", str(source)]
            index += ["--device", str(bench.device)]

            def run(
                media: str, library: str, environment: dict[str, str], index: list[str]
            ) -> float:
                started = time.perf_counter()
                ran = subprocess.run(
                    [*index, str(root / media), "--library", str(root / library)],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if ran.returncode:
                    raise SystemExit(f"mmsearch index failed: {ran.stderr.strip()[-500:]}")
                return time.perf_counter() - started

            run("few", f"{name}-first", environment, index)  # brings the model into the store
            with bench.watched() as note:
                short_s = run("few", f"{name}-few", environment, index)
                long_s = run("many", f"{name}-many", environment, index)
                steady = (bench.photographs - few) / max(long_s - short_s, 1e-9)
                whole = bench.photographs / long_s
                note(
                    f"{name}: mmsearch index, {bench.photographs} photographs",
                    f"{steady:.1f} images/s ({whole:.1f} with start-up)",
                )


def table(choice: DeviceChoice, figures: Sequence[Figure]) -> str:
    width = max((len(one.what) for one in figures), default=0)
    lines = [f"device: {choice.gpu or choice.device}"]
    for one in figures:
        peak = "" if one.peak_bytes is None else f"   {one.peak_bytes / 2**30:.1f} GiB at most"
        lines.append(f"{one.what:<{width}}   {one.value}{peak}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N; cpu for a trial")
    parser.add_argument("--rows", type=int, default=2048, help="rows a run of an encoder")
    parser.add_argument("--photographs", type=int, default=2000, help="for mmsearch index; 0: none")
    parser.add_argument("--whisper", default="", help="a folder with a CTranslate2 Whisper model")
    parser.add_argument("--models", nargs="*", default=list(IMAGE_MODELS), help="open_clip names")
    asked = parser.parse_args()
    try:
        choice = resolve_device(asked.device)
    except ConfigError as exc:
        raise SystemExit(f"this benchmark needs a GPU: {exc}") from exc
    logging.disable(logging.WARNING)  # open_clip warns of random weights
    bench = Bench(choice.device, asked.rows, asked.photographs, asked.whisper)
    for name in asked.models:
        images(bench, name)
    clap(bench)
    try:
        whisper(bench)
    except (MmsearchError, RuntimeError) as exc:  # what CTranslate2 raises
        bench.figures.append(Figure("Whisper", f"failed: {exc}"))
    if bench.photographs:
        indexing(bench, asked.models)
    print(table(choice, bench.figures))


if __name__ == "__main__":
    main()
