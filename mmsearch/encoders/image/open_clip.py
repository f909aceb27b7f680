"""The image encoder `open-clip`: pictures and words in the space of a model of open_clip."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.base import PictureCode, PreparedPicture
from mmsearch.encoders.networks import open_tower
from mmsearch.encoders.stored_model import (
    StoredEncoder,
    make_space,
    read_logit_scale,
    require_stored_model,
)
from mmsearch.encoders.text.clip_tokens import ClipTokenizer, TokenSettings, trim_padding
from mmsearch.errors import ModelError
from mmsearch.runtime.concurrency import LazyValues
from mmsearch.runtime.resize import fit_pixels
from mmsearch.types import Box, FitMode, PictureFit

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.presets import ModelSpec
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray, PixelArray

WHOLE = Box(0.0, 0.0, 1.0, 1.0)
FIT_MODES: Mapping[str, FitMode] = {
    "shortest": "shortest",
    "squash": "squash",
    "longest": "letterbox",
}
"""By open_clip's names of resize modes."""
RESOLVING_S = 120
OpenTower = Callable[[str], "Network"]


class OpenClipEncoder(StoredEncoder):
    """A model of open_clip from the store, as its own library computes it.

    `source` is a hub repository with open_clip_config.json, an open_clip ARCHITECTURE/TAG, or a
    folder. Each network is opened with its first use. Safe to share between threads.
    """

    kind = "image"
    patterns = (
        "open_clip_config.json",
        "open_clip_*.safetensors",
        "tokenizer*.json",
        "vocab*",
        "merges.txt",
        "special_tokens_map.json",
    )

    def __init__(self, stored: StoredModel, open_network: OpenTower) -> None:
        """`open_network` opens the tower `image` or `text` on its device."""
        settings = stored.card.settings
        self.space = make_space(self.kind, stored)
        self.fit = read_picture_fit(settings)
        self.logit_scale = read_logit_scale(stored, "logit_scale")
        self._folder = stored.folder
        self._token_settings = _token_settings(stored)
        self._is_causal = bool(settings.get("is_causal"))
        self._open_network = open_network
        self._opened = LazyValues()

    @staticmethod
    def repository(source: str) -> str:
        """Returns the hub repository: the source itself, or that of an open_clip architecture."""
        return resolve_repository(source) if is_architecture(source.partition("/")[0]) else source

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> OpenClipEncoder:
        """Loads the model of the store; raises WeightsMissing or WeightsMismatch."""
        stored = require_stored_model(spec, context)
        contexts = {"image": context, "text": context.for_queries}
        return cls(stored, lambda tower: open_tower(stored, tower, contexts[tower]))

    @property
    def batch(self) -> int:
        """The batch size of the image network; 1 before it is open."""
        network = self._opened.values.get("image")
        return 1 if network is None else int(network.batch)

    def prepare(self, pixels: PixelArray) -> PreparedPicture:
        """Scales (height, width, 3) uint8 RGB as in training; a picture of that size stays."""
        return PreparedPicture(fit_pixels(pixels, self.fit)[None], (WHOLE,))

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        """Embeds a batch; the result does not depend on which pictures are in it together."""
        if not pictures:
            return []
        crops = np.concatenate([picture.crops for picture in pictures])
        (vectors,) = self._get_network("image").run({"pixels": crops})
        ends = np.cumsum([len(picture.boxes) for picture in pictures])
        parts = np.split(vectors, ends[:-1])
        return [
            PictureCode(part, picture.boxes, ())
            for part, picture in zip(parts, pictures, strict=True)
        ]

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 unit rows; texts that are too long are cut."""
        if not texts:
            return np.empty((0, self.space.dim), dtype=np.float32)
        rows = self._tokens.encode(texts)
        if self._is_causal:
            rows = trim_padding(rows, self._token_settings.pad_id)
        vectors: FloatArray = self._get_network("text").run({"tokens": rows})[0]
        return vectors

    @property
    def _tokens(self) -> ClipTokenizer:
        return self._opened.get(
            "tokens", lambda: ClipTokenizer.open(self._folder, self._token_settings)
        )

    def _get_network(self, tower: str) -> Network:
        return self._opened.get(tower, lambda: self._open_network(tower))


def _token_settings(stored: StoredModel) -> TokenSettings:
    tokens = stored.card.settings.get("tokens", {})
    if "form" in tokens:  # in cards of versions that had tokenizers of their own
        raise ModelError(
            f"{stored.folder} was converted by an earlier mmsearch, which kept its tokenizer "
            f"otherwise: `mmsearch models pull {stored.card.name} --again` converts it anew"
        )
    return TokenSettings.from_json(tokens)


def read_picture_fit(settings: Mapping[str, Any]) -> PictureFit:
    """Reads the size and shape of a model's pictures; raises ModelError for an incomplete card."""
    try:
        return PictureFit(
            mode=FIT_MODES[settings["resize_mode"]],
            size_px=int(settings["image_size"]),
            resampling="bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
            fill=int(settings["fill_color"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelError(f"the model's card does not say how it takes pictures: {exc!r}") from exc


def is_architecture(name: str) -> bool:
    """Tests if open_clip is installed and has an architecture of that name."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations or Path(name).name != name:
        return False
    return (Path(spec.submodule_search_locations[0]) / "model_configs" / f"{name}.json").is_file()


def resolve_repository(name: str) -> str:
    """Returns the hub repository of an open_clip ARCHITECTURE/TAG.

    Its table comes with torch, which a process of its own imports. Raises ModelError.
    """
    # Not imported from here: the conversion is a layer above.
    worker = [sys.executable, "-P", "-m", "mmsearch.models.conversion.worker"]
    try:
        process = subprocess.run(  # noqa: S603  # this interpreter, and no words of a user
            worker,
            input=json.dumps({"resolve": name}),
            capture_output=True,
            text=True,
            timeout=RESOLVING_S,
            check=False,  # it ends with 1 where it answers with an error
        )
        answer = json.loads(process.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as exc:
        raise ModelError(
            f"open_clip could not be asked for {name}: {exc}; name its hub repository instead"
        ) from exc
    if "error" in answer:
        raise ModelError(answer["message"])
    return str(answer["done"]["repository"])
