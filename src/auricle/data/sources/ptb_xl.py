"""PTB-XL, 21,799 clinical 12-lead ECGs of adults, as distributed by PhysioNet.

Source: PhysioNet, content/ptb-xl. Licence: CC BY 4.0. Format: WFDB format 16, 10 s, `records500` (500 Hz) and
`records100` (100 Hz), listed in `ptbxl_database.csv`. Labels: SCP-ECG statements with likelihoods (all are kept,
whatever the likelihood, as in the published benchmark). Split: the data set's ten patient-disjoint folds.
Reports are German, English and Swedish. Ages are whole years; 300 stands for "over 89". Paper: Wagner et al.,
Scientific Data 7:154 (2020).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle import age as ages
from auricle.errors import DataError, require
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
    """

    name = "ptb_xl"

    def __init__(self, rate_hz: int = 500) -> None:
        if rate_hz not in (100, 500):
            raise DataError(f"PTB-XL has records at 100 and 500 Hz, not {rate_hz}")
        self._file = "filename_hr" if rate_hz == 500 else "filename_lr"

    def index(self, root: Path) -> pd.DataFrame:
        """The data set's own list; a partial mirror's absent files are rejected when they are read."""
        pandas = require("pandas", "train")
        try:
            table: pd.DataFrame = pandas.read_csv(root / _LIST, dtype=str, keep_default_na=False)
        except FileNotFoundError:
            raise DataError(f"{root}: no {_LIST} in it; give the folder that PhysioNet's archive unpacks to") from None
        missing = sorted({"ecg_id", *_COLUMNS} - set(table.columns))
        if missing:
            raise DataError(f"{root / _LIST}: has no column {', '.join(missing)}; is it PTB-XL's own list?")
        table.insert(0, "record_id", table["ecg_id"])
        return table[["record_id", *_COLUMNS]]

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record. Sex is coded 0 male, 1 female."""
        recording = wfdb.read(root / f"{row[self._file]}.hea")
        patient = str(row["patient_id"])
        return recording.with_context(
            record_id=str(row["record_id"]),
            patient_id=patient.removesuffix(".0") or None,
            age=ages.parse(str(row["age"])),
            sex={"0": "M", "1": "F"}.get(str(row["sex"]).removesuffix(".0")),
            report=str(row["report"]).strip() or None,
            labels=_codes(str(row["scp_codes"])),
            fold=int(float(row["strat_fold"])) if row["strat_fold"] else None,
            source=self.name,
        )


def _codes(text: str) -> tuple[str, ...]:
    try:
        codes = ast.literal_eval(text or "{}")
    except (ValueError, SyntaxError):
        raise DataError("its scp_codes are not a dictionary") from None
    if not isinstance(codes, dict):
        raise DataError("its scp_codes are not a dictionary")
    return tuple(str(code) for code in codes)
