"""A copy that follows: an exponential mean recomputed slowly, never trained, begun and kept as it should be."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from auricle.nn.ema import Ema, rising_momentum


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_it_is_the_mean_of_what_it_followed() -> None:
    source = network(0)
    ema = Ema(one=source)
    slow = [parameter.clone() for parameter in source.parameters()]
    for number, keep in enumerate((0.9, 0.5, 0.99)):
        source.load_state_dict(network(number + 1).state_dict())
        ema.follow(keep, one=source)
        slow = [keep * own + (1 - keep) * other for own, other in zip(slow, source.parameters(), strict=True)]
    for own, wanted in zip(ema["one"].parameters(), slow, strict=True):
        torch.testing.assert_close(own, wanted)
    assert ema.n_updates == 3


def test_nothing_of_it_is_trained_and_it_counts_its_own_moments() -> None:
    source = network(0)
    ema = Ema(one=source).train()
    out = ema["one"](torch.randn(8, 3)).sum() + source(torch.randn(8, 3)).sum()
    out.backward()
    assert not any(parameter.requires_grad for parameter in ema.parameters())
    assert all(parameter.grad is not None for parameter in source.parameters())
    before = ema["one"][1].running_mean.clone()
    ema.follow(0.5, one=source)
    assert torch.equal(ema["one"][1].running_mean, before)


def test_a_run_that_goes_on_keeps_its_copy_and_a_fresh_one_begins_as_what_it_follows() -> None:
    source, other = network(0), network(1)
    ema = Ema(one=source)
    ema.begin(one=other)  # as when weights of a donor were taken over behind its back
    assert all(
        torch.equal(own, wanted) for own, wanted in zip(ema["one"].parameters(), other.parameters(), strict=True)
    )
    ema.follow(0.9, one=source)
    kept = [parameter.clone() for parameter in ema["one"].parameters()]
    resumed = Ema(one=network(5))
    resumed.load_state_dict(ema.state_dict())
    resumed.begin(one=other)
    assert all(torch.equal(own, wanted) for own, wanted in zip(resumed["one"].parameters(), kept, strict=True))


@given(st.floats(0, 0.999), st.floats(0, 1), st.floats(0, 1))
def test_momentum_rises_from_its_base_to_one(base: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert base - 1e-9 <= rising_momentum(base, low) <= rising_momentum(base, high) + 1e-12 <= 1 + 1e-9
    assert abs(rising_momentum(base, 0) - base) < 1e-12
    assert abs(rising_momentum(base, 1) - 1) < 1e-12
