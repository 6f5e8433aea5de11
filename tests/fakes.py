"""Writers of data sets in their native formats, so that the true readers are tested without licensed data."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


def write_wfdb(
    path: Path,
    signal: NDArray[np.floating],
    leads: Sequence[str],
    rate_hz: float = 500,
    gain: float = 1000.0,
    baseline: int = 0,
    unit: str = "mV",
    offset: int = 0,
    comments: Sequence[str] = (),
) -> Path:
    """A format-16 record of (lead, time) in `unit`; NaN becomes -32768. Returns the header."""
    steps = np.where(np.isnan(signal), -32768, np.rint(signal * gain + baseline)).astype("<i2")
    suffix = ".mat" if offset else ".dat"
    data = path.with_suffix(suffix)
    data.write_bytes(b"\0" * offset + steps.T.tobytes())
    kind = f"16x1+{offset}" if offset else "16"
    lines = [f"{path.name} {len(leads)} {rate_hz:g} {signal.shape[1]}"]
    lines += [
        f"{data.name} {kind} {gain}({baseline})/{unit} 16 0 {row[0]} 0 0 {lead}"
        for row, lead in zip(steps, leads, strict=True)
    ]
    lines += [f"# {comment}" for comment in comments]
    header = path.with_suffix(".hea")
    header.write_text("\n".join(lines) + "\n")
    return header


def write_by_wfdb(path: Path, counts: NDArray[np.integer], leads: Sequence[str], fmt: str, gain: float) -> Path:
    """A record of (lead, time) counts in any format, by the wfdb package. Returns the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        wfdb = pytest.importorskip("wfdb", reason="needs the extra wfdb")
        n = len(leads)
        wfdb.wrsamp("tmp", 500, ["mV"] * n, list(leads), d_signal=counts.T, fmt=[fmt] * n, adc_gain=[gain] * n,
                    baseline=[0] * n, write_dir=str(path.parent))  # fmt: skip
    text = (path.parent / "tmp.hea").read_text().replace("tmp.dat", f"{path.name}.dat").replace("tmp ", f"{path.name} ")
    (path.parent / "tmp.hea").unlink()
    (path.parent / "tmp.dat").rename(path.parent / f"{path.name}.dat")
    header = path.parent / f"{path.name}.hea"
    header.write_text(text)
    return header


PTB_XL_COLUMNS = [
    "ecg_id",
    "patient_id",
    "age",
    "sex",
    "report",
    "scp_codes",
    "strat_fold",
    "filename_lr",
    "filename_hr",
]


