"""Experts against what they should be: loops over closed forms, leaving one out, densities, bounds."""

from __future__ import annotations

import math

import pytest
import torch

from auricle.nn.experts import (
    Mixture,
    kl_bound,
    kl_monte_carlo,
    kl_to_prior,
    mixture_of_products,
    product,
    released_script,
)

GROUPS = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def experts(n: int = 4, leads: int = 12, width: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, leads, width, generator=generator)
    return mean, torch.randn(n, leads, width, generator=generator)


def all_present(n: int = 4, leads: int = 12) -> torch.Tensor:
    return torch.ones(n, leads, dtype=torch.bool)


def test_a_product_is_that_of_the_densities() -> None:
    """On a grid: the normalised product of the experts' densities and the prior's, its mean and its variance."""
    mean, log_var = experts(1, 3, 1)
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    log_p = -0.5 * grid.square()
    for lead in range(3):
        m, v = mean[0, lead, 0].double(), log_var[0, lead, 0].double().exp()
        log_p = log_p - 0.5 * (grid - m).square() / v
    p = (log_p - log_p.max()).exp()
    p = p / p.sum()
    centre = (p * grid).sum()
    variance = (p * (grid - centre).square()).sum()
    got_mean, got_log_var = product(mean, log_var, all_present(1, 3))
    assert got_mean.item() == pytest.approx(centre.item(), abs=1e-5)
    assert got_log_var.exp().item() == pytest.approx(variance.item(), rel=1e-5)


def test_a_missing_lead_equals_leaving_the_expert_out() -> None:
    mean, log_var = experts()
    present = all_present()
    present[:, 1] = False
    poisoned, poisoned_var = mean.clone(), log_var.clone()
    poisoned[:, 1] = poisoned_var[:, 1] = torch.nan
    rows = [0, 2]
    expected = product(mean[:, rows], log_var[:, rows], all_present(4, 2))
    got = product(poisoned[:, :3], poisoned_var[:, :3], present[:, :3])
    assert all(torch.allclose(one, other) for one, other in zip(got, expected, strict=True))


def test_nobody_present_is_the_prior() -> None:
    mean, log_var = experts()
    nobody = torch.zeros(4, 12, dtype=torch.bool)
    assert all((part == 0).all() for part in product(mean, log_var, nobody))
    mixture = mixture_of_products(mean, log_var, nobody, GROUPS).sampled
    assert (mixture.centre() == 0).all()
    assert (kl_bound(mixture) == 0).all()
    assert (kl_monte_carlo(mixture) == 0).all()


def test_the_mixture_has_the_groups_that_are_present_and_samples_each() -> None:
    mean, log_var = experts()
    present = all_present()
    present[0, 3:6] = False  # one group of the first record
    present[1, 4] = False  # one lead of a group
    mixture = mixture_of_products(mean, log_var, present, GROUPS).sampled
    assert mixture.present.tolist() == [[True, False, True, True], [True] * 4, [True] * 4, [True] * 4]
    torch.manual_seed(0)
    drawn = torch.stack([mixture.sample() for _ in range(4000)])
    assert torch.allclose(drawn.mean(0), mixture.mean, atol=0.06)
    assert torch.allclose(drawn.var(0).log(), mixture.log_var, atol=0.12)


def test_the_log_density_of_a_mixture_is_that_of_a_slow_loop() -> None:
    mean, log_var = experts()
    present = all_present()
    present[2, 6:9] = False
    mixture = mixture_of_products(mean, log_var, present, GROUPS).sampled
    z = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    got = mixture.log_density(z)
    for record in range(4):
        for number in range(5):
            parts = []
            for group in range(4):
                if mixture.present[record, group]:
                    sd = (0.5 * mixture.log_var[record, group]).exp()
                    normal = torch.distributions.Normal(mixture.mean[record, group], sd)
                    parts.append(normal.log_prob(z[record, number]).sum().exp())
            expected = math.log(sum(part.item() for part in parts) / len(parts))
            assert got[record, number].item() == pytest.approx(expected, abs=1e-4)


def test_kl_to_the_prior_is_the_known_one() -> None:
    mean, log_var = experts()
    one = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(one, prior).sum(-1)
    assert torch.allclose(kl_to_prior(mean, log_var), expected, atol=1e-5)


def test_the_bound_is_above_the_kl_of_the_mixture() -> None:
    """And equals it where the components are one and the same."""
    mean, log_var = experts(2)
    mixture = mixture_of_products(3 * mean, log_var - 2, all_present(2), GROUPS).sampled
    torch.manual_seed(0)
    estimate = torch.stack([kl_monte_carlo(mixture) for _ in range(2000)]).mean(0)
    bound = kl_bound(mixture)
    assert (estimate < bound).all()
    assert (bound - estimate <= math.log(4) + 0.05).all(), "a mixture of four saves log 4 at most"
    same = Mixture(mixture.mean[:, :1].expand(-1, 4, -1), mixture.log_var[:, :1].expand(-1, 4, -1), mixture.present)
    estimate = torch.stack([kl_monte_carlo(same) for _ in range(4000)]).mean(0)
    assert torch.allclose(estimate, kl_bound(same), rtol=0.03)


def test_the_released_script_is_the_one_described() -> None:
    """Written out once more, slowly: thirteen experts, the prior last, four runs of three, plain means."""
    mean, log_var = experts()
    everyone = torch.cat([mean, torch.zeros(4, 1, 3)], 1)
    widths = torch.cat([log_var, torch.zeros(4, 1, 3)], 1)
    centres, logs = [], []
    for run in range(4):
        precision = (-widths[:, 3 * run : 3 * run + 3]).exp()
        centres.append((everyone[:, 3 * run : 3 * run + 3] * precision).sum(1) / precision.sum(1))
        logs.append(-precision.sum(1).log())
    got = released_script(mean, log_var, all_present(), GROUPS)
    assert torch.allclose(got.sampled.mean[:, 0], torch.stack(centres).mean(0), atol=1e-5)
    assert torch.allclose(got.sampled.log_var[:, 0], torch.stack(logs).mean(0), atol=1e-5)
    assert torch.allclose(got.charged.mean[:, 0], mean.mean(1), atol=1e-6)
    assert torch.allclose(got.charged.log_var[:, 0], log_var.mean(1), atol=1e-6)


@pytest.mark.parametrize("leads", [1, 2, 5, 11, 13])
def test_the_released_script_reads_any_lead_axis(leads: int) -> None:
    mean, log_var = experts(leads=leads)
    got = released_script(mean, log_var, all_present(leads=leads), [list(range(leads))])
    assert torch.isfinite(got.sampled.mean).all()
    assert torch.isfinite(got.sampled.log_var).all()
