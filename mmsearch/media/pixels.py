"""Turns an opened image of any mode into upright 8-bit RGB of a bounded size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mmsearch.media.exif import read_orientation as exif_orientation
from mmsearch.runtime.resize import MARGIN, Scaling, cut, jpeg_scale, padded, scaled, scaling

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import PictureFit, PixelArray

_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_MAX_PROFILE_BYTES = 4 * 1024**2
_WHITE = (255, 255, 255)
# EXIF orientations from here on lie on their side, and which mirror the stored axes.
_SIDEWAYS = 5
_MIRRORED_X = frozenset({2, 3, 7, 8})
_MIRRORED_Y = frozenset({3, 4, 6, 7})


def draft_jpeg(image: Image.Image, fit: PictureFit) -> None:
    """Let a JPEG decode straight to a half, a quarter or an eighth where enough is left to fit.

    Before the image is loaded; other formats are left alone.
    """
    width, height = image.size
    if fit.mode == "within":
        scale = fit.size_px / max(width, height, 1)
        if scale < 1:
            image.draft(None, (max(1, round(width * scale)), max(1, round(height * scale))))
        return
    turn = exif_orientation(image) if image.format in ("JPEG", "MPO") else 1
    upright = (height, width) if turn >= _SIDEWAYS else (width, height)
    scale = jpeg_scale(*upright, fit)
    if scale > 1:
        image.draft(None, (width // scale, height // scale))


def render_upright(image: Image.Image, fit: PictureFit, orientation: int = 1) -> PixelArray:
    """(height, width, 3) uint8 RGB, on white, turned as the EXIF `orientation` (1..8) says.

    Scaled first and turned then, which costs less; what `shortest` cuts out and where `letterbox`
    pads is that of the upright picture. The profile is applied after shrinking, where it costs a
    few milliseconds.
    """
    import numpy as np

    how = compute_stored_scaling(*image.size, fit, orientation)
    is_deep = image.mode in _DEEP_MODES
    flat = _scale_deep(image, how, fit) if is_deep else _scale_8bit(image, how, fit)
    pixels = np.asarray(_turn_upright(flat, orientation), dtype=np.uint8)
    return np.ascontiguousarray(padded(pixels, fit))


def compute_stored_scaling(width: int, height: int, fit: PictureFit, orientation: int) -> Scaling:
    """How a picture that is stored turned is scaled, so that it is fitted once it is upright.

    `width` and `height` are those stored; `orientation` is that of EXIF (1..8).
    """
    is_sideways = orientation >= _SIDEWAYS
    how = scaling(height, width, fit) if is_sideways else scaling(width, height, fit)
    (across, down), (left, top, right, bottom) = how.size, how.box
    if is_sideways:
        across, down = down, across
        left, top, right, bottom = top, left, bottom, right
    if orientation in _MIRRORED_X:
        left, right = width - right, width - left
    if orientation in _MIRRORED_Y:
        top, bottom = height - bottom, height - top
    return Scaling((across, down), (left, top, right, bottom))


def _scale_8bit(image: Image.Image, how: Scaling, fit: PictureFit) -> Image.Image:
    profile = image.info.get("icc_profile")
    has_key = "transparency" in image.info
    if image.mode in ("P", "PA", "LA", "La", "RGBa") or has_key:
        # A palette cannot be resampled, and transparency must be known before the pixels mix.
        opaque = image.mode == "P" and not has_key
        image = image.convert("RGB" if opaque else "RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    image = scaled(image, how, fit)
    if isinstance(profile, bytes) and 128 < len(profile) <= _MAX_PROFILE_BYTES:
        image = _convert_to_srgb(image, profile)
    elif image.mode == "LAB":
        image = _convert_to_srgb(image, None)
    if image.mode in ("RGBA", "RGBX"):
        return _paste_on_white(image) if image.mode == "RGBA" else image.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _scale_deep(image: Image.Image, how: Scaling, fit: PictureFit) -> Image.Image:
    """8-bit grey out of 16 bits, 32 bits or floats, stretched over the range that is used."""
    import numpy as np
    from PIL import Image

    image, how = cut(image, how)
    # Averaging whole blocks first keeps the copies small where the picture is huge.
    step = int(min(how.factors) / (1.0 if fit.mode == "within" else MARGIN))
    shares = [at / side for at, side in zip(how.box, image.size * 2, strict=True)]
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
        # Known ranges keep their black; others are stretched. An 8, 10, 12 or 14-bit sensor
        # fills the lower part of 16 bits.
        low = 0.0
        is_float = image.mode == "F"
        bounds = (1.0, 255.0, 65535.0) if is_float else (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
        high = next((bound for bound in bounds if high <= bound), high)
    scale = 255.0 / (high - low) if high > low else 0.0
    grey = Image.fromarray(np.clip((levels - low) * scale + 0.5, 0, 255).astype(np.uint8))
    left, top, right, bottom = (
        share * side for share, side in zip(shares, grey.size * 2, strict=True)
    )
    return scaled(grey, Scaling(how.size, (left, top, right, bottom)), fit).convert("RGB")


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
        return image  # a broken or unfitting profile: the numbers as they are
    if converted is None:
        return image
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL import Image

    moves = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    move = moves.get(orientation)
    return image if move is None else image.transpose(move)
