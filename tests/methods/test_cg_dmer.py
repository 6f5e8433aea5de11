"""cg_dmer: what is hidden is hidden, only that is counted, the parts are trained by what they are for, and sentences
are read by the weights alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.augment.masking import chosen
from auricle.augment.signal import augment
from auricle.batch import ECGBatch, TextBatch
from auricle.config import validate
from auricle.data.collate import collate
from auricle.data.ingest import ingest
from auricle.data.loader import View
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.ablation import load_ablation
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, zero_shot
from auricle.leads import STANDARD
from auricle.losses.disentangle import decorrelation
from auricle.losses.masked import doubt, masked_words, patch_error
from auricle.methods import (
    AlignsText,
    Progress,
    Reconstructs,
    create_method,
    init_encoder_from,
    load_method,
    save_method,
)
from auricle.methods.cg_dmer import CgDmer
from auricle.nn.patch import patch_mask
from auricle.nn.patch_decoder import drawing_of
from auricle.nn.standardise import Standardise
from auricle.nn.visible import Visible
from auricle.processes import mean_over_active
from auricle.simulate import cohort
from auricle.tasks import load_task
from auricle.text.vocabulary import CLS, MASK, Vocabulary
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.setup import build
from conftest import make_batch
from processes import in_two_processes

STILL = {"lead_drop_records": 0.0, "gain": 0.0, "noise_mv": 0.0}
INPUT = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)}


def tiny(seed: int = 0, **more: object) -> CgDmer:
    torch.manual_seed(seed)
    method = create_method("cg_dmer", "tiny", **more)
    assert isinstance(method, CgDmer)
    return method


def ready_of(method: CgDmer, batch: ECGBatch) -> ECGBatch:
    return method.preprocess(batch)


class TestMasks:
    def test_a_quarter_of_the_leads_and_half_of_the_columns_are_hidden(self) -> None:
        method = tiny(augment={"lead_drop_records": 0.0})
        ready = ready_of(method, make_batch())
        seen = method.hide(ready)
        assert (seen.lead_mask.sum(1) == 9).all()
        columns = patch_mask(seen.time_mask, method.encoder.patch)
        assert columns.shape[1] == 10
        assert (columns.sum(1) == 5).all()
        whole = columns.repeat_interleave(method.encoder.patch, dim=1)[:, : seen.time_mask.shape[1]]
        assert torch.equal(whole, seen.time_mask), "columns are hidden whole"
        assert (seen.lead_mask[0] != seen.lead_mask[1]).any(), "each record has masks of its own"

    @pytest.mark.parametrize("present", [0, 1, 2, 5])
    def test_something_always_stays(self, present: int) -> None:
        there = torch.arange(12).expand(64, -1) < present
        taken = chosen(there, 0.9)
        assert not (taken & ~there).any()
        assert (taken.sum(1) == math.floor(0.9 * present)).all()

    def test_what_lies_under_the_mask_does_not_change_what_the_encoder_says(self) -> None:
        method = tiny().eval()
        ready = ready_of(method, make_batch())
        seen = method.hide(ready)
        visible = seen.lead_mask[:, :, None] & seen.time_mask[:, None]
        other = replace(seen, signal=torch.where(visible, seen.signal, torch.nan))
        with torch.no_grad():
            one, two = method.encoder.read(seen), method.encoder.read(other)
        assert torch.equal(one.tokens, two.tokens)
        assert torch.equal(one.pooled, two.pooled)
        moved = replace(seen, signal=torch.where(visible, seen.signal + 0.5, seen.signal))
        with torch.no_grad():
            assert not torch.allclose(one.pooled, method.encoder.read(moved).pooled, atol=1e-3)

    def test_only_recorded_hidden_patches_count(self) -> None:
        method = tiny().eval()
        batch = make_batch()
        lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
        lead_mask[:, 3], time_mask[:, 450:] = False, False
        ready = ready_of(method, replace(batch, lead_mask=lead_mask, time_mask=time_mask))
        torch.manual_seed(1)
        seen = method.hide(ready)
        with torch.no_grad():
            tokens = method.encoder.read(seen)
            before = method._draw(ready, tokens)
            visible = seen.lead_mask[:, :, None] & seen.time_mask[:, None]
            recorded = ready.lead_mask[:, :, None] & ready.time_mask[:, None]
            for place, counts in ((visible, False), (~recorded, False), (recorded & ~visible, True)):
                changed = replace(ready, signal=torch.where(place, ready.signal.flip(-1) + 1.0, ready.signal))
                after = method._draw(changed, tokens)
                assert all(torch.isclose(a, b, atol=1e-6) for a, b in zip(before, after, strict=True)) != counts

    def test_nothing_hidden_is_no_loss_and_no_nan(self) -> None:
        method = tiny(lead_share=0.0, time_share=0.0, augment={"lead_drop_records": 0.0}).train()
        ready = ready_of(method, make_batch())
        drawn, level, doubted = method._draw(ready, method.encoder.read(method.hide(ready)))
        assert drawn.item() == level.item() == doubted.item() == 0

    def test_packed_tokens_return_to_their_places(self) -> None:
        mask = torch.tensor([[True, False, True, False], [False, False, False, True], [False] * 4])
        x = torch.randn(3, 4, 2)
        visible = Visible(mask)
        packed = visible.pack(x)
        assert packed.shape == (3, 2, 2)
        assert torch.equal(packed[0], x[0, [0, 2]])
        assert visible.keys is not None
        assert visible.keys.tolist() == [[True, True], [True, False], [True, False]]
        assert torch.equal(visible.unpack(packed), torch.where(mask[..., None], x, 0.0))

    def test_dropping_tokens_is_attending_to_the_others_alone(self) -> None:
        """Each record alone needs no key mask; in company of fuller ones it does; the answer is the same."""
        method = tiny().eval()
        ready = ready_of(method, make_batch())
        lead_mask = torch.arange(12)[None] < torch.arange(1, 9)[:, None]
        few = replace(ready, lead_mask=lead_mask)
        with torch.no_grad():
            together = method.encoder.read(few).pooled
            alone = torch.cat([method.encoder.read(few.select(torch.tensor([row]))).pooled for row in range(8)])
            nothing = method.encoder.read(replace(ready, lead_mask=torch.zeros_like(lead_mask)))
        assert torch.allclose(together, alone, atol=1e-5)
        assert torch.equal(nothing.pooled, torch.zeros_like(nothing.pooled))


class TestLosses:
    def test_a_drawing_keeps_millivolts(self) -> None:
        patches = torch.randn(2, 3, 4, 5) * 0.3
        valid = torch.ones(2, 4, 5, dtype=torch.bool)
        drawing = drawing_of(patches, valid)
        assert torch.allclose(drawing.millivolts(), patches, atol=1e-5)
        valid[:, -1, 3:] = False
        poisoned = torch.where(valid[:, None], patches, torch.nan)
        cut = drawing_of(poisoned, valid)
        assert torch.isfinite(cut.shape).all()
        assert torch.allclose(cut.mean[:, :, -1] * 0.2, patches[:, :, -1, :3].mean(-1), atol=1e-6)

    def test_patch_error_is_the_mean_over_valid_samples(self) -> None:
        drawn, wanted = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 3, 4)
        valid = torch.rand(2, 3, 4) < 0.7
        valid[0, 0] = False
        error = patch_error(drawn, torch.where(valid[:, None], wanted, torch.nan), valid)
        for b, lead, n in np.ndindex(2, 2, 3):
            squares = [float((drawn - wanted)[b, lead, n, t] ** 2) for t in range(4) if valid[b, n, t]]
            expected = sum(squares) / len(squares) if squares else 0.0
            assert float(error[b, lead, n]) == pytest.approx(expected, rel=1e-4)

    def test_doubt_is_least_where_it_is_the_error(self) -> None:
        error = torch.tensor([0.04, 1.0, 9.0])
        log_spread = (error.log() / 2).requires_grad_()
        doubt(error, log_spread).sum().backward()
        assert torch.allclose(log_spread.grad, torch.zeros(3), atol=1e-6)
        wild = torch.zeros(1, requires_grad=True)
        doubt(torch.tensor([1e9]), wild).sum().backward()
        assert wild.grad.item() == pytest.approx(-8), "one artefact pulls as nine variances and no more"

    def test_decorrelation_is_its_equation(self) -> None:
        generator = torch.Generator().manual_seed(0)
        shared, specific = torch.randn(7, 3, generator=generator), 5 + torch.randn(7, 2, generator=generator)
        active = torch.tensor([True] * 6 + [False])
        total = 0.0
        for i in range(3):
            for j in range(2):
                one, other = shared[:6, i].numpy(), specific[:6, j].numpy()
                total += float(np.corrcoef(one, other)[0, 1]) ** 2
        assert float(decorrelation(shared, specific, active)) == pytest.approx(total / 3, rel=1e-2)
        poisoned = torch.where(active[:, None], shared, torch.nan)
        assert torch.equal(decorrelation(poisoned, specific, active), decorrelation(shared, specific, active))

    def test_decorrelation_of_a_copy_is_one_and_of_one_record_nothing(self) -> None:
        wide = torch.linalg.qr(torch.randn(400, 5, generator=torch.Generator().manual_seed(0)))[0] * 20
        centred = wide - wide.mean(0)
        assert float(decorrelation(centred, centred)) == pytest.approx(1, abs=0.05)
        one = torch.ones(1, 4, requires_grad=True)
        loss = decorrelation(one, one)
        loss.backward()
        assert loss.item() == 0
        assert torch.isfinite(one.grad).all()

    def test_decorrelation_forgives_features_that_hardly_vary(self) -> None:
        """A variance of 1e-4 counts half: x / sqrt(v + 1e-4), so the correlation of a copy is v / (v + 1e-4)."""
        for variance, expected in ((1e-4, 0.25), (1e-6, (1e-6 / 1.01e-4) ** 2), (100.0, 1.0)):
            part = math.sqrt(variance) * torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
            assert float(decorrelation(part, part)) == pytest.approx(expected, rel=1e-3)

    def test_words_count_once_and_none_is_no_nan(self) -> None:
        logits = torch.randn(3, 5, requires_grad=True)
        wanted = torch.tensor([1, 2, 3])
        slow = [-row.softmax(0)[word].log().item() for row, word in zip(logits, wanted, strict=True)]
        assert masked_words(logits, wanted).item() == pytest.approx(sum(slow) / 3, rel=1e-5)
        assert masked_words(logits[:0], wanted[:0]).item() == 0


def _parts(rank: int | None) -> tuple[float, list[list[float]], list[list[float]]]:
    generator = torch.Generator().manual_seed(1)
    shared, specific = torch.randn(8, 3, generator=generator), torch.randn(8, 4, generator=generator)
    active = torch.tensor([True, True, True, True, True, False, False, True])
    rows = slice(0, 8) if rank is None else slice(4 * rank, 4 * rank + 4)
    one, other = shared[rows].requires_grad_(), specific[rows].requires_grad_()
    loss = decorrelation(one, other, active[rows])
    loss.backward()
    return loss.item(), one.grad.tolist(), other.grad.tolist()


def test_two_processes_decorrelate_as_one() -> None:
    whole, halves = _parts(None), in_two_processes(_parts)
    for half in halves:
        assert half[0] == pytest.approx(whole[0], rel=1e-5)
    for number in (1, 2):
        joined = torch.tensor(halves[0][number] + halves[1][number]) / 2
        assert torch.allclose(joined, torch.tensor(whole[number]), atol=1e-6)


def _standardised(rank: int | None) -> tuple[list[list[float]], list[list[float]], list[float]]:
    generator = torch.Generator().manual_seed(4)
    rows, weight = 3 + torch.randn(8, 3, generator=generator), torch.randn(8, 3, generator=generator)
    part = slice(0, 8) if rank is None else slice(4 * rank, 4 * rank + 4)
    mine, layer = rows[part].requires_grad_(), Standardise(3).train()
    out = layer(mine)
    # The mean over the rows of all processes, as a loss takes it.
    (mean_over_active((out * weight[part]).sum(1), torch.ones(len(mine), dtype=torch.bool))).backward()
    return out.tolist(), mine.grad.tolist(), layer.mean.tolist()


def test_two_processes_standardise_as_one() -> None:
    whole, halves = _standardised(None), in_two_processes(_standardised)
    for number, scale in ((0, 1), (1, 2)):
        joined = torch.tensor(halves[0][number] + halves[1][number]) / scale
        assert torch.allclose(joined, torch.tensor(whole[number]), atol=1e-5)
    assert halves[0][2] == halves[1][2] == pytest.approx(whole[2], rel=1e-5)


def test_running_values_become_those_of_the_batches() -> None:
    layer = Standardise(2).train()
    rows = torch.tensor([[1.0, 5.0], [3.0, 5.5], [5.0, 6.0]])
    for _ in range(3):
        inside = layer(rows)
    assert torch.allclose(inside, layer.eval()(rows), atol=1e-5)
    assert torch.allclose(inside.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(layer(rows[:1]), inside[:1], atol=1e-5), "company does not matter"


def test_one_row_has_no_spread_and_teaches_none() -> None:
    layer, rows = Standardise(2).train(), torch.tensor([[1.0, 5.0], [3.0, 9.0]])
    layer(rows)
    assert layer.variance.tolist() == pytest.approx(rows.var(0, correction=0).tolist())
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    alone = layer(torch.cat([rows[:1], torch.full((3, 2), 100.0)]), torch.tensor([True, False, False, False]))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.allclose(alone[:1], layer.eval()(rows[:1]))


class TestAlignment:
    def vectors(self, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(2)
        both = (torch.nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=-1) for _ in range(2))
        return next(both).requires_grad_(), next(both)

    def test_equal_reports_never_repel(self) -> None:
        method = tiny()
        signal, report = self.vectors(2)
        scale, bias = method.scale, method.logit_bias
        own = torch.nn.functional.softplus(-(scale * (signal * report).sum(1) + bias)).mean()
        same = method._align(signal, report, TextBatch(torch.tensor([5, 5])))
        assert torch.allclose(same, own)
        findings = torch.tensor([[1.0, 0.5], [1.0, 0.5]])
        other_words = method._align(signal, report, TextBatch(torch.tensor([5, 6]), findings=findings))
        assert torch.allclose(other_words, own)
        assert method._align(signal, report, TextBatch(torch.tensor([5, 6]))) > own

    def test_a_record_without_a_report_neither_counts_nor_repels(self) -> None:
        method = tiny()
        signal, report = self.vectors()
        whole = method._align(signal, report, TextBatch(torch.tensor([0, 1, 2, -1])))
        without = method._align(signal[:3], report[:3], TextBatch(torch.arange(3)))
        assert torch.allclose(whole, without)
        whole.backward()
        assert not signal.grad[3].any()

    def test_each_part_is_trained_by_what_it_is_for(self) -> None:
        method, batch = tiny().train(), make_batch()
        assert batch.text is not None

        def reached(loss: torch.Tensor) -> set[str]:
            method.zero_grad()
            loss.backward(retain_graph=True)
            stacks = method.encoder.body.stacks
            return {
                part for part in stacks if any(p.grad is not None and p.grad.any() for p in stacks[part].parameters())
            }

        ready = ready_of(method, batch)
        tokens = method.encoder.read(method.hide(ready))
        assert reached(method._draw(ready, tokens)[0]) == {"common", "shared", "specific"}
        signal = torch.nn.functional.normalize(method.signal_vector(tokens), dim=-1)
        words, report_shared, _ = method._read(batch.text)
        align = method._align(signal, method.project_text(report_shared), batch.text)
        assert reached(align) == {"common", "shared"}
        reached(words)
        assert all(
            p.grad is not None and p.grad.any() for p in method.text_encoder.body.stacks["specific"].parameters()
        )

    @pytest.mark.parametrize(("read", "trained"), [("shared", {"shared"}), ("specific", {"specific"})])
    def test_decoders_may_read_one_part_alone(self, read: str, trained: set[str]) -> None:
        method, batch = tiny(decoders_read=read).train(), make_batch()
        assert batch.text is not None
        tokens = method.encoder.read(method.hide(ready_of(method, batch)))
        drawn, words = method._draw(ready_of(method, batch), tokens)[0], method._read(batch.text)[0]
        (drawn + words).backward()
        for stacks in (method.encoder.body.stacks, method.text_encoder.body.stacks):
            moved = {
                name
                for name, stack in stacks.items()
                if any(p.grad is not None and p.grad.any() for p in stack.parameters())
            }
            assert moved == {"common", *trained}

    def test_what_is_not_asked_for_trains_nothing(self) -> None:
        method = tiny(draw_weight=0.0, word_weight=0.0).train()
        method.step(make_batch(), Progress(0, 1)).loss.backward()
        assert not any(p.grad is not None and p.grad.any() for p in method.decoder.parameters())
        assert not method.text_encoder.guess_bias.grad.any()
        assert any(p.grad.any() for p in method.encoder.parameters() if p.grad is not None)

    def test_a_recording_without_a_report_is_drawn_and_changes_nothing_else(self) -> None:
        """Among four with reports, four without: the terms of text are those of the four."""
        batch = make_batch()
        assert batch.text is not None
        there = torch.arange(8) < 4
        silent = TextBatch(
            torch.where(there, batch.text.report_id, -1),
            findings=batch.text.findings,
            token_ids=batch.text.token_ids,
            token_mask=batch.text.token_mask & there[:, None],
        )
        terms = []
        for given in (replace(batch, text=silent), batch.select(torch.arange(4))):
            method = tiny(lead_share=0.0, time_share=0.0, augment=STILL).train()
            for head in (method.project_signal, method.project_report):
                head[0].eval()  # of signals all eight count, so their mean is another
            terms.append(method.step(given, Progress(0, 1)).terms["align"])
        assert torch.allclose(*terms, atol=1e-5)
        method = tiny().train()
        assert torch.isfinite(method.step(replace(batch, text=silent), Progress(0, 1)).loss)
        nobody = replace(silent, report_id=torch.full((8,), -1), token_mask=torch.zeros_like(silent.token_mask))
        step = method.step(replace(batch, text=nobody), Progress(0, 1))
        assert step.terms["drawn"] > 0
        assert step.terms["align"] == step.terms["words"] == 0
        step.loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


class TestStep:
    def test_the_loss_is_the_weighted_sum_of_its_terms(self) -> None:
        """`doubted` has no name among the terms; with the drawing's weight at nothing it is gone as well."""
        batch = make_batch()
        weights = {"word_weight": 0.7, "align_weight": 1.3, "decorrelate_weight": 2.0}

        def terms(**more: float) -> dict[str, float]:
            method = tiny(**weights, **more).train()
            torch.manual_seed(2)
            return {name: value.item() for name, value in method.step(batch, Progress(0, 1)).terms.items()}

        none, whole, double = terms(draw_weight=0.0), terms(draw_weight=1.0), terms(draw_weight=2.0)
        rest = 0.7 * none["words"] + 1.3 * none["align"] + 2.0 * none["apart"]
        assert none["loss"] == pytest.approx(rest, rel=1e-4)
        assert double["loss"] - rest == pytest.approx(2 * (whole["loss"] - rest), rel=1e-3)
        method = tiny(**weights).train()
        torch.manual_seed(2)
        ready = ready_of(method, batch)
        gained = augment(ready, method.config.augment.model_copy(update={"lead_drop_records": 0.0}))
        drawn = method._draw(gained, method.encoder.read(method.hide(gained)))
        assert whole["drawn"] == pytest.approx(drawn[0].item(), rel=1e-3)
        assert whole["level"] == pytest.approx(drawn[1].item(), rel=1e-3)
        assert whole["loss"] - rest == pytest.approx(sum(part.item() for part in drawn), rel=1e-3)
        config = tiny().config
        assert (config.draw_weight, config.word_weight, config.align_weight) == (1, 1, 1)
        assert config.decorrelate_weight == 0.1

    def test_what_is_drawn_is_compared_patch_by_patch(self) -> None:
        """Shape, half of the level and doubt, over the places that were recorded and hidden."""
        method, batch = tiny(augment=STILL).eval(), make_batch()
        lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
        lead_mask[1, 4], time_mask[2, 430:] = False, False
        ready = ready_of(method, replace(batch, lead_mask=lead_mask, time_mask=time_mask))
        torch.manual_seed(1)
        with torch.no_grad():
            method.decoder.doubt.weight.normal_()
            tokens = method.encoder.read(method.hide(ready))
            got = method._draw(ready, tokens)
            patch = method.encoder.patch
            columns = patch_mask(ready.time_mask, patch)
            drawing = method.decoder(tokens.tokens, tokens.mask, columns)
            mv = drawing.millivolts()
        seen = tokens.mask.view(8, 12, -1)
        shape, level, doubted = [], [], []
        for b in range(8):
            for lead in range(12):
                for n in range(columns.shape[1]):
                    if not (ready.lead_mask[b, lead] and columns[b, n]) or seen[b, lead, n]:
                        continue
                    stretch = slice(n * patch, (n + 1) * patch)
                    there = ready.time_mask[b, stretch].numpy()
                    truth = ready.signal[b, lead, stretch].numpy()[there].astype(float)
                    spread = math.sqrt(truth.var() + 0.05**2)
                    of_shape = drawing.shape[b, lead, n, : len(there)].numpy()[there]
                    shape.append(((of_shape - (truth - truth.mean()) / spread) ** 2).mean())
                    level.append(
                        0.5 * (float(drawing.mean[b, lead, n]) - truth.mean() / 0.2) ** 2
                        + 0.5 * (float(drawing.log_spread[b, lead, n]) - math.log(spread / 0.2)) ** 2
                    )
                    missed = (((mv[b, lead, n, : len(there)].numpy()[there] - truth) / 0.2) ** 2).mean()
                    log_sd = float(drawing.log_doubt[b, lead, n])
                    doubted.append(min(missed, 9 * math.exp(2 * log_sd)) / (2 * math.exp(2 * log_sd)) + log_sd)
        assert got[0].item() == pytest.approx(np.mean(shape), rel=1e-3)
        assert got[1].item() == pytest.approx(np.mean(level), rel=1e-3)
        assert got[2].item() == pytest.approx(np.mean(doubted), rel=1e-3, abs=1e-4)

    def test_reports_enter_the_alignment_as_unit_vectors_of_those_that_are_there(self) -> None:
        """Reports are numbered from 0, so what a number is does not matter."""
        batch, seen = make_batch(), []
        ids = batch.text.report_id.clone()
        ids[5] = -1
        losses = []
        for shift in (0, 3):
            method = tiny().train()
            method.project_report.register_forward_pre_hook(lambda _, given: seen.append(given))
            torch.manual_seed(2)
            numbers = torch.where(ids >= 0, ids + shift, ids)
            losses.append(method.step(replace(batch, text=replace(batch.text, report_id=numbers)), Progress(0, 1)).loss)
        assert torch.equal(*losses)
        for rows, active in seen:
            assert torch.allclose(rows.norm(dim=1), torch.ones(8), atol=1e-5)
            assert torch.equal(active, ids >= 0)

    def test_both_sides_are_standardised_before_they_are_compared(self) -> None:
        """What all recordings or all reports share is taken off, else all cosines begin at 0.9."""
        method = tiny().train()
        width, active = method.config.text.width, torch.tensor([True] * 6 + [False] * 2)
        rows = torch.randn(8, width, generator=torch.Generator().manual_seed(0))
        shifted = torch.where(active[:, None], rows + 7.0, 99.0)
        got, expected = method.project_report(shifted, active), method.project_report(rows, active)
        assert torch.allclose(got[:6], expected[:6], atol=1e-3)
        tokens = method.encode(make_batch())
        moved = replace(tokens, pooled=tokens.pooled + 7.0)
        assert torch.allclose(method.signal_vector(tokens), method.signal_vector(moved), atol=1e-2)

    def test_the_sigmoid_starts_where_the_configuration_says(self) -> None:
        method = tiny()
        assert method.scale.item() == pytest.approx(10)
        assert method.logit_bias.item() == -5
        other = tiny(temperature=0.5, bias=-1.0)
        assert other.scale.item() == pytest.approx(2)
        assert other.logit_bias.item() == -1

    def test_the_alignment_is_its_equation(self) -> None:
        method = tiny()
        generator = torch.Generator().manual_seed(2)
        signal, report = (torch.nn.functional.normalize(torch.randn(4, 6, generator=generator), dim=-1) for _ in "ab")
        ids = torch.tensor([0, 3, 0, -1])  # the first report has the number 0
        rows = []
        for i in range(3):
            z = [10 * float(signal[i] @ report[j]) - 5 for j in range(4)]
            repels = [j for j in range(3) if ids[j] != ids[i]]
            rows.append(math.log1p(math.exp(-z[i])) + sum(math.log1p(math.exp(z[j])) for j in repels))
        assert method._align(signal, report, TextBatch(ids)).item() == pytest.approx(sum(rows) / 3, rel=1e-4)

    def test_a_share_of_the_words_is_hidden_and_never_the_first_token(self) -> None:
        method, seen = tiny(), []
        text = TextBatch(
            torch.arange(400),
            token_ids=torch.cat([torch.full((400, 1), CLS), torch.randint(3, 259, (400, 11))], dim=1),
            token_mask=torch.arange(12).expand(400, -1) < 9,
        )
        method.text_encoder.register_forward_pre_hook(lambda _, given: seen.append(given))
        torch.manual_seed(0)
        loss, *_ = method._read(text)
        ids, mask = seen[0]
        hidden = ids[:400] == MASK
        assert not hidden[:, 0].any()
        assert not hidden[:, 9:].any(), "padding"
        assert hidden[:, 1:9].float().mean().item() == pytest.approx(0.15, abs=0.03)
        assert torch.equal(ids[400:], text.token_ids), "the reports are aligned whole"
        assert torch.equal(torch.where(hidden, text.token_ids, ids[:400]), text.token_ids)
        assert torch.equal(mask, torch.cat([text.token_mask, text.token_mask]))
        shared, specific = (part[:400][hidden] for part in method.text_encoder(ids, mask))
        guessed = method.text_encoder.guess_words(shared, specific)
        expected = torch.nn.functional.cross_entropy(guessed, text.token_ids[hidden])
        assert torch.allclose(loss, expected, rtol=1e-4)

    @pytest.mark.parametrize("part", ["shared", "specific"])
    def test_a_decoder_that_reads_one_part_gets_zeros_for_the_other(self, part: str) -> None:
        parts = torch.randn(2, 3, 8)
        got = tiny(decoders_read=part)._for_decoder(parts)
        expected = parts.clone()
        expected[..., 4:] *= part == "specific"
        expected[..., :4] *= part == "shared"
        assert torch.equal(got, expected)
        assert tiny()._for_decoder(parts) is parts

    def test_leads_are_also_dropped_as_augmentation_says(self) -> None:
        batch = make_batch()
        for augment_settings, least in ((STILL, 9), ({**STILL, "lead_drop_records": 1.0, "lead_drop": 0.5}, 0)):
            method = tiny(augment=augment_settings)
            torch.manual_seed(0)
            left = torch.cat([method.hide(ready_of(method, batch)).lead_mask.sum(1) for _ in range(5)])
            assert (left == 9).all() if least else (left < 9).all()
            assert left.min() >= 1

    def test_alignment_reads_the_shared_parts_alone(self) -> None:
        method, batch = tiny().eval(), make_batch()
        with torch.no_grad():
            tokens = method.encode(batch)
            other = tokens.pooled.clone()
            other[:, tokens.pooled.shape[1] // 2 :] += 1.0
            assert torch.equal(method.signal_vector(tokens), method.signal_vector(replace(tokens, pooled=other)))
            other[:, :3] += 1.0
            assert not torch.allclose(method.signal_vector(tokens), method.signal_vector(replace(tokens, pooled=other)))


@torch.no_grad()
def test_a_drawing_is_in_millivolts_with_the_doubt_of_its_patch() -> None:
    method, batch = tiny().eval(), make_batch(seconds=1.9)
    method.decoder.doubt.weight.normal_()
    ready = ready_of(method, batch)
    tokens = method.encode_ready(ready)
    mean, std = method.drawn(ready, tokens)
    patch = method.encoder.patch
    drawing = method.decoder(tokens.tokens, tokens.mask, patch_mask(ready.time_mask, patch))
    n = ready.signal.shape[-1]
    assert n % patch
    assert mean.shape == std.shape == ready.signal.shape
    for t in (0, patch - 1, patch, n - 1):
        at, inside = divmod(t, patch)
        expected = 0.2 * (drawing.mean[..., at] + drawing.log_spread[..., at].exp() * drawing.shape[..., at, inside])
        assert torch.allclose(mean[..., t], expected, atol=1e-5)
        assert torch.allclose(std[..., t], 0.2 * drawing.log_doubt[..., at].exp(), atol=1e-5)


def test_it_learns_to_draw_hidden_leads() -> None:
    """Of records it has seen, and better than drawing nothing: the decoder puts things where they belong."""
    records = list(cohort(8, 3, ages="adults", rate_hz=100, seconds=2).recordings())
    batch = replace(collate(records, STANDARD, 200), text=make_batch(8).text)
    method = tiny(input=INPUT, align_weight=0.0, word_weight=0.0, time_share=0.0, lead_share=0.4).train()
    optimiser = torch.optim.AdamW(method.parameters(), lr=5e-3)
    drawn = []
    for number in range(200):
        step = method.step(batch, Progress(number, 200))
        optimiser.zero_grad()
        step.loss.backward()
        optimiser.step()
        drawn.append(step.terms["drawn"].item())
    assert np.mean(drawn[-10:]) < 0.6 * np.mean(drawn[:3])
    method.eval()
    lead_mask = batch.lead_mask.clone()
    lead_mask[:, [6, 8]] = False
    with torch.no_grad():
        mean = method.reconstruct(replace(batch, lead_mask=lead_mask)).mean[:, [6, 8]]
    truth = ready_of(method, batch).signal[:, [6, 8]]
    left = (mean - truth).square().mean(-1) / truth.square().mean(-1)
    assert left.median() < 0.95, left  # nothing drawn is 1


def test_heads_are_two_linear_heads_over_one_stack_in_both_modalities() -> None:
    both, heads = (create_method("cg_dmer", preset) for preset in ("nano", "heads"))
    for part in ("encoder", "text_encoder"):
        stacks = getattr(both, part).body.stacks
        sizes = {name: len(stack) for name, stack in getattr(heads, part).body.stacks.items()}
        assert sizes == {"common": len(stacks["common"]) + len(stacks["shared"]), "shared": 0, "specific": 0}


def test_the_ablation_without_hidden_leads_hides_none() -> None:
    [row] = [row for row in load_ablation("cg_dmer").rows if row.name == "no hidden leads"]
    method, batch = tiny(**row.run["model"]), make_batch()
    for _ in range(5):
        assert torch.equal(method.hide(ready_of(method, batch)).lead_mask, batch.lead_mask)


def test_heads_are_two_linear_heads_over_one_stack() -> None:
    encoder = tiny(encoder={"name": "st_vit", "preset": "tiny", "common": 2, "own": 0}).encoder
    assert encoder.body.names == ("common0", "common1")
    batch = make_batch()
    shared, specific = encoder(batch.signal, batch.lead_mask, batch.time_mask).pooled.chunk(2, dim=-1)
    assert not torch.allclose(shared, specific)


def test_absent_leads_are_drawn_and_recorded_ones_kept() -> None:
    method, batch = tiny().eval(), make_batch()
    assert isinstance(method, Reconstructs)
    lead_mask = batch.lead_mask.clone()
    lead_mask[:, [2, 7]] = False
    poisoned = batch.signal.clone()
    poisoned[:, [2, 7]] = torch.nan
    few = replace(batch, lead_mask=lead_mask, signal=poisoned)
    with torch.no_grad():
        one, ready = method.reconstruct(few), ready_of(method, few)
    assert torch.isfinite(one.mean).all()
    assert (one.std[:, [2, 7]] > 0).all()
    kept = lead_mask[0]
    assert torch.equal(one.mean[:, kept], ready.signal[:, kept])
    assert (one.std[:, kept] == 0).all()
    assert one.mean[:, [2, 7]].std() > 0


def test_a_gap_of_a_lead_is_drawn_and_not_taken_for_a_trace_of_nothing() -> None:
    method, batch = tiny().eval(), make_batch()
    signal = batch.signal.clone()
    n = signal.shape[2]
    signal[:, 7, n // 4 : n // 2] = torch.nan
    with torch.no_grad():
        one = method.reconstruct(replace(batch, signal=signal))
    gap = slice(one.mean.shape[2] // 4 + 1, one.mean.shape[2] // 2 - 1)
    assert (one.std[:, 7, gap] > 0).all()
    assert (one.std[:, 7, : gap.start - 2] == 0).all()
    assert (one.std[:, 6] == 0).all()


def test_another_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"leave model\.encoder\.name at st_vit"):
        tiny(encoder={"name": "vit1d", "preset": "tiny"})


def test_an_age_gate_takes_its_encoder_as_it_was(tmp_path: Path) -> None:
    donor, batch = tiny(seed=3).eval(), make_batch()
    save_method(donor, tmp_path)
    gated = create_method("supervised", "tiny", encoder={"name": "st_vit", "preset": "tiny"}).eval()
    assert "age" in gated.encoder.codes
    init_encoder_from(gated, tmp_path)
    with torch.no_grad():
        assert torch.equal(donor.embed(batch), gated.embed(batch))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    folder = tmp_path_factory.mktemp("cg_dmer")
    options = {"n": 120, "diagnoses": "core", "rate_hz": 100.0, "seconds": 2.0}
    ingest("simulated", Path(), folder / "store", options=options, rate_hz=100)
    values = {
        "model": {"name": "cg_dmer", "preset": "tiny", "input": INPUT},
        "data": {"store": folder / "store", "task": "simulated/diagnosis"},
        "train": {"steps": 3, "batch_size": 16},
    }
    config = validate(RunConfig, values, "run")
    return Store(folder / "store"), fit(config, folder / "run")


def test_the_vocabulary_travels_with_the_weights(run: tuple[Store, Path], tmp_path: Path) -> None:
    method = load_method(run[1])
    assert isinstance(method, CgDmer)
    texts = ["sinus rhythm. left bundle branch block.", "", "nie gesehen: Vorhofflimmern 42 ✓"]
    assert len(method.vocabulary) > len(Vocabulary())
    assert [method.vocabulary.decode(method.vocabulary.encode(text)) for text in texts[:1]] == texts[:1]
    tower = method.tower()
    vectors = tower.embed(texts)
    assert vectors.shape == (3, tower.width)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[1:2], tower.embed(texts[1:2]), atol=1e-5), "company does not matter"
    save_method(method, tmp_path)
    again = load_method(tmp_path)
    assert isinstance(again, CgDmer)
    assert np.array_equal(vectors, again.tower().embed(texts))
    assert again.tower().name == tower.name
    with torch.no_grad():
        again.text_encoder.embed.weight[0, 0] += 1
    assert again.tower().name != tower.name
    assert tower.embed([]).shape == (0, tower.width)


def test_it_answers_zero_shot(run: tuple[Store, Path], tmp_path: Path) -> None:
    method = load_method(run[1])
    assert isinstance(method, AlignsText)
    setting = Setting(method, run[0], load_task("simulated/diagnosis"), tmp_path, name="cg_dmer")
    test = Predictions.read(zero_shot(setting) / "predictions.parquet")
    assert np.isfinite(test.score).all()
    assert np.abs(test.score).max() <= 1 + 1e-6
    assert test.score.std(0).min() > 0


def test_batches_carry_tokens_of_a_vocabulary_that_fits(run: tuple[Store, Path]) -> None:
    values = {
        "model": {"name": "cg_dmer", "preset": "tiny", "input": INPUT, "text": {"vocabulary_size": 300}},
        "data": {"store": run[0].path},
        "train": {"steps": 1, "batch_size": 8},
    }
    _, method, steps = build(validate(RunConfig, values, "run"))
    assert isinstance(method, CgDmer)
    text = steps[0].text
    assert text is not None
    assert text.token_ids is not None
    assert len(method.vocabulary) <= 300
    english = {report["english"] for report in run[0].reports}
    assert {method.vocabulary.decode(row) for row in text.token_ids.tolist()} <= english


def test_a_view_without_reports_is_refused(run: tuple[Store, Path]) -> None:
    method = tiny(input=INPUT)
    with pytest.raises(ConfigError, match="pre-train it on a store that has them"):
        method.prepare(View(run[0], np.arange(8), method.config.input))
