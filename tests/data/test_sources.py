"""Sources: every data set's native layout, faked, through the true reader; its known traps; and the real files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auricle.data.ingest import ingest
from auricle.data.sources import describe_source, get_source, list_sources
from auricle.data.store import Store
from auricle.errors import DataError, ReadError, UnknownNameError
from auricle.evaluate.lineage import saw_the_test
from auricle.leads import STANDARD
from auricle.recording import Recording
from auricle.tasks import load_task
from fakes import (
    heart,
    write_challenge2021,
    write_cpsc2018,
    write_csn,
    write_mimic,
    write_ptb_xl,
    write_ptb_xl_mini,
    write_sph,
    write_table,
    write_zzu_pecg,
)

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "challenge2021": write_challenge2021,
    "cpsc2018": write_cpsc2018,
    "csn": write_csn,
    "mimic_iv_ecg": write_mimic,
    "ptb_xl": write_ptb_xl,
    "ptb_xl_mini": write_ptb_xl_mini,
    "sph": write_sph,
    "zzu_pecg": write_zzu_pecg,
}
# n readable records of each layout
READABLE = {
    "challenge2021": 5, "cpsc2018": 3, "csn": 3, "mimic_iv_ecg": 3, "ptb_xl": 5, "ptb_xl_mini": 20, "sph": 2,
    "zzu_pecg": 2,
}  # fmt: skip


def read_all(name: str, root: Path, **options: object) -> dict[str, Recording]:
    source = get_source(name, **options)
    index = source.index(root)
    assert index.columns[0] == "record_id"
    assert index["record_id"].is_unique
    recordings = {}
    for row in index.to_dict("records"):
        try:
            recordings[str(row["record_id"])] = source.read(root, row)  # type: ignore[arg-type]
        except ReadError:
            continue
    return recordings


def test_every_source_has_a_fake_layout() -> None:
    assert set(list_sources()) == {*LAYOUTS, "manifest", "simulated"}
    assert all(describe_source(name) for name in list_sources())


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_native_layout_becomes_a_store(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "data")
    recordings = read_all(name, root)
    assert len(recordings) == READABLE[name]
    done = ingest(name, root, tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    assert done.n_stored == len(store) == READABLE[name]
    for row in range(len(store)):
        stored = store.recording(row)
        native = recordings[stored.record_id]
        assert stored.leads == native.leads
        assert stored.labels == native.labels
        assert stored.patient_id == native.patient_id
        assert stored.age == native.age
        if native.rate_hz == store.rate_hz:
            assert np.nanmax(np.abs(stored.signal - native.signal)) <= 0.00051


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_an_empty_folder_says_what_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        get_source(name).index(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_ages_of_ptb_xl_over_89_are_unknown(tmp_path: Path) -> None:
    recordings = read_all("ptb_xl", write_ptb_xl(tmp_path))
    assert recordings["1"].age is not None
    assert recordings["2"].age is None  # coded 300


def test_patients_of_another_edition_can_be_left_out(tmp_path: Path) -> None:
    root = write_ptb_xl(tmp_path)
    (tmp_path / "other.csv").write_text("ecg_id,patient_id\n9,1001.0\n")
    left = get_source("ptb_xl", leave_out=str(tmp_path / "other.csv")).index(root)
    everybody = get_source("ptb_xl").index(root)
    assert set(everybody["patient_id"]) - set(left["patient_id"]) == {"1001.0"}


def test_challenge_headers_vary_and_are_read_alike(tmp_path: Path) -> None:
    root = write_challenge2021(tmp_path)
    recordings = read_all("challenge2021", root)
    sources = {name: recording.source for name, recording in recordings.items()}
    assert sources["JS10647"] == "challenge2021/ningbo"
    assert sources["HR00001"] == "challenge2021/ptb_xl"
    assert all(recording.labels == ("426783006", "164934002") for recording in recordings.values())
    assert all(0.5 < np.abs(recording.signal).max() < 4 for recording in recordings.values())  # mv and mV
    assert set(read_all("challenge2021", root, subset="georgia")) == {"E00001", "E00002"}
    with pytest.raises(UnknownNameError, match="georgia"):
        get_source("challenge2021", subset="gorgia")


def test_abbreviations_of_cpsc_in_first_headers_become_the_codes_of_later_ones(tmp_path: Path) -> None:
    root = write_challenge2021(tmp_path / "challenge")
    for name, dx in (("training/cpsc_2018/g1/A0001", "AF,RBBB"), ("training/georgia/g1/E00001", "AF")):
        header = root / f"{name}.hea"
        header.write_text(header.read_text().replace("426783006,164934002", dx))
    recordings = read_all("challenge2021", root)
    assert recordings["A0001"].labels == ("164889003", "59118001")
    assert recordings["E00001"].labels == ("AF",)  # not CPSC's word, so not known
    (alone,) = read_all("cpsc2018", root / "training" / "cpsc_2018").values()
    assert alone.labels == ("164889003", "59118001")
    known = load_task("cpsc2018").targets([alone.labels])[0]
    assert {"AFIB", "CRBBB"} == {
        name for name, has in zip(load_task("cpsc2018").class_names, known, strict=True) if has
    }
    findings = load_task("ecg/findings")
    assert findings.targets([alone.labels])[0][list(findings.class_names).index("AFIB")] == 1


@pytest.mark.parametrize(("record", "written"), [("HR00001", 200), ("E00001", 4880), ("JS10647", 500)])
def test_microvolts_under_a_wrong_gain_are_read_as_microvolts(tmp_path: Path, record: str, written: int) -> None:
    right = read_all("challenge2021", write_challenge2021(tmp_path))[record]
    (header,) = tmp_path.rglob(f"{record}.hea")
    text = re.sub(r" 1000(\S*/m)", rf" {written}\1", header.read_text())
    header.write_text(text)
    read = read_all("challenge2021", tmp_path)[record]
    if record.startswith("JS"):  # of this collection nothing is known that contradicts its headers
        assert np.allclose(read.signal, 2 * right.signal, atol=1e-5)
    else:
        assert np.allclose(read.signal, right.signal, atol=1e-5)
        assert any("1000 per mV" in note for note in read.notes)


def test_what_a_record_was_not_asked_is_not_known_of_it() -> None:
    task = load_task("ecg/findings")

    def of(*labels: str) -> dict[str, float]:
        return dict(zip(task.class_names, task.targets([labels])[0].tolist(), strict=True))

    assert of("59118001")["CRBBB"] == 1
    assert np.isnan([of("59118001")[name] for name in ("SR", "AFIB", "STACH", "BIGU")]).all()  # its rhythm is not said
    assert (of("AFIB")["AFIB"], of("AFIB")["SR"], of("none")["SR"]) == (1, 0, 0)
    assert np.isnan(of("SR", "LPR")["1AVB"])  # a long PR without the word for it
    assert (of("SR")["1AVB"], of("1AVB", "LPR")["1AVB"]) == (0, 1)
    assert np.isnan(of("SR", "LPR?")["1AVB"])
    assert np.isnan(of("SR", "233917008")["3AVB"])  # a block of no degree
    assert (of("164865005")["MI"], of("54329005")["AMI"], of("54329005")["IMI"]) == (1, 1, 0)
    assert np.isnan([of("164865005")[name] for name in ("AMI", "IMI", "LMI", "PMI")]).all()  # of no territory
    assert of("425856008")["VT"] == of("253352002")["LAO/LAE"] == of("NT_")["NDT"] == 1


def test_what_no_record_of_a_collection_has_is_not_known_of_it(tmp_path: Path) -> None:
    root = write_challenge2021(tmp_path / "raw")
    (header,) = root.rglob("E00001.hea")
    header.write_text(header.read_text().replace("426783006,164934002", "164873001,426783006"))
    ingest("challenge2021", root, tmp_path / "store", workers=1)
    store, task = Store(tmp_path / "store"), load_task("ecg/findings")
    hypertrophy = task.store_targets(store)[:, task.class_names.index("LVH")]
    known = dict(zip(store.column("record_id"), hypertrophy, strict=True))
    assert (known["E00001"], known["E00002"]) == (1, 0)
    assert np.isnan([known["A0001"], known["JS10647"]]).all()


def test_csn_labels_are_whole_codes_and_age_is_the_headers(tmp_path: Path) -> None:
    recordings = read_all("csn", write_csn(tmp_path))
    assert recordings["JS00001"].labels == ("164890007",)
    assert "164890007" not in recordings["JS00002"].labels
    assert recordings["JS00001"].age is not None
    assert recordings["JS00001"].age.days == pytest.approx(85 * 365.25)
    assert recordings["JS00002"].age is None
    assert recordings["JS01000"].age is not None  # twelve years old: an age like any other


def test_cpsc2018_in_its_native_edition(tmp_path: Path) -> None:
    recordings = read_all("cpsc2018", write_cpsc2018(tmp_path))
    assert recordings["A0001"].labels == ("CRBBB",)
    assert recordings["A0002"].labels == ("AFIB", "STD")
    assert recordings["A0003"].signal.shape == (12, 4500)
    assert recordings["A0002"].sex == "F"
    assert np.allclose(recordings["A0002"].signal, heart(4000, seed=2), atol=1e-6)


def test_limb_leads_of_mimic_go_by_name(tmp_path: Path) -> None:
    recording = read_all("mimic_iv_ecg", write_mimic(tmp_path))["40001"]
    signal = dict(zip(recording.leads, recording.signal, strict=True))
    assert recording.leads == STANDARD
    assert np.abs(signal["aVF"] - (signal["II"] - signal["I"] / 2)).max() < 0.01
    assert np.abs(signal["aVL"] - (signal["I"] - signal["II"] / 2)).max() < 0.01


def test_mimic_reports_labels_and_intervals(tmp_path: Path) -> None:
    recordings = read_all("mimic_iv_ecg", write_mimic(tmp_path))
    first, second, third = (recordings[f"4000{number}"] for number in (1, 2, 3))
    assert first.report == "Sinus rhythm. Left bundle branch block. *** Abnormal ECG ***"
    assert {"SR", "CLBBB"} <= set(first.labels)
    assert second.report is None
    assert second.labels == ()  # nothing was stated, which is not normal
    assert "AFIB" in third.labels
    assert not {"CRBBB", "IRBBB"} & set(third.labels)  # denied
    assert first.measurements["heart_rate"] == 75
    assert first.measurements["qrs_ms"] == 90
    assert "qt_ms" not in first.measurements  # 29999 is "not measured"
    assert first.age is None


@pytest.mark.parametrize(("said", "labels"), [
    ("RBBB with left anterior fascicular block", {"CRBBB", "LAFB"}),
    ("Atrial fibrillation with PVCs", {"AFIB", "PVC"}),
    ("LVH with secondary repolarization abnormality", {"LVH"}),
    ("Sinus rhythm with PAC(s)", {"SR", "PAC"}),
])  # fmt: skip
def test_abbreviations_of_mimic_are_written_out_before_they_become_labels(
    tmp_path: Path, said: str, labels: set[str]
) -> None:
    table = write_mimic(tmp_path) / "machine_measurements.csv"
    table.write_text(table.read_text().replace("Left bundle branch block", said).replace("Sinus rhythm,", "Comment,"))
    assert labels <= set(read_all("mimic_iv_ecg", tmp_path)["40001"].labels)


def test_no_laboratory_value_is_from_after_the_ecg(tmp_path: Path) -> None:
    root = write_mimic(tmp_path)
    options = {"patients": str(root / "patients.csv"), "labevents": str(root / "labevents.csv")}
    recordings = read_all("mimic_iv_ecg", root, **options)
    # drawn at 9:00, 11:30 and 12:30 for an ECG at 12:00: the latest before it, ng/mL to ng/L
    assert recordings["40001"].labs == {"troponin_ng_l": 250.0}
    assert recordings["40003"].labs == {}  # drawn two days before
    assert read_all("mimic_iv_ecg", root, lab_hours=72.0, **options)["40003"].labs == {"troponin_ng_l": 5000.0}
    assert recordings["40001"].age is not None
    assert recordings["40001"].age.days == pytest.approx(42 * 365.25)
    assert recordings["40001"].sex == "F"
    assert recordings["40002"].age is None  # 91 stands for over 89
    with pytest.raises(DataError, match="lab_hours"):
        get_source("mimic_iv_ecg", lab_hours=-1.0)


@pytest.mark.parametrize("where", ["value", "comments"])
def test_a_troponin_below_the_limit_is_the_latest_value_all_the_same(tmp_path: Path, where: str) -> None:
    root = write_mimic(tmp_path)
    rows = [
        {"labevent_id": 1, "subject_id": "10001", "itemid": "51003", "charttime": "2150-03-01 06:00:00",
         "value": "0.20", "valuenum": "0.20", "comments": ""},
        {"labevent_id": 2, "subject_id": "10001", "itemid": "51003", "charttime": "2150-03-01 10:00:00",
         "value": "___", "valuenum": "", "comments": "", where: "<0.01.  cTropnT > 0.10 suggests infarction"},
        {"labevent_id": 3, "subject_id": "10001", "itemid": "50971", "charttime": "2150-03-01 10:00:00",
         "value": "4.1", "valuenum": "4.1", "comments": "above 5 it is told by telephone"},
    ]  # fmt: skip
    write_table(root / "labevents.csv", rows)
    recording = read_all("mimic_iv_ecg", root, labevents=str(root / "labevents.csv"))["40001"]
    assert recording.labs == {"troponin_ng_l": 10.0, "potassium_mmol_l": 4.1}
    assert recording.lab_bounds == {"troponin_ng_l": "below"}


def test_a_limit_is_read_whole_and_a_remark_is_none(tmp_path: Path) -> None:
    root = write_mimic(tmp_path)
    at = {"subject_id": "10001", "charttime": "2150-03-01 10:00:00", "valuenum": ""}
    rows = [
        at | {"itemid": "50963", "value": ">70,000", "comments": ""},
        at | {"itemid": "51301", "value": "___", "comments": "< 5 ml of blood, clotted"},
    ]
    write_table(root / "labevents.csv", rows)
    recording = read_all("mimic_iv_ecg", root, labevents=str(root / "labevents.csv"))["40001"]
    assert recording.labs == {"nt_probnp_ng_l": 70_000.0}
    assert recording.lab_bounds == {"nt_probnp_ng_l": "above"}


def test_nine_leads_of_a_newborn_stay_nine(tmp_path: Path) -> None:
    recordings = read_all("zzu_pecg", write_zzu_pecg(tmp_path))
    newborn, child = recordings["P00002_E01"], recordings["P00001_E01"]
    assert not {"V2", "V4", "V6"} & set(newborn.leads)
    assert len(newborn.leads) == 9
    assert newborn.age is not None
    assert newborn.age.days == 3
    assert child.labels == ("C21", "D30+Modifier308", "D30", "ICD:Q21.0", "ICD:(FO) Q21.1")
    assert child.sex == "F"


def test_missing_samples_are_missing_and_not_minus_33_millivolts(tmp_path: Path) -> None:
    root = write_csn(tmp_path)
    path = root / "WFDBRecords/01/010/JS00001.mat"
    samples = np.fromfile(path, dtype="<i2", offset=24)
    samples[12 * 100 : 12 * 200] = -32768
    path.write_bytes(path.read_bytes()[:24] + samples.tobytes())
    recording = read_all("csn", root)["JS00001"]
    assert np.isnan(recording.signal[:, 100:200]).all()
    assert np.nanmax(np.abs(recording.signal)) < 2


def test_a_store_without_amplitudes_refuses_a_model_of_millivolts(tmp_path: Path) -> None:
    from auricle.data.loader import View
    from auricle.signal.preprocess import InputSpec

    ingest("ptb_xl_mini", write_ptb_xl_mini(tmp_path / "d"), tmp_path / "s", rate_hz=100, workers=1)
    store = Store(tmp_path / "s")
    assert not store.amplitude_known
    spec = {"rate_hz": 100.0, "band_hz": (0.5, 45.0)}
    with pytest.raises(DataError, match="amplitude_unknown"):
        View(store, np.arange(3), InputSpec(**spec))  # type: ignore[arg-type]
    assert len(View(store, np.arange(3), InputSpec(**spec, scale="amplitude_unknown")).rows) == 3  # type: ignore[arg-type]
    assert "super_class:CD" in store.recording(1).labels


REAL = {
    "challenge2021": ("challenge-2021", 60), "cpsc2018": ("cpsc2018", 10), "csn": ("csn", 50), "sph": ("sph", 10),
    "ptb_xl_mini": ("ptb-xl-mini", 1598),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_files_are_read(name: str, real_data: Path) -> None:
    folder, fewest = REAL[name]
    recordings = read_all(name, real_data / folder)
    assert len(recordings) >= fewest
    for recording in recordings.values():
        assert {*recording.leads, *recording.lost} == set(STANDARD), "a constant lead is missing, and said to be"
        if recording.amplitude_known:
            one, two, three = recording.signal[:3]
            assert np.nanmedian(np.abs(two - one - three)) < 0.05
    if name in {"challenge2021", "csn"}:
        assert sum(bool(recording.labels) for recording in recordings.values()) >= 0.9 * len(recordings)


def test_the_published_split_and_its_faulty_labels(tmp_path: Path) -> None:
    root = write_csn(tmp_path / "d")
    ingest("csn", root, tmp_path / "s", workers=1)
    folder = tmp_path / "published" / "chapman"
    folder.mkdir(parents=True)
    names = load_task("csn").class_names
    for part, record in (("train", "01/010/JS00001"), ("val", "01/010/JS00002"), ("test", "02/020/JS01000")):
        cells = ",".join("1" if name == "AF" and part == "val" else "0" for name in reversed(names))
        head = f"ecg_path,age,diagnose,{','.join(reversed(names))}"
        row = f"/chapman/WFDBRecords/{record}.mat,12,SB,{cells}"
        (folder / f"chapman_{part}.csv").write_text(f"{head}\n{row}\n")
    store = Store(tmp_path / "s")
    clean = load_task("csn", published=tmp_path / "published")
    legacy = load_task("csn", published=tmp_path / "published", track="legacy")
    rows = {str(record): row for row, record in enumerate(store.column("record_id"))}
    assert {part: rows_.tolist() for part, rows_ in clean.parts(store).items()} == {
        "train": [rows["JS00001"]], "validation": [rows["JS00002"]], "test": [rows["JS01000"]],
    }  # fmt: skip
    column = names.index("AF")
    # Atrial flutter is truly in the first record; the published file has it in the second, as substrings had it.
    assert clean.store_targets(store)[[rows["JS00001"], rows["JS00002"]], column].tolist() == [1, 0]
    assert legacy.store_targets(store)[[rows["JS00001"], rows["JS00002"]], column].tolist() == [0, 1]
    # Weights that learned on one of the splits saw, or may have seen, the test part of the other.
    own, info = load_task("csn"), {"source": "csn", "options": {}}
    entry = {"source": "csn", "task": "csn", "part": "train", "others_left_out": False}
    for learned in (own, clean):
        for asked in (own, clean):
            saw = saw_the_test({**entry, "split": learned.split_facts()}, info, asked)
            assert saw == (learned is not asked)
    assert clean.split_facts() == legacy.split_facts()
    with pytest.raises(DataError, match="folder of the published split files"):
        load_task("csn", track="legacy")
    with pytest.raises(DataError, match="give the folder"):
        load_task("csn", published=tmp_path).parts(store)


def test_a_published_prompt_file_replaces_the_prompts(tmp_path: Path) -> None:
    task = load_task("ptb_xl/super")
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({name: f"sentence for {name}" for name in task.class_names}))
    assert load_task("ptb_xl/super", prompts=path).prompt_sentences()[1] == ("sentence for MI",)
    path.write_text(json.dumps({"MI": "only this"}))
    with pytest.raises(DataError, match="NORM"):
        load_task("ptb_xl/super", prompts=path)


def test_real_published_splits_agree_with_exact_codes(real_data: Path, tmp_path: Path) -> None:
    """PTB-XL's published columns are the exact statements; CSN's are not, and by how much is known."""
    import csv

    folder = real_data / "splits" / "data_split"
    with (real_data / "ptb-xl" / "ptbxl_database.csv").open(encoding="utf-8") as file:
        import ast

        statements = {row["ecg_id"]: tuple(ast.literal_eval(row["scp_codes"])) for row in csv.DictReader(file)}
    from auricle.tasks.published import read_published

    for name in ("super", "sub", "form", "rhythm"):
        task = load_task(f"ptb_xl/{name}", published=folder)
        assert task.published is not None
        published = read_published(task.published, folder).labels(task.class_names)
        both = sorted(set(published) & set(statements))
        assert len(both) > 50
        own = task.targets([statements[record] for record in both])
        assert np.array_equal(own, np.stack([published[record] for record in both])), name
    csn = load_task("csn", published=folder)
    assert csn.published is not None
    table = read_published(csn.published, folder)
    labels = table.labels(csn.class_names)
    flutter = csn.class_names.index("AF")
    faulty = sum(labels[record][flutter] for record in labels)
    exact = sum("AF" in cells["diagnose"].split(",") for cells in table.columns.values())
    assert (faulty, exact) == (4753, 3340)
