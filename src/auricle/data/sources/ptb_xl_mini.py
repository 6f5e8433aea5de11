"""PTB-XL as one array: 100 Hz, 0.5 to 40 Hz, every lead z-scored, so that the amplitude is lost.

Source: derived from PTB-XL (Wagner et al. 2020). Licence: CC BY 4.0. Format: `signals_100hz_zscore_milli.npz` (`signal`
(record, lead, time) int16, a thousandth of a standard deviation per step, leads in the standard order; `ecg_id`) and
`labels.csv`. Labels: the four tasks' classes, named by task (`super_class:CD`). Absence: a record with classes of a
task is negative for its others; one without any is not annotated for it. Split: PTB-XL's folds; no ages and no reports.
`amplitude_known` is false: only a model with `input.scale = "amplitude_unknown"` may read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.data.sources._lists import read_list
from auricle.errors import DataError
from auricle.io.arrays import from_array, load_arrays
from auricle.leads import STANDARD

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_SIGNALS, _LIST = "signals_100hz_zscore_milli.npz", "labels.csv"
_TASKS: Final = ("super_class", "sub_class", "form", "rhythm")
_COLUMNS: Final = ("ecg_id", "patient_id", "strat_fold", *_TASKS)
_RATE_HZ: Final = 100.0
_STEP: Final = np.float32(0.001)


class PtbXlMini:
    """The arrays of PTB-XL at 100 Hz and their labels."""

    name = "ptb_xl_mini"

    def index(self, root: Path) -> pd.DataFrame:
        """A row per line of labels.csv."""
        table = read_list(root / _LIST, _COLUMNS, "ptb-xl-mini")
        table.insert(0, "record_id", table["ecg_id"])
        return table[["record_id", *_COLUMNS[1:]]]

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record, in standard deviations of each lead."""
        signals, rows = _arrays(root / _SIGNALS)
        record = str(row["record_id"])
        if record not in rows:
            raise DataError(f"{root / _SIGNALS}: has no record {record}")
        labels = [f"{task}:{name}" for task in _TASKS for name in str(row[task]).split(";") if name]
        return from_array(
            signals[rows[record]] * _STEP,
            _RATE_HZ,
            STANDARD,
            record_id=record,
            patient_id=str(row["patient_id"]).removesuffix(".0") or None,
            fold=int(float(row["strat_fold"])),
            labels=tuple(labels),
            source=self.name,
            amplitude_known=False,
        )


@lru_cache(maxsize=1)
def _arrays(path: Path) -> tuple[NDArray[np.int16], dict[str, int]]:
    """The signals and the row of each record, read once per process."""
    stored = load_arrays(path)
    try:
        signals, records = stored["signal"], stored["ecg_id"]
    except KeyError as error:
        raise DataError(f"{path}: has no array {error}") from None
    if signals.ndim != 3 or signals.shape[1] != len(STANDARD) or len(signals) != len(records):
        raise DataError(f"{path}: signals of shape {signals.shape}, not (record, 12, time)")
    return signals, {str(record): row for row, record in enumerate(records.tolist())}
