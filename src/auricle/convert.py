"""A recording in another format: for other programs (WFDB, DICOM, EDF+, CSV) or on paper (PDF, SVG, PNG)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

from auricle.atomic import write_bytes
from auricle.errors import DataError, UnknownNameError, require
from auricle.io.csv_writer import write_csv
from auricle.io.dicom_writer import write_dicom
from auricle.io.edf_writer import write_edf
from auricle.io.wfdb_writer import write_wfdb
from auricle.pages.paper import SECONDS, draw_paper, svg_paper
from auricle.recording import Recording

_DPI: Final = 200
# A page of paper shows ten seconds; a day of a Holter would be thousands.
_MOST_PAGES: Final = 60


def convert(recording: Recording, stem: Path, to: str, deidentified: str = "", title: str = "") -> Path:
    """Write a recording in a format.

    Args:
        recording: as a reader gives it.
        stem: the file's name with its folder, without suffix; what lies there is replaced when the new file is whole.
        to: one of `FORMATS`.
        deidentified: by what method identity was removed, for formats that say so; empty where it was not.
        title: above the paper; the record's name where empty.

    Returns:
        The file; of WFDB the header.

    Raises:
        DataError: nothing that this format can hold.
        UnknownNameError: no such format.
        MissingExtraError: the package that writes it is not installed.
    """
    if to not in FORMATS:
        raise UnknownNameError("format", to, FORMATS)
    return _WRITERS[to](recording, stem, deidentified, title)


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}{suffix}")


def _dicom(recording: Recording, stem: Path, deidentified: str, title: str) -> Path:
    del title
    return write_dicom(_named(stem, ".dcm"), recording, deidentified)


def _svg(recording: Recording, stem: Path, deidentified: str, title: str) -> Path:
    del deidentified
    path = _named(stem, ".svg")
    write_bytes(path, svg_paper(recording, title=title or None).encode("utf-8"))
    return path


def _png(recording: Recording, stem: Path, deidentified: str, title: str) -> Path:
    del deidentified
    path, content = _named(stem, ".png"), BytesIO()
    draw_paper(recording, title=title or None).savefig(content, format="png", dpi=_DPI)
    write_bytes(path, content.getvalue())
    return path


def _pdf(recording: Recording, stem: Path, deidentified: str, title: str) -> Path:
    """A page for every ten seconds, each of the sheet's own size: printed at 100 % its millimetres are true."""
    del deidentified
    pages = require("matplotlib.backends.backend_pdf", "train").PdfPages
    count = max(1, math.ceil(recording.seconds / SECONDS - 0.05))
    if count > _MOST_PAGES:
        raise DataError(
            f"{recording.record_id}: {recording.seconds / 60:.0f} minutes make {count} pages; write WFDB or EDF instead"
        )
    path, content = _named(stem, ".pdf"), BytesIO()
    # Without dates of its own the same recording makes the same file.
    with pages(content, metadata={"CreationDate": None, "Producer": "auricle"}) as pdf:
        for page in range(count):
            pdf.savefig(draw_paper(recording, start_s=page * SECONDS, seconds=SECONDS, title=title or None))
    write_bytes(path, content.getvalue())
    return path


_WRITERS: Final[Mapping[str, Callable[[Recording, Path, str, str], Path]]] = {
    "wfdb": lambda recording, stem, *_: write_wfdb(stem, recording),
    "dicom": _dicom,
    "edf": lambda recording, stem, *_: write_edf(_named(stem, ".edf"), recording),
    "csv": lambda recording, stem, *_: write_csv(_named(stem, ".csv"), recording),
    "pdf": _pdf,
    "svg": _svg,
    "png": _png,
}
FORMATS: Final = tuple(_WRITERS)
"""Formats by name, those for programs first."""
