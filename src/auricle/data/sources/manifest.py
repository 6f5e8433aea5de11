"""A hospital's own recordings, listed in a CSV manifest.

Source, licence, labels and split are the owner's. Format: any that `auricle.io.read` knows, named by the columns of
`data/manifest.py`, with a picture of the ECG beside it or instead of it. Ages keep the resolution they were written
with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.data.manifest import ManifestRow, read_manifest
from auricle.errors import ReadError, require
from auricle.io import read
from auricle.io.picture import read_picture
from auricle.recording import Recording

if TYPE_CHECKING:
    import pandas as pd


class Manifest:
    """The recordings of one manifest; `root` is the CSV file."""

    name = "manifest"

    def index(self, root: Path) -> pd.DataFrame:
        """The manifest, checked as a whole before anything is read."""
        rows = read_manifest(root)
        table: pd.DataFrame = require("pandas", "train").DataFrame(
            {"record_id": [row.record_id for row in rows], "row": rows}
        )
        return table

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """The file of a row, with what the manifest knows of it."""
        listed: ManifestRow = row["row"]
        for named in (listed.file, listed.image):
            path = root.parent / named
            if named and not path.exists() and not path.with_name(path.name + ".hea").exists():
                raise ReadError(f"{root.name}:{listed.line}: {named} does not exist")
        known: dict[str, object] = {
            "patient_id": listed.patient_id,
            "age": listed.age,
            "sex": listed.sex,
            "report": listed.report,
            "labels": listed.labels or None,
            "labs": listed.labs or None,
            "lab_minutes": listed.lab_minutes or None,
            "fold": listed.fold,
            "source": self.name,
        }
        if listed.file:
            image = read_picture(root.parent / listed.image) if listed.image else None
            return read(root.parent / listed.file, record_id=listed.record_id, image=image, **known)
        return read(root.parent / listed.image, record_id=listed.record_id, **known)
