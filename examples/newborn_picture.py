"""The picture in the README: one healthy simulated newborn, and what the shipped weights say of it at every age."""

from __future__ import annotations

import io
import sys

import numpy as np
from PIL import Image

from auricle.explain.figures import age_effect
from auricle.pages.paper import draw_paper
from auricle.predict import Predictor
from auricle.simulate.newborn import newborn

DPI = 110


def main(path: str) -> None:
    recording = newborn()
    ages = np.expm1(np.linspace(0, np.log1p(40 * 365.25), 60))
    curve = Predictor.from_pretrained().age_curve(recording, ages.tolist())
    shown = ["NORM", "RVH", "LVH", "AFIB"]
    figures = [
        draw_paper(recording, title="Healthy newborn, 3 days (simulated)"),
        age_effect(ages, np.array([curve[name] for name in shown]).T, shown, 3.0),
    ]
    images = []
    for figure in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        images.append(Image.open(buffer).convert("RGB"))
    width = max(image.width for image in images)
    page = Image.new("RGB", (width, sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        page.paste(image, ((width - image.width) // 2, top))
        top += image.height
    page.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/images/newborn.png")
