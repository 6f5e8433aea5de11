"""lisa: its loss is the DiagSim-weighted one it says it is, and every setting of it does what it is there for."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import normalize

from auricle.batch import ECGBatch, TextBatch
from auricle.data.corpus import Corpus
from auricle.errors import ConfigError, UnknownNameError
from auricle.losses.diag_sim import diag_sim_weights, fit_ramp_to
from auricle.methods import Progress, Step, create_method
from auricle.methods.lisa import Lisa
from auricle.text.findings import FindingsSpace
from conftest import make_batch

STILL = {"lead_drop_records": 0.0, "gain": 0.0, "noise_mv": 0.0}
# Two reports of the same block in other words, one that is like them, one that is not, and one that is not there.
TEXTS = (
    "sinus rhythm. left bundle branch block.",
    "left bundle branch block. sinus rhythm.",
    "sinus rhythm. left bundle branch block. first degree av block.",
    "atrial fibrillation.",
    "",
)


def tiny(**more: object) -> Lisa:
    torch.manual_seed(0)
    method = create_method("lisa", "tiny", **more)
    assert isinstance(method, Lisa)
    return method


def corpus() -> Corpus:
    space = FindingsSpace.fit(TEXTS[:4])
    findings, concepts = (torch.from_numpy(matrix) for matrix in space.encode(TEXTS[:4]))
    embedding = normalize(torch.randn(4, 384, generator=torch.Generator().manual_seed(3)), dim=-1)
    return Corpus(TEXTS[:4], torch.tensor([4, 2, 1, 3]), embedding, space, findings, concepts)


def text() -> TextBatch:
    import numpy as np

    return corpus().text_batch(np.array([0, 1, 2, 3, -1]))


def vectors(width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    one, other = (normalize(torch.randn(5, width, generator=generator), dim=-1) for _ in range(2))
    return one.requires_grad_(), other.requires_grad_()


def view(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"corpus": corpus(), **changes})


def slow_loss(method: Lisa, signal: torch.Tensor, report: torch.Tensor, weight: torch.Tensor) -> float:
    """The objective of the configuration row by row, the ECG-to-text share and the text-to-ECG share."""
    scale, bias = method.scale.item(), method.logit_bias.item()
    share, objective = method.config.text_to_ecg, method.config.objective
    total = 0.0
    for a, b, part in ((signal, report, 1 - share), (report, signal, share)):
        rows = []
        for i in range(4):  # the fifth has no report, so no row
            s = [scale * float(a[i].detach() @ b[j].detach()) for j in range(5)]
            w = [float(weight[i, j]) for j in range(5)]
            others = [j for j in range(5) if j != i]
            if objective == "siglip":
                rows.append(
                    math.log1p(math.exp(-(s[i] + bias))) + sum(w[j] * math.log1p(math.exp(s[j] + bias)) for j in others)
                )
            elif objective == "soft_target":
                target = [1.0 if j == i else 1 - w[j] for j in range(4)]  # nor does it attract
                log_sum = math.log(sum(math.exp(x) for x in s[:4]))
                rows.append(-sum(t / sum(target) * (x - log_sum) for t, x in zip(target, s[:4], strict=True)))
            else:
                rows.append(math.log(math.exp(s[i]) + sum(w[j] * math.exp(s[j]) for j in others)) - s[i])
        total += part * sum(rows) / len(rows)
    return total


class TestLoss:
    @pytest.mark.parametrize("objective", ["info_nce", "soft_target", "siglip"])
    @pytest.mark.parametrize("share", [0.0, 0.5, 0.8])
    def test_it_is_its_equation(self, objective: str, share: float) -> None:
        method = tiny(objective=objective, text_to_ecg=share, diag_sim={"weighting": "power"})
        signal, report = vectors()
        weight, _ = diag_sim_weights(method.config.diag_sim, (0.5, 0.9), text(), text())
        assert 0 < weight[0, 2] < 1
        step = method._align(signal, report, text())
        assert step.loss.item() == pytest.approx(slow_loss(method, signal, report, weight), rel=1e-4)
        assert step.terms["loss"] == step.loss.detach()
        assert not step.terms["loss"].requires_grad

    def test_weights_are_those_of_the_reports_and_not_one(self) -> None:
        signal, report = vectors()
        weighted, plain = tiny(), tiny(diag_sim={"weighting": "none"})
        one, other = (method._align(signal, report, text()) for method in (weighted, plain))
        assert other.terms["mean_weight"].item() == pytest.approx(20 / 25), "all but the column without a report"
        weight, _ = diag_sim_weights(weighted.config.diag_sim, (0.5, 0.9), text(), text())
        assert one.terms["mean_weight"].item() == pytest.approx(weight.mean().item())
        assert one.terms["mean_weight"] < 0.75
        assert one.loss < other.loss, "fewer negatives"

    def test_equal_reports_do_not_repel_and_unlike_ones_do(self) -> None:
        """The gradient of the first recording's row at the reports of the batch."""
        signal, report = vectors()
        method = tiny(text_to_ecg=0.0)
        method._align(signal, report, text()).loss.backward()
        only_first = torch.autograd.grad(
            _first_row(method, signal, report), report, retain_graph=False, allow_unused=False
        )[0]
        assert (only_first.abs().sum(1) > 0).tolist() == [True, False, True, True, False]
        assert report.grad is not None
        assert not report.grad[4].any(), "a report that is not there attracts nobody"

    def test_the_ramp_of_the_weights_is_the_fitted_one(self) -> None:
        signal, report = vectors()
        method = tiny()
        losses = []
        for ramp in ((0.1, 0.2), (0.95, 1.0)):
            method.ramp.copy_(torch.tensor(ramp))
            step = method._align(signal, report, text())
            weight, _ = diag_sim_weights(method.config.diag_sim, ramp, text(), text())
            assert step.terms["mean_weight"].item() == pytest.approx(weight.mean().item())
            losses.append(step.loss.item())
        assert losses[0] < losses[1]

    def test_terms_for_the_eye(self) -> None:
        """The nearest report is one that says the same, for all but the second and the one without a report."""
        method = tiny()
        signal = torch.eye(5, 6)
        report = torch.eye(5, 6)[[1, 0, 2, 3, 4]]  # the first two have each other's report, which is the same
        step = method._align(signal, report, text())
        assert step.terms["top1"].item() == pytest.approx(4 / 5)
        assert step.terms["active"].item() == pytest.approx(4 / 5)
        assert step.terms["temperature"].item() == pytest.approx(0.07, rel=1e-5)
        report = torch.eye(5, 6)[[3, 1, 2, 0, 4]]
        assert method._align(signal, report, text()).terms["top1"].item() == pytest.approx(2 / 5)

    def test_a_row_with_nobody_to_repel_is_not_active(self) -> None:
        signal, report = vectors()
        pair = text().select(torch.tensor([0, 1]))
        step = tiny()._align(signal[:2], report[:2], pair)
        assert step.loss == 0
        assert step.terms["active"] == 0


