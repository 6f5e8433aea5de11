"""ZZU-pECG, 14,190 ECGs of 11,643 hospitalised children of 0 to 14 years.

Source: figshare 27078763. Licence: CC BY 4.0. Format: WFDB (`Child_ecg/P00/P00001/P00001_E01`), 500 Hz, 5 to 120 s,
listed in `AttributesDictionary.csv`; 13 % of the records, and 94 % of those of the first month, have nine leads (no V2,
V4, V6): they are absent and never invented. Labels: AHA statements as they are coded (`C21`, `D30+Modifier308`, the
statement alone being a label as well) and diseases as `ICD:Q21.0`, with the group that may stand before the code.
Absence: every ECG was read for the whole list of statements (A1 is a normal one), so an absent one is a negative; a
child without a disease code is not annotated for diseases. Ages are days. Split: ours, by patient. Paper: Scientific
Data 2025, "A pediatric ECG database with disease diagnosis covering 11643 children".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle import age as ages
from auricle.data.sources._lists import read_list, read_wfdb
from auricle.io.header_comments import sex_of

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_LIST: Final = "AttributesDictionary.csv"
_COLUMNS: Final = ("Filename", "ECG_ID", "Patient_ID", "Age", "Gender", "AHA_code", "ICD-10 code")


class ZzuPecg:
    """ZZU-pECG in its native layout."""

    name = "zzu_pecg"

    def index(self, root: Path) -> pd.DataFrame:
        """The data set's own list."""
        table = read_list(root / _LIST, _COLUMNS, "ZZU-pECG")
        folder = "Child_ecg/" if (root / "Child_ecg").is_dir() else ""
        table.insert(0, "record_id", table["ECG_ID"])
        table.insert(1, "file", folder + table["Filename"])
        return table[["record_id", "file", *_COLUMNS[2:]]]

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record; age, sex and labels are taken from the list, not from the comments of its header."""
        return read_wfdb(
            root,
            row,
            patient_id=str(row["Patient_ID"]) or None,
            age=ages.parse(str(row["Age"])),
            sex=sex_of(_unquoted(str(row["Gender"]))),
            labels=(*_statements(str(row["AHA_code"])), *_diseases(str(row["ICD-10 code"]))),
            source=self.name,
        )


def _unquoted(text: str) -> str:
    return text.strip().strip("'").strip()


def _parts(text: str) -> list[str]:
    return [part for part in (_unquoted(part) for part in text.split(";")) if part]


def _statements(text: str) -> tuple[str, ...]:
    """Each statement as written, and without its modifier."""
    return tuple(dict.fromkeys(code for entry in _parts(text) for code in (entry, entry.partition("+")[0])))


def _diseases(text: str) -> tuple[str, ...]:
    """Codes as written: `(FO) Q21.1` is a patent foramen ovale, `(OSD) Q21.1` an atrial septal defect."""
    return tuple(dict.fromkeys(f"ICD:{' '.join(entry.split())}" for entry in _parts(text)))
