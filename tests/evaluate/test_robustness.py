"""Harder conditions: what is taken away is truly away, swapped leads obey Einthoven, noise is the same for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.evaluate.protocols import Setting, finetuned
from auricle.evaluate.reference import rocket
from auricle.evaluate.robustness import (
    _ARMS,
    _RIGHT_ARM_LEG,
    CONDITIONS,
    at_rate,
    by_condition,
    noisy,
    only_leads,
    robustness,
    swapped,
    table,
)
from auricle.evaluate.rocket import Rocket
from auricle.evaluate.table import collect
from auricle.methods import create_method, save_method
from auricle.signal.preprocess import InputSpec, Preprocess
from auricle.tasks import load_task
from conftest import make_batch

SPEC = InputSpec(rate_hz=100, seconds=2.0, band_hz=(0.5, 45))


def heart_batch():
    """A batch whose limb leads obey Einthoven and Goldberger."""
    batch = make_batch(4)
    one, two = batch.signal[:, 0], batch.signal[:, 1]
    limb = torch.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], dim=1)
    return replace(batch, signal=torch.cat([limb, batch.signal[:, 6:]], dim=1))


@pytest.mark.parametrize("wiring", [_ARMS, _RIGHT_ARM_LEG])
def test_swapped_electrodes_obey_einthoven_and_swap_back(wiring: dict) -> None:
    batch = heart_batch()
    once = swapped(batch, wiring)
    one, two, three, avr, avl, avf = once.signal[:, :6].unbind(1)
    assert not torch.allclose(one, batch.signal[:, 0])
    for found, expected in ((three, two - one), (avr, -(one + two) / 2), (avl, one - two / 2), (avf, two - one / 2)):
        assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(swapped(once, wiring).signal, batch.signal, atol=1e-6)
    without = swapped(only_leads(batch, ("I", "V1")), wiring)
    present = [lead for lead, there in zip(batch.leads, without.lead_mask[0].tolist(), strict=True) if there]
    assert present == (["I", "V1"] if wiring is _ARMS else ["III", "V1"])


def test_absent_leads_are_not_read() -> None:
    method, batch = create_method("supervised", "tiny").eval(), heart_batch()
    few = only_leads(batch, ("I", "II", "V2"))
    poisoned = replace(few, signal=torch.where(few.lead_mask[:, :, None], few.signal, torch.nan))
    with torch.no_grad():
        assert torch.equal(method.embed(few), method.embed(poisoned))
        assert not torch.allclose(method.embed(few), method.embed(batch))


def test_a_lower_rate_keeps_what_it_can_carry() -> None:
    batch = make_batch(2, seconds=4.0)
    t = torch.arange(batch.signal.shape[-1]) / batch.rate_hz
    batch = replace(batch, signal=torch.sin(2 * torch.pi * 5 * t).expand_as(batch.signal))
    slower = at_rate(batch, 62.5)
    assert slower.rate_hz == 62.5
    assert slower.signal.shape[-1] == 250
    assert abs(float(slower.signal[0, 0, 50:200].square().mean()) - 0.5) < 0.02
    assert at_rate(slower, 125) is slower


def test_a_lower_rate_neither_brings_lost_leads_back_nor_makes_steps_of_gaps() -> None:
    batch, preprocess = make_batch(2, seconds=4.0), Preprocess(InputSpec(rate_hz=50, seconds=4.0, band_hz=(0.5, 20)))
    signal = batch.signal + 2.0  # where a trace rests is not 0
    n = signal.shape[-1]
    signal[:, 0], signal[0, 1, : int(0.6 * n)], signal[0, 2, : int(0.3 * n)] = torch.nan, torch.nan, torch.nan
    batch = replace(batch, signal=signal)
    recorded, slower = preprocess(batch), preprocess(at_rate(batch, 125))
    assert torch.equal(slower.lead_mask, recorded.lead_mask)
    assert recorded.lead_mask[0].tolist() == [False, False, *(True,) * 10]
    assert (slower.signal - recorded.signal).abs().max() < 0.1


def test_noise_is_a_function_of_the_record_and_measured_in_its_own_size() -> None:
    batch = make_batch(4)
    louder = replace(batch, signal=batch.signal * 7)
    added = noisy(batch, white=1.0).signal - batch.signal
    assert torch.allclose((noisy(louder, white=1.0).signal - louder.signal) / 7, added, atol=1e-4)
    order = torch.tensor([2, 0, 1, 3])
    assert torch.allclose(noisy(batch.select(order), mains=0.5).signal, noisy(batch, mains=0.5).signal[order])
    assert abs(float(added.std() / batch.signal.std()) - 1) < 0.2


def test_rocket_reads_recorded_time_only_and_present_leads_only() -> None:
    batch = make_batch(6, rate_hz=100)
    kernels = Rocket(SPEC, batch, n_kernels=60)
    features = kernels.features(batch)
    assert features.shape == (6, 120)
    assert features.std(0).gt(0).float().mean() > 0.9
    assert torch.equal(Rocket(SPEC, batch, n_kernels=60).features(batch), features)
    masked = only_leads(batch, ("I", "V1"))
    poisoned = replace(masked, signal=torch.where(masked.lead_mask[:, :, None], masked.signal, torch.nan))
    assert torch.equal(kernels.features(masked), kernels.features(poisoned))


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("robust")
    ingest(
        "simulated",
        Path(),
        folder / "store",
        options={"n": 120, "diagnoses": "core", "rate_hz": 100.0, "seconds": 4.0},
        rate_hz=100,
    )
    torch.manual_seed(0)
    task = load_task("simulated/diagnosis")
    method = create_method(
        "supervised", "tiny", input={"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)},
        classes=task.class_names, task=task.id,
    ).eval()  # fmt: skip
    save_method(method, folder / "run" / "model")
    return Setting(method, Store(folder / "store"), task, folder / "out", name="run")


def test_every_condition_is_scored_and_shown(setting: Setting) -> None:
    from auricle.cli import app

    robustness(setting, CONDITIONS[:2])
    found = by_condition(collect(setting.out), setting.task.id)
    assert list(found["run"]) == ["as recorded", "9 leads"]
    folder = setting.out.parent
    done = CliRunner().invoke(
        app, ["robustness", str(folder / "store"), str(folder / "all"), str(folder / "run"), "--task", setting.task.id]
    )
    assert done.exit_code == 0, done.output
    possible = [condition for condition in CONDITIONS if condition.above_hz < 100]
    assert 8 < len(possible) < len(CONDITIONS)
    assert all((condition.name in done.stdout) == (condition in possible) for condition in CONDITIONS)
    assert (folder / "all" / "robustness.png").stat().st_size > 10_000


def test_classes_of_another_order_and_beside_others_are_answered_as_their_own(setting: Setting) -> None:
    names = setting.task.class_names
    torch.manual_seed(0)
    others = create_method(
        "supervised", "tiny", input={"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)},
        classes=("something else", *reversed(names)), task="own",
    ).eval()  # fmt: skip
    asked = replace(setting, method=others, name="others")
    robustness(asked, CONDITIONS[:1])
    finetuned(asked)
    told = {result["meta"]["protocol"]: result for result in collect(asked.folder)}
    assert told["robustness/as recorded"]["meta"]["notes"]["scored_by"] == "its classes"
    assert told["robustness/as recorded"]["macro"]["auroc"] == told["finetune"]["macro"]["auroc"]
    assert "Answered by: others its classes" in table(collect(asked.folder), setting.task.id).to_markdown()


def test_rocket_is_a_row(setting: Setting) -> None:
    plain = replace(setting, name="rocket", preset="few")
    folders = rocket(plain, [1.0], [0], n_kernels=40)
    result = next(iter(collect(folders[0])))
    assert result["meta"]["method"] == "rocket"
    assert np.isfinite(result["macro"]["auroc"]["value"])


def test_a_stored_picture_does_not_show_what_was_taken_away() -> None:
    batch = replace(
        make_batch(), image=torch.zeros(8, 48, 64, dtype=torch.uint8), image_mask=torch.ones(8, dtype=torch.bool)
    )
    for change in (lambda b: only_leads(b, ["I"]), lambda b: at_rate(b, 100), lambda b: noisy(b, white=1.0)):
        assert change(batch).image is None
