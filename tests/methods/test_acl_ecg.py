"""acl_ecg: its two losses against slow loops, closed forms and two processes; its regions; its ablations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from auricle.augment.views import view
from auricle.batch import ECGBatch
from auricle.config import dump, validate
from auricle.errors import ConfigError
from auricle.leads import LIMB, STANDARD
from auricle.losses.contrastive import nt_xent
from auricle.losses.regions import Repels, region_nt_xent
from auricle.methods import Method, Progress, create_method
from auricle.methods.acl_ecg import PRESETS, REGIONS, AclEcg, AclEcgConfig
from auricle.processes import world
from conftest import make_batch
from hearts import hearts
from processes import in_two_processes

REPELS = get_args(Repels)
NINE_LEADS = tuple(lead for lead in STANDARD if lead not in ("V2", "V4", "V6"))


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def slow_nt_xent(one: torch.Tensor, other: torch.Tensor, scale: float) -> float:
    views = torch.cat([one, other]).double()
    n, losses = len(one), []
    for i in range(2 * n):
        own = scale * float(views[i] @ views[(i + n) % (2 * n)])
        every = sum(math.exp(scale * float(views[i] @ views[k])) for k in range(2 * n) if k != i)
        losses.append(math.log(every) - own)
    return sum(losses) / len(losses)


def slow_regions(vectors: torch.Tensor, present: torch.Tensor, scale: float, repels: str) -> float:
    b, _, g, _ = vectors.shape
    every = [(i, v, r) for i in range(b) for v in range(2) for r in range(g)]
    losses = []
    for i, v, r in every:
        if not present[i, :, r].all():
            continue
        row = vectors[i, v, r].double()
        own = scale * float(row @ vectors[i, 1 - v, r].double())
        negatives = [
            scale * float(row @ vectors[j, w, q].double())
            for j, w, q in every
            if present[j, w, q]
            and (j != i or (repels == "everything" and q != r))
            and (repels != "same_region" or q == r)
        ]
        if negatives:
            losses.append(math.log(math.exp(own) + sum(math.exp(s) for s in negatives)) - own)
    return sum(losses) / max(1, len(losses))


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 7), st.integers(0, 10_000))
@example(2, 1371)
def test_nt_xent_is_its_equation(n: int, seed: int) -> None:
    one, other = unit(2, n, 5, seed=seed)
    # In single precision logits of 10 are known to a millionth, which is all there is of a small loss.
    assert float(nt_xent(one, other, 10.0)) == pytest.approx(slow_nt_xent(one, other, 10.0), rel=1e-4, abs=2e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from(REPELS), st.integers(0, 10_000))
def test_the_region_loss_is_its_equation_whatever_is_absent(n: int, g: int, repels: str, seed: int) -> None:
    vectors = unit(n, 2, g, 5, seed=seed)
    present = torch.rand(n, 2, g, generator=torch.Generator().manual_seed(seed)) < 0.8
    poisoned = torch.where(present[..., None], vectors, torch.nan)
    found = float(region_nt_xent(poisoned, present, 10.0, repels))
    assert found == pytest.approx(slow_regions(vectors, present, 10.0, repels), rel=1e-4, abs=1e-5)


def test_identical_views_and_orthogonal_others_have_a_closed_form() -> None:
    n, g, scale = 3, 4, 5.0
    axes = torch.eye(n * g)
    expected = math.log1p((2 * n - 2) * math.exp(-scale))
    assert float(nt_xent(axes[:n], axes[:n], scale)) == pytest.approx(expected, rel=1e-4)
    vectors = axes.view(n, 1, g, n * g).expand(-1, 2, -1, -1)
    present = torch.ones(n, 2, g, dtype=torch.bool)
    for repels, negatives in zip(REPELS, (2 * n * g - 2, 2 * (n - 1) * g, 2 * (n - 1)), strict=True):
        found = float(region_nt_xent(vectors, present, scale, repels))
        assert found == pytest.approx(math.log1p(negatives * math.exp(-scale)), rel=1e-4)


def test_one_region_is_nt_xent() -> None:
    one, other = unit(2, 6, 5)
    vectors = torch.stack([one, other], dim=1)[:, :, None]
    present = torch.ones(6, 2, 1, dtype=torch.bool)
    for repels in REPELS:
        assert torch.allclose(region_nt_xent(vectors, present, 7.0, repels), nt_xent(one, other, 7.0))


def test_a_single_record_has_nothing_to_be_pushed_from() -> None:
    one, other = unit(2, 1, 5)
    assert float(nt_xent(one, other, 10.0)) == 0
    vectors, present = unit(1, 2, 4, 5), torch.ones(1, 2, 4, dtype=torch.bool)
    assert float(region_nt_xent(vectors, present, 10.0, "other_records")) == 0
    assert float(region_nt_xent(vectors, present, 10.0)) > 0


def test_absent_regions_neither_attract_nor_repel() -> None:
    vectors = unit(3, 2, 4, 5).requires_grad_()
    present = torch.ones(3, 2, 4, dtype=torch.bool)
    present[0, :, 2] = False  # a record without it
    present[1, 0, 3] = False  # one view of a record without it: the other view has nothing to be drawn to
    region_nt_xent(vectors, present, 10.0).backward()
    assert torch.isfinite(vectors.grad).all()
    moved = vectors.grad.abs().sum(-1) > 0
    assert torch.equal(moved, present)


def _loss(rank: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Both losses on some rows of a fixed batch, and what is differentiated."""
    rows = slice(rank * n, rank * n + n)
    vectors = unit(6, 2, 3, 5, seed=4)[rows].clone().requires_grad_()
    present = (torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(1)) < 0.7)[rows]
    sums = [region_nt_xent(vectors, present, 5.0, r) for r in REPELS]
    regions = sum(weight * term for weight, term in zip((2, 3, 5), sums, strict=True))
    return nt_xent(vectors[:, 0, 0], vectors[:, 1, 0], 5.0) + regions, vectors


