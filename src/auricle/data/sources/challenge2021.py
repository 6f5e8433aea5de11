"""PhysioNet/CinC Challenge 2021: seven public collections in one WFDB layout, 88,253 records.

Source: PhysioNet, content/challenge-2021. Licence: CC BY 4.0 (each collection's own terms are in its folder). Format:
WFDB with the samples in a MATLAB file (`16x1+24`), 257 to 1000 Hz, 5 s to 30 min; headers vary (`mv` and `mV`, gains
with and without baseline, `#Dx:` and `# Dx:`). Labels: SNOMED CT codes of the header's Dx line, whole codes;
abbreviations of CPSC's records in headers of 2020 become codes. Absence: the collections were read for different lists
of diagnoses, so what no record of a collection has is not known of it; CPSC says the rhythm of some records alone. A
record without Dx is not annotated. Split: none; ours, by record, as the headers name no patient. Papers: Perez Alday et
al. 2020, Reyna et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from auricle.data.sources._lists import read_wfdb, wfdb_stems
from auricle.data.sources.cpsc2018 import with_codes
from auricle.errors import DataError, UnknownNameError, require
from auricle.io.wfdb_header import read_header

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

SUBSETS: Final = ("cpsc", "cpsc_extra", "incart", "ptb", "ptb_xl", "georgia", "chapman", "ningbo")
# Records are named by collection; Chapman and Ningbo share a prefix and are numbered through.
_PREFIXES: Final = {"A": "cpsc", "Q": "cpsc_extra", "I": "incart", "S": "ptb", "HR": "ptb_xl", "E": "georgia"}
_LAST_CHAPMAN: Final = 10_646
# Gains of some headers whose samples are microvolts all the same: PTB-XL itself has those of its own in microvolts, and
# Georgia's lie in steps of 4.88.
_WRONG_PER_MV: Final = {"ptb_xl": 200.0, "georgia": 4880.0}
_PER_MV: Final = 1000.0


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
        subset = str(row["subset"])
        recording = read_wfdb(root, row, source=f"{self.name}/{subset}")
        if subset.startswith("cpsc"):
            return with_codes(recording)
        wrong = _WRONG_PER_MV.get(subset)
        if wrong is None:
            return recording
        if {channel.gain for channel in read_header(root / f"{row['file']}.hea").channels} != {wrong}:
            return recording
        note = f"the header says {wrong:g} counts per mV; the samples are those of {_PER_MV:g} per mV, as they are read"
        scaled = recording.signal * np.float32(wrong / _PER_MV)
        return replace(recording, signal=scaled).with_context(notes=(note,))
