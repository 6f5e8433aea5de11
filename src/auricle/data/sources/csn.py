"""Chapman-Shaoxing-Ningbo (ecg-arrhythmia), 45,152 12-lead ECGs.

Source: PhysioNet, content/ecg-arrhythmia. Licence: CC BY 4.0. Format: WFDB, 500 Hz, 10 s. Labels: SNOMED CT codes of
the header's Dx line, whole codes; the published benchmark matched substrings (atrial flutter 4,753 where 3,340 are
real) and its age column is the number of leads, so age is read from the header. Absence: every record was read by
physicians for the same list of codes, so an absent code is a negative; a record without Dx is not annotated. Split:
ours, by record, as the headers name no patient; the published benchmark's as an option. Papers: Zheng et al. 2020
(Scientific Data 7:48; Scientific Reports 10:2898).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from auricle.data.sources._lists import read_wfdb, wfdb_stems
from auricle.errors import require

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording


class Csn:
    """Chapman-Shaoxing-Ningbo."""

    name = "csn"

    def index(self, root: Path) -> pd.DataFrame:
        """A row per header, in the order of their names."""
        stems = wfdb_stems(root)
        table: pd.DataFrame = require("pandas", "train").DataFrame(
            {"record_id": [PurePosixPath(stem).name for stem in stems], "file": stems}
        )
        return table

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record; age, sex and diagnoses are its header's."""
        return read_wfdb(root, row, source=self.name)
