"""`mmsearch index` on photographs against the encoder alone, a plain loop and rclip, in one run.

Needs the extra `clip` and MMSEARCH_TEST_DATA; RCLIP names the `rclip` of an environment with
rclip 3.3, which gets the same random ViT-B-32-256. All figures are of whole processes but those of
the encoder alone. VARIANTS and ROUNDS say how much is done (608 photographs, 3 rounds).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import measure, random_models
from mmsearch.encoders.image.open_clip import OpenClipEncoder
from mmsearch.models.presets import ModelSpec

ARCHITECTURE = "ViT-B-32-256"
QUALITIES = tuple(94 - 3 * number for number in range(int(os.environ.get("VARIANTS", "8"))))
"""Each photograph is saved so many times: every one is a file of its own."""
ROUNDS = int(os.environ.get("ROUNDS", "3"))
RCLIP_MODELS = "ViT-B-32-256-datacomp_s34b_b86k"
"""Where rclip looks for its networks below its data folder."""
QUERY = "two people riding horses on the beach"


def photographs(folder: Path) -> int:
    """The photographs of the test media, saved in several qualities: each is a new file."""
    folder.mkdir(parents=True)
    for path in sorted((measure.test_data() / "captions" / "images").iterdir()):
        with Image.open(path) as picture:
            for quality in QUALITIES:
                name = folder / f"{path.stem}_{quality}.jpg"
                picture.convert("RGB").save(name, quality=quality)
    return sum(1 for _ in folder.iterdir())


def encoder_alone(spec: ModelSpec, media: Path, precision: str) -> float:
    """Images a second on pictures that are decoded and scaled already."""
    encoder = OpenClipEncoder.load(spec, random_models.context(precision=precision))
    pictures = []
    for path in sorted(media.iterdir())[:64]:
        with Image.open(path) as picture:
            pictures.append(encoder.prepare(np.asarray(picture.convert("RGB"))))
    encoder.encode(pictures[:16])
    started = time.perf_counter()
    for start in range(0, len(pictures), 16):
        encoder.encode(pictures[start : start + 16])
    return len(pictures) / (time.perf_counter() - started)


def indexed(spec: ModelSpec, media: Path, library: Path, precision: str) -> float:
    shutil.rmtree(library, ignore_errors=True)
    started = time.perf_counter()
    subprocess.run(
        [*measure.MMSEARCH, "index", str(media), "--library", str(library), "--image-model",
         spec.source, "--precision", precision, "--device", "cpu"],
        check=True, capture_output=True, env=environment(),
    )  # fmt: skip
    return sum(1 for _ in media.iterdir()) / (time.perf_counter() - started)


def environment() -> dict[str, str]:
    return {**os.environ, "MMSEARCH_MODELS": str(random_models.store())}


def plain_loop(spec: ModelSpec, media: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.plain_loop", spec.source, str(media)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def prepare_rclip(spec: ModelSpec, folder: Path) -> None:
    """The same weights as rclip wants them: two networks, and the list of merges."""
    import onnx
    import open_clip
    import torch
    from open_clip.tokenizer import default_bpe

    from mmsearch.models.conversion.onnx_export import export_onnx

    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{spec.source}")

    class Tower(torch.nn.Module):
        def __init__(self, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
            super().__init__()
            self.model = model
            self.call = call

        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - rclip's name
            return self.call(input)

    (folder / "tokenizer").mkdir(parents=True)
    shutil.copy(default_bpe(), folder / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz")
    (folder / RCLIP_MODELS).mkdir(parents=True)
    shown = {"input": torch.zeros(2, 3, 256, 256)}
    tokens = {"input": torch.ones(2, 77, dtype=torch.long)}
    for name, call, example in (
        ("visual.onnx", model.encode_image, shown),
        ("textual.onnx", model.encode_text, tokens),
    ):
        path = folder / RCLIP_MODELS / name
        export_onnx(Tower(call), example, "output", path)
        onnx.save(onnx.load(str(path)), str(path))  # one file each, as rclip's own are
        path.with_name(f"{name}.data").unlink(missing_ok=True)


def rclip_indexed(rclip: str, data: Path, media: Path) -> float:
    for path in data.glob("*.sqlite*"):
        path.unlink()
    for path in data.glob("db*"):
        path.unlink()
    started = time.perf_counter()
    subprocess.run(
        [rclip, "--filepath-only", QUERY], cwd=media, check=True, capture_output=True,
        env={**os.environ, "RCLIP_DATADIR": str(data)},
    )  # fmt: skip
    return sum(1 for _ in media.iterdir()) / (time.perf_counter() - started)


def main() -> None:
    spec = random_models.open_clip(ARCHITECTURE)
    rclip = os.environ.get("RCLIP")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        media = folder / "media"
        count = photographs(media)
        print(f"{ARCHITECTURE} (random weights), {count} photographs of 640 px, images/s")
        work: dict[str, Callable[[], float]] = {}
        for precision in ("fp32", "int8"):
            library = folder / precision

            def alone(precision: str = precision) -> float:
                return encoder_alone(spec, media, precision)

            def whole(precision: str = precision, library: Path = library) -> float:
                return indexed(spec, media, library, precision)

            work[f"encoder alone {precision}"] = alone
            work[f"mmsearch index {precision}"] = whole
        work["plain loop, torch"] = lambda: plain_loop(spec, media)
        data = folder / "rclip"
        if rclip:
            prepare_rclip(spec, data)
            work["rclip 3.3"] = lambda: rclip_indexed(rclip, data, media)
        found: dict[str, list[float]] = {name: [] for name in work}
        for number in range(ROUNDS):
            for name, run in work.items():
                found[name].append(run())
            print(f"round {number + 1}", {name: round(f[-1], 1) for name, f in found.items()})
        middle = {name: statistics.median(rates) for name, rates in found.items()}
        for precision in ("fp32", "int8"):
            ours = middle[f"mmsearch index {precision}"]
            shares = [f"{ours / middle[f'encoder alone {precision}']:.2f} of the encoder alone"]
            shares += [f"{ours / middle[name]:.2f} times {name}" for name in middle
                       if name in ("plain loop, torch", "rclip 3.3")]  # fmt: skip
            print(f"mmsearch index {precision}: {ours:.1f}; {'; '.join(shares)}")
        if rclip:
            queries(rclip, data, media, folder / "int8")


def queries(rclip: str, data: Path, media: Path, library: Path) -> None:
    """A cold query each, in turns: whole processes."""
    env = {**environment(), "RCLIP_DATADIR": str(data), "PYTHONPATH": str(Path.cwd())}
    ours = [*measure.MMSEARCH, "search", QUERY, "--library", str(library), "--min-score", "0"]
    theirs = [rclip, "--no-indexing", "--filepath-only", QUERY]
    found: dict[str, list[dict[str, float]]] = {"mmsearch": [], "rclip": []}
    for _ in range(ROUNDS):
        for name, command in (("mmsearch", ours), ("rclip", theirs)):
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.cold_query", "2", *command],
                cwd=media, env=env, check=True, capture_output=True, text=True,
            )  # fmt: skip
            found[name].append(json.loads(told.stdout))
    for name, each in found.items():
        seconds = statistics.median(one["seconds"] for one in each)
        print(f"cold query {name:<9} {seconds:.2f} s, {max(one['peak_mb'] for one in each):.0f} MB")


if __name__ == "__main__":
    main()
