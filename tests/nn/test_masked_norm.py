"""Batch normalisation over what was recorded: it is that of PyTorch where all counts, and blind to what does not."""

from __future__ import annotations

import torch

from auricle.nn.masked_norm import MaskedNorm
from processes import in_two_processes


def values(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def test_where_all_counts_it_is_batch_norm() -> None:
    ours, theirs = MaskedNorm(3), torch.nn.BatchNorm1d(3)
    x = values().requires_grad_()
    y = values().requires_grad_()
    one, other = ours(x, torch.ones(4, 1, 50, dtype=torch.bool), axis=1), theirs(y)
    assert torch.allclose(one, other, atol=1e-5)
    (one * torch.arange(50)).sum().backward()
    (other * torch.arange(50)).sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-3)


def test_the_fast_call_where_all_counts_is_the_slow_one() -> None:
    fast, slow, everything = MaskedNorm(3), MaskedNorm(3), torch.ones(4, 1, 50, dtype=torch.bool)
    for seed in range(3):
        x, y = values(seed).requires_grad_(), values(seed).requires_grad_()
        one, other = fast(x, None, axis=1), slow(y, everything, axis=1)
        assert torch.allclose(one, other, atol=1e-5)
        (one * torch.arange(50)).sum().backward()
        (other * torch.arange(50)).sum().backward()
        assert torch.allclose(x.grad, y.grad, atol=1e-3)
    assert torch.allclose(fast.mean, slow.mean, atol=1e-6)
    assert torch.allclose(fast.variance, slow.variance, rtol=1e-5)
    assert torch.equal(fast.n_batches, slow.n_batches)
    x = values(9)
    assert torch.allclose(fast.eval()(x, None, axis=1), slow.eval()(x, everything, axis=1), atol=1e-5)


def test_what_does_not_count_is_neither_read_nor_written() -> None:
    norm = MaskedNorm(3)
    norm.bias.data.fill_(0.7)
    counts = torch.ones(4, 3, 50, dtype=torch.bool)
    counts[:, :, 30:], counts[1, 2] = False, False
    poisoned = values().masked_fill(~counts, 1e6)
    assert torch.equal(norm(poisoned, counts, axis=1), norm(values(), counts, axis=1))
    assert (norm(values(), counts, axis=1)[~counts] == 0).all()
    kept = norm(values(), counts, axis=1)[:, 2][counts[:, 2]]
    assert abs(kept.mean().item() - 0.7) < 1e-4


def test_running_values_are_those_of_the_batches_and_a_channel_without_any_keeps_its_own() -> None:
    norm = MaskedNorm(2)
    counts = torch.tensor([True, False]).expand(4, 50, 2)
    x = torch.full((4, 50, 2), 5.0)
    norm(x, counts)
    assert norm.mean.tolist() == [5.0, 0.0]
    assert norm.variance.tolist() == [0.0, 1.0]
    out = norm.eval()(x, torch.ones(4, 50, 2, dtype=torch.bool))
    assert torch.allclose(out[..., 1], torch.full((4, 50), 5.0), atol=1e-3)
    assert norm.mean.tolist() == [5.0, 0.0], "evaluation moves nothing"


def test_one_record_is_a_batch() -> None:
    out = MaskedNorm(3)(values()[:1], torch.ones(1, 1, 50, dtype=torch.bool), axis=1)
    assert torch.allclose(out.mean((0, 2)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(out.var((0, 2), correction=0), torch.ones(3), atol=1e-3)


def _half(rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rank 0 and 1 of a batch of four records, each with half of it; what comes out, the gradient, the running mean."""
    x = values()[2 * rank : 2 * rank + 2].requires_grad_()
    counts = torch.ones(2, 3, 50, dtype=torch.bool)
    counts[:, :, 40 - 10 * rank :] = False
    norm = MaskedNorm(3)
    out = norm(x, counts, axis=1)
    (out.square() * torch.arange(50)).sum().backward()
    return out.detach(), x.grad, norm.mean


def test_two_processes_normalise_as_one() -> None:
    halves = in_two_processes(_half)
    x = values().requires_grad_()
    counts = torch.ones(4, 3, 50, dtype=torch.bool)
    counts[:2, :, 40:], counts[2:, :, 30:] = False, False
    norm = MaskedNorm(3)
    out = norm(x, counts, axis=1)
    (out.square() * torch.arange(50)).sum().backward()
    assert torch.allclose(torch.cat([half[0] for half in halves]), out, atol=1e-5)
    assert torch.allclose(torch.cat([half[1] for half in halves]), x.grad, atol=1e-3)
    assert all(torch.allclose(half[2], norm.mean, atol=1e-6) for half in halves)
