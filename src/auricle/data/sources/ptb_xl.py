"""PTB-XL, 21,799 clinical 12-lead ECGs of adults, as distributed by PhysioNet.

Source: PhysioNet, content/ptb-xl. Licence: CC BY 4.0. Format: WFDB format 16, 10 s, `records500` (500 Hz) and
`records100` (100 Hz), listed in `ptbxl_database.csv`. Labels: SCP-ECG statements with likelihoods (all are kept,
whatever the likelihood, as in the published benchmark). Absence: each record carries all statements of its report, so
an absent one is a negative; records with no statement of a task's kind are left out of it, as in the published
benchmark. Split: the data set's ten patient-disjoint folds. Reports are German, English and Swedish. Ages are whole
years; 300 stands for "over 89". Paper: Wagner et al., Scientific Data 7:154 (2020).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle import age as ages
from auricle.data.sources._lists import read_list
from auricle.errors import DataError
from auricle.io import wfdb

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_LIST = "ptbxl_database.csv"
_COLUMNS = ("patient_id", "age", "sex", "report", "scp_codes", "strat_fold", "filename_lr", "filename_hr")


class PtbXl:
    """PTB-XL.

    Args:
        rate_hz: 500 reads `records500`, 100 reads `records100`.
        leave_out: a CSV with a column patient_id whose patients are not listed, for training beside another edition
            of the data set that is to be tested on.
    """

    name = "ptb_xl"

    def __init__(self, rate_hz: int = 500, leave_out: str | Path | None = None) -> None:
        if rate_hz not in (100, 500):
            raise DataError(f"PTB-XL has records at 100 and 500 Hz, not {rate_hz}")
        self._file = "filename_hr" if rate_hz == 500 else "filename_lr"
        self._leave_out = Path(leave_out) if leave_out else None

    def index(self, root: Path) -> pd.DataFrame:
        """The data set's own list; a partial mirror's absent files are rejected when they are read."""
        table = read_list(root / _LIST, ("ecg_id", *_COLUMNS), "PTB-XL")
        table.insert(0, "record_id", table["ecg_id"])
        if self._leave_out is not None:
            others = read_list(self._leave_out, ("patient_id",), "another edition of PTB-XL")
            known = {_whole(patient) for patient in others["patient_id"]}
            table = table[[_whole(patient) not in known for patient in table["patient_id"]]]
        return table[["record_id", *_COLUMNS]].reset_index(drop=True)

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record. Sex is coded 0 male, 1 female."""
        recording = wfdb.read(root / f"{row[self._file]}.hea")
        return recording.with_context(
            record_id=str(row["record_id"]),
            patient_id=_whole(str(row["patient_id"])) or None,
            age=ages.parse(str(row["age"])),
            sex={"0": "M", "1": "F"}.get(str(row["sex"]).removesuffix(".0")),
            report=str(row["report"]).strip() or None,
            labels=_codes(str(row["scp_codes"])),
            fold=int(float(row["strat_fold"])) if row["strat_fold"] else None,
            source=self.name,
        )


def _whole(number: str) -> str:
    """PTB-XL writes patients as `15709.0`."""
    return number.removesuffix(".0")


def _codes(text: str) -> tuple[str, ...]:
    try:
        codes = ast.literal_eval(text or "{}")
    except (ValueError, SyntaxError):
        raise DataError("its scp_codes are not a dictionary") from None
    if not isinstance(codes, dict):
        raise DataError("its scp_codes are not a dictionary")
    return tuple(str(code) for code in codes)
