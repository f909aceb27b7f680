"""Encoders alone: torch eager against the converted networks, on the same inputs, in one run.

Needs the extra `clip`. Weights are random: nothing here says how good a model is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import random_models
from mmsearch.encoders.audio.clap import ClapEncoder
from mmsearch.encoders.image.open_clip import OpenClipEncoder
from mmsearch.encoders.registry import find_encoder_class
from mmsearch.models.presets import ModelSpec

ARCHITECTURES = ("ViT-B-32", "ViT-B-16-SigLIP2-256")
IMAGES = 32
WINDOWS = 8
BATCH = 16
ROUNDS = 5
QUERIES = ("a dog on the beach", "two people riding horses", "rain on a tin roof", "blue")


def rates(work: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Things a second of each, the median of rounds in which all take turns."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(ROUNDS + 1):
        for name, run in work.items():
            started = time.perf_counter()
            count = run()
            if number:  # the first is for memory to be asked for
                found[name].append(count / (time.perf_counter() - started))
    return {name: statistics.median(each) for name, each in found.items()}


def show(title: str, found: dict[str, float], unit: str) -> None:
    eager = found["torch eager"]
    shown = "   ".join(f"{name} {rate:6.1f} ({rate / eager:.2f})" for name, rate in found.items())
    print(f"{title:<22} {unit}/s   {shown}", flush=True)


def batches(count: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, count, BATCH))


def images(architecture: str) -> None:
    import open_clip
    import torch

    spec = random_models.open_clip(architecture)
    ours: dict[str, OpenClipEncoder] = {
        precision: OpenClipEncoder.load(spec, random_models.context(precision=precision))
        for precision in ("fp32", "int8")
    }
    fit = ours["fp32"].fit
    pixels = np.random.default_rng(1).integers(
        0, 255, (IMAGES, fit.size_px, fit.size_px, 3), dtype=np.uint8
    )
    pictures = [ours["fp32"].prepare(one) for one in pixels]
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{spec.source}")
    model.eval()
    normalize = preprocess.transforms[-1]
    tensors = normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)

    def eager() -> int:
        with torch.inference_mode():
            for part in batches(IMAGES):
                model.encode_image(tensors[part], normalize=True)
        return IMAGES

    def encode(encoder: OpenClipEncoder) -> Callable[[], int]:
        return lambda: len(encoder.encode(pictures))

    work = {"torch eager": eager} | {f"ours {name}": encode(one) for name, one in ours.items()}
    show(architecture, rates(work), "images")


def sounds() -> None:
    import torch
    from transformers import ClapFeatureExtractor, ClapModel

    spec = random_models.clap()
    encoder = ClapEncoder.load(spec, random_models.context())
    rate_hz = encoder.sample_rate_hz
    noise = np.random.default_rng(2).normal(0, 0.1, (WINDOWS, 10 * rate_hz)).astype(np.float32)
    windows = list(noise)
    model = ClapModel.from_pretrained(spec.source, use_safetensors=True, local_files_only=True)
    model.eval()
    extractor = ClapFeatureExtractor.from_pretrained(spec.source, local_files_only=True)

    def eager() -> int:
        features = extractor(windows, sampling_rate=rate_hz, return_tensors="pt")
        with torch.inference_mode():
            model.get_audio_features(**features)
        return WINDOWS

    found = rates({"torch eager": eager, "ours": lambda: len(encoder.encode(windows))})
    show("CLAP htsat-unfused", found, "windows")


def words(spec: ModelSpec) -> None:
    encoder = find_encoder_class(spec).load(spec, random_models.context())
    ask = encoder.encode_queries if spec.encoder == "sentence" else encoder.encode_texts
    ask(["warm"])
    took = []
    for _ in range(20):
        for query in QUERIES:
            started = time.perf_counter()
            ask([query])
            took.append((time.perf_counter() - started) * 1000)
    low, high = np.percentile(took, [50, 95])
    name = spec.source.rsplit("/", 1)[-1]
    print(f"{name:<22} text query, warm: p50 {low:.1f} ms, p95 {high:.1f} ms", flush=True)


def main() -> None:
    for architecture in ARCHITECTURES:
        images(architecture)
    sounds()
    for spec in (
        *map(random_models.open_clip, ARCHITECTURES),
        random_models.clap(),
        random_models.e5(),
    ):
        words(spec)


if __name__ == "__main__":
    main()
