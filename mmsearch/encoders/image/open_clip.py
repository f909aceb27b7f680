"""Pictures, and words that describe them, in the space of a model of open_clip."""

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
from mmsearch.encoders.stored_model import logit_scale, space_of, stored_model
from mmsearch.encoders.text.clip_tokens import Tokens, TokenSettings, without_padding
from mmsearch.errors import ModelError
from mmsearch.runtime.concurrency import Once
from mmsearch.runtime.resize import fitted_pixels
from mmsearch.types import Box, FitMode, PictureFit

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.presets import ModelSpec
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray, PixelArray, Space

WHOLE = Box(0.0, 0.0, 1.0, 1.0)
FIT_MODES: Mapping[str, FitMode] = {
    "shortest": "shortest",
    "squash": "squash",
    "longest": "letterbox",
}
"""By open_clip's names for what it does to pictures that are no squares."""
RESOLVING_S = 120
OpenTower = Callable[[str], "Network"]


class OpenClipEncoder:
    """A model of open_clip from the store, as its own library computes it.

    `source` is a hub repository with open_clip_config.json, an open_clip ARCHITECTURE/TAG, or a
    folder. Each network is opened when it is first wanted. Safe to share between threads.
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
    packaged = ()
    is_converted = True

    def __init__(self, stored: StoredModel, open_network: OpenTower) -> None:
        """`open_network` gives the network of the tower `image` or `text`, wherever it runs."""
        settings = stored.card.settings
        self.space = space_of("image", stored)
        self.fit = picture_fit(settings)
        self.logit_scale = logit_scale(stored, "logit_scale")
        self._folder = stored.folder
        self._token_settings = TokenSettings.from_json(settings.get("tokens", {}))
        self._is_causal = bool(settings.get("is_causal"))
        self._open_network = open_network
        self._opened = Once()

    @staticmethod
    def repository(source: str) -> str:
        """Where the model is on the hub: the source itself, or what open_clip has for it."""
        return resolved(source) if is_architecture(source.partition("/")[0]) else source

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """The space it fills; raises WeightsMissing or WeightsMismatch."""
        return space_of("image", stored_model(spec, context))

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> OpenClipEncoder:
        """From the store; raises WeightsMissing or WeightsMismatch."""
        stored = stored_model(spec, context)
        where = {"image": context, "text": context.for_queries}
        return cls(stored, lambda tower: open_tower(stored, tower, where[tower]))

    @property
    def batch(self) -> int:
        """How many pictures its network computes at once; 1 before it is open."""
        network = self._opened.made.get("image")
        return 1 if network is None else int(network.batch)

    def prepare(self, pixels: PixelArray) -> PreparedPicture:
        """Scale (height, width, 3) uint8 RGB as in training; what is of that size stays."""
        return PreparedPicture(fitted_pixels(pixels, self.fit)[None], (WHOLE,))

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        """Embed pictures in one go; the result does not depend on which are together."""
        if not pictures:
            return []
        crops = np.concatenate([picture.crops for picture in pictures])
        (vectors,) = self._network("image").run({"pixels": crops})
        ends = np.cumsum([len(picture.boxes) for picture in pictures])
        parts = np.split(vectors, ends[:-1])
        return [
            PictureCode(part, picture.boxes, ())
            for part, picture in zip(parts, pictures, strict=True)
        ]

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 unit rows for words that describe pictures; what is too long is cut."""
        if not texts:
            return np.empty((0, self.space.dim), dtype=np.float32)
        rows = self._tokens.encode(texts)
        if self._is_causal:
            rows = without_padding(rows, self._token_settings.pad_id)
        vectors: FloatArray = self._network("text").run({"tokens": rows})[0]
        return vectors

    @property
    def _tokens(self) -> Tokens:
        return self._opened.get("tokens", lambda: Tokens.open(self._folder, self._token_settings))

    def _network(self, tower: str) -> Network:
        return self._opened.get(tower, lambda: self._open_network(tower))


def picture_fit(settings: Mapping[str, Any]) -> PictureFit:
    """How a model wants its pictures; raises ModelError for a card that does not say."""
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
    """Whether open_clip is installed and has an architecture of that name."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations or Path(name).name != name:
        return False
    return (Path(spec.submodule_search_locations[0]) / "model_configs" / f"{name}.json").is_file()


def resolved(name: str) -> str:
    """The hub repository of an open_clip ARCHITECTURE/TAG.

    Its table comes with torch, which a process of its own imports. Raises ModelError.
    """
    # Not imported from here: the conversion is a layer above.
    worker = [sys.executable, "-P", "-m", "mmsearch.models.conversion.worker"]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, and no words of a user
            worker,
            input=json.dumps({"resolve": name}),
            capture_output=True,
            text=True,
            timeout=RESOLVING_S,
            check=False,  # it ends with 1 where it answers with an error
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as exc:
        raise ModelError(
            f"open_clip could not be asked for {name}: {exc}; name its hub repository instead"
        ) from exc
    if "error" in answer:
        raise ModelError(answer["message"])
    return str(answer["done"]["repository"])
