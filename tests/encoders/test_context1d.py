"""The context hears the past alone, a step hears itself alone, and any rate is read in steps of one time."""

from __future__ import annotations

import pytest
import torch

from auricle.config import configure
from auricle.encoders import ENCODERS, build_encoder
from auricle.encoders.context1d import Context1d
from auricle.signal.preprocess import InputSpec
from conftest import make_batch


def encoder(context: str, rate_hz: float = 250.0) -> Context1d:
    torch.manual_seed(0)
    spec = InputSpec(rate_hz=rate_hz, seconds=2.0, band_hz=(0.5, 40))
    made = build_encoder(configure(ENCODERS, {"name": "context1d", "preset": "tiny", "context": context}), spec)
    assert isinstance(made, Context1d)
    return made.eval()


@pytest.mark.parametrize("context", ["s4", "gru"])
def test_what_comes_later_changes_nothing_of_what_was_said(context: str) -> None:
    made, batch = encoder(context), make_batch()
    later = batch.signal.clone()
    later[..., 40 * made.patch :] = torch.randn_like(later[..., 40 * made.patch :])
    with torch.no_grad():
        one = made(batch.signal, batch.lead_mask, batch.time_mask).tokens
        other = made(later, batch.lead_mask, batch.time_mask).tokens
    assert torch.allclose(one[:, :40], other[:, :40], atol=1e-5)
    assert not torch.allclose(one[:, 40:], other[:, 40:], atol=1e-3)
    with torch.no_grad():
        earlier = made(batch.signal.index_fill(2, torch.arange(made.patch), 1.0), batch.lead_mask, batch.time_mask)
    assert not torch.allclose(one[:, 20], earlier.tokens[:, 20], atol=1e-5)


def test_a_step_says_something_of_itself_alone() -> None:
    made, batch = encoder("s4"), make_batch()
    changed = batch.signal.clone()
    changed[..., 10 * made.patch : 11 * made.patch] += 1.0
    with torch.no_grad():
        one, other = (made.local(signal, batch.time_mask)[0] for signal in (batch.signal, changed))
    differs = (one - other).abs().amax((0, 2)) > 1e-5
    assert differs.nonzero().flatten().tolist() == [10]


@pytest.mark.parametrize("rate_hz", [100.0, 125.0, 500.0])
def test_a_step_is_as_long_at_any_rate(rate_hz: float) -> None:
    assert encoder("s4", rate_hz).step_s == pytest.approx(0.02, rel=0.25)