def write_ptb_xl(root: Path, n: int = 6, per_patient: int = 2) -> Path:
    """A folder in PTB-XL's native layout; the last record's files are missing, as in a partial mirror."""
    leads = ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    rows = []
    for number in range(1, n + 1):
        names = {}
        for kind, rate_hz in (("lr", 100), ("hr", 500)):
            name = f"records{rate_hz}/00000/{number:05d}_{kind}"
            names[f"filename_{kind}"] = name
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if number < n:
                write_wfdb(root / name, heart(10 * rate_hz, seed=number, rate_hz=rate_hz), leads, rate_hz)
        ages = {1: "56.0", 2: "300.0", 3: ""}
        rows.append({
            "ecg_id": number, "patient_id": f"{1000 + number // per_patient}.0", "age": ages.get(number, "40"),
            "sex": number % 2,
            "report": "sinusrhythmus normales ekg", "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
            "strat_fold": number % 10 + 1,
            **names,
        })  # fmt: skip
    with (root / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, PTB_XL_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return root


STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def heart(n: int = 5000, n_leads: int = 12, seed: int = 0, rate_hz: float = 500.0) -> NDArray[np.float64]:
    """Millivolts (lead, time): QRS and T at 80 a minute in little noise; six limb leads obey their laws."""
    rng = np.random.default_rng(seed)
    since = np.arange(n) / rate_hz % 0.75 - 0.3
    shape = np.stack([np.exp(-((since / 0.012) ** 2)), np.exp(-(((since - 0.25) / 0.05) ** 2))])
    height = rng.choice([-1.0, 1.0], size=(n_leads, 1)) * rng.uniform(0.5, 1.5, size=(n_leads, 1))
    rows = height * (np.array([1.0, 0.25]) @ shape) + rng.normal(size=(n_leads, n)) * 0.01
    if n_leads >= 6:
        one, two = rows[0], rows[1]
        rows[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return rows


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """A CSV of dictionaries with the first one's columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_challenge2021(root: Path) -> Path:
    """Georgia, Ningbo, PTB-XL, CPSC as the Challenge has them: RECORDS in every folder, headers that vary."""
    where = {"training/georgia/g1": ["E00001", "E00002"], "training/ningbo/g1": ["JS10647"]}
    where |= {"training/ptb-xl/g1": ["HR00001"], "training/cpsc_2018/g1": ["A0001"]}
    (root / "training").mkdir(parents=True)
    for number, (folder, names) in enumerate(where.items()):
        (root / folder).mkdir(parents=True)
        (root / folder / "RECORDS").write_text("\n".join(names) + "\n")
        for name in names:
            unit, mark = ("mv", "#") if name.startswith("HR") else ("mV", "# ")
            header = write_wfdb(root / folder / name, heart(seed=number), STANDARD, 500, 1000, unit=unit, offset=24)
            text = header.read_text().replace("16x1+24", "16+24" if name == "A0001" else "16x1+24")
            header.write_text(f"{text}{mark}Age: {60 + number}\n{mark}Sex: Male\n{mark}Dx: 426783006,164934002\n")
    (root / "RECORDS").write_text("".join(f"{folder}/\n" for folder in where) + "training/never_downloaded/g1/\n")
    return root


def write_csn(root: Path, more: int = 0) -> Path:
    """The ecg-arrhythmia layout, one header with an age that is none and one with a false neighbour of a code.

    `more` records follow, of atrial fibrillation and right axis deviation in turn.
    """
    stems = ["WFDBRecords/01/010/JS00001", "WFDBRecords/01/010/JS00002", "WFDBRecords/02/020/JS01000"]
    stems += [f"WFDBRecords/02/020/JS{number:05d}" for number in range(1001, 1001 + more)]
    for number, stem in enumerate(stems):
        (root / stem).parent.mkdir(parents=True, exist_ok=True)
        dx = (
            ("164890007", "1648900071,426177001", "426177001")[number]
            if number < 3
            else ("164889003", "47665007")[number % 2]
        )
        age = ("85", "NaN", "12")[number] if number < 3 else "40"
        write_wfdb(
            root / stem, heart(seed=number), STANDARD, 500, 1000, offset=24,
            comments=[f"Age: {age}", "Sex: Female", f"Dx: {dx}"],
        )  # fmt: skip
    (root / "RECORDS").write_text("WFDBRecords/01/010/\nWFDBRecords/02/020/\n")
    return root


def write_cpsc2018(root: Path, more: int = 0) -> Path:
    """CPSC2018 as it was handed out: folders of .mat structs and one REFERENCE.csv.

    `more` records follow, normal ones and right bundle branch block in turn.
    """
    from scipy.io import savemat

    rows: list[dict[str, object]] = []
    own = (("5", "", ""), ("2", "8", ""), ("1", "", ""))
    for number, labels in enumerate((*own, *((("1", "5")[i % 2], "", "") for i in range(more))), start=1):
        name = f"A{number:04d}"
        folder = root / f"TrainingSet{1 + number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        struct = {"sex": "Female", "age": np.uint8(40 + number), "data": heart(3000 + 500 * number, seed=number)}
        savemat(folder / f"{name}.mat", {"ECG": struct}, do_compression=number == 2)
        rows.append({"Recording": name, "First_label": labels[0], "Second_label": labels[1], "Third_label": labels[2]})
    rows.append({"Recording": "A0099", "First_label": "1", "Second_label": "", "Third_label": ""})  # its file is lost
    write_table(root / "TrainingSet1" / "REFERENCE.csv", rows)
    return root


def write_sph(root: Path) -> Path:
    """SPH's HDF5 records and metadata."""
    import h5py

    (root / "records").mkdir(parents=True)
    for number in (1, 2):
        with h5py.File(root / "records" / f"A0000{number}.h5", "w") as file:
            file.create_dataset("ecg", data=heart(seed=number).astype(np.float16), compression="gzip")
    rows = [
        {"ECG_ID": "A00001", "AHA_Code": "22;23", "Patient_ID": "S1", "Age": 55, "Sex": "M", "N": 5000, "Date": ""},
        {"ECG_ID": "A00002", "AHA_Code": "30+308", "Patient_ID": "S2", "Age": 32, "Sex": "F", "N": 5000, "Date": ""},
    ]  # fmt: skip
    write_table(root / "metadata.csv", rows)
    return root


def write_zzu_pecg(root: Path) -> Path:
    """ZZU-pECG's native layout: a child of twelve leads, and a newborn of nine."""
    nine = [name for name in STANDARD if name not in {"V2", "V4", "V6"}]
    rows = []
    for name, leads, age, aha in (
        ("P00001_E01", STANDARD, "572d", "'C21';'D30+Modifier308'"),
        ("P00002_E01", nine, "3d", "'A1'"),
    ):
        stem = f"P00/{name[:6]}/{name}"
        (root / "Child_ecg" / stem).parent.mkdir(parents=True, exist_ok=True)
        signal = heart(5000, 12)[[STANDARD.index(lead) for lead in leads]]
        write_wfdb(root / "Child_ecg" / stem, signal, [lead.upper() for lead in leads], 500, 1000)
        rows.append({
            "Filename": stem, "ECG_ID": name, "Patient_ID": name[:6], "Age": age, "Gender": "'Female'",
            "Acquisition_date": "2020-01-01 10:00:00", "Sampling_point": 5000, "Lead": len(leads), "AHA_code": aha,
            "CHN_code": "'C13'", "ICD-10 code": "'Q21.0';'(FO) Q21.1'", "pSQI": "", "basSQI": "", "bSQI": "",
        })  # fmt: skip
    write_table(root / "AttributesDictionary.csv", rows)
    return root


# MIMIC-IV-ECG's own order of the limb leads: aVF before aVL.
MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def write_mimic(root: Path) -> Path:
    """MIMIC-IV-ECG and the two tables of MIMIC-IV that can be joined to it."""
    records, statements = [], []
    reports = [
        ("Sinus rhythm", "Left bundle branch block", "*** Abnormal ECG ***"),
        ("Normal ECG", "", ""),  # under four words: no report
        ("Atrial fibrillation", "No right bundle branch block", ""),
    ]
    for number, lines in enumerate(reports, start=1):
        subject, study = f"1000{number}", f"4000{number}"
        stem = f"files/p1000/p{subject}/s{study}/{study}"
        (root / stem).parent.mkdir(parents=True, exist_ok=True)
        order = [STANDARD.index(lead) for lead in MIMIC_LEADS]
        write_wfdb(root / stem, heart(seed=number)[order], MIMIC_LEADS, 500, 200)
        moment = f"2150-03-0{number} 12:00:00"
        records.append({"subject_id": subject, "study_id": study, "file_name": study, "ecg_time": moment, "path": stem})
        row: dict[str, object] = {"subject_id": subject, "study_id": study, "cart_id": 1, "ecg_time": moment}
        row |= {f"report_{i}": lines[i] if i < len(lines) else "" for i in range(18)}
        row |= {"bandwidth": "0.005-150 Hz", "filtering": "", "rr_interval": 800, "p_onset": 40, "p_end": 150}
        row |= {"qrs_onset": 200, "qrs_end": 290, "t_end": 29999, "p_axis": 40, "qrs_axis": -20, "t_axis": 29999}
        statements.append(row)
    write_table(root / "record_list.csv", records)
    write_table(root / "machine_measurements.csv", statements)
    write_table(
        root / "patients.csv",
        [
            {"subject_id": "10001", "gender": "F", "anchor_age": 40, "anchor_year": 2148, "dod": ""},
            {"subject_id": "10002", "gender": "M", "anchor_age": 91, "anchor_year": 2150, "dod": ""},
        ],
    )
    draws = [("2150-03-01 09:00:00", "0.10"), ("2150-03-01 11:30:00", "0.25"), ("2150-03-01 12:30:00", "9.99")]
    rows = [
        {"labevent_id": i, "subject_id": "10001", "itemid": "51003", "charttime": moment, "valuenum": value}
        for i, (moment, value) in enumerate(draws)
    ]
    rows.append({"labevent_id": 9, "subject_id": "10003", "itemid": "51003", "charttime": "2150-03-01 12:00:00",
                 "valuenum": "5"})  # fmt: skip
    write_table(root / "labevents.csv", rows)
    return root


def write_ptb_xl_mini(root: Path) -> Path:
    """The arrays of PTB-XL's small, z-scored edition."""
    root.mkdir(parents=True, exist_ok=True)
    hearts = np.stack([heart(1000, seed=number, rate_hz=100) for number in range(20)])
    signal = (1000 * (hearts - hearts.mean(-1, keepdims=True)) / hearts.std(-1, keepdims=True)).astype(np.int16)
    np.savez(root / "signals_100hz_zscore_milli.npz", signal=signal, ecg_id=np.arange(100, 120))
    rows: list[dict[str, object]] = [
        {
            "ecg_id": 100 + i, "patient_id": f"{500 + i}.0", "strat_fold": i % 10 + 1,
            "super_class": "CD;STTC" if i % 2 else "NORM", "sub_class": "", "form": "", "rhythm": "SR",
        }
        for i in range(20)
    ]  # fmt: skip
    write_table(root / "labels.csv", rows)
    return root
