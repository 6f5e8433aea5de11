"""A picture in another size, for stores and networks that read one size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.errors import DataError
from auricle.io.picture import as_grey


def fit_picture(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The whole picture in another size, its proportions kept, in the middle of white paper.

    Each new pixel is the mean of the area it covers, so that a thin line becomes fainter but has no gaps.

    Args:
        image: (h, w) greys.
        height: of the result, in pixels.
        width: of the result.

    Raises:
        DataError: the picture is no plane of uint8, or a size is not positive.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise DataError(f"a picture is a plane of uint8, not {image.dtype} {image.shape}; read it by read_picture")
    if height < 1 or width < 1:
        raise DataError(f"a picture of {height} x {width} pixels cannot be made; give a positive size")
    scale = min(height / image.shape[0], width / image.shape[1])
    inner = tuple(min(most, max(1, round(n * scale))) for n, most in zip(image.shape, (height, width), strict=True))
    rows, columns = (_area_weights(n, size) for n, size in zip(image.shape, inner, strict=True))
    page = np.full((height, width), 255, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    page[top : top + inner[0], left : left + inner[1]] = as_grey(rows @ image.astype(np.float32) @ columns.T)
    return page


def _area_weights(n: int, size: int) -> NDArray[np.float32]:
    """(size, n): the share of each of `n` old pixels in each of `size` new ones, rows summing to 1."""
    edges = np.linspace(0, n, size + 1)
    old = np.arange(n)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    share: NDArray[np.float32] = (np.clip(overlap, 0, None) * (size / n)).astype(np.float32)
    return share
