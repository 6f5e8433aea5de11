"""Methods of two views: their losses against slow loops and two processes, their targets, what they refuse."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from auricle.augment.views import halves, single_leads
from auricle.errors import DataError
from auricle.losses.contrastive import one_way_info_nce, same_person_info_nce
from auricle.losses.regression import barlow_twins, cosine_regression
from auricle.methods import METHODS as METHOD_REGISTRY
from auricle.methods import Method, Progress, create_method
from auricle.methods._two_views import TwoViews
from auricle.nn.heads import NormedHead
from conftest import make_batch
from processes import in_two_processes

# Of them all, those that compare two views by `TwoViews`.
VIEWED = ("simclr", "byol", "simsiam", "barlow_twins", "moco_v3", "acl_ecg")
METHODS = (*VIEWED, "clocs", "ts_tcc", "tf_c", "timesurl", "astcl")


def fresh(name: str, **more: object) -> Method:
    torch.manual_seed(0)
    return create_method(name, "tiny", **more).train()


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def people(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 3, (n,), generator=generator), torch.rand(n, generator=generator) < 0.8


class TestLosses:
    @settings(deadline=None, max_examples=20)
    @given(st.integers(2, 7), st.integers(0, 10_000))
    def test_queries_and_keys_are_their_equation(self, n: int, seed: int) -> None:
        one, other = unit(2, n, 5, seed=seed)
        slow = 0.0
        for i in range(n):
            every = sum(math.exp(5.0 * float(one[i] @ other[j])) for j in range(n))
            slow += math.log(every) - 5.0 * float(one[i] @ other[i])
        assert float(one_way_info_nce(one, other, 5.0)) == pytest.approx(slow / n, rel=1e-4, abs=1e-5)

    @settings(deadline=None, max_examples=30)
    @given(st.integers(2, 7), st.integers(0, 10_000))
    def test_all_of_one_person_are_positives(self, n: int, seed: int) -> None:
        one, other = unit(2, n, 5, seed=seed)
        person, paired = people(n, seed)
        poisoned = [torch.where(paired[:, None], each, 7.0) for each in (one, other)]
        slow = []
        for rows, columns in ((one, other), (other, one)):
            own = []
            for i in range(n):
                if not paired[i]:
                    continue
                every = sum(math.exp(4.0 * float(rows[i] @ columns[j])) for j in range(n) if paired[j])
                same = [j for j in range(n) if paired[j] and person[j] == person[i]]
                own.append(sum(math.log(every) - 4.0 * float(rows[i] @ columns[j]) for j in same) / len(same))
            slow.append(sum(own) / max(1, len(own)))
        found = float(same_person_info_nce(*poisoned, person, paired, 4.0))
        assert found == pytest.approx(sum(slow) / 2, rel=1e-4, abs=1e-5)

    @settings(deadline=None, max_examples=20)
    @given(st.integers(3, 9), st.integers(1, 5), st.integers(0, 1000))
    def test_barlow_twins_is_its_equation(self, n: int, d: int, seed: int) -> None:
        one, other = torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        slow = 0.0
        for i in range(d):
            for j in range(d):
                a, b = one[:, i] - one[:, i].mean(), other[:, j] - other[:, j].mean()
                c = float(
                    (a * b).sum()
                    / n
                    / math.sqrt(float(a.square().mean()) + 1e-5)
                    / math.sqrt(float(b.square().mean()) + 1e-5)
                )
                slow += (1 - c) ** 2 if i == j else 0.3 * c**2
        assert float(barlow_twins(one, other, 0.3)[0]) == pytest.approx(slow, rel=1e-3, abs=1e-4)

    def test_regression_is_a_distance_of_unit_vectors_that_moves_one_side_alone(self) -> None:
        predicted, target = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
        loss = cosine_regression(predicted, target)
        wanted = (normalize(predicted, dim=-1) - normalize(target, dim=-1)).square().sum(-1).mean()
        torch.testing.assert_close(loss, wanted)
        loss.backward()
        assert target.grad is None


def _rows(rank: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses on some rows of a fixed batch, and what is differentiated."""
    rows = slice(rank * n, rank * n + n)
    vectors = unit(6, 2, 5, seed=3)[rows].clone().requires_grad_()
    person, paired = (each[rows] for each in people(6, 2))
    torch.manual_seed(0)
    head = NormedHead((5, 8, 4), ends_normed=True).train()
    one, other = vectors.unbind(1)
    loss = one_way_info_nce(one, other, 5.0) + 2 * same_person_info_nce(one, other, person, paired, 5.0)
    loss = loss + 0.1 * barlow_twins(one, other, 0.1)[0] + 3 * cosine_regression(head(one), head(other))
    return loss, vectors


def _half(rank: int) -> tuple[float, list[list[list[float]]]]:
    loss, vectors = _rows(rank, 3)
    loss.backward()
    return loss.item(), vectors.grad.tolist()


def test_two_processes_with_half_the_batch_are_one_with_all() -> None:
    loss, vectors = _rows(0, 6)
    loss.backward()
    halved = in_two_processes(_half)
    assert sum(half[0] for half in halved) / 2 == pytest.approx(loss.item(), rel=1e-4)
    joined = torch.tensor(halved[0][1] + halved[1][1]) / 2
    assert torch.allclose(joined, vectors.grad, atol=1e-5)


