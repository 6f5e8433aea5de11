"""SPH, Shandong Provincial Hospital: 25,770 12-lead ECGs of 24,666 patients.

Source: figshare, collection 5779802. Licence: CC BY 4.0. Format: one HDF5 file per record (`records/A00001.h5`, array
`ecg` (lead, time) in millivolts, half precision, 500 Hz, 10 to 60 s) and `metadata.csv`. Labels: AHA statement codes; a
modifier is kept behind a plus sign (`30+308`) and the statement alone is a label as well. Absence: every record was
read for the whole list of statements (a normal one has its own), so an absent one is a negative. Split: ours, by
patient. Paper: Liu et al., Scientific Data 9:272 (2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle import age as ages
from auricle.data.sources._lists import read_list
from auricle.errors import DataError, require
from auricle.io import read
from auricle.io.header_comments import sex_of
from auricle.leads import STANDARD

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_LIST: Final = "metadata.csv"
_COLUMNS: Final = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex")
_RATE_HZ: Final = 500.0


class Sph:
    """SPH. Without its metadata.csv the signals alone are listed."""

    name = "sph"

    def index(self, root: Path) -> pd.DataFrame:
        """A row per record of metadata.csv, or per HDF5 file where there is none."""
        folder = "records/" if (root / "records").is_dir() else ""
        if (root / _LIST).is_file():
            table = read_list(root / _LIST, _COLUMNS, "SPH")
        else:
            names = sorted(path.stem for path in (root / folder).glob("*.h5"))
            if not names:
                raise DataError(f"{root}: neither {_LIST} nor HDF5 records in it; give the folder that holds SPH")
            table = require("pandas", "train").DataFrame(dict.fromkeys(_COLUMNS, ""), index=range(len(names)))
            table["ECG_ID"] = names
        table.insert(0, "record_id", table["ECG_ID"])
        table["file"] = folder + table["ECG_ID"] + ".h5"
        return table[["record_id", "file", *_COLUMNS[1:]]]

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record. Ages are whole years."""
        return read(
            root / str(row["file"]),
            record_id=str(row["record_id"]),
            patient_id=str(row["Patient_ID"]) or None,
            age=ages.parse(str(row["Age"])),
            sex=sex_of(str(row["Sex"])),
            labels=_codes(str(row["AHA_Code"])) or None,
            rate_hz=_RATE_HZ,
            leads=STANDARD,
            source=self.name,
        )


def _codes(text: str) -> tuple[str, ...]:
    written = [code.strip() for code in text.split(";") if code.strip()]
    return tuple(dict.fromkeys(code for entry in written for code in (entry, entry.partition("+")[0])))
