"""Leads that show a class: without them it is left open, and a trace is not called normal; else nothing changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from auricle.age import Age
from auricle.caveats import caveats
from auricle.errors import UnreadableError
from auricle.leads import LIMB, STANDARD
from auricle.measure.recording import judge_recording
from auricle.methods import create_method
from auricle.over_age import Answer
from auricle.predict import Predictor
from auricle.prediction import to_row
from auricle.recording import Recording
from auricle.shown_in import _PLACES, left_open, sets_said
from auricle.simulate.cohort import cohort
from auricle.tasks import load_task


def asked(answer: Answer) -> dict[str, Answer]:
    return dict.fromkeys(load_task("ecg/findings").class_names, answer)


def test_every_place_is_of_leads_and_every_class_of_the_findings() -> None:
    assert set(_PLACES) <= set(load_task("ecg/findings").class_names)
    assert {lead for places in _PLACES.values() for place in places for lead in place} <= set(STANDARD)


def test_with_all_leads_and_with_a_picture_alone_nothing_is_left_open() -> None:
    for answer in ("yes", "no", "either"):
        assert left_open(asked(answer), STANDARD) == ()
        assert left_open(asked(answer), ()) == ()


def test_without_chest_leads_what_they_show_is_not_denied_and_nothing_is_called_normal() -> None:
    denied = left_open(asked("no"), LIMB)
    assert {"RVH", "LVH", "AMI", "CRBBB", "MI", "STE_", "BRUG", "LMI"} <= set(denied)
    assert not {"IMI", "AFIB", "SR", "1AVB", "LNGQT", "NORM", "WPW"} & set(denied)
    assert left_open(asked("yes"), LIMB) == ("NORM",)
    assert left_open(asked("either"), LIMB) == ()


def test_an_avr_is_no_lead_of_the_lateral_wall() -> None:
    assert left_open({"NORM": "yes"}, ("II", "V2", "V4", "aVR")) == ("NORM",)
    assert left_open({"NORM": "yes"}, ("II", "V2", "V4", "I")) == ()


@pytest.mark.parametrize("task", ["ptb_xl/sub", "ptb_xl/super", "cpsc2018", "csn", "sph/aha", "zzu_pecg/aha"])
def test_what_tasks_call_otherwise_is_known(task: str) -> None:
    names = load_task(task).class_names
    normal = [name for name in names if name.casefold().startswith("norm")]
    assert left_open(dict.fromkeys(normal, "yes"), ("I",)) == tuple(normal)
    blocks = [name for name in names if name in ("CRBBB", "RBBB", "right bundle branch block", "CD")]
    assert blocks
    assert left_open(dict.fromkeys(blocks, "no"), ("I",)) == tuple(blocks)
    assert left_open({"of one's own": "no", "2AVB": "no", "atrial fibrillation": "no"}, ("I",)) == ()


def test_weights_that_read_one_lead_keep_the_sets_that_were_fitted_to_it(predictor: Predictor) -> None:
    sets = predictor.sets
    assert sets is not None
    recording = next(iter(cohort(1, 7, ages="adults", diagnoses={}, rate_hz=500).recordings()))
    scores = dict.fromkeys(predictor.classes, 0.01)
    one = sets_said(sets, recording, scores, 9000.0, ("II",), ())
    assert one.coverage == sets.coverage
    assert one.answers == sets.answers(scores, 9000.0)
    assert not one.notes


def test_fewer_leads_never_show_more() -> None:
    orders = np.random.default_rng(0)
    for _ in range(8):
        leads = [str(lead) for lead in orders.permutation(STANDARD)]
        hidden = [set(left_open(asked("no"), leads[: n + 1])) for n in range(len(leads))]
        assert all(later <= earlier for earlier, later in pairwise(hidden))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_pretrained()


def test_the_answer_of_few_leads_promises_nothing_and_says_what_is_open(predictor: Predictor) -> None:
    whole = next(iter(cohort(1, 7, ages="adults", diagnoses={}, rate_hz=500).recordings()))
    part = replace(whole, leads=LIMB, signal=whole.signal[: len(LIMB)])
    twelve, six = predictor([whole, part])
    assert twelve.coverage == 0.9
    assert six.coverage is None
    assert "no" in {twelve.sets[name] for name in _PLACES}
    assert {six.sets[name] for name in ("AMI", "RVH", "LVH")} <= {"either", "yes"}
    assert "no" in {six.sets[name] for name in ("VT", "AFIB", "PACE", "3AVB")}
    (said,) = [note for note in six.notes if note.startswith("left open")]
    assert set(said.partition(": ")[2].split(", ")) <= {"NORM", *_PLACES}
    assert said in str(to_row(six.to_dict())["notes"])
    assert not [note for note in twelve.notes if note.startswith("left open")]


def test_a_trace_without_fast_waves_is_told_nothing_for_sure(predictor: Predictor) -> None:
    recording = next(iter(cohort(1, 7, ages="children", diagnoses={}, rate_hz=500).recordings()))
    assert predictor(replace(recording, cart_band_hz=(0.5, 35.0))).coverage == 0.9
    behind_a_filter = predictor(replace(recording, cart_band_hz=(0.5, 25.0)))
    assert behind_a_filter.coverage is None
    assert set(behind_a_filter.sets.values()) == {"either"}
    assert [note for note in behind_a_filter.notes if "every class is left open: nothing above 25 Hz" in note]


def test_a_trace_that_was_sampled_too_slowly_for_its_age_has_no_answer(predictor: Predictor) -> None:
    """At 62 samples a second normal children are told of bundle branch blocks; adults are answered as at 100."""
    recording = next(iter(cohort(1, 7, ages="children", diagnoses={}, rate_hz=500).recordings()))
    for age, whose, least in ((recording.age, "of a child ", 80), (None, "of unknown age ", 80), (Age(20_000), "", 60)):
        slow = replace(recording, age=age, recorded_hz=least - 5.0)
        with pytest.raises(UnreadableError, match=f"sampled {least - 5} times .*trace {whose}needs {least}"):
            predictor.prepare(slow)
        predictor.prepare(replace(slow, recorded_hz=float(least)))


def test_weights_that_read_slow_waves_alone_answer_what_holds_them() -> None:
    method = create_method("supervised", "tiny", classes=("A",), input={"rate_hz": 50, "band_hz": (0.5, 20)})
    recording = next(iter(cohort(1, 7, ages="children", diagnoses={}, rate_hz=50).recordings()))
    assert Predictor(method)(recording).scores


def test_a_rate_that_is_not_of_the_age_is_said(predictor: Predictor) -> None:
    child = next(iter(cohort(1, 7, ages=[1500.0], diagnoses={}, rate_hz=500).recordings()))
    rate = judge_recording(child).heart_rate.value

    def said(days: float | None) -> list[str]:
        age = None if days is None else Age(days)
        return [note for note in caveats_of(replace(child, age=age)) if "was measured" in note]

    def caveats_of(recording: Recording) -> list[str]:
        read, judged = predictor.spec, judge_recording(recording)
        return caveats(recording, read, None, STANDARD, 1, judged, sees_age=True, sees_pictures=False)

    assert 70 < rate < 125
    assert said(1500.0) == said(9000.0) == said(None) == []
    early = replace(child, age=Age(120.0), gestation_days=30 * 7)
    assert [note for note in caveats_of(replace(early, gestation_days=None)) if "was measured" in note]
    assert "slow for 7.1 wk" in next(note for note in caveats_of(early) if "was measured" in note)
    (one,) = said(30.0)
    assert f"{rate:.0f}/min" in one
    assert "slow for 4.3 wk" in one