def _half(rank: int) -> tuple[float, list[list[float]]]:
    assert world() == (rank, 2)
    loss, vectors = _loss(rank, 3)
    loss.backward()
    return loss.item(), vectors.grad.tolist()


def test_two_processes_with_half_the_batch_are_one_with_all() -> None:
    loss, vectors = _loss(0, 6)
    loss.backward()
    halves = in_two_processes(_half)
    # Averaging over processes, as data-parallel training does with gradients.
    assert sum(half[0] for half in halves) / 2 == pytest.approx(loss.item(), rel=1e-5)
    joined = torch.tensor(halves[0][1] + halves[1][1]) / 2
    assert torch.allclose(joined, vectors.grad, atol=1e-6)


def fresh(preset: str = "tiny", **more: object) -> Method:
    torch.manual_seed(0)
    return create_method("acl_ecg", preset, **more)


def with_leads(batch: ECGBatch, leads: tuple[str, ...]) -> ECGBatch:
    """The batch with other leads absent, and NaN where they were."""
    there = torch.tensor([lead in leads for lead in batch.leads])
    signal = torch.where(there[:, None], batch.signal, torch.nan)
    return replace(batch, signal=signal, lead_mask=there.expand(len(batch), -1).contiguous())


@pytest.mark.parametrize(
    ("leads", "absent"),
    [
        (STANDARD, set()),
        (NINE_LEADS, set()),
        (LIMB, {"anterior", "septal"}),
        (("II",), {"anterior", "septal", "lateral"}),
        (("V1", "aVR"), {"anterior", "inferior", "lateral"}),
    ],
)
def test_a_record_has_the_regions_it_has_leads_of(leads: tuple[str, ...], absent: set[str]) -> None:
    method, batch = fresh(), with_leads(make_batch(), leads)
    assert isinstance(method, AclEcg)
    assert method.encoder.group_names == tuple(REGIONS)
    vectors, present = method.regions(method.encode(batch))
    assert [name in absent for name in REGIONS] == [not there for there in present[0].tolist()]
    assert torch.equal(present, present[:1].expand_as(present))
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(8, 4))
    torch.manual_seed(0)
    step = method.step(batch, Progress(0, 1))
    assert torch.isfinite(step.loss)
    step.loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in method.parameters())


def test_a_region_vector_reads_its_own_leads_only() -> None:
    method, batch = fresh(encoder={"attention": "none"}).eval(), make_batch()
    signal = batch.signal.clone()
    signal[:, [STANDARD.index("V1"), STANDARD.index("V2")]] *= 3
    with torch.no_grad():
        before, after = (method.regions(method.encode(replace(batch, signal=s)))[0] for s in (batch.signal, signal))
    moved = (before - after).abs().amax((0, 2)) > 1e-4
    assert dict(zip(REGIONS, moved.tolist(), strict=True)) == {name: name == "septal" for name in REGIONS}


def test_a_region_vector_is_a_map_of_its_mean_at_each_scale() -> None:
    """Recomputed: mean of the present tokens of a region and scale, a norm and a matrix per scale, sum, projection."""
    method, batch = fresh().eval(), make_batch()
    time_mask = batch.time_mask.clone()
    time_mask[3, 260:] = False
    head = method.regions
    with torch.no_grad():
        tokens = method.encoder(batch.signal, batch.lead_mask, time_mask)
        got, _ = head(tokens)
        for b in range(8):
            for region in range(4):
                total = torch.zeros(tokens.tokens.shape[-1])
                for scale, of_scale in enumerate(head.of_scale):
                    chosen = (tokens.group == region) & (tokens.scale == scale) & tokens.mask[b]
                    total = total + of_scale(tokens.tokens[b, chosen].mean(0))
                assert torch.allclose(got[b, region], normalize(head.project(total), dim=-1), atol=1e-5)
    assert (len(head.of_scale), head.n_regions) == (3, 4)


