"""A hospital's own recordings, listed in a CSV manifest.

Source, licence, labels and split are the owner's. Format: any that `auricle.io.read` knows, named by the columns of
`data/manifest.py`, with a picture of the ECG beside it or instead of it. Absence: an empty cell says that nothing is
known; a label, and `none` if there is none to give, says that the others are not there; `RVH?` leaves that one open.
Ages keep the resolution they were written with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.data.manifest import ManifestRow, found, missing, read_manifest
from auricle.errors import DataError, ReadError, require
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
        if listed.problem:
            raise DataError(f"{root.name}:{listed.line}: {listed.problem}")
        file, image_file = (found(root.parent, named) for named in (listed.file, listed.image))
        for path, named in ((file, listed.file), (image_file, listed.image)):
            if named and path is None:
                raise ReadError(f"{root.name}:{listed.line}: {named}: {missing(named)}")
        known: dict[str, object] = {
            "patient_id": listed.patient_id,
            "age": listed.age,
            "sex": listed.sex,
            "report": listed.report,
            "gestation_days": listed.gestation_days,
            "labels": listed.labels or None,
            "labs": listed.labs or None,
            "lab_minutes": listed.lab_minutes or None,
            "lab_bounds": listed.lab_bounds or None,
            "fold": listed.fold,
            "source": self.name,
            "notes": listed.notes or None,
        }
        if file is not None:
            image = read_picture(image_file) if image_file is not None else None
            return read(file, record_id=listed.record_id, image=image, **known)
        assert image_file is not None, "a row names a file or a picture"
        return read(image_file, record_id=listed.record_id, **known)
