"""A hospital's own recordings, listed in a CSV manifest.

Source, licence, labels and split are the owner's. Format: any that `auricle.io.read` knows, named by `io/manifest.py`'s
columns. Ages keep the resolution they were written with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.errors import ReadError, require
from auricle.io import read
from auricle.io.manifest import read_manifest

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording


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
        listed = row["row"]
        path = root.parent / listed.file
        if not path.exists() and not path.with_name(path.name + ".hea").exists():
            raise ReadError(f"{root.name}:{listed.line}: {listed.file} does not exist")
        return read(
            path,
            record_id=listed.record_id,
            patient_id=listed.patient_id,
            age=listed.age,
            sex=listed.sex,
            report=listed.report,
            labels=listed.labels or None,
            labs=listed.labs or None,
            fold=listed.fold,
            source=self.name,
        )
