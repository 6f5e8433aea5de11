"""Domain adaptation over age: against slow computations, and what an adversary may and may not do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from auricle.losses.invariance import adversary_strength, domain_loss, mmd, reversed_gradient


def slow_mmd(features: np.ndarray, domain: np.ndarray) -> float:
    """Every pair of records by itself."""
    n = len(features)
    squared = np.array([[((a - b) ** 2).sum() for b in features] for a in features])
    width = squared.sum() / (n * (n - 1))

    def kernel(i: int, j: int) -> float:
        return float(np.mean([math.exp(-squared[i, j] / (share * width)) for share in (0.25, 0.5, 1, 2, 4)]))

    def between(one: int, other: int) -> float:
        return float(
            np.mean([kernel(i, j) for i in range(n) for j in range(n) if (domain[i], domain[j]) == (one, other)])
        )

    names = [name for name in sorted(set(domain.tolist())) if (domain == name).sum() > 1]
    pairs = [(a, b) for a in names for b in names if a < b]
    return float(np.mean([between(a, a) + between(b, b) - 2 * between(a, b) for a, b in pairs]))


class TestMMD:
    def test_it_is_the_mean_over_pairs_of_domains(self) -> None:
        features = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
        domain = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3])  # the last domain has one record
        known = torch.ones(12, dtype=torch.bool)
        assert mmd(features, domain, known).item() == pytest.approx(
            slow_mmd(features.numpy(), domain.numpy()), rel=1e-4
        )

    def test_records_of_unknown_age_do_not_count(self) -> None:
        features, domain = torch.randn(8, 5), torch.tensor([0, 0, 0, 1, 1, 1, 0, 1])
        known = torch.tensor([True] * 6 + [False] * 2)
        assert torch.equal(mmd(features, domain, known), mmd(features[:6], domain[:6], known[:6]))

    def test_it_grows_with_the_distance_and_is_nothing_for_one_domain(self) -> None:
        features, known = torch.randn(40, 5), torch.ones(40, dtype=torch.bool)
        domain = torch.arange(40) % 2
        apart = features + 4 * domain[:, None]
        assert mmd(apart, domain, known) > 5 * mmd(features, domain, known)
        features.requires_grad_()
        nothing = mmd(features, torch.zeros(40, dtype=torch.long), known)
        nothing.backward()
        assert nothing.item() == 0
        assert not features.grad.any()


class TestAdversary:
    def test_it_learns_what_the_features_unlearn(self) -> None:
        features, last = torch.randn(6, 4, requires_grad=True), torch.nn.Linear(4, 3)
        domain, known = torch.tensor([0, 1, 2, 0, 1, 2]), torch.ones(6, dtype=torch.bool)
        domain_loss(last(features), domain, known).backward()
        plain, own = features.grad.clone(), last.weight.grad.clone()
        features.grad = last.weight.grad = None
        domain_loss(last(reversed_gradient(features, 0.3)), domain, known).backward()
        assert torch.allclose(features.grad, -0.3 * plain)
        assert torch.allclose(last.weight.grad, own), "the adversary itself goes on learning"

    def test_unknown_domains_do_not_count(self) -> None:
        logits, domain = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
        known = torch.tensor([True, True, False, False])
        assert torch.allclose(
            domain_loss(logits, domain, known), torch.nn.functional.cross_entropy(logits[:2], domain[:2])
        )
        assert domain_loss(logits, domain, torch.zeros(4, dtype=torch.bool)).item() == 0

    def test_it_begins_with_nothing_and_ends_with_all(self) -> None:
        assert adversary_strength(0) == 0
        assert adversary_strength(0.1) == pytest.approx(math.tanh(0.5))
        assert adversary_strength(1) == pytest.approx(1, abs=1e-3)