def test_the_loss_of_a_step_is_of_two_views_of_every_record() -> None:
    """The same seed gives the same views; records, regions and temperature enter as the equations say."""
    for changes in ({}, {"temperature": 0.5, "region": {"weight": 2.0, "repels": "same_region"}}):
        method, batch = fresh(**changes).eval(), make_batch()
        torch.manual_seed(3)
        step = method.step(batch, Progress(0, 1))
        torch.manual_seed(3)
        with torch.no_grad():
            ready = method.preprocess(batch)
            pair = [method.encoder.read(view(ready, method.config.views)) for _ in range(2)]
            first, second = (normalize(method.project(tokens.pooled), dim=-1) for tokens in pair)
            regions, present = (torch.stack(part, 1) for part in zip(*map(method.regions, pair), strict=True))
        assert not torch.allclose(first, second), "two views, not one twice"
        config = method.config
        instance = slow_nt_xent(first, second, 1 / config.temperature)
        region = slow_regions(regions, present, 1 / config.temperature, config.region.repels)
        assert step.terms["instance"].item() == pytest.approx(instance, rel=1e-4)
        assert step.terms["region"].item() == pytest.approx(region, rel=1e-4)
        assert step.loss.item() == pytest.approx(instance + config.region.weight * region, rel=1e-4)


def test_without_its_region_objective_a_record_is_still_compared() -> None:
    method, batch = fresh(region={"weight": 0.0}).train(), make_batch()
    step = method.step(batch, Progress(0, 1))
    assert step.loss > 0.1
    step.loss.backward()
    assert any(p.grad.any() for p in method.project.parameters())


def test_the_switch_takes_regions_out_of_the_loss() -> None:
    terms = []
    for repels in REPELS:
        torch.manual_seed(1)
        method = fresh(region={"repels": repels})
        torch.manual_seed(2)
        terms.append(method.step(make_batch(), Progress(0, 1)).terms)
    assert terms[0]["instance"] == terms[1]["instance"] == terms[2]["instance"]
    losses = [float(term["region"]) for term in terms]
    assert losses == sorted(losses, reverse=True), "fewer terms in the sum, so less loss on the same vectors"
    assert len(set(losses)) == 3


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    for weight in (0.5, 2.0):
        terms = fresh(region={"weight": weight}).step(make_batch(), Progress(0, 1)).terms
        assert float(terms["loss"]) == pytest.approx(float(terms["instance"] + weight * terms["region"]), rel=1e-5)


def test_an_encoder_without_regions_is_refused_and_serves_the_instance_objective() -> None:
    resnet = {"name": "resnet1d", "preset": "tiny"}
    with pytest.raises(ConfigError, match=r"resnet1d reads all leads as one.*region\.weight=0"):
        fresh(encoder=resnet)
    method = fresh(encoder=resnet, region={"weight": 0.0})
    step = method.step(make_batch(), Progress(0, 1))
    assert set(step.terms) == {"loss"}
    assert torch.isfinite(step.loss)


def test_asking_an_encoder_for_its_layout_leaves_it_as_it_was() -> None:
    one, other = fresh(), fresh(region={"weight": 0.0})
    assert one.training
    assert one.encoder.training
    mine, theirs = one.encoder.state_dict(), other.encoder.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_ablations_differ_from_nano_in_one_thing() -> None:
    nano, generic, instance = (dump(fresh(name).config) for name in ("nano", "generic", "instance"))
    assert generic["views"]["name"] == "generic"
    assert {**generic, "views": nano["views"]} == nano
    assert instance["region"]["weight"] == 0
    assert {**instance, "region": nano["region"]} == nano
    assert fresh("instance").regions is None


@pytest.mark.parametrize("preset", PRESETS)
def test_a_saved_configuration_is_the_same_configuration(preset: str) -> None:
    config = fresh(preset).config
    assert validate(AclEcgConfig, dump(config)) == config


def test_it_learns_to_tell_hearts_apart() -> None:
    """Three seconds of twelve people, under all that views may change."""
    batch = hearts()
    ready = replace(batch, signal=batch.signal[..., :750], time_mask=batch.time_mask[:, :750])
    views = {"crop": (0.5, 1.0), "stretch": (0.9, 1.1)}
    method = fresh(input={"rate_hz": 250, "seconds": 3.0}, views=views).train()
    optimiser = torch.optim.AdamW(method.parameters(), lr=5e-3)
    losses = []
    for number in range(40):
        torch.manual_seed(number)
        step = method.step(ready, Progress(number, 40))
        optimiser.zero_grad()
        step.loss.backward()
        optimiser.step()
        losses.append(step.terms["loss"].item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
