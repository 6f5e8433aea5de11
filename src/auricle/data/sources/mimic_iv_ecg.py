"""MIMIC-IV-ECG, 800,035 12-lead ECGs of 161,352 patients, with the statements of the cart.

Source: PhysioNet, content/mimic-iv-ecg. Licence: Open Database License; MIMIC-IV itself needs credentialed access.
Format: WFDB, 500 Hz, 10 s, listed in `record_list.csv`; statements and intervals in `machine_measurements.csv`. The
files order the limb leads I, II, III, aVR, aVF, aVL; leads are read by name, so the order does not matter. Report: the
18 statement columns joined; a report under four words counts as absent. Labels: SCP codes of the statements that the
cart affirms without doubt; infarctions have none. Absence: the cart reads every record by the same rules, so what it
does not state is a negative; what it calls possible, or one of two, is in doubt (`LVH?`), as is a normal ECG beside a
diagnosis; a report without any code says `none`, and a record without a report is not annotated. Ages: MIMIC-IV
`patients` (anchor age and year), whole years, over 89 unknown.
Laboratory values: MIMIC-IV `labevents`, the latest *drawn* in the hours before the ECG; nothing from after it. Split:
by patient. Paper: Gow et al. 2023.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle.age import DAYS_PER_YEAR, Age
from auricle.data.sources._lists import read_list, read_wfdb
from auricle.errors import DataError, require
from auricle.io.header_comments import sex_of
from auricle.labs import parse_value
from auricle.recording import DOUBT, NO_CLASS
from auricle.text.findings import codes, parse
from auricle.text.glossary import to_english
from auricle.text.reports import clean

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_RECORDS, _STATEMENTS = "record_list.csv", "machine_measurements.csv"
_REPORTS: Final = tuple(f"report_{number}" for number in range(18))
_FEWEST_WORDS: Final = 4
# The cart writes 29999 for an interval it could not measure.
_LARGEST_MEASURED: Final = 20_000.0
_MEASURED: Final = ("rr_interval", "p_onset", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis")
# Ages over 89 are coded as 91: older than that is all they say.
_OLDEST_KNOWN: Final = 89
# MIMIC-IV item -> our name and the factor to our unit.
_ITEMS: Final = {
    "51003": ("troponin_ng_l", 1000.0),  # troponin T, ng/mL
    "50963": ("nt_probnp_ng_l", 1.0),  # pg/mL
    "50971": ("potassium_mmol_l", 1.0),  # mEq/L
    "51222": ("haemoglobin_g_l", 10.0),  # g/dL
    "51301": ("white_cells_g_l", 1.0),  # K/uL
}
_LAB_COLUMNS: Final = ("subject_id", "itemid", "charttime", "valuenum")
# Where a limit of the method stands (`<0.01`) that gave no number; a copy may lack them.
_LAB_TEXTS: Final = ("value", "comments")
_LIMIT: Final = r"^\s*([<>])\s*=?\s*(\d{1,3}(?:,\d{3})+|\d*\.?\d+)(?=\s*(?:$|[.;](?:\s|$)))"
_CHUNK_ROWS: Final = 2_000_000


class MimicIvEcg:
    """MIMIC-IV-ECG, alone or joined with MIMIC-IV.

    Args:
        patients: MIMIC-IV's `hosp/patients.csv[.gz]`, for age and sex.
        labevents: MIMIC-IV's `hosp/labevents.csv[.gz]`, for laboratory values.
        lab_hours: how long before the ECG a sample may have been drawn.
    """

    name = "mimic_iv_ecg"

    def __init__(
        self, patients: str | Path | None = None, labevents: str | Path | None = None, lab_hours: float = 24.0
    ) -> None:
        if lab_hours <= 0:
            raise DataError(
                f"lab_hours should be above 0, not {lab_hours:g}: values from after the ECG are never taken"
            )
        self.patients = Path(patients) if patients else None
        self.labevents = Path(labevents) if labevents else None
        self.lab_hours = lab_hours

    def index(self, root: Path) -> pd.DataFrame:
        """A row per record of the list file, joined with what was asked for."""
        table = read_list(root / _RECORDS, ("subject_id", "study_id", "ecg_time", "path"), "MIMIC-IV-ECG")
        table = table.rename(columns={"study_id": "record_id", "path": "file"})
        table = table[["record_id", "file", "subject_id", "ecg_time"]]
        table = _joined(table, _statements(root / _STATEMENTS), "record_id")
        if self.patients is not None:
            table = _joined(table, _ages(self.patients), "subject_id")
        if self.labevents is not None:
            table = _with_labs(table, self.labevents, self.lab_hours)
        return table

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record with its report, labels, intervals, and what `patients` and `labevents` know of it."""
        report = str(row["report"])
        found = [
            f"{code}{DOUBT}" if statement.possible else code
            for statement in parse(to_english(clean(report)).text)
            for code in codes(statement, "scp")
        ]
        if report and not found:
            found = [NO_CLASS]
        labs = {name: parse_value(row[f"lab:{name}"]) for name, _ in _ITEMS.values() if row.get(f"lab:{name}")}
        return read_wfdb(
            root,
            row,
            patient_id=str(row["subject_id"]),
            age=_age(row),
            sex=sex_of(str(row.get("gender", ""))),
            report=report or None,
            labels=tuple(dict.fromkeys(found)),
            labs={name: value for name, (value, _) in labs.items()},
            lab_bounds={name: bound for name, (_, bound) in labs.items() if bound is not None},
            measurements=_measurements(row),
            source=self.name,
        )


