"""Writes mmsearch/models/data/mini/sound.npz: mean and deviation of features over sample_data.

Run from the repository: `.venv/bin/python scripts/fit_sound.py`. The features are those of
`WhisperSoundEncoder.features` for every window of every recording, sound and video; each file
weighs the same, so that a long reading does not drown a short bell.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmsearch.encoders.audio.whisper_sound import STATISTICS, WhisperSoundEncoder, WindowSplitter
from mmsearch.encoders.speech.transcriber import open_named_whisper
from mmsearch.media.base import AudioBlock, LoadOptions
from mmsearch.media.registry import load

FOLDERS = ("recordings", "sounds", "videos")
LEAST_SCALE = 0.02
"""A dimension that hardly moves in so few files would otherwise be blown up."""


def main() -> None:
    root = Path(__file__).parent.parent
    encoder = WhisperSoundEncoder(
        open_named_whisper(), centre=np.zeros(768, np.float32), scale=np.ones(768, np.float32)
    )
    means, squares = [], []
    for folder in FOLDERS:
        for path in sorted((root / "sample_data" / folder).iterdir()):
            if path.suffix == ".srt":
                continue
            cutter = WindowSplitter(window_s=encoder.window_s, hop_s=encoder.hop_s)
            windows = []
            for content in load(path, LoadOptions()):
                if isinstance(content, AudioBlock):
                    windows += [one for one, _ in cutter.push(content.samples, content.start_s)]
            windows += [one for one, _ in cutter.finish()]
            features = np.stack([encoder.compute_features(window) for window in windows])
            means.append(features.mean(axis=0))
            squares.append(np.square(features).mean(axis=0))
    centre = np.mean(means, axis=0)
    scale = np.sqrt(np.maximum(np.mean(squares, axis=0) - np.square(centre), 0.0))
    target = root / "mmsearch" / STATISTICS
    np.savez(
        target,
        centre=centre.astype(np.float32),
        scale=np.maximum(scale, LEAST_SCALE).astype(np.float32),
    )
    print(f"{target}: {len(means)} files, scale {scale.min():.3f} to {scale.max():.3f}")


if __name__ == "__main__":
    main()
