"""merl: its two terms against their equations, and what sets it apart from lisa: equal reports repel."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from auricle.losses.contrastive import info_nce
from auricle.methods import Progress, create_method
from auricle.methods.merl import Merl
from auricle.nn.pooling import AttentionPool, masked_mean
from conftest import make_batch


def tiny(**more: object) -> Merl:
    torch.manual_seed(0)
    method = create_method("merl", "tiny", **more)
    assert isinstance(method, Merl)
    return method


def test_the_loss_is_alignment_and_the_agreement_of_two_copies() -> None:
    batch = make_batch()
    for weight in (1.0, 0.3):
        method = tiny(self_weight=weight, dropout=0.0).eval()
        step = method.step(batch, Progress(0, 1))
        tokens = method.encode(batch)
        signal, report = method.project(batch), method.project_text(batch.text.embedding)
        align = info_nce(signal, report, method.scale)
        one, other = (normalize(head(tokens.pooled), dim=-1) for head in method.copies)
        copies = info_nce(one, other, method.scale)
        assert torch.allclose(step.terms["align"], align, atol=1e-5)
        assert torch.allclose(step.terms["copies"], copies, atol=1e-5)
        assert torch.allclose(step.loss, align + weight * copies, atol=1e-5)
        assert step.terms["loss"] == step.loss.detach()
        assert step.terms["temperature"].item() == pytest.approx(0.07, rel=1e-5)


def test_both_terms_weigh_the_same_as_in_the_paper() -> None:
    config = create_method("merl").config
    assert (config.self_weight, config.heads, config.dropout, config.temperature) == (1.0, 4, 0.1, 0.07)


def test_the_copies_differ_by_dropout_and_by_their_heads() -> None:
    method, batch = tiny(dropout=0.9).train(), make_batch()
    method.encoder.eval()  # its batch norm aside
    torch.manual_seed(1)
    first = method.step(batch, Progress(0, 1)).terms
    torch.manual_seed(2)
    second = method.step(batch, Progress(0, 1)).terms
    assert first["copies"] != second["copies"]
    assert first["align"] == second["align"], "reports meet the whole feature"
    assert not torch.equal(*(head.weight for head in method.copies))
    quiet = [method.eval().step(batch, Progress(0, 1)).terms["copies"] for _ in range(2)]
    assert quiet[0] == quiet[1]


def test_without_its_second_term_the_heads_of_the_copies_learn_nothing() -> None:
    for weight, learns in ((0.0, False), (1.0, True)):
        method = tiny(self_weight=weight).train()
        method.step(make_batch(), Progress(0, 1)).loss.backward()
        assert all(bool(head.weight.grad.any()) is learns for head in method.copies)
        assert any(p.grad.any() for p in method.project_report.parameters())


def test_equal_reports_repel_here() -> None:
    method, batch = tiny().eval(), make_batch()
    equal = replace(batch, text=replace(batch.text, report_id=torch.zeros(8, dtype=torch.long)))
    assert method.step(equal, Progress(0, 1)).terms["align"] == method.step(batch, Progress(0, 1)).terms["align"]


@pytest.mark.parametrize("silent_rows", [[0, 5], [3, 5]])
def test_a_record_without_a_report_is_not_aligned_and_has_its_copies(silent_rows: list[int]) -> None:
    """Reports are numbered from 0, so the record of the first has one."""
    method, batch = tiny().eval(), make_batch()
    ids = batch.text.report_id.clone()
    ids[silent_rows] = -1
    silent = replace(batch, text=replace(batch.text, report_id=ids))
    step, whole = method.step(silent, Progress(0, 1)), method.step(batch, Progress(0, 1))
    rows = torch.tensor([row for row in range(8) if row not in silent_rows])
    with_report = method.step(batch.select(rows), Progress(0, 1))
    assert torch.allclose(step.terms["align"], with_report.terms["align"], atol=1e-5)
    assert torch.allclose(step.terms["copies"], whole.terms["copies"], atol=1e-6)


def test_recordings_are_left_as_they_are_unless_asked() -> None:
    """As in the paper; the same seed of the dropout gives the same loss with and without a call of `augment`."""
    method, batch = tiny(dropout=0.0).eval(), make_batch()
    torch.manual_seed(1)
    one = method.step(batch, Progress(0, 1)).loss
    torch.manual_seed(2)
    assert torch.equal(one, method.step(batch, Progress(0, 1)).loss)
    noisy = tiny(dropout=0.0, augment={"noise_mv": 0.5}).eval()
    assert not torch.equal(one, noisy.step(batch, Progress(0, 1)).loss)


class TestAttentionPool:
    def test_the_mean_asks_all_tokens_and_itself(self) -> None:
        torch.manual_seed(0)
        pool, x = AttentionPool(5, 8, 2).eval(), torch.randn(3, 4, 5)
        mask = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
        with torch.no_grad():
            got = pool(torch.where(mask[..., None], x, 7.0), mask)
            for row in range(3):
                tokens = pool.narrow(x[row, mask[row]])
                mean = masked_mean(tokens[None], torch.ones(1, len(tokens), dtype=torch.bool))
                keys = torch.cat([mean, tokens])[None]
                expected = pool.attention(mean[None], keys, keys, need_weights=False)[0]
                assert torch.allclose(got[row], expected[0, 0], atol=1e-5)

    def test_heads_are_configuration(self) -> None:
        assert tiny().project_signal.attention.num_heads == 4
        assert tiny(heads=2).project_signal.attention.num_heads == 2
