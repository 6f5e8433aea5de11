"""Blocks and rotary positions against their equations, patches against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import MeanAndAttention
from auricle.nn.transformer import Block, Rotary, rotate


class TestRotary:
    def test_pairs_are_turned_as_complex_numbers(self) -> None:
        """(x_i, x_(i + d/2)) is a complex number times e^(i n r), r = 10000^(-2i / d)."""
        rotary, x = Rotary(6), torch.randn(2, 3, 5, 6)
        got = rotate(x, *rotary(5)).numpy()
        for place in range(5):
            for i in range(3):
                angle = place * 10_000.0 ** (-2 * i / 6)
                turned = (x[:, :, place, i].numpy() + 1j * x[:, :, place, i + 3].numpy()) * np.exp(1j * angle)
                assert np.allclose(got[:, :, place, i], turned.real, atol=1e-5)
                assert np.allclose(got[:, :, place, i + 3], turned.imag, atol=1e-5)

    def test_attention_sees_how_far_apart_and_never_where(self) -> None:
        rotary = Rotary(8)
        q, k = torch.randn(8), torch.randn(8)
        queries, keys = (rotate(v.expand(1, 1, 12, 8), *rotary(12))[0, 0] for v in (q, k))
        scores = queries @ keys.T
        for apart in (-3, 0, 4):
            line = scores.diagonal(apart)
            assert torch.allclose(line, line[0].expand_as(line), atol=1e-4)
        assert not torch.allclose(scores.diagonal(1)[:1], scores.diagonal(-1)[:1], atol=1e-3), "before is not after"
        assert torch.allclose(queries.norm(dim=1), q.norm().expand(12), atol=1e-5)

    def test_pairs_need_an_even_width(self) -> None:
        with pytest.raises(ValueError, match="even head width, not 7"):
            Rotary(7)


def slow_block(block: Block, x: torch.Tensor, mask: torch.Tensor | None, turn: tuple | None) -> torch.Tensor:
    """Pre-norm attention and feed-forward, head by head and token by token."""
    b, n, d = x.shape
    size = d // block.n_heads
    q, k, v = (part.view(b, n, block.n_heads, size) for part in block.qkv(block.norm1(x)).chunk(3, dim=-1))
    if turn is not None:
        q, k = (rotate(part.transpose(1, 2), *turn).transpose(1, 2) for part in (q, k))
    heads = torch.zeros(b, n, block.n_heads, size)
    for r in range(b):
        there = range(n) if mask is None else [m for m in range(n) if mask[r, m]]
        for h in range(block.n_heads):
            for i in range(n):
                shares = torch.stack([q[r, i, h] @ k[r, j, h] / math.sqrt(size) for j in there]).softmax(0)
                heads[r, i, h] = sum(s * v[r, j, h] for s, j in zip(shares, there, strict=True))
    x = x + block.out(heads.flatten(2))
    return x + block.mlp(block.norm2(x))


class TestBlock:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("turned", [False, True])
    def test_it_is_attention_and_a_network_each_added_to_its_input(self, masked: bool, turned: bool) -> None:
        torch.manual_seed(0)
        block, x = Block(8, 2).eval(), torch.randn(2, 5, 8)
        mask = torch.tensor([[True] * 5, [True, False, True, True, False]]) if masked else None
        turn = Rotary(4)(5) if turned else None
        with torch.no_grad():
            assert torch.allclose(block(x, mask, turn), slow_block(block, x, mask, turn), atol=1e-5)

    def test_without_positions_tokens_have_no_order_and_with_them_they_do(self) -> None:
        torch.manual_seed(0)
        block, x, order = Block(8, 2).eval(), torch.randn(1, 6, 8), torch.tensor([3, 0, 5, 1, 4, 2])
        with torch.no_grad():
            assert torch.allclose(block(x)[:, order], block(x[:, order]), atol=1e-5)
            turn = Rotary(4)(6)
            assert not torch.allclose(block(x, None, turn)[:, order], block(x[:, order], None, turn), atol=1e-3)

    @pytest.mark.parametrize(("ratio", "hidden"), [(4.0, 32), (0.5, 4)])
    def test_the_network_is_as_wide_as_it_is_told(self, ratio: float, hidden: int) -> None:
        assert Block(8, 2, ratio).mlp[0].out_features == hidden
        assert Block(8, 2).mlp[0].out_features == 32

    def test_dropout_hides_attention_and_features_in_training(self) -> None:
        torch.manual_seed(0)
        block, x = Block(8, 2, dropout=0.5), torch.randn(1, 6, 8)
        assert torch.equal(block.eval()(x), block(x))
        block.train().mlp.eval()
        assert not torch.allclose(block(x), block(x), atol=1e-4), "of attention"
        block.eval().mlp.train()
        assert not torch.allclose(block(x), block(x), atol=1e-4), "of the network"


class TestPatches:
    @pytest.mark.parametrize(("t", "size", "reach"), [(12, 4, 0), (13, 4, 0), (13, 4, 2), (3, 5, 5), (10, 1, 1)])
    def test_patches_are_stretches_with_zeros_beyond_the_ends(self, t: int, size: int, reach: int) -> None:
        signal = torch.randn(2, 3, t)
        patches = patchify(signal, size, reach)
        assert patches.shape == (2, 3, math.ceil(t / size), size + 2 * reach)
        for n in range(patches.shape[2]):
            for i in range(size + 2 * reach):
                at = n * size - reach + i
                expected = signal[..., at] if 0 <= at < t else torch.zeros(2, 3)
                assert torch.equal(patches[:, :, n, i], expected)

    def test_one_recorded_sample_makes_a_patch(self) -> None:
        mask = torch.zeros(3, 13, dtype=torch.bool)
        mask[0, 7], mask[1, 12] = True, True
        assert patch_mask(mask, 4).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
        assert patch_mask(torch.ones(1, 13, dtype=torch.bool), 4).all()

    def test_centres_are_in_the_middle_of_patches(self) -> None:
        assert patch_centres_ms(3, 25, 250.0).tolist() == [50.0, 150.0, 250.0]
        assert patch_centres_ms(2, 100, 500.0).tolist() == [100.0, 300.0]


class TestMeanAndAttention:
    def test_fresh_it_is_twice_the_mean_and_trained_it_is_its_equation(self) -> None:
        torch.manual_seed(0)
        pool, x = MeanAndAttention(5), torch.randn(3, 4, 5)
        mask = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
        for trained in (False, True):
            if trained:
                torch.nn.init.normal_(pool.score.weight)
            got = pool(torch.where(mask[..., None], x, torch.nan), mask)
            for row in range(2):
                seen = x[row, mask[row]]
                share = (seen @ pool.score.weight[0]).softmax(0)
                assert torch.allclose(got[row], seen.mean(0) + share @ seen, atol=1e-5)
                assert torch.allclose(got[row], 2 * seen.mean(0), atol=1e-5) is not trained
            assert torch.equal(got[2], torch.zeros(5))