def _first_row(method: Lisa, signal: torch.Tensor, report: torch.Tensor) -> torch.Tensor:
    weight, _ = diag_sim_weights(method.config.diag_sim, (0.5, 0.9), text(), text())
    has_report = torch.tensor([True, False, False, False, False])
    there = text().report_id >= 0
    return method._direction(method.scale * signal @ report.T, torch.arange(5), weight, has_report, there)[0]


class TestStep:
    def batch(self) -> ECGBatch:
        return replace(make_batch(5), text=replace(text(), embedding=text().embedding))

    def test_it_is_the_loss_of_the_projected_recordings_and_reports(self) -> None:
        method, batch = tiny(augment=STILL).train(), self.batch()
        step = method.step(batch, Progress(0, 1))
        with torch.no_grad():
            expected = method._align(method.project(batch), method.project_text(batch.text.embedding), batch.text)
        assert torch.allclose(step.loss, expected.loss, atol=1e-5)

    def test_recordings_are_changed_in_training(self) -> None:
        batch, losses = self.batch(), {}
        for name, augment in (
            ("still", STILL),
            ("leads", {**STILL, "lead_drop_records": 1.0}),
            ("noise", {**STILL, "noise_mv": 0.5}),
        ):
            method = tiny(augment=augment).train()
            torch.manual_seed(5)
            losses[name] = method.step(batch, Progress(0, 1)).loss.item()
        assert len(set(losses.values())) == 3

    def test_the_loss_trains_the_encoder_both_projections_and_the_temperature(self) -> None:
        method = tiny().train()
        method.step(self.batch(), Progress(0, 1)).loss.backward()
        for part in (method.encoder, method.project_signal, method.project_report):
            assert any(p.grad is not None and p.grad.any() for p in part.parameters())
        assert method.logit_scale.grad != 0
        assert not method.logit_bias.requires_grad

    def test_precision_under_bf16_is_full_in_the_cosines(self) -> None:
        method, batch = tiny(augment=STILL).train(), self.batch()
        seen: list[torch.dtype] = []
        whole = method._align

        def watched(signal: torch.Tensor, report: torch.Tensor, own: TextBatch) -> Step:
            seen.extend([signal.dtype, report.dtype, (signal @ report.T).dtype])
            return whole(signal, report, own)

        method._align = watched  # type: ignore[method-assign]
        with torch.autocast("cpu", torch.bfloat16):
            method.step(batch, Progress(0, 1))
        assert seen == [torch.float32] * 3


