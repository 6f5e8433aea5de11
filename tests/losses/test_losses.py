"""Each loss against a slow loop from its equation, a closed-form case, and two processes against one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.batch import TextBatch
from auricle.losses.contrastive import soft_target_info_nce, weighted_info_nce, weighted_siglip
from auricle.losses.diag_sim import fit_ramp, negative_weights, report_similarity, same_report
from auricle.losses.supervised import masked_bce, masked_cross_entropy
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world
from processes import in_two_processes


def pair(n: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, n, generator=generator)
    weight = torch.rand(n, n, generator=generator)
    weight[weight < 0.2] = 0.0
    return logits, torch.arange(n), weight


def slow_info_nce(logits: torch.Tensor, weight: torch.Tensor) -> list[float]:
    rows = []
    for i in range(len(logits)):
        own = math.exp(logits[i, i])
        others = sum(float(weight[i, j]) * math.exp(logits[i, j]) for j in range(len(logits)) if j != i)
        rows.append(-math.log(own / (own + others)))
    return rows


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 10_000))
def test_weighted_info_nce_is_its_equation(n: int, seed: int) -> None:
    logits, positive, weight = pair(n, seed)
    loss, active = weighted_info_nce(logits, positive, weight)
    assert loss.tolist() == pytest.approx(slow_info_nce(logits, weight), abs=1e-4)
    for i in range(n):
        assert bool(active[i]) == any(weight[i, j] > 0 for j in range(n) if j != i)


def test_plain_weights_give_cross_entropy() -> None:
    logits, positive, _ = pair()
    loss, _ = weighted_info_nce(logits, positive, torch.ones_like(logits))
    assert torch.allclose(loss, torch.nn.functional.cross_entropy(logits, positive, reduction="none"), atol=1e-5)


def test_a_row_without_negatives_is_zero_skipped_and_has_no_nan_gradient() -> None:
    logits, positive, weight = pair()
    weight[2] = 0
    logits.requires_grad_()
    loss, active = weighted_info_nce(logits, positive, weight)
    assert not active[2]
    assert float(loss[2].detach()) == pytest.approx(0, abs=1e-6)
    mean_over_active(loss, active).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[2] == 0).all()


def test_a_weight_of_zero_is_no_repulsion() -> None:
    logits, positive, weight = pair()
    weight[0, 3], weight[0, 1] = 0, 1
    logits.requires_grad_()
    weighted_info_nce(logits, positive, weight)[0][0].backward()
    assert logits.grad[0, 3] == 0
    assert logits.grad[0, 1] > 0


def test_siglip_is_its_equation() -> None:
    logits, positive, weight = pair(4)
    bias = torch.tensor(-2.0)
    loss, _ = weighted_siglip(logits, positive, weight, bias)
    for i in range(4):
        expected = 0.0
        for j in range(4):
            z = float(logits[i, j] + bias)
            expected += math.log1p(math.exp(-z)) if i == j else float(weight[i, j]) * math.log1p(math.exp(z))
        assert float(loss[i]) == pytest.approx(expected, rel=1e-4)


def test_soft_targets_with_full_weights_are_hard_targets() -> None:
    logits, positive, _ = pair()
    loss, _ = soft_target_info_nce(logits, positive, torch.ones_like(logits), torch.ones(len(logits[0])) > 0)
    assert torch.allclose(loss, torch.nn.functional.cross_entropy(logits, positive, reduction="none"), atol=1e-5)
    shared = torch.ones(2, 2)
    shared[0, 1] = shared[1, 0] = 0  # two equal reports: both columns are as good
    loss, _ = soft_target_info_nce(torch.zeros(2, 2), torch.arange(2), shared, torch.ones(2) > 0)
    assert torch.allclose(loss, torch.full((2,), math.log(2)))


@pytest.mark.parametrize("kind", ["ramp", "step", "power"])
def test_weights_fall_with_similarity_and_equal_reports_never_repel(kind: str) -> None:
    similarity = torch.linspace(0, 1, 11)[None]
    weight = negative_weights(similarity, torch.zeros(1, 11, dtype=torch.bool), kind, (0.3, 0.8))
    assert (weight.diff() <= 0).all()
    assert weight[0, 0] == 1
    assert weight[0, -1] == 0
    same = torch.zeros(1, 11, dtype=torch.bool)
    same[0, 0] = True
    assert negative_weights(similarity, same, kind, (0.3, 0.8))[0, 0] == 0


def test_no_weighting_is_plain_info_nce_equal_reports_included() -> None:
    same = torch.ones(2, 2, dtype=torch.bool)
    assert (negative_weights(torch.ones(2, 2), same, "none") == 1).all()


def test_the_ramp_is_fitted_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    for kind in ("cosine", "findings", "both"):
        for similarity in (torch.rand(5000, generator=generator), torch.full((100,), 0.01), torch.ones(100)):
            s0, s1 = fit_ramp(similarity, kind)
            assert 0 <= s0 < s1 <= 1
    assert fit_ramp(torch.zeros(100), "findings") is None


def reports(ids: list[int], findings: list[list[float]]) -> TextBatch:
    matrix = torch.tensor(findings)
    return TextBatch(torch.tensor(ids), findings=matrix, diagnoses=matrix)


def test_equal_text_or_equal_findings_are_the_same_report() -> None:
    text = reports([0, 0, 1, -1], [[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [0.0, 0.5]])
    same = same_report(text, text)
    assert same[0, 1]
    assert same[0, 2], "other words, equal findings"
    assert not same[0, 3]
    empty = reports([-1, -1], [[0.0, 0.0], [0.0, 0.0]])
    assert not same_report(empty, empty).any(), "two records without a report are not alike"


def test_pairs_that_differ_by_side_negation_or_degree_keep_their_full_weight() -> None:
    from auricle.text.findings import FindingsSpace

    texts = [
        "sinus rhythm. left bundle branch block.",
        "sinus rhythm. right bundle branch block.",
        "sinus rhythm. st elevation in anterior leads.",
        "sinus rhythm. no st elevation.",
        "sinus rhythm. first degree av block.",
        "sinus rhythm. third degree av block.",
    ]
    space = FindingsSpace.fit(texts + ["sinus rhythm. normal ecg."] * 3)
    findings, diagnoses = (torch.from_numpy(matrix) for matrix in space.encode(texts))
    batch = TextBatch(torch.arange(6), findings=findings, diagnoses=diagnoses)
    similarity = report_similarity("findings", batch, batch)
    weight = negative_weights(similarity, same_report(batch, batch), "ramp", (0.2, 0.5))
    for i, j in ((0, 1), (2, 3), (4, 5)):
        assert weight[i, j] == weight[j, i] == 1


def test_masked_bce_reads_annotated_entries_only() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    target = torch.tensor([[1.0, torch.nan], [0.0, torch.nan]])
    loss = masked_bce(logits, target)
    expected = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(0.5))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert (logits.grad[:, 1] == 0).all()
    assert masked_bce(logits, torch.full((2, 2), torch.nan)).item() == 0


def _losses(vectors: torch.Tensor, texts: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """All contrastive losses at once, on this process's rows against everybody's columns."""
    everyone, everyones_text, everyones_id = gather(vectors), gather(texts), gather_without_gradient(ids)
    logits = vectors @ everyones_text.T / 0.1
    back = texts @ everyone.T / 0.1
    weight = (ids[:, None] != everyones_id[None]).float() * 0.7
    positive = positive_columns(len(vectors), world()[0], vectors.device)
    total = torch.zeros(())
    for matrix in (logits, back):
        total = total + mean_over_active(*weighted_info_nce(matrix, positive, weight))
        total = total + mean_over_active(*soft_target_info_nce(matrix, positive, weight, everyones_id >= 0))
        total = total + mean_over_active(*weighted_siglip(matrix, positive, weight, torch.tensor(-1.0)))
    return total


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    unit = [torch.nn.functional.normalize(torch.randn(8, 5, generator=generator), dim=1) for _ in range(2)]
    # In the second half every report is the same: its rows have fewer active negatives than the first's.
    return unit[0], unit[1], torch.tensor([0, 1, 2, 3, 4, 4, 4, 4])


def _half(rank: int) -> tuple[float, list[list[float]], list[list[float]]]:
    vectors, texts, ids = _batch()
    rows = slice(4 * rank, 4 * rank + 4)
    mine, mine_text = vectors[rows].requires_grad_(), texts[rows].requires_grad_()
    loss = _losses(mine, mine_text, ids[rows])
    loss.backward()
    return loss.item(), mine.grad.tolist(), mine_text.grad.tolist()


def test_two_processes_with_half_the_batch_are_one_with_all() -> None:
    vectors, texts, ids = _batch()
    vectors.requires_grad_()
    texts.requires_grad_()
    loss = _losses(vectors, texts, ids)
    loss.backward()
    halves = in_two_processes(_half)
    # Averaging over processes, as data-parallel training does with gradients.
    assert sum(half[0] for half in halves) / 2 == pytest.approx(loss.item(), rel=1e-5)
    for number, whole in ((1, vectors.grad), (2, texts.grad)):
        joined = torch.tensor(halves[0][number] + halves[1][number]) / 2
        assert torch.allclose(joined, whole, atol=1e-5)


def test_without_weights_the_loss_of_one_class_is_the_cross_entropy_of_pytorch() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.3], [0.5, 3.0, -2.0], [1.0, 1.0, 1.0]])
    target = torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [torch.nan] * 3])
    expected = torch.nn.functional.cross_entropy(logits[:2], torch.tensor([0, 2]))
    assert masked_cross_entropy(logits, target).item() == pytest.approx(expected.item(), rel=1e-6)
