"""Renders an opened image of any mode as upright 8-bit RGB of a bounded size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mmsearch.media.pictures.exif import read_orientation
from mmsearch.media.strings import split_words
from mmsearch.runtime.resize import (
    MARGIN,
    Scaling,
    choose_jpeg_scale,
    crop_to_reach,
    pad_pixels,
    plan_scaling,
    scale_image,
)

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import PictureFit, PixelArray

_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_MAX_PROFILE_BYTES = 4 * 1024**2
_WHITE = (255, 255, 255)
# EXIF orientations: from 5 on, pictures lie on their side; these mirror the stored axes.
_SIDEWAYS = 5
_MIRRORED_X = frozenset({2, 3, 7, 8})
_MIRRORED_Y = frozenset({3, 4, 6, 7})


def draft_jpeg(image: Image.Image, fit: PictureFit) -> None:
    """Lets a JPEG decode at half, quarter or eighth size if that is enough for the fit.

    Must precede loading; does nothing for other formats.
    """
    width, height = image.size
    if fit.mode == "within":
        scale = fit.size_px / max(width, height, 1)
        if scale < 1:
            image.draft(None, (max(1, round(width * scale)), max(1, round(height * scale))))
        return
    turn = read_orientation(image) if image.format in ("JPEG", "MPO") else 1
    upright = (height, width) if turn >= _SIDEWAYS else (width, height)
    scale = choose_jpeg_scale(*upright, fit)
    if scale > 1:
        image.draft(None, (width // scale, height // scale))


def render_upright(image: Image.Image, fit: PictureFit, orientation: int = 1) -> PixelArray:
    """Returns (height, width, 3) uint8 RGB on white, turned by the EXIF `orientation` (1..8).

    Scaled before it is turned, which costs less, but cropped and padded as the upright picture.
    The colour profile is applied after shrinking, where it costs a few milliseconds.
    """
    import numpy as np

    scaling = compute_stored_scaling(*image.size, fit, orientation)
    is_deep = image.mode in _DEEP_MODES
    flat = _scale_deep(image, scaling, fit) if is_deep else _scale_8bit(image, scaling, fit)
    pixels = np.asarray(_turn_upright(flat, orientation), dtype=np.uint8)
    return np.ascontiguousarray(pad_pixels(pixels, fit))


def compute_stored_scaling(width: int, height: int, fit: PictureFit, orientation: int) -> Scaling:
    """Plans the scaling of a stored picture so that it is fitted when turned upright.

    `width` and `height` are those stored; `orientation` is that of EXIF (1..8).
    """
    is_sideways = orientation >= _SIDEWAYS
    scaling = plan_scaling(height, width, fit) if is_sideways else plan_scaling(width, height, fit)
    (across, down), (left, top, right, bottom) = scaling.size, scaling.box
    if is_sideways:
        across, down = down, across
        left, top, right, bottom = top, left, bottom, right
    if orientation in _MIRRORED_X:
        left, right = width - right, width - left
    if orientation in _MIRRORED_Y:
        top, bottom = height - bottom, height - top
    return Scaling((across, down), (left, top, right, bottom))


def _scale_8bit(image: Image.Image, scaling: Scaling, fit: PictureFit) -> Image.Image:
    profile = image.info.get("icc_profile")
    has_key = "transparency" in image.info
    if image.mode in ("P", "PA", "LA", "La", "RGBa") or has_key:
        # A palette cannot be resampled, and transparency must be known before the pixels mix.
        opaque = image.mode == "P" and not has_key
        image = image.convert("RGB" if opaque else "RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    image = scale_image(image, scaling, fit)
    if isinstance(profile, bytes) and 128 < len(profile) <= _MAX_PROFILE_BYTES:
        image = _convert_to_srgb(image, profile)
    elif image.mode == "LAB":
        image = _convert_to_srgb(image, None)
    if image.mode in ("RGBA", "RGBX"):
        return _paste_on_white(image) if image.mode == "RGBA" else image.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _scale_deep(image: Image.Image, scaling: Scaling, fit: PictureFit) -> Image.Image:
    """Returns 8-bit grey of 16 bits, 32 bits or floats, stretched over the range in use."""
    import numpy as np
    from PIL import Image

    image, scaling = crop_to_reach(image, scaling)
    # Averaging whole blocks first keeps the copies small where the picture is huge.
    step = int(min(scaling.factors) / (1.0 if fit.mode == "within" else MARGIN))
    shares = [at / side for at, side in zip(scaling.box, image.size * 2, strict=True)]
    if step > 1 and image.mode in ("I", "F"):
        image, step = image.reduce(step), 1
    values = np.asarray(image)
    if step > 1:
        height, width = (n // step * step for n in values.shape)
        blocks = values[:height, :width].reshape(height // step, step, width // step, step)
        with np.errstate(all="ignore"):
            values = blocks.mean(axis=(1, 3), dtype=np.float32)
    levels = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    if low >= 0:
        # Ranges of 8, 10, 12 or 14-bit sensors in 16 bits keep their black; others are stretched.
        low = 0.0
        is_float = image.mode == "F"
        bounds = (1.0, 255.0, 65535.0) if is_float else (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
        high = next((bound for bound in bounds if high <= bound), high)
    scale = 255.0 / (high - low) if high > low else 0.0
    grey = Image.fromarray(np.clip((levels - low) * scale + 0.5, 0, 255).astype(np.uint8))
    left, top, right, bottom = (
        share * side for share, side in zip(shares, grey.size * 2, strict=True)
    )
    return scale_image(grey, Scaling(scaling.size, (left, top, right, bottom)), fit).convert("RGB")


def _paste_on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    canvas = Image.new("RGB", image.size, _WHITE)
    canvas.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return canvas


def _convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    from PIL import ImageCms

    if profile is not None and b"sRGB" in profile[:4096]:
        return image
    if image.mode not in ("RGB", "RGBA", "CMYK", "LAB"):
        return image
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    flat = image.convert("RGB") if alpha is not None else image
    try:
        source = ImageCms.ImageCmsProfile(
            io.BytesIO(profile) if profile is not None else ImageCms.createProfile("LAB")
        )
        converted = ImageCms.profileToProfile(
            flat, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken or unfitting profile
    if converted is None:
        return image
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    names = split_words(
        "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
    )
    is_turned = 2 <= orientation <= 8
    return image.transpose(Transpose[names[orientation - 2]]) if is_turned else image