class TestTemperature:
    @pytest.mark.parametrize("objective", ["info_nce", "soft_target"])
    def test_it_starts_at_the_configured_one_without_a_bias(self, objective: str) -> None:
        method = tiny(objective=objective, temperature=0.2)
        assert method.scale.item() == pytest.approx(5)
        assert method.logit_bias.item() == 0

    def test_siglip_starts_where_its_paper_does_and_learns_a_bias(self) -> None:
        method = tiny(objective="siglip")
        assert method.scale.item() == pytest.approx(10)
        assert method.logit_bias.item() == -10
        assert method.logit_bias.requires_grad

    def test_it_never_falls_below_a_hundredth(self) -> None:
        method = tiny()
        with torch.no_grad():
            method.logit_scale.fill_(50.0)
        assert method.scale.item() == pytest.approx(100, rel=1e-5)


class TestPrepare:
    def test_ramp_and_mean_text_are_those_of_the_corpus(self) -> None:
        for similarity in ("cosine", "findings"):
            method = tiny(diag_sim={"similarity": similarity})
            assert method.ramp.tolist() == pytest.approx([0.5, 0.9])
            assert not method.text_mean.any()
            made = corpus()
            method.prepare(view())
            assert method.ramp.tolist() == pytest.approx(fit_ramp_to(made, similarity))
            expected = sum(n * e for n, e in zip([0.4, 0.2, 0.1, 0.3], made.embedding, strict=True))
            assert torch.allclose(method.text_mean, expected, atol=1e-6)

    def test_what_all_reports_share_cannot_tell_them_apart(self) -> None:
        """Sentences are projected from what is left of them without the mean of the corpus."""
        method = tiny()
        method.prepare(view())
        sentences = corpus().embedding
        projected = method.project_report(sentences - method.text_mean)
        assert torch.allclose(method.project_text(sentences), normalize(projected, dim=-1), atol=1e-6)
        assert not torch.allclose(method.project_text(sentences), normalize(method.project_report(sentences), dim=-1))

    def test_one_report_leaves_the_ramp_as_it_is(self) -> None:
        method = tiny()
        with pytest.warns(UserWarning, match="no two reports of the training records share a diagnosis"):
            method.prepare(view(corpus=replace(corpus(), n_records=torch.tensor([9, 0, 0, 0]))))
        assert method.ramp.tolist() == pytest.approx([0.5, 0.9])

    def test_without_reports_or_with_anothers_embeddings_it_is_refused(self) -> None:
        for missing in (None, replace(corpus(), embedding=None)):
            with pytest.raises(ConfigError, match="pre-train it on a store that has them"):
                tiny().prepare(view(corpus=missing))
        with pytest.raises(ConfigError, match=r"'minilm' is 384 wide: set model\.text\.width=384"):
            tiny(text={"width": 100}).prepare(view())


class TestPrompts:
    def test_weights_that_are_read_have_room_for_theirs(self) -> None:
        method = tiny(prompts={"a": ["x", "y"], "b": ["u", "v", "w"]})
        assert [method.get_buffer(f"prompt{number}").shape for number in range(2)] == [(2, 384), (3, 384)]
        assert not method.get_buffer("prompt1").any()

    def test_sets_are_kept_by_task_and_replaced_by_a_second_one_of_a_task(self) -> None:
        method, batch = tiny().eval(), make_batch()
        first, second, third = (torch.randn(n, 384) for n in (2, 3, 2))
        method.keep_prompts("a", ["x", "y"], first)
        method.keep_prompts("b", ["x", "y", "z"], second)
        method.keep_prompts("a", ["u", "v"], third)
        assert method.prompt_sets == {"a": ("u", "v"), "b": ("x", "y", "z")}
        with torch.no_grad():
            for task, prompts in (("a", third), ("b", second)):
                expected = method.project(batch) @ method.project_text(prompts).T
                assert torch.allclose(method.prompt_scores(batch, task), expected, atol=1e-5)
            assert torch.allclose(method.project(batch).norm(dim=-1), torch.ones(8))
        with pytest.raises(UnknownNameError, match="prompt set"):
            method.prompt_scores(batch, "c")

    def test_classes_are_read_against_the_normal_ecg_where_it_is_one_of_them(self) -> None:
        method, batch, prompts = tiny().eval(), make_batch(), torch.randn(3, 384)
        method.keep_prompts("a", ["x", "NORM", "y"], prompts)
        method.keep_prompts("alone", ["NORM"], prompts[1:2])
        with torch.no_grad():
            x, normal, y = (method.project(batch) @ method.project_text(prompts).T).unbind(1)
            expected = torch.stack([x - normal / 2, normal - (x + y) / 4, y - normal / 2], dim=1)
            assert torch.allclose(method.prompt_scores(batch, "a"), expected, atol=1e-5)
            assert torch.allclose(method.prompt_scores(batch, "alone")[:, 0], normal, atol=1e-5)
