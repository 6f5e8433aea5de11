"""multitask: each objective asks those records that can answer it, by itself it is what it is elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from auricle.augment.signal import augment
from auricle.batch import ECGBatch
from auricle.data.stream import NUMBERS
from auricle.errors import ConfigError
from auricle.methods import AlignsText, Classifies, Progress, create_method, load_method, save_method
from auricle.methods._token_drawing import TokenDrawing
from auricle.signal.preprocess import TYPICAL_MV
from conftest import make_batch

ALONE = {"align": 0.0, "classes": 0.0, "numbers": 0.0, "hidden": 0.0}


def tiny(seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return create_method("multitask", "tiny", **config).eval()


def test_one_of_all_classes_is_no_question_for_it() -> None:
    with pytest.raises(ConfigError, match="supervised learns one of all"):
        tiny(answers="single_label", classes=("A", "B"))


def step(method: Any, batch: ECGBatch, seed: int = 5) -> Any:
    torch.manual_seed(seed)
    return method.step(batch, Progress(0, 10))


class TestObjectives:
    def test_the_loss_is_the_weighted_sum_of_those_that_were_asked(self) -> None:
        weights = {"align": 0.5, "classes": 2.0, "numbers": 0.25, "hidden": 3.0}
        terms = step(tiny(objectives=weights), make_batch()).terms
        total = sum(weight * terms[name] for name, weight in weights.items())
        torch.testing.assert_close(terms["loss"], total)

    @pytest.mark.parametrize("name", ALONE)
    def test_a_weight_of_0_leaves_an_objective_out(self, name: str) -> None:
        only = step(tiny(objectives={**ALONE, name: 1.0}), make_batch())
        assert set(only.terms) == {"loss", name}

    def test_alignment_alone_is_what_lisa_learns(self) -> None:
        joint = tiny(objectives={**ALONE, "align": 1.0}, gate=None)
        lisa = create_method("lisa", "tiny").eval()
        lisa.load_state_dict({name: joint.state_dict()[name] for name in lisa.state_dict()})
        torch.testing.assert_close(step(joint, make_batch()).loss, step(lisa, make_batch()).loss)

    def test_records_that_cannot_answer_are_not_asked(self) -> None:
        batch = make_batch()
        n = len(batch)
        text = replace(batch.text, report_id=torch.where(torch.arange(n) < 4, batch.text.report_id, -1))
        target = torch.where(torch.arange(n)[:, None] < 4, batch.target, torch.nan)
        numbers = torch.where(torch.arange(n)[:, None] < 4, batch.numbers, torch.nan)
        method, half = tiny(augment={"lead_drop": 0}), batch.select(torch.arange(4))
        for name in ("classes", "numbers"):
            object.__setattr__(
                method.config, "objectives", method.config.objectives.model_copy(update={**ALONE, name: 1.0})
            )
            # Small noise of augmentation differs, as it is drawn for all records at once.
            few = step(method, half).loss
            many = step(method, replace(batch, text=text, target=target, numbers=numbers)).loss
            torch.testing.assert_close(few, many, rtol=0.05, atol=0.02)

    def test_without_any_answer_the_loss_is_0_and_finite(self) -> None:
        batch = make_batch()
        nothing = replace(
            batch,
            text=replace(batch.text, report_id=torch.full((8,), -1)),
            target=torch.full_like(batch.target, torch.nan),
            numbers=torch.full_like(batch.numbers, torch.nan),
        )
        method = tiny(objectives={"align": 1.0, "classes": 1.0, "numbers": 1.0, "hidden": 0.0})
        assert step(method, nothing).loss == 0
        assert torch.isfinite(step(tiny(), replace(nothing, text=None, target=None, numbers=None)).loss)


class TestNumbers:
    def test_they_are_compared_in_spreads_of_the_training_records(self) -> None:
        method = tiny()
        method.number_mean.fill_(100.0)
        method.number_spread.fill_(10.0)
        tokens = method.encode(make_batch())
        said = method.numbers(tokens.pooled)
        wanted = 100 + 10 * (said + 3).detach()
        wanted[:, 1:] = torch.nan
        # Three spreads off: a smooth absolute error of 3 - .5.
        assert method._number_loss(tokens, wanted).item() == pytest.approx(2.5, rel=1e-4)

    def test_their_scale_is_fitted_on_what_is_known(self) -> None:
        method = tiny()
        numbers = torch.randn(500, len(NUMBERS)).numpy() * 7 + 3
        numbers[::2, 0] = float("nan")
        from test_lisa import view

        seen = view()
        seen.numbers = numbers
        method.prepare(seen)
        torch.testing.assert_close(method.number_mean, torch.full((len(NUMBERS),), 3.0), atol=1.2, rtol=0)
        torch.testing.assert_close(method.number_spread, torch.full((len(NUMBERS),), 7.0), atol=1.2, rtol=0)


class TestHidden:
    def test_only_what_was_recorded_and_is_hidden_is_drawn(self) -> None:
        method, batch = tiny(), make_batch()
        whole = augment(method.preprocess(batch), method.config.augment.model_copy(update={"lead_drop": 0.0}))
        shown = replace(whole, lead_mask=whole.lead_mask.clone(), time_mask=whole.time_mask.clone())
        shown.lead_mask[:, 3] = False
        shown.time_mask[:, 100:150] = False
        tokens = method.encoder.read(shown)
        drawn = method.drawing(tokens, batch.signal.shape[-1])
        # By hand, sample by sample.
        errors = []
        for row in range(len(batch)):
            for lead in range(12):
                for sample in range(whole.signal.shape[2]):
                    if lead == 3 or 100 <= sample < 150:
                        off = abs(drawn[row, lead, sample] - whole.signal[row, lead, sample]).item() / TYPICAL_MV
                        errors.append(off - 0.5 if off > 1 else off**2 / 2)
        assert method._hidden_loss(tokens, whole, shown).item() == pytest.approx(sum(errors) / len(errors), rel=1e-3)

    def test_what_is_hidden_has_no_influence_on_what_is_drawn(self) -> None:
        method, batch = tiny(), make_batch()
        torch.manual_seed(1)
        shown = method._hidden(method.preprocess(batch))
        assert not shown.lead_mask.all()
        assert not shown.time_mask.all()
        seen = shown.lead_mask[:, :, None] & shown.time_mask[:, None]
        poisoned = replace(shown, signal=torch.where(seen, shown.signal, 1e6))
        one, other = (method.drawing(method.encoder.read(each), 500) for each in (shown, poisoned))
        torch.testing.assert_close(one, other)

    def test_some_records_lose_stretches_and_others_do_not(self) -> None:
        method, batch = tiny(), make_batch(n=64)
        torch.manual_seed(3)
        lost = ~method._hidden(method.preprocess(batch)).time_mask
        assert 0.2 < lost.any(1).float().mean() < 0.8

    def test_any_encoder_can_draw(self) -> None:
        for name in ("lead_groups", "resnet1d", "vit1d"):
            encoder = create_method("supervised", "tiny", encoder={"name": name, "preset": "tiny"}).encoder.eval()
            drawing = TokenDrawing(encoder)
            batch = make_batch(n=2)
            tokens = encoder(batch.signal, batch.lead_mask, batch.time_mask)
            assert drawing(tokens, 500).shape == batch.signal.shape
            assert drawing(tokens, 507).shape[-1] == 507  # a change of rate may make a few more than the window has
            assert drawing(tokens, 493).shape[-1] == 493

    def test_a_token_draws_as_much_as_it_stands_for(self) -> None:
        """Also in windows that are no multiple of it: sixteen samples in 1.2 s at 100 Hz, eight tokens."""
        spec = {"rate_hz": 100, "seconds": 1.2, "band_hz": (0.5, 40)}
        encoder = create_method(
            "supervised", "tiny", encoder={"name": "resnet1d", "preset": "tiny"}, input=spec
        ).encoder
        assert TokenDrawing(encoder).patch == 16

    def test_a_line_learns_to_draw_what_the_tokens_hold(self) -> None:
        """On fixed tokens the drawing is a regression: it must get better than drawing nothing."""
        encoder = create_method("supervised", "tiny").encoder.eval()
        batch, drawing = make_batch(n=8), None
        drawing = TokenDrawing(encoder)
        with torch.no_grad():
            tokens = encoder(batch.signal, batch.lead_mask, batch.time_mask)
        optimiser = torch.optim.Adam(drawing.parameters(), lr=0.02)
        for _ in range(150):
            loss = F.mse_loss(drawing(tokens, 500), batch.signal)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert loss < 0.8 * batch.signal.square().mean()


class TestAbilities:
    def test_it_classifies_and_compares_with_sentences(self) -> None:
        method = tiny()
        assert isinstance(method, Classifies)
        assert isinstance(method, AlignsText)

    def test_calibration_travels_with_the_weights(self, tmp_path: Path) -> None:
        method = tiny(classes=("A", "B"), calibration={"B": (2.0, -1.0)})
        save_method(method, tmp_path)
        again, logits = load_method(tmp_path), torch.randn(5, 2)
        torch.testing.assert_close(again.probabilities(logits)[:, 0], logits[:, 0].sigmoid())
        torch.testing.assert_close(again.probabilities(logits)[:, 1], (2 * logits[:, 1] - 1).sigmoid())

    def test_a_fresh_gate_changes_nothing(self) -> None:
        gated, plain = tiny(), tiny(gate=None)
        plain.load_state_dict({name: gated.state_dict()[name] for name in plain.state_dict()})
        torch.testing.assert_close(gated.embed(make_batch()), plain.embed(make_batch()))
