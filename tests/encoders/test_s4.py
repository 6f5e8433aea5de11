"""State spaces: the convolution is the recurrence it stands for, hears both ends, and is the same at any rate."""

from __future__ import annotations

import pytest
import torch

from auricle.config import configure
from auricle.encoders import ENCODERS, EncoderModule, build_encoder
from auricle.nn.state_space import DiagonalStates
from auricle.signal.preprocess import InputSpec
from conftest import make_batch


def states(step_ms: float = 20.0, n_directions: int = 2) -> DiagonalStates:
    torch.manual_seed(0)
    return DiagonalStates(3, 4, step_ms, (100.0, 10_000.0), n_directions).double()


def by_recurrence(made: DiagonalStates, x: torch.Tensor, direction: int) -> torch.Tensor:
    """Position by position: x' = A x + u under zero-order hold, read out as 2 Re (C x); without the skip."""
    rate = torch.complex(-made.log_damping.exp(), made.frequency).view(made.shape)[direction]
    dt = made.log_dt.exp().view(made.shape[:2])[direction][:, None]
    readout = torch.view_as_complex(made.readout).view(made.shape)[direction]
    state, heard = torch.zeros_like(rate), []
    order = range(len(x)) if direction == 0 else reversed(range(len(x)))
    for place in order:
        state = torch.exp(dt * rate) * state + (torch.exp(dt * rate) - 1) / rate * x[place][:, None]
        heard.append(2 * (readout * state).sum(-1).real)
    return torch.stack(heard if direction == 0 else heard[::-1])


def test_the_convolution_is_the_recurrence_in_both_directions() -> None:
    made, x = states(), torch.randn(50, 3, dtype=torch.float64)
    with torch.no_grad():
        slow = by_recurrence(made, x, 0) + by_recurrence(made, x, 1) + made.skip * x
        fast = made.double()(x[None])[0]
    assert torch.allclose(slow, fast, atol=1e-4)


def test_in_one_direction_it_is_the_recurrence_and_hears_nothing_of_what_comes() -> None:
    made, x = states(n_directions=1), torch.randn(50, 3, dtype=torch.float64)
    with torch.no_grad():
        fast = made(x[None])[0]
        assert torch.allclose(by_recurrence(made, x, 0) + made.skip * x, fast, atol=1e-4)
        x[30:] = 7.0
        assert torch.allclose(made(x[None])[0, :30], fast[:30], atol=1e-5)


def test_the_end_of_a_record_does_not_reach_its_beginning() -> None:
    made, x = states(), torch.zeros(1, 40, 3, dtype=torch.float64)
    with torch.no_grad():
        made.log_dt[made.shape[1] :] = -30.0  # nothing comes backwards
        x[0, -1] = 1.0
        assert made(x)[0, :-1].abs().max() < 1e-6


def test_half_the_step_is_the_same_kernel_read_twice_as_finely() -> None:
    """Times are in milliseconds, so that a record at another rate starts with the same memory."""
    with torch.no_grad():
        coarse, fine = states(20.0).kernel(40), states(10.0).kernel(80)
    # Each fine step holds half the input: two of them are one coarse step.
    paired = fine.unflatten(-1, (40, 2)).sum(-1)
    assert torch.allclose(paired, coarse, rtol=1e-3, atol=1e-5)


def encoder(**more: object) -> EncoderModule:
    torch.manual_seed(0)
    spec = InputSpec(rate_hz=250, seconds=2.0)
    return build_encoder(configure(ENCODERS, {"name": "s4", "preset": "tiny", **more}), spec).eval()


def test_every_part_makes_a_difference() -> None:
    made, batch = encoder(), make_batch()
    with torch.no_grad():
        before = made(batch.signal, batch.lead_mask, batch.time_mask).pooled
        for layer in made.layers:
            saved = layer.states.readout.clone()
            layer.states.readout.zero_()
            after = made(batch.signal, batch.lead_mask, batch.time_mask).pooled
            layer.states.readout.copy_(saved)
            assert not torch.allclose(before, after, atol=1e-3)


def test_a_far_beat_is_heard() -> None:
    """One position hears another a second away in a single layer, which no convolution of a few taps does."""
    made, batch = encoder(depth=1, longest_ms=20_000.0), make_batch()
    other = batch.signal.clone()
    other[:, :, 450:] += 1.0
    with torch.no_grad():
        one, two = (made(signal, batch.lead_mask, batch.time_mask).tokens for signal in (batch.signal, other))
    assert (one - two)[:, 15].abs().max() > 1e-3


@pytest.mark.parametrize("rate_hz", [100.0, 125.0, 500.0])
def test_any_rate_is_read_in_steps_of_the_same_time(rate_hz: float) -> None:
    made = build_encoder(
        configure(ENCODERS, {"name": "s4", "preset": "tiny"}), InputSpec(rate_hz=rate_hz, band_hz=(0.5, 45))
    )
    assert isinstance(made, EncoderModule)
    batch = make_batch(2, 2.0, rate_hz)
    tokens = made(batch.signal, batch.lead_mask, batch.time_mask)
    assert tokens.tokens.shape[1] == pytest.approx(100, abs=26)
