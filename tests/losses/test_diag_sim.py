"""DiagSim: similarity of reports, the ramp that is fitted to a corpus, and the weights, each against its equation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from auricle.batch import TextBatch
from auricle.data.corpus import Corpus
from auricle.losses.diag_sim import (
    DiagSimConfig,
    diag_sim_weights,
    fit_ramp,
    fit_ramp_to,
    negative_weights,
    report_similarity,
    same_report,
)
from auricle.text.findings import FindingsSpace, similarity

TEXTS = (
    "sinus rhythm. normal ecg.",
    "sinus rhythm. left bundle branch block.",
    "sinus rhythm. left bundle branch block. first degree av block.",
    "atrial fibrillation.",
)


def corpus(texts: tuple[str, ...] = TEXTS, n_records: tuple[int, ...] = (5, 3, 1, 1)) -> Corpus:
    space = FindingsSpace.fit(list(texts))
    findings, diagnoses = (torch.from_numpy(matrix) for matrix in space.encode(texts))
    embedding = torch.nn.functional.normalize(torch.randn(len(texts), 5, generator=torch.Generator().manual_seed(0)))
    return Corpus(texts, torch.tensor(n_records), embedding, space, findings, diagnoses)


def text(ids: list[int]) -> TextBatch:
    return corpus().text_batch(np.array(ids))


class TestSimilarity:
    def test_cosine_is_of_directions_and_never_below_nothing(self) -> None:
        rows = TextBatch(torch.arange(3), embedding=torch.tensor([[3.0, 0.0], [1.0, 1.0], [-2.0, 0.0]]))
        half = math.sqrt(0.5)
        expected = torch.tensor([[1.0, half, 0.0], [half, 1.0, 0.0], [0.0, 0.0, 1.0]])
        assert torch.allclose(report_similarity("cosine", rows, rows), expected, atol=1e-6)
        columns = rows.select(torch.tensor([1]))
        assert torch.allclose(report_similarity("cosine", rows, columns), expected[:, 1:2], atol=1e-6)

    def test_both_is_the_product(self) -> None:
        rows, columns = text([0, 1, 2]), text([1, 3, 2, 0])
        each = [report_similarity(kind, rows, columns) for kind in ("cosine", "findings")]
        assert torch.allclose(report_similarity("both", rows, columns), each[0] * each[1])
        assert not torch.allclose(each[0], each[1], atol=1e-2)

    @pytest.mark.parametrize(
        ("kind", "missing", "what"),
        [("cosine", "embedding", "text embeddings"), ("both", "embedding", "text embeddings"),
         ("findings", "diagnoses", "parsed findings"), ("both", "diagnoses", "parsed findings")],
    )  # fmt: skip
    def test_what_a_kind_needs_must_be_there_on_both_sides(self, kind: str, missing: str, what: str) -> None:
        rows = text([0, 1])
        without = replace(rows, **{missing: None})
        for pair in ((rows, without), (without, rows)):
            with pytest.raises(ValueError, match=what):
                report_similarity(kind, *pair)


class TestSameReport:
    def test_findings_are_equal_only_as_whole_sets(self) -> None:
        """A report that says all that another says and more is another report, from either side."""
        rows = TextBatch(torch.arange(3), findings=torch.tensor([[1.0, 0.0], [1.0, 0.9], [1.0, 0.0]]))
        assert same_report(rows, rows).tolist() == [[True, False, True], [False, True, False], [True, False, True]]

    def test_no_findings_are_not_equal_findings(self) -> None:
        rows = TextBatch(torch.tensor([4, 5, 4]), findings=torch.zeros(3, 2))
        assert same_report(rows, rows).tolist() == [[True, False, True], [False, True, False], [True, False, True]]

    def test_without_findings_text_decides(self) -> None:
        some = TextBatch(torch.tensor([0, 7]), findings=torch.ones(2, 2))
        none = TextBatch(torch.tensor([7, 0, -1]))
        assert same_report(some, none).tolist() == [[False, True, False], [True, False, False]]
        assert same_report(none, some).tolist() == [[False, True], [True, False], [False, False]]
        assert not same_report(none.select(torch.tensor([2])), none).any(), "no report is nobody's equal"

    def test_a_millionth_is_rounding_and_a_hundredth_is_not(self) -> None:
        rows = TextBatch(torch.arange(2), findings=torch.tensor([[1.0, 0.0], [1.0, 1e-3]]))
        assert same_report(rows, rows).all()
        rows = TextBatch(torch.arange(2), findings=torch.tensor([[1.0, 0.0], [1.0, 0.05]]))
        assert torch.equal(same_report(rows, rows), torch.eye(2, dtype=torch.bool))


class TestWeights:
    SIMILARITY = torch.tensor([[0.0, 0.3, 0.4, 0.5, 0.7, 0.8, 1.0]])

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("ramp", [1, 1, 0.75, 0.5, 0, 0, 0]),
            ("step", [1, 1, 1, 1, 0, 0, 0]),
            ("power", [1, 0.343, 0.216, 0.125, 0.027, 0.008, 0]),
            ("none", [1] * 7),
        ],
    )
    def test_each_kind_at_known_similarities(self, kind: str, expected: list[float]) -> None:
        different = torch.zeros(1, 7, dtype=torch.bool)
        weight = negative_weights(self.SIMILARITY, different, kind, (0.3, 0.7), 3.0)
        assert weight[0].tolist() == pytest.approx(expected, abs=1e-6)

    def test_defaults_are_square_and_a_wide_ramp(self) -> None:
        different = torch.zeros(1, 7, dtype=torch.bool)
        power = negative_weights(self.SIMILARITY, different, "power")[0]
        assert torch.allclose(power, (1 - self.SIMILARITY[0]) ** 2)
        ramp = negative_weights(torch.tensor([[0.5, 0.7, 0.9]]), different[:, :3], "ramp")[0]
        assert ramp.tolist() == pytest.approx([1, 0.5, 0], abs=1e-6)

    @pytest.mark.parametrize("similarity", ["cosine", "findings", "both"])
    @pytest.mark.parametrize("weighting", ["ramp", "step", "power", "none"])
    def test_of_two_batches(self, similarity: str, weighting: str) -> None:
        """Similarity, then weight, 0 between equal reports, and 0 for a column without a report."""
        rows, columns = text([0, 1, 1, -1]), text([2, -1, 1, 0, 3])
        config = DiagSimConfig(similarity=similarity, weighting=weighting, power=1.5)
        weight, same = diag_sim_weights(config, (0.2, 0.6), rows, columns)
        assert torch.equal(same, same_report(rows, columns))
        expected = negative_weights(report_similarity(similarity, rows, columns), same, weighting, (0.2, 0.6), 1.5)
        for i in range(4):
            for j in range(5):
                assert weight[i, j] == (0 if j == 1 else expected[i, j])
        assert same[:3].tolist() == [[False, False, False, True, False], *[[False, False, True, False, False]] * 2]
        if weighting != "none":
            assert (weight[same] == 0).all()
        assert not weight.requires_grad

    def test_like_diagnoses_repel_less_than_unlike_ones(self) -> None:
        """The point of it: left bundle branch block repels itself with a longer PR interval less than fibrillation."""
        rows, columns = text([1]), text([2, 3])
        for weighting in ("ramp", "power"):
            like, unlike = diag_sim_weights(DiagSimConfig(weighting=weighting), (0.1, 0.9), rows, columns)[0][0]
            assert 0 < like < unlike
            assert unlike == 1


class TestRamp:
    def test_of_cosines_it_lies_between_the_90th_and_99th_centile(self) -> None:
        assert fit_ramp(torch.linspace(0, 0.8, 1001), "cosine") == pytest.approx((0.72, 0.792), abs=1e-4)

    def test_of_cosines_it_keeps_a_finite_slope_and_ends_at_one(self) -> None:
        assert fit_ramp(torch.full((100,), 0.3), "cosine") == pytest.approx((0.3, 0.35))
        assert fit_ramp(torch.ones(100), "cosine") == pytest.approx((0.9, 1.0))
        assert fit_ramp(torch.full((100,), 0.97), "cosine") == pytest.approx((0.9, 1.0))

    @pytest.mark.parametrize("kind", ["findings", "both"])
    def test_of_findings_it_begins_at_nothing_and_ends_where_a_tenth_of_those_that_share_is_more_alike(
        self, kind: str
    ) -> None:
        sharing = torch.linspace(0.01, 0.81, 801)
        assert fit_ramp(torch.cat([torch.zeros(9000), sharing]), kind) == pytest.approx((0.0, 0.73), abs=1e-4)
        assert fit_ramp(torch.full((10,), 0.001), kind) == (0.0, 0.05)
        assert fit_ramp(torch.zeros(10), kind) is None

    def test_pairs_are_drawn_by_how_many_records_carry_a_report(self) -> None:
        """Of nine pairs in ten the alike ones are those of the two reports that most records carry."""
        texts = (
            "left bundle branch block. first degree av block.", "left bundle branch block. low voltage. prolonged qt.",
            "atrial fibrillation. prolonged qt. low voltage.",
            "atrial fibrillation. t wave inversion. left axis deviation.",
        )  # fmt: skip
        first, second = (fit_ramp_to(corpus(texts, n), "findings") for n in ((900, 900, 1, 1), (1, 1, 900, 900)))
        diagnoses = corpus(texts).diagnoses
        between = similarity(diagnoses, diagnoses)
        assert first is not None
        assert second is not None
        assert first[1] == pytest.approx(between[0, 1].item(), abs=1e-5)
        assert second[1] == pytest.approx(between[2, 3].item(), abs=1e-5)

    def test_it_is_of_the_similarity_that_is_used_and_the_same_every_time(self) -> None:
        made = corpus()
        torch.manual_seed(1)
        cosine, findings = fit_ramp_to(made, "cosine"), fit_ramp_to(made, "findings")
        torch.manual_seed(2)
        assert cosine == fit_ramp_to(made, "cosine")
        assert cosine != findings

    def test_one_report_has_no_pairs(self) -> None:
        assert fit_ramp_to(corpus(n_records=(9, 0, 0, 0)), "findings") is None
