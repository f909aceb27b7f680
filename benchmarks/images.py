"""Images through `mmsearch index` against the same encoder run eagerly in torch, in one run.

`TORCH_PYTHON` names an interpreter with what `benchmarks/torch_tagger.py` needs. The photographs
are those of `$MMSEARCH_TEST_DATA/captions`, saved again in several qualities: each is a new asset.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks import measure

QUALITIES = (70, 75, 80, 85, 90)
ROUNDS = 3


def main() -> None:
    torch_python = os.environ.get("TORCH_PYTHON")
    with tempfile.TemporaryDirectory() as folder:
        media = Path(folder) / "media"
        media.mkdir()
        for path in sorted((measure.test_data() / "captions" / "images").iterdir()):
            with Image.open(path) as picture:
                for quality in QUALITIES:
                    picture.convert("RGB").save(
                        media / f"{path.stem}_{quality}.jpg", quality=quality
                    )
        count = sum(1 for _ in media.iterdir())
        print(f"{count} photographs of 640 px; images/s by the wall clock of whole processes")
        for number in range(ROUNDS):
            started = time.perf_counter()
            subprocess.run(
                [*measure.MMSEARCH, "index", str(media), "--library", f"{folder}/{number}"],
                check=True,
                capture_output=True,
            )
            ours = count / (time.perf_counter() - started)
            if torch_python is None:
                print(f"mmsearch index {ours:6.1f}   (TORCH_PYTHON is not set)")
                continue
            eager = subprocess.run(
                [torch_python, "benchmarks/torch_tagger.py", str(media)],
                check=True,
                capture_output=True,
                text=True,
            )
            theirs = float(eager.stdout)
            print(
                f"mmsearch index {ours:5.1f}   torch eager {theirs:5.1f}  ratio {ours / theirs:.1f}"
            )


if __name__ == "__main__":
    main()