def _statements(path: Path) -> pd.DataFrame:
    """study_id -> the joined report and the cart's intervals."""
    listed = read_list(path, ("study_id", "report_0"), "MIMIC-IV-ECG")
    given = [name for name in _REPORTS if name in listed.columns]
    reports = [
        ". ".join(cell.strip().rstrip(".") for cell in cells if cell.strip())
        for cells in zip(*(listed[name] for name in given), strict=True)
    ]
    table: pd.DataFrame = listed[["study_id", *(name for name in _MEASURED if name in listed.columns)]].copy()
    table["report"] = [text if len(clean(text).split()) >= _FEWEST_WORDS else "" for text in reports]
    return table.rename(columns={"study_id": "record_id"}).drop_duplicates("record_id")


def _ages(path: Path) -> pd.DataFrame:
    wanted = ("subject_id", "gender", "anchor_age", "anchor_year")
    return read_list(path, wanted, "MIMIC-IV's patients")[list(wanted)].drop_duplicates("subject_id")


def _joined(table: pd.DataFrame, more: pd.DataFrame, key: str) -> pd.DataFrame:
    """Left join in the table's order; what is not known is empty text."""
    joined: pd.DataFrame = table.merge(more, on=key, how="left", sort=False).fillna("")
    return joined


def _age(row: Mapping[str, Any]) -> Age | None:
    """Anchor age plus the years since the anchor year: known to a year, as dates are shifted per patient."""
    anchor, year, moment = (str(row.get(name, "")) for name in ("anchor_age", "anchor_year", "ecg_time"))
    if not anchor or not year or not moment[:4].isdigit():
        return None
    if float(anchor) > _OLDEST_KNOWN:
        return None
    years = float(anchor) + int(moment[:4]) - int(year)
    return Age(years * DAYS_PER_YEAR, DAYS_PER_YEAR) if 0 < years <= _OLDEST_KNOWN else None


def _measurements(row: Mapping[str, Any]) -> dict[str, float]:
    """Rate, intervals and axes of the cart, where it measured them."""
    known = {}
    for name in _MEASURED:
        text = str(row.get(name, ""))
        value = float(text) if text else _LARGEST_MEASURED
        if abs(value) < _LARGEST_MEASURED:
            known[name] = value
    measured = {}
    if known.get("rr_interval", 0) > 0:
        measured["heart_rate"] = 60_000 / known["rr_interval"]
    for name, first, last in (
        ("pr_ms", "p_onset", "qrs_onset"),
        ("qrs_ms", "qrs_onset", "qrs_end"),
        ("qt_ms", "qrs_onset", "t_end"),
    ):
        if first in known and last in known and known[last] > known[first]:
            measured[name] = known[last] - known[first]
    return measured | {f"{name}_deg": known[name] for name in ("p_axis", "qrs_axis", "t_axis") if name in known}


def _with_labs(table: pd.DataFrame, path: Path, hours: float) -> pd.DataFrame:
    """For each record and item the latest value drawn at or before the ECG, at most `hours` before it.

    A sample that only says on which side of a limit it lies (`<0.01`) counts with that limit: without it an older and
    higher troponin would stand for the latest.
    """
    pandas = require("pandas", "train")
    ecg = table[["record_id", "subject_id"]].copy()
    ecg["moment"] = pandas.to_datetime(table["ecg_time"], errors="coerce")
    ecg = ecg.dropna(subset=["moment"]).sort_values("moment", kind="stable")
    subjects = set(ecg["subject_id"])
    # Filtered chunk by chunk: the whole table would not fit into memory.
    events = pandas.concat([chunk[chunk["subject_id"].isin(subjects)] for chunk in _lab_events(path)])
    events["drawn"] = pandas.to_datetime(events["charttime"], errors="coerce")
    number = pandas.to_numeric(events["valuenum"], errors="coerce")
    side = pandas.Series("", index=events.index)
    for column in _LAB_TEXTS:
        limit = events[column].astype(str).str.extract(_LIMIT)
        bound = limit[1].str.replace(",", "").astype(float)
        told = bound.notna() & (number.isna() | (number == bound)) & (side == "")
        side, number = side.mask(told, limit[0]), number.mask(told, bound)
    events["value"], events["side"] = number, side
    events = events.dropna(subset=["drawn", "value"]).sort_values("drawn", kind="stable")
    for item, (name, factor) in _ITEMS.items():
        drawn = events.loc[events["itemid"] == item, ["subject_id", "drawn", "value", "side"]]
        # direction="backward" is the time rule: only what was drawn before the ECG can match.
        matched = pandas.merge_asof(
            ecg, drawn, left_on="moment", right_on="drawn", by="subject_id", direction="backward",
            tolerance=pandas.Timedelta(hours=hours),
        ).dropna(subset=["value"])  # fmt: skip
        found = zip(matched["record_id"], matched["value"], matched["side"], strict=True)
        values = {record: f"{side}{value * factor:.6g}" for record, value, side in found}
        table[f"lab:{name}"] = [values.get(record, "") for record in table["record_id"]]
    return table


def _lab_events(path: Path) -> Iterator[pd.DataFrame]:
    """The rows of our items, read in chunks: the whole table has over a hundred million."""
    pandas = require("pandas", "train")
    try:
        columns = pandas.read_csv(path, nrows=0, dtype=str).columns
        wanted = [*_LAB_COLUMNS, *(name for name in _LAB_TEXTS if name in columns)]
        reader = pandas.read_csv(path, usecols=wanted, dtype=str, chunksize=_CHUNK_ROWS)
        for chunk in reader:
            yield chunk[chunk["itemid"].isin(_ITEMS)].reindex(columns=[*_LAB_COLUMNS, *_LAB_TEXTS])
    except (OSError, ValueError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is not MIMIC-IV's labevents ({type(error).__name__}); give that CSV") from None
