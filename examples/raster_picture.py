"""What an image encoder sees: an adult, a newborn, nine leads, and a wide sheet with grid and rhythm strip."""

from __future__ import annotations

import sys

import torch
from PIL import Image, ImageDraw

from auricle.data.collate import collate
from auricle.image.raster import RasterConfig, raster
from auricle.leads import STANDARD
from auricle.recording import Recording
from auricle.simulate import cohort
from auricle.simulate.newborn import newborn

SECONDS = 10.0
SIDE, MARGIN, TITLE = 448, 16, 22


def adult() -> Recording:
    return next(iter(cohort(1, seed=11, ages=[16_000.0], diagnoses={}, rate_hz=500).recordings()))


def drawn(recording: Recording, config: RasterConfig, leads: tuple[str, ...] = STANDARD) -> Image.Image:
    """What a model sees of the leads it is given, each pixel as it is."""
    batch = collate([recording], STANDARD, round(SECONDS * recording.rate_hz), [0])
    mask = batch.lead_mask & torch.tensor([name in leads for name in STANDARD])
    picture = raster(batch.millivolts(), mask, batch.time_mask, batch.rate_hz, STANDARD, config, SECONDS)
    return Image.fromarray((255 * picture[0]).round().to(torch.uint8).numpy())


def main(path: str) -> None:
    nine = tuple(name for name in STANDARD if name not in ("V2", "V4", "V6"))
    square, wide = RasterConfig(height=SIDE, width=SIDE), RasterConfig(height=SIDE, width=3 * SIDE + 2 * MARGIN)
    wide = wide.model_copy(update={"grid": True, "rhythm_strip": True})
    shown = [
        ("adult", 0, 0, drawn(adult(), square)),
        ("newborn", 1, 0, drawn(newborn(), square)),
        ("newborn, nine leads: no V2, V4, V6", 2, 0, drawn(newborn(), square, nine)),
        ("newborn on a wide sheet, with grid and rhythm strip", 0, 1, drawn(newborn(), wide)),
    ]
    size = 4 * MARGIN + 3 * SIDE, 3 * MARGIN + 2 * (SIDE + TITLE)
    page = Image.new("L", size, 225)
    pen = ImageDraw.Draw(page)
    for title, column, row, image in shown:
        left, top = MARGIN + column * (SIDE + MARGIN), MARGIN + row * (SIDE + TITLE + MARGIN)
        pen.text((left, top), f"{title}, {image.height} x {image.width} pixels", fill=40, font_size=14)
        page.paste(image, (left, top + TITLE))
    page.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/images/raster.png")
