"""PhysioNet/CinC Challenge 2021: seven public collections in one WFDB layout, 88,253 records.

Source: PhysioNet, content/challenge-2021. Licence: CC BY 4.0 (each collection's own terms are in its folder). Format:
WFDB with the samples in a MATLAB file (`16x1+24`), 257 to 1000 Hz, 5 s to 30 min; headers vary (`mv` and `mV`, gains
with and without baseline, `#Dx:` and `# Dx:`). Labels: SNOMED CT codes of the header's Dx line, whole codes;
abbreviations of CPSC's records in headers of 2020 become codes. Absence: the collections were read for different lists
of diagnoses, so a code of another collection's list is absent everywhere; ask one collection at a time (`subset`). A
record without Dx is not annotated. Split: none; ours, by record, as the headers name no patient. Papers: Perez Alday et
al. 2020, Reyna et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from auricle.data.sources._lists import read_wfdb, wfdb_stems
from auricle.data.sources.cpsc2018 import with_codes
from auricle.errors import DataError, UnknownNameError, require

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

SUBSETS: Final = ("cpsc", "cpsc_extra", "incart", "ptb", "ptb_xl", "georgia", "chapman", "ningbo")
# Records are named by collection; Chapman and Ningbo share a prefix and are numbered through.
_PREFIXES: Final = {"A": "cpsc", "Q": "cpsc_extra", "I": "incart", "S": "ptb", "HR": "ptb_xl", "E": "georgia"}
_LAST_CHAPMAN: Final = 10_646


def subset_of(record: str) -> str:
    """The collection a record belongs to, by its name.

    Raises:
        DataError: no collection names its records so.
    """
    prefix = record.rstrip("0123456789")
    number = record[len(prefix) :]
    if prefix == "JS" and number:
        return "chapman" if int(number) <= _LAST_CHAPMAN else "ningbo"
    if prefix in _PREFIXES and number:
        return _PREFIXES[prefix]
    raise DataError(f"{record[:40]}: is no record name of the Challenge's collections")


class Challenge2021:
    """The whole Challenge, or one of its collections.

    Args:
        subset: one of cpsc, cpsc_extra, incart, ptb, ptb_xl, georgia, chapman, ningbo; by default all.
    """

    name = "challenge2021"

    def __init__(self, subset: str | None = None) -> None:
        if subset is not None and subset not in SUBSETS:
            raise UnknownNameError("subset of challenge2021", subset, SUBSETS)
        self.subset = subset

    def index(self, root: Path) -> pd.DataFrame:
        """A row per header, in the order of their names."""
        stems = wfdb_stems(root)
        records = [PurePosixPath(stem).name for stem in stems]
        table: pd.DataFrame = require("pandas", "train").DataFrame(
            {"record_id": records, "file": stems, "subset": [subset_of(record) for record in records]}
        )
        return table if self.subset is None else table[table["subset"] == self.subset].reset_index(drop=True)

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record; age, sex and diagnoses are its header's."""
        recording = read_wfdb(root, row, source=f"{self.name}/{row['subset']}")
        return with_codes(recording) if str(row["subset"]).startswith("cpsc") else recording
