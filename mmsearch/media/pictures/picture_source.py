"""A picture that can be opened, and what is known of it beside its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.types import Metadata, Omission

if TYPE_CHECKING:
    from PIL import Image

RAW_EXTRA = "raw"
INSTALL_RAW = f"pip install 'mmsearch[{RAW_EXTRA}]'"


@dataclass(frozen=True, slots=True)
class PictureSource:
    """A picture that can be opened once for its pixels, and again at another size.

    `metadata` is that of a file around the picture, if it is not in the picture. `size` is the
    upright width and height of the original where the picture is a preview of it.
    """

    open: Callable[[], Image.Image]
    metadata: Metadata | None = None
    size: tuple[int, int] | None = None
    omissions: tuple[Omission, ...] = ()
