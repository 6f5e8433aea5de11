"""The contrastive losses that have no slow loop elsewhere, and which rows of each count."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from auricle.losses.contrastive import info_nce, soft_target_info_nce, weighted_info_nce, weighted_siglip
from auricle.losses.supervised import balancing_weights, masked_cross_entropy


def unit(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, 4, generator=generator), dim=-1), normalize(
        torch.randn(n, 4, generator=generator), dim=-1
    )


def slow_info_nce(one: torch.Tensor, other: torch.Tensor, scale: float, rows: list[int]) -> float:
    """The mean of both directions over the rows that have a partner."""
    total = 0.0
    for a, b in ((one, other), (other, one)):
        for i in rows:
            every = [math.exp(scale * float(a[i].detach() @ b[j].detach())) for j in rows]
            total -= math.log(math.exp(scale * float(a[i].detach() @ b[i].detach())) / sum(every))
    return total / 2 / max(1, len(rows))


class TestInfoNCE:
    def test_it_is_its_equation_in_both_directions(self) -> None:
        one, other = unit(5)
        got = info_nce(one, other, torch.tensor(3.0))
        assert got.item() == pytest.approx(slow_info_nce(one, other, 3.0, list(range(5))), rel=1e-5)
        assert torch.equal(got, info_nce(other, one, torch.tensor(3.0)))
        directions = [weighted_info_nce(3.0 * a @ b.T, torch.arange(5), torch.ones(5, 5))[0].mean()
                      for a, b in ((one, other), (other, one))]  # fmt: skip
        assert abs(directions[0] - directions[1]) > 1e-3, "one direction alone would be another number"

    def test_a_row_without_a_partner_neither_counts_nor_repels(self) -> None:
        one, other = unit(5)
        one.requires_grad_()
        paired = torch.tensor([True, False, True, True, False])
        loss = info_nce(one, other, torch.tensor(3.0), paired)
        assert loss.item() == pytest.approx(slow_info_nce(one, other, 3.0, [0, 2, 3]), rel=1e-5)
        loss.backward()
        assert (one.grad.abs().sum(1) > 0).tolist() == paired.tolist()

    def test_a_pair_alone_has_nothing_to_say(self) -> None:
        one, other = unit(3)
        for paired in ([False, True, False], [False] * 3):
            assert info_nce(one, other, torch.tensor(3.0), torch.tensor(paired)).item() == 0


class TestSoftTargets:
    def test_it_is_its_equation(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits, weight = torch.randn(4, 4, generator=generator), torch.rand(4, 4, generator=generator)
        positive = torch.tensor([2, 0, 1, 3])
        loss, _ = soft_target_info_nce(logits, positive, weight, torch.ones(4) > 0)
        for i in range(4):
            target = [1.0 if j == positive[i] else 1 - float(weight[i, j]) for j in range(4)]
            every = sum(math.exp(float(s)) for s in logits[i])
            slow = -sum(t / sum(target) * math.log(math.exp(float(logits[i, j])) / every) for j, t in enumerate(target))
            assert float(loss[i]) == pytest.approx(slow, rel=1e-5)

    def test_rows_count_that_have_someone_to_be_told_from(self) -> None:
        weight = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 1.0]])
        _, active = soft_target_info_nce(torch.zeros(3, 3), torch.arange(3), weight, torch.ones(3) > 0)
        assert active.tolist() == [False, True, False], "what stands at the partner is not read"

    def test_who_has_no_report_neither_attracts_nor_repels(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits, weight = torch.randn(5, 5, generator=generator), torch.rand(5, 5, generator=generator)
        there = torch.tensor([True, False, True, False, True])
        loss, active = soft_target_info_nce(logits, torch.arange(5), weight, there)
        alone, _ = soft_target_info_nce(
            logits[there][:, there], torch.arange(3), weight[there][:, there], torch.ones(3) > 0
        )
        assert torch.allclose(loss[there], alone)
        assert loss.isfinite().all()
        assert active[there].all()
        assert not soft_target_info_nce(logits[:1], torch.arange(1), weight[:1], torch.zeros(5) > 0)[1].any()


def test_what_stands_at_the_partner_is_not_read_in_any_form() -> None:
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    one, other = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(1))
    other = torch.where(torch.eye(3).bool(), other, one)
    bias = torch.tensor(-1.0)
    everyone = torch.ones(3) > 0
    forms = (weighted_info_nce, lambda *a: soft_target_info_nce(*a, everyone), lambda *a: weighted_siglip(*a, bias))
    for form in forms:
        assert torch.equal(form(logits, torch.arange(3), one)[0], form(logits, torch.arange(3), other)[0])


def test_every_row_of_the_sigmoid_counts() -> None:
    _, active = weighted_siglip(torch.zeros(2, 3), torch.arange(2), torch.zeros(2, 3), torch.tensor(0.0))
    assert active.tolist() == [True, True]


def test_one_of_all_classes_is_the_mean_surprise_at_the_right_one() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    target = torch.nn.functional.one_hot(torch.tensor([2, 0, 3]), 4).float()
    slow = [
        -math.log(math.exp(float(row[c])) / sum(math.exp(float(s)) for s in row))
        for row, c in zip(logits, (2, 0, 3), strict=True)
    ]
    assert masked_cross_entropy(logits, target).item() == pytest.approx(sum(slow) / 3, rel=1e-5)


class TestBalance:
    def test_no_class_weighs_more_than_twenty_and_an_empty_one_weighs_one(self) -> None:
        target = torch.zeros(1000, 3)
        target[:1, 0] = 1.0
        target[:100, 1] = 1.0
        weight = balancing_weights(target, exclusive=False)
        assert weight[1].tolist() == pytest.approx([20.0, 5.0, 1.0])
        assert weight[0].tolist() == pytest.approx([1000 / (2 * 999), 1000 / (2 * 900), 0.5])

    def test_what_training_meets_more_often_counts_more_often(self) -> None:
        target = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [torch.nan, 0.0]])
        times = torch.tensor([2.0, 1.0, 3.0, 4.0])
        repeated = target.repeat_interleave(times.long(), dim=0)
        for exclusive in (False, True):
            weight = balancing_weights(target, exclusive, times)
            assert torch.allclose(weight, balancing_weights(repeated, exclusive))
            assert torch.allclose(weight, balancing_weights(target, exclusive, times / 100))

    def test_of_classes_that_exclude_each_other_records_with_one_count(self) -> None:
        target = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2 + [[1.0, 1.0]] * 5 + [[0.0, 0.0]])
        assert balancing_weights(target, exclusive=True)[1].tolist() == pytest.approx([8 / 12, 8 / 4])
