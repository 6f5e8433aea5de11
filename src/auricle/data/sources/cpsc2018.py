"""CPSC2018, the China Physiological Signal Challenge 2018: 6,877 12-lead ECGs of 6 to 60 s.

Source: 2018.icbeb.org; the same records are the `cpsc` part of the PhysioNet Challenges. Licence: CC BY 4.0 in the
PhysioNet edition. Format: native MATLAB structs (`ECG.data` (lead, time) in millivolts, 500 Hz) with REFERENCE.csv, or
the Challenge's WFDB edition: whichever lies in the folder. Labels: up to three of nine classes per record, as names
(native) or SNOMED CT codes (WFDB; headers of the Challenge of 2020 that still have CPSC's abbreviations are given the
codes of the later ones). Absence: every record of REFERENCE.csv was read for all nine classes; one that is
not listed there is not annotated. Split: ours, by record; the published benchmark's as an option. Paper: Liu et al., J
Med Imaging Health Inform 8:1368 (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from auricle.data.sources._lists import read_list, read_wfdb, wfdb_stems
from auricle.errors import DataError, require
from auricle.io import read
from auricle.leads import STANDARD

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_LIST: Final = "REFERENCE.csv"
_LABELS: Final = ("First_label", "Second_label", "Third_label")
# The numbers of REFERENCE.csv, 1 to 9, by the names the published benchmark uses.
_CLASSES: Final = ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "VPC", "STD", "STE")
_RATE_HZ: Final = 500.0
# Abbreviations in the first headers of the Challenge of 2020, by the code that the same records have in later ones.
# "AF" is fibrillation here and flutter in the list of Chapman-Shaoxing-Ningbo.
_CODES: Final = {
    "Normal": "426783006", "AF": "164889003", "I-AVB": "270492004", "LBBB": "164909002", "RBBB": "59118001",
    "PAC": "284470004", "PVC": "164884008", "STD": "429622005", "STE": "164931005",
}  # fmt: skip


class Cpsc2018:
    """CPSC2018 in either edition."""

    name = "cpsc2018"

    def index(self, root: Path) -> pd.DataFrame:
        """A row per record of REFERENCE.csv; of the headers in a WFDB edition; of the .mat files where neither is."""
        lists = sorted(root.rglob(_LIST)) if root.is_dir() else []
        if lists:
            return _from_reference(root, lists[0])
        native = sorted(path for path in root.rglob("*.mat") if not path.with_suffix(".hea").exists())
        if native:
            stems = [str(path.relative_to(root).with_suffix("")) for path in native]
            return _table(stems, [""] * len(stems))
        return _table(stems := wfdb_stems(root), [""] * len(stems))

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """One record. The native edition says neither rate nor leads: they are 500 Hz and the standard twelve."""
        if (root / f"{row['file']}.hea").is_file():
            return with_codes(read_wfdb(root, row, source=self.name))
        labels = tuple(name for name in str(row["labels"]).split(";") if name)
        return read(
            root / f"{row['file']}.mat",
            record_id=str(row["record_id"]),
            rate_hz=_RATE_HZ,
            leads=STANDARD,
            labels=labels or None,
            source=self.name,
        )


def with_codes(recording: Recording) -> Recording:
    """A record of CPSC2018's WFDB edition with SNOMED CT codes in place of the abbreviations of its first headers."""
    if not recording.labels:
        return recording
    return recording.with_context(labels=tuple(_CODES.get(label, label) for label in recording.labels))


def _from_reference(root: Path, path: Path) -> pd.DataFrame:
    listed = read_list(path, ("Recording", "First_label"), "CPSC2018")
    # The archive comes in several folders, each record in one of them.
    where = {file.stem: file for file in sorted(root.rglob("*.mat"))}
    stems, labels = [], []
    for number, cells in enumerate(listed.to_dict("records"), start=2):
        record = str(cells["Recording"])
        file = where.get(record, root / f"{record}.mat")  # an absent file is rejected when it is read
        stems.append(str(file.relative_to(root).with_suffix("")))
        given = [str(cells.get(name, "")).removesuffix(".0") for name in _LABELS]
        if not all(text in {"", *map(str, range(1, len(_CLASSES) + 1))} for text in given):
            raise DataError(f"{path}:{number}: a label is not a number from 1 to {len(_CLASSES)}")
        labels.append(";".join(_CLASSES[int(text) - 1] for text in given if text))
    return _table(stems, labels)


def _table(stems: list[str], labels: list[str]) -> pd.DataFrame:
    records = [PurePosixPath(stem).name for stem in stems]
    table: pd.DataFrame = require("pandas", "train").DataFrame({"record_id": records, "file": stems, "labels": labels})
    return table