class TestMethods:
    @pytest.mark.parametrize("name", [name for name in METHODS if name not in ("acl_ecg", "tf_c")])
    def test_without_a_preset_it_learns_on_the_common_backbone(self, name: str) -> None:
        assert METHOD_REGISTRY.get(name).config_class().encoder.name == "resnet1d"

    @pytest.mark.parametrize("name", METHODS)
    def test_a_single_record_is_refused(self, name: str) -> None:
        with pytest.raises(DataError, match="single record"):
            fresh(name).step(make_batch(1), Progress(0, 1))

    @pytest.mark.parametrize("name", VIEWED)
    def test_the_two_views_of_a_record_differ(self, name: str) -> None:
        method = fresh(name, views={"crop": (0.5, 1.0)})
        assert isinstance(method, TwoViews)
        one, other = method.two_views(make_batch())
        assert not torch.equal(one.signal, other.signal)

    @pytest.mark.parametrize("name", ["clocs", "astcl"])
    def test_one_patient_alone_is_refused_before_the_training(self, name: str) -> None:
        def seen(patients: list[str]) -> Any:
            store = SimpleNamespace(path="stores/mine", patients=np.array(patients))
            return SimpleNamespace(store=store, rows=np.arange(3))

        with pytest.raises(DataError, match=r"stores/mine: all 3 training records are of one patient"):
            fresh(name).prepare(seen(["a", "a", "a", "b"]))
        fresh(name).prepare(seen(["a", "a", "b", "b"]))

    @pytest.mark.parametrize("name", ["clocs", "astcl"])
    def test_a_batch_that_one_patient_fills_by_chance_ends_no_training(self, name: str) -> None:
        batch = make_batch()
        result = fresh(name).step(replace(batch, patient_id=torch.zeros_like(batch.patient_id)), Progress(0, 1))
        result.loss.backward()
        assert torch.isfinite(result.loss)

    @pytest.mark.parametrize("name", ["byol", "moco_v3", "astcl"])
    def test_the_target_is_moved_by_following_alone(self, name: str) -> None:
        method, batch = fresh(name, target_momentum=0.5), make_batch()
        encoder = method.get_submodule("target.copies.encoder")
        weights = [parameter.clone() for parameter in encoder.parameters()]
        optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
        method.step(batch, Progress(0, 10)).loss.backward()
        optimiser.step()
        assert all(torch.equal(one, other) for one, other in zip(weights, encoder.parameters(), strict=True))
        method.after_step(Progress(0, 10))
        for one, other, online in zip(weights, encoder.parameters(), method.encoder.parameters(), strict=True):
            torch.testing.assert_close(other, 0.5 * one + 0.5 * online)
        trained = {id(parameter) for group in method.param_groups() for parameter in group["params"]}
        assert not trained & {id(parameter) for parameter in encoder.parameters()}

    def test_features_are_those_of_the_online_encoder(self) -> None:
        method, batch = fresh("byol").eval(), make_batch()
        with torch.no_grad():
            before = method.embed(batch)
            for parameter in method.get_submodule("target").parameters():
                parameter.mul_(2)
            assert torch.equal(method.embed(batch), before)


class TestClocs:
    @pytest.mark.parametrize("kind", ["cmsc", "cmlc", "cmsmlc"])
    def test_every_kind_learns_and_counts_patients(self, kind: str) -> None:
        batch = replace(make_batch(), patient_id=torch.tensor([0, 0, 1, 2, 3, 4, 5, 6]))
        result = fresh("clocs", kind=kind).step(batch, Progress(0, 1))
        result.loss.backward()
        assert torch.isfinite(result.loss)
        assert float(result.terms["patients"]) == 0.25

    def test_halves_are_two_stretches_that_follow_each_other(self) -> None:
        batch = make_batch(2)
        first, second = halves(batch)
        assert torch.equal(torch.cat([first.signal, second.signal], dim=-1), batch.signal)
        assert torch.equal(torch.cat([first.time_mask, second.time_mask], dim=-1), batch.time_mask)

    def test_single_leads_are_two_that_are_there(self) -> None:
        mask = torch.rand(200, 12, generator=torch.Generator().manual_seed(0)) < 0.3
        one, other = single_leads(mask)
        several = mask.sum(1) > 1
        assert not (one & other).any()
        assert torch.equal(one.sum(1), several.long())
        assert torch.equal(other.sum(1), several.long())
        assert not ((one | other) & ~mask).any()

    def test_what_cannot_be_cut_is_refused_and_a_short_record_does_not_count(self) -> None:
        method, batch = fresh("clocs"), make_batch()
        t = batch.time_mask.shape[1]
        short = torch.arange(t) < t // 3
        some = replace(batch, time_mask=torch.where(torch.arange(8)[:, None] < 6, batch.time_mask, short))
        assert torch.isfinite(method.step(some, Progress(0, 1)).loss)
        with pytest.raises(DataError, match=r"more than half of 2 s"):
            method.step(replace(batch, time_mask=short.expand(8, -1)), Progress(0, 1))
        alone = torch.zeros_like(batch.lead_mask)
        alone[:, 1] = True
        with pytest.raises(DataError, match="two leads"):
            fresh("clocs", kind="cmlc").step(replace(batch, lead_mask=alone), Progress(0, 1))
