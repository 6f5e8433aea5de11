"""The contract of a method, for every registered one. A method without a case in CASES fails the completeness test."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auricle.batch import ECGBatch
from auricle.errors import CheckpointError, ConfigError
from auricle.methods import (
    AlignsText,
    Method,
    Progress,
    create_method,
    init_encoder_from,
    list_methods,
    load_method,
    save_method,
)
from auricle.nn.film import FiLM
from conftest import make_batch

# The term of each method's step that must improve when it is trained on eight records.
CASES = {
    "acl_ecg": "loss",
    "astcl": "ahead",
    "barlow_twins": "loss",
    "byol": "loss",
    "cg_dmer": "align",
    "clocs": "loss",
    "cpc": "loss",
    "crt": "loss",
    "heartlang": "loss",
    "jepa": "loss",
    "lisa": "loss",
    "ls_emvae": "loss",
    "melp": "loss",
    "merl": "loss",
    "mirage": "loss",
    "moco_v3": "loss",
    "multitask": "loss",
    "patchtst": "loss",
    "simclr": "loss",
    "simmtm": "copies",
    "simsiam": "loss",
    "st_mem": "loss",
    "supervised": "loss",
    "tf_c": "loss",
    "timemae": "loss",
    "timesurl": "loss",
    "ts_tcc": "loss",
    "vq_hbr": "loss",
    "wcr": "whole",
}
# They learn how a record goes on, which in noise it does not: a wave of its own rate in each record.
FORETELL = {"cpc", "patchtst", "timesurl", "ts_tcc"}

# Most learn eight records in twenty steps; where the strong view has its pieces in another order, it takes longer.
MOST_STEPS = 140


def fresh(name: str, seed: int = 0, **more: object) -> Method:
    torch.manual_seed(seed)
    return create_method(name, "tiny", **more)


def one_step(method: Method, batch: ECGBatch, optimiser: torch.optim.Optimizer, number: int) -> dict[str, float]:
    torch.manual_seed(number)
    result = method.step(batch, Progress(number, 100))
    optimiser.zero_grad()
    result.loss.backward()
    optimiser.step()
    return {name: value.item() for name, value in result.terms.items()}


def test_every_method_has_a_case() -> None:
    assert set(CASES) == set(list_methods())


@pytest.mark.parametrize(
    ("name", "preset"),
    [("lisa", "nano"), ("merl", "nano"), ("mirage", "nano_conv"), ("mirage", "nano"), ("ls_emvae", "nano"),
     ("cg_dmer", "nano"), ("acl_ecg", "nano"), ("multitask", "nano"), ("supervised", "resnet_nano"),
     ("simclr", "nano"), ("byol", "nano"), ("barlow_twins", "nano"), ("moco_v3", "nano"), ("simsiam", "nano"),
     ("clocs", "nano"), ("cpc", "nano"), ("cpc", "nano_gru"), ("ts_tcc", "nano"), ("tf_c", "nano"),
     ("timesurl", "nano"), ("astcl", "nano"), ("st_mem", "nano"),
     ("jepa", "nano"), ("wcr", "nano"), ("melp", "nano"), ("crt", "nano"), ("timemae", "nano"), ("simmtm", "nano"),
     ("patchtst", "nano"), ("vq_hbr", "nano"), ("heartlang", "nano")],
)  # fmt: skip
def test_nano_is_about_half_a_million_weights_in_every_system(name: str, preset: str) -> None:
    """One table compares them; what reads more hertz has longer patches."""
    encoder = create_method(name, preset, input={"rate_hz": 100, "band_hz": (0.5, 40)}).encoder
    assert 0.3e6 < sum(parameter.numel() for parameter in encoder.parameters()) < 0.6e6


@pytest.mark.parametrize("name", CASES)
def test_loss_is_finite_and_gradient_reaches_everything(name: str) -> None:
    method, batch = fresh(name).train(), make_batch()
    optimiser = torch.optim.SGD(method.parameters(), lr=0.01)
    one_step(method, batch, optimiser, 0)  # zero-initialised layers let gradient through from the second step on
    torch.manual_seed(1)
    result = method.step(batch, Progress(1, 100))
    assert torch.isfinite(result.loss)
    result.loss.backward()
    silent = [n for n, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not silent


@pytest.mark.parametrize("name", CASES)
def test_terms_are_to_be_shown_and_hold_no_graph(name: str) -> None:
    """A term that is kept for a log would keep the whole step in memory."""
    terms = fresh(name).train().step(make_batch(), Progress(0, 10)).terms
    assert terms
    assert not any(value.requires_grad for value in terms.values())
    assert all(value.ndim == 0 for value in terms.values())


@pytest.mark.parametrize("name", CASES)
def test_it_can_learn_eight_records(name: str) -> None:
    method, batch = fresh(name).train(), make_batch()
    if name in FORETELL:
        rate = 1 + torch.arange(8)[:, None] / 2
        wave = torch.sin(2 * math.pi * rate * torch.arange(500) / 250)[:, None] * torch.linspace(0.5, 1.5, 12)[:, None]
        batch = replace(batch, signal=wave)
    optimiser = torch.optim.AdamW(method.parameters(), lr=5e-3)
    terms: list[float] = []
    for number in range(MOST_STEPS):
        terms.append(one_step(method, batch, optimiser, number)[CASES[name]])
        if number >= 10 and sum(terms[-5:]) < 0.7 * sum(terms[:5]):
            return
    pytest.fail(f"from {sum(terms[:5]) / 5:.3g} to {sum(terms[-5:]) / 5:.3g} in {MOST_STEPS} steps")


@pytest.mark.parametrize("name", CASES)
def test_same_seed_same_step(name: str) -> None:
    results = []
    for _ in range(2):
        method = fresh(name).train()
        one_step(method, make_batch(), torch.optim.SGD(method.parameters(), lr=0.1), 3)
        results.append(torch.cat([parameter.flatten() for parameter in method.parameters()]))
    assert torch.equal(results[0], results[1])


@pytest.mark.parametrize("name", CASES)
def test_embedding_survives_saving_and_ignores_order_and_masks(name: str, tmp_path: Path) -> None:
    method, batch = fresh(name).eval(), make_batch()
    with torch.no_grad():
        before = method.embed(batch)
        save_method(method, tmp_path / "w")
        assert torch.equal(before, load_method(tmp_path / "w").embed(batch))
        order = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
        assert torch.allclose(before[order], method.embed(batch.select(order)), atol=1e-5)
        lead_mask = batch.lead_mask.clone()
        lead_mask[:, 4] = False
        poisoned = batch.signal.clone()
        poisoned[:, 4] = torch.nan
        masked = method.embed(replace(batch, lead_mask=lead_mask))
        assert torch.equal(masked, method.embed(replace(batch, lead_mask=lead_mask, signal=poisoned)))
        padded = replace(
            batch,
            signal=torch.nn.functional.pad(batch.signal, (0, 333)),
            time_mask=torch.nn.functional.pad(batch.time_mask, (0, 333)),
        )
        assert torch.allclose(before, method.embed(padded), atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_bf16_trains(name: str) -> None:
    method = fresh(name).train()
    with torch.autocast("cpu", torch.bfloat16):
        result = method.step(make_batch(), Progress(0, 10))
    result.loss.backward()
    assert torch.isfinite(result.loss)


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    save_method(fresh("supervised"), tmp_path)
    card = json.loads((tmp_path / "auricle.json").read_text())
    (tmp_path / "auricle.json").write_text(json.dumps({**card, "weights_version": 99}))
    with pytest.raises(CheckpointError, match="version 99"):
        load_method(tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    save_method(fresh("supervised"), tmp_path)
    card = json.loads((tmp_path / "auricle.json").read_text())
    card["config"]["encoder"]["width"] = 32
    (tmp_path / "auricle.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=r"do not fit, the first being"):
        load_method(tmp_path)
    with pytest.raises(CheckpointError, match=r"no auricle\.json"):
        load_method(tmp_path.parent)


def test_nothing_pickled_is_written(tmp_path: Path) -> None:
    save_method(fresh("lisa"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"auricle.json", "model.safetensors"}


def test_prompts_travel_with_the_weights(tmp_path: Path) -> None:
    method, batch = fresh("lisa").eval(), make_batch()
    assert isinstance(method, AlignsText)
    prompts = torch.nn.functional.normalize(torch.randn(3, 384), dim=-1)
    method.keep_prompts("a/task", ["x", "y", "z"], prompts)
    save_method(method, tmp_path)
    loaded = load_method(tmp_path)
    assert loaded.prompt_sets == {"a/task": ("x", "y", "z")}
    with torch.no_grad():
        assert torch.equal(method.prompt_scores(batch, "a/task"), loaded.prompt_scores(batch, "a/task"))
        assert torch.allclose(
            loaded.prompt_scores(batch, "a/task"), method.project(batch) @ method.project_text(prompts).T
        )


def test_lisa_without_a_report_trains_on_the_others() -> None:
    method, batch = fresh("lisa").train(), make_batch()
    ids = batch.text.report_id.clone()
    ids[0] = -1
    without = replace(batch, text=replace(batch.text, report_id=ids))
    torch.manual_seed(0)
    result = method.step(without, Progress(0, 1))
    assert torch.isfinite(result.loss)
    assert float(result.terms["active"]) <= 7 / 8 + 1e-6


@pytest.mark.parametrize("objective", ["info_nce", "soft_target", "siglip"])
@pytest.mark.parametrize("similarity", ["cosine", "findings", "both"])
@pytest.mark.parametrize("weighting", ["ramp", "step", "power", "none"])
def test_every_form_of_the_diag_sim_loss_runs(objective: str, similarity: str, weighting: str) -> None:
    method = fresh("lisa", objective=objective, diag_sim={"similarity": similarity, "weighting": weighting}).train()
    result = method.step(make_batch(), Progress(0, 1))
    assert torch.isfinite(result.loss)


class TestSupervised:
    def test_a_fresh_gate_changes_nothing_and_takes_an_encoder_as_it_was(self, tmp_path: Path) -> None:
        donor, batch = fresh("lisa", seed=5).eval(), make_batch()
        save_method(donor, tmp_path)
        gated = fresh("supervised", gate={}).eval()
        init_encoder_from(gated, tmp_path)
        with torch.no_grad():
            assert torch.equal(donor.embed(batch), gated.embed(batch))

    def test_age_acts_once_gates_are_trained_and_unknown_is_not_day_zero(self) -> None:
        method, batch = fresh("supervised", gate={}).eval(), make_batch()
        for module in method.modules():
            if isinstance(module, FiLM):
                torch.nn.init.normal_(module.net[-1].weight, std=0.5)
        with torch.no_grad():
            at = {days: method.logits(batch.at_age(days)) for days in (0.0, 3.0, 3650.0, 20_000.0, 30_000.0)}
            unknown = method.logits(batch.without_age())
        assert not torch.allclose(at[0.0], at[3.0])
        assert not torch.allclose(at[3.0], at[3650.0])
        assert torch.equal(at[20_000.0], at[30_000.0]), "adults share one code"
        assert not torch.allclose(at[0.0], unknown)

    def test_a_frozen_backbone_trains_gates_and_head_only(self) -> None:
        method = fresh("supervised", gate={}, backbone="frozen", encoder={"name": "resnet1d", "preset": "tiny"})
        batch = make_batch()
        before = {name: value.clone() for name, value in method.state_dict().items()}
        optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
        method.train()
        for number in range(3):
            one_step(method, batch, optimiser, number)
        moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
        assert moved
        assert all(name.startswith(("head.", "encoder.codes.", "encoder.modulate.")) for name in moved)

    def test_a_frozen_backbone_still_learns_what_unknown_means(self) -> None:
        method = fresh("supervised", gate={"unknown_share": 0.5}, backbone="frozen").train()
        batch = make_batch().at_age(100.0)
        optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
        before = method.encoder.codes["age"].unknown.clone()
        for number in range(4):
            one_step(method, batch, optimiser, number)
        assert not torch.equal(before, method.encoder.codes["age"].unknown)

    def test_a_slow_backbone_has_its_own_rate(self) -> None:
        groups = fresh("supervised", gate={}, backbone="slow", backbone_lr_scale=0.2).param_groups()
        assert {group["lr_scale"] for group in groups} == {0.2, 1.0}
        listed = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(listed) == len(set(listed))
        assert len(listed) == sum(1 for _ in fresh("supervised", gate={}).parameters())

    def test_an_encoder_of_another_shape_is_refused(self, tmp_path: Path) -> None:
        save_method(fresh("lisa"), tmp_path)
        with pytest.raises(CheckpointError, match="encoder is not this run's"):
            init_encoder_from(fresh("supervised", encoder={"name": "resnet1d", "preset": "tiny"}), tmp_path)


def test_names_and_keys_are_suggested() -> None:
    with pytest.raises(ConfigError, match="did you mean 'lisa'"):
        create_method("lissa")
    with pytest.raises(ConfigError, match="did you mean 'projection'"):
        create_method("lisa", "tiny", projektion=3)
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        create_method("lisa", "tiny", encoder={"name": "lead_groups", "widht": 3})
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        create_method("lisa", "tinny")
