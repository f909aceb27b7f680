"""The classes of encoders by name: those built in, and those of plugins."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mmsearch import plugins
from mmsearch.errors import ConfigError
from mmsearch.models.presets import ModelSpec

ENCODERS: Mapping[str, str] = MappingProxyType(
    {
        "minilm": "mmsearch.encoders.text.minilm:MiniLmEncoder",
        "tagging": "mmsearch.encoders.image.tagging:TaggingEncoder",
        "whisper-sound": "mmsearch.encoders.audio.whisper_sound:WhisperSoundEncoder",
        "faster-whisper": "mmsearch.encoders.speech.whisper:FasterWhisper",
        "open-clip": "mmsearch.encoders.image.open_clip:OpenClipEncoder",
        "clap": "mmsearch.encoders.audio.clap:ClapEncoder",
        "laion-clap": "mmsearch.encoders.audio.laion_clap:LaionClapEncoder",
        "sentence": "mmsearch.encoders.text.sentence:SentenceEncoder",
        "rapidocr": "mmsearch.encoders.ocr.rapidocr:RapidOcr",
    }
)


def find_encoder_class(spec: ModelSpec) -> Any:
    """Returns the class with `kind`, `describe` and `load`.

    Raises ConfigError for an unknown name, PluginError for a plugin that cannot be imported.
    """
    if spec.encoder in ENCODERS:
        module, _, name = ENCODERS[spec.encoder].partition(":")
        return getattr(importlib.import_module(module), name)
    offered = plugins.list_entry_points(plugins.ENCODERS)
    if spec.encoder in offered:
        return plugins.load_plugin(plugins.ENCODERS, spec.encoder)
    names = ", ".join(sorted({*ENCODERS, *offered}))
    raise ConfigError(f"there is no encoder {spec.encoder!r}; there are: {names}")
