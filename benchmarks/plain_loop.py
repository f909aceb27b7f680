"""What one writes without mmsearch: open_clip, PIL and a DataLoader; prints images a second."""

from __future__ import annotations

import sys
import time
from pathlib import Path

STARTED = time.perf_counter()


def main() -> None:
    import open_clip
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    source, media = sys.argv[1:3]
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{source}")
    model.eval()
    paths = sorted(Path(media).iterdir())

    class Photographs(Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, at: int) -> torch.Tensor:
            with Image.open(paths[at]) as picture:
                return preprocess(picture)

    vectors = []
    with torch.inference_mode():
        loader = DataLoader(Photographs(), batch_size=32, num_workers=2)
        vectors += [model.encode_image(batch, normalize=True) for batch in loader]
    torch.cat(vectors)
    print(len(paths) / (time.perf_counter() - STARTED))


if __name__ == "__main__":
    main()
