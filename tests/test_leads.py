"""Names of leads: their signs, channels that are none, leads that are there twice."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.errors import DataError, UnknownNameError
from auricle.leads import STANDARD, canonical, is_lead, signed
from auricle.recording import make_recording
from fakes import heart

CABRERA = ("aVL", "I", "-aVR", "II", "aVF", "III")


@pytest.mark.parametrize(
    "name",
    ["-aVR", "−aVR", "–aVR", "－aVR", "-AVR", "- aVR", "(-)aVR", "(-aVR)", "minus aVR", "inverted aVR",
     "aVR (inverted)", "Lead -aVR", "ECG -aVR", "-lead aVR", "ECG: -aVR", "MDC_ECG_LEAD_AVRneg", "neg. aVR"],
)  # fmt: skip
def test_a_sign_is_no_punctuation(name: str) -> None:
    assert signed(name) == ("aVR", -1)
    with pytest.raises(UnknownNameError):
        canonical(name)


@pytest.mark.parametrize(
    ("name", "lead"),
    [("ECG-aVR", "aVR"), ("ECG - II", "II"), ("Lead-II", "II"), ("ECG lead II", "II"), ("Ⅱ", "II"), ("rV4", "V4R"),
     ("V4R", "V4R"), ("MDC_ECG_LEAD_V3R", "V3R"), ("ＡＶＦ", "aVF"), ("LI", "I"), ("LIII", "III"), ("LaVF", "aVF")],
)  # fmt: skip
def test_dashes_between_words_and_other_letters(name: str, lead: str) -> None:
    assert signed(name) == (lead, 1)
    assert canonical(name) == lead


@pytest.mark.parametrize(
    "name",
    ["", " ", "MLII", "V", "ECG", "ECG1", "II-", "II+", "aVR-", "rV1", "VR", "CO2", "art", "1", "--aVR", "lead", "C3"],
)
def test_no_lead_is_guessed(name: str) -> None:
    assert not is_lead(name)


def test_cabrera_order_is_read_as_it_is_meant() -> None:
    rows = dict(zip(STANDARD, heart(), strict=True))
    signal = np.stack([-rows["aVR"] if name == "-aVR" else rows[name] for name in CABRERA])
    recording = make_recording(signal, 500, CABRERA, "r")
    assert recording.leads == STANDARD[:6]
    assert np.allclose(recording.signal, [rows[name] for name in STANDARD[:6]], atol=1e-5)
    assert recording.notes == ("lead aVR is recorded upside down (-aVR); turned",)
    both = make_recording(np.stack([rows["aVR"], -rows["aVR"], rows["V1"]]), 500, ["aVR", "-aVR", "V1"], "r")
    assert np.allclose(both.signal[0], rows["aVR"], atol=1e-6)
    assert "lead aVR is there with both signs" in both.notes[0]


@pytest.mark.parametrize("name", ["PLETH", "SpO2", "MLII", "V", "", "ECG", "CO2", "art", "Event Marker", "vx", "aVFF"])
def test_one_foreign_channel_costs_no_lead_and_is_named(name: str) -> None:
    signal = np.vstack([heart(), 90 + heart(n_leads=1, seed=3)])
    recording = make_recording(signal, 500, [*STANDARD, name], "r")
    assert recording.leads == STANDARD
    assert recording.amplitude_known
    (note,) = recording.notes
    assert note == f"channel {name or '(no name)'} is no ECG lead that auricle knows and is left out"


def test_of_a_lead_that_is_there_twice_none_is_guessed() -> None:
    rows, other = heart(), heart(n_leads=1, seed=5)[0]
    names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "II"]
    recording = make_recording(np.vstack([rows, other]), 500, names, "r")
    assert recording.leads == STANDARD
    assert np.allclose(recording.signal[1], rows[1], atol=1e-6), "II follows from I and III"
    assert "lead II is there 2 times with different samples; none of them is used" in recording.notes[0]
    names[-1] = "V1"
    assert "V1" not in make_recording(np.vstack([rows, other]), 500, names, "r").leads
    same = make_recording(np.vstack([rows, rows[6]]), 500, names, "r")
    assert same.leads == STANDARD
    assert "same samples" in same.notes[0]
    with pytest.raises(DataError, match="none of them is used"):
        make_recording(np.stack([rows[0], other]), 500, ["II", "II"], "r")


def test_no_lead_at_all_is_the_reason() -> None:
    with pytest.raises(DataError, match=r"none of its channels is an ECG lead that auricle knows \(MLII, V\)"):
        make_recording(heart(n_leads=2), 360, ["MLII", "V"], "r")
    assert make_recording(heart(n_leads=2), 360, ["MLII", "V5"], "r").leads == ("V5",)
