"""Pictures of an ECG, scanned or exported: one grey plane as `image/raster` draws it, 255 the paper and 0 the ink.

PNG, JPEG, TIFF, BMP and GIF are read by Pillow, by content and not by suffix. What is transparent is laid on white.
A colour is its luminance, lifted half-way to its red where that is brighter: the red or pink squares of ECG paper turn
lighter than any ink. A light trace on a dark ground, as monitors draw it, is turned into ink on paper, and the white of
fewer than 16 bits stored in 16 is that of its bits, each with a warning. The signal is not recovered from the picture;
a network looks at it as it is.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ReadError, ReadingNote, require
from auricle.io.names import record_name
from auricle.io.not_read import HEAD_BYTES, kind_not_read
from auricle.recording import Recording

_FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "GIF")
_BEGINNINGS: Final = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"GIF8")
# A rate for recordings of which there is only a picture; nothing is sampled at it.
_NO_SIGNAL_HZ: Final = 500.0
_LEAST_PX: Final = 64
_BAND_ROWS: Final = 256
# The thinnest trace of one lead in a small picture inks some .2 % of it; noise of a scanner stays within the margin.
_LEAST_INK, _INK_MARGIN = 0.0005, 32
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # ITU-R BT.601
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
# Bits that cameras and scanners store in 16.
_DEPTHS: Final = (8, 10, 12, 14, 16)
# A picture is light on dark if so few of its pixels are lighter than this.
_LIGHT, _LEAST_LIGHT = 128, 0.25
_PLAIN_MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes begin a PNG, JPEG, TIFF, BMP or GIF file."""
    del path
    return head.startswith(_BEGINNINGS)


def read(path: Path, **context: object) -> Recording:
    """A recording with a picture and no lead, with what the caller knows of it.

    Raises:
        ReadError: the picture cannot be read (see `read_picture`).
    """
    record_id = str(context.pop("record_id", None) or record_name(path))
    for of_arrays in ("rate_hz", "leads"):
        context.pop(of_arrays, None)
    nothing = np.zeros((0, 0), dtype=np.float32)
    grey, notes = _picture(path)
    return Recording(nothing, _NO_SIGNAL_HZ, (), record_id, image=grey, notes=notes).with_context(**context)


def read_picture(path: Path | str) -> NDArray[np.uint8]:
    """The picture in a file as (h, w) greys, 255 white paper; a photograph is turned as its camera was held.

    What had to be guessed (light on dark, the white of 12 bits in 16) is a Python warning that names the file.

    Args:
        path: PNG, JPEG, TIFF, BMP or GIF with one picture in it.

    Raises:
        ReadError: no such file, damaged or truncated, several pages, CMYK, too small, too large or blank; one line
            with file and remedy.
        MissingExtraError: Pillow is not installed.
    """
    grey, notes = _picture(path)
    for note in notes:
        warnings.warn(f"{Path(path).name}: {note}", ReadingNote, stacklevel=2)
    return grey


def _picture(path: Path | str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The greys of a picture, and what was guessed of it."""
    pillow, turned = require("PIL.Image", "io"), require("PIL.ImageOps", "io").exif_transpose
    if Path(path).is_dir():
        raise ReadError(f"{path}: is a folder; give one picture in it")
    try:
        with warnings.catch_warnings():
            # Pillow warns of oddities that do no harm, and of two that do.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            warnings.filterwarnings("error", message="Truncated File Read")
            with pillow.open(path, formats=_FORMATS) as image:
                _check_kind(image, path)
                image.load()
                inverted = _is_inverted(image)
                grey, notes = _grey(turned(image))
    except ReadError:
        raise
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        most = pillow.MAX_IMAGE_PIXELS / 1e6
        raise ReadError(f"{path}: has more than {most:.0f} million pixels; scale it down") from None
    except pillow.UnidentifiedImageError:
        raise ReadError(f"{path}: is {_what_else(Path(path))}; save it as PNG, JPEG, TIFF, BMP or GIF") from None
    except FileNotFoundError:
        raise ReadError(f"{path}: no such file") from None
    except Exception as error:  # Pillow's parsers raise whatever damaged bytes make them trip over
        raise ReadError(f"{path}: damaged or truncated picture ({type(error).__name__}); export it again") from None
    if inverted:
        grey = 255 - grey
    _check_content(grey, path)
    if (grey > _LIGHT).mean() < _LEAST_LIGHT:
        return 255 - grey, (*notes, "the picture is light on a dark ground; it was turned into dark on light")
    return grey, notes


def _what_else(path: Path) -> str:
    with path.open("rb") as file:
        kind = kind_not_read(file.read(HEAD_BYTES))
    return f"{kind}, which is not read" if kind else "no picture that auricle reads"


def _check_kind(image: Any, path: Path | str) -> None:
    """Refuse, before anything is decoded, what is no single plain picture."""
    if min(image.size) < _LEAST_PX:
        size = f"{image.height} x {image.width}"
        raise ReadError(f"{path}: {size} pixels show no ECG; export it with at least {_LEAST_PX} on each side")
    # The first picture of a telephone's MPO is the photograph, the others are previews of it.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise ReadError(f"{path}: holds several pages or frames; save the one with the ECG as a picture of its own")
    if image.mode not in _PLAIN_MODES and not image.mode.startswith("I;16"):
        raise ReadError(f"{path}: pixels of kind {image.mode} are not read; save it as grey or RGB")


def _is_inverted(image: Any) -> bool:
    """Whether 0 is white and Pillow leaves that to us: in TIFF files of 16 bits."""
    if not image.mode.startswith("I;16"):
        return False
    return bool(getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _grey(image: Any) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """(h, w) greys of a picture of any mode, and what was guessed."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.float32)
        bits = next(bits for bits in _DEPTHS if values.max() < 2**bits)
        notes = () if bits == 16 else (f"its pixels of 16 bits use {bits} of them; white is that of {bits} bits",)
        return as_grey(values * (255 / (2**bits - 1))), notes
    if image.mode in ("1", "L") and "transparency" not in image.info:
        grey: NDArray[np.uint8] = np.array(image.convert("L"))
        return grey, ()
    colours = np.asarray(image.convert("RGBA"))
    # In bands: a scanned page in floating point would be a gigabyte.
    bands = [_grey_of(colours[top : top + _BAND_ROWS].astype(np.float32)) for top in range(0, len(colours), _BAND_ROWS)]
    return np.concatenate(bands), ()


def _grey_of(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w) greys of (h, w, 4) pixels: red, green, blue and opacity, laid on white."""
    red, green, blue, alpha = np.moveaxis(colours, -1, 0)
    luminance = _RED * red + _GREEN * green + _BLUE * blue
    lifted = luminance + np.maximum(red - luminance, 0) / 2
    return as_grey(255 + (lifted - 255) * (alpha / 255))


def as_grey(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values of any shape rounded to whole greys and clipped to 0 to 255."""
    grey: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return grey


def _check_content(grey: NDArray[np.uint8], path: Path | str) -> None:
    """Refuse a picture in which nearly all pixels have about the most frequent grey."""
    counts = np.bincount(grey.ravel(), minlength=256)
    paper = int(counts.argmax())
    ink = counts[: max(0, paper - _INK_MARGIN)].sum() + counts[paper + _INK_MARGIN + 1 :].sum()
    if ink < _LEAST_INK * grey.size:
        raise ReadError(f"{path}: is of one colour, no trace is on it; export the page that shows the ECG")
