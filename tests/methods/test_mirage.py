"""mirage: what it reads, what each part does, and that a missing modality is missing and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from auricle.batch import ECGBatch
from auricle.config import configure
from auricle.encoders import ENCODERS, Tokens, build_encoder
from auricle.encoders.lead_graph import standardised
from auricle.encoders.series_image import SeriesImage
from auricle.errors import ConfigError
from auricle.losses.supervised import balancing_weights, masked_bce, masked_cross_entropy
from auricle.methods import Method, Progress, create_method, init_encoder_from, save_method
from auricle.nn.film import FiLM
from auricle.nn.transformer import Block
from conftest import make_batch


def fresh(seed: int = 0, **more: object) -> Method:
    torch.manual_seed(seed)
    return create_method("mirage", "tiny", **more)


def with_labs(batch: ECGBatch, seed: int = 0) -> ECGBatch:
    generator = torch.Generator().manual_seed(seed)
    n = len(create_method("mirage", "tiny", labs={}).config.labs.tests)
    labs = torch.rand(len(batch), n, generator=generator) * 10 + 1
    mask = torch.rand(len(batch), n, generator=generator) < 0.7
    return replace(batch, labs=torch.where(mask, labs, 0.0), labs_mask=mask)


def step(method: Method, batch: ECGBatch) -> dict[str, float]:
    torch.manual_seed(1)
    return {name: value.item() for name, value in method.step(batch, Progress(0, 10)).terms.items()}


class TestGraphAttention:
    def test_the_bias_stands_inside_the_division(self) -> None:
        """softmax((QK^T + B) / sqrt(d)) V, recomputed slowly, head by head."""
        torch.manual_seed(0)
        block, x, bias = Block(8, 2), torch.randn(3, 5, 8), torch.randn(5, 5)
        q, k, v = block.qkv(block.norm1(x)).chunk(3, dim=-1)
        heads = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            scores = (q[..., part] @ k[..., part].transpose(1, 2) + bias) / math.sqrt(4)
            heads.append(scores.softmax(-1) @ v[..., part])
        after = x + block.out(torch.cat(heads, dim=-1))
        assert torch.allclose(block(x, bias=bias), after + block.mlp(block.norm2(after)), atol=1e-5)

    def test_an_absent_lead_is_nobodys_neighbour(self) -> None:
        block, x = Block(8, 2), torch.randn(2, 4, 8)
        mask = torch.tensor([[True, True, False, True]]).expand(2, -1)
        other = x.clone()
        other[:, 2] = 7.0
        kept = torch.tensor([0, 1, 3])
        bias = torch.randn(4, 4)
        assert torch.allclose(block(x, mask, bias=bias)[:, kept], block(other, mask, bias=bias)[:, kept])

    def test_leads_are_standardised_each_by_itself(self) -> None:
        batch = make_batch(3)
        scaled = batch.signal * torch.rand(3, 12, 1) * 5 + torch.randn(3, 12, 1)
        one = standardised(batch.signal, batch.lead_mask, batch.time_mask)
        assert torch.allclose(one, standardised(scaled, batch.lead_mask, batch.time_mask), atol=1e-4)
        assert torch.allclose(one.std(-1, correction=0), torch.ones(3, 12), atol=1e-4)


class TestFusion:
    @pytest.mark.parametrize("branches", [["series"], ["image"], ["series", "image"]])
    @pytest.mark.parametrize("fusion", ["transformer", "concat"])
    def test_every_choice_of_branches_trains(self, branches: list[str], fusion: str) -> None:
        method = fresh(encoder={"name": "series_image", "preset": "tiny", "branches": branches, "fusion": fusion})
        terms = step(method.train(), make_batch())
        assert math.isfinite(terms["loss"])
        assert (terms["contrast"] > 0) == (len(branches) == 2)

    def test_what_a_branch_does_not_read_cannot_change_the_answer(self) -> None:
        """Amplitude is in the picture and not in the series, whose leads are standardised."""
        batch = make_batch()
        louder = replace(batch, signal=3 * batch.signal)
        answers = {}
        for branch in ("series", "image"):
            method = fresh(encoder={"name": "series_image", "preset": "tiny", "branches": [branch]}).eval()
            with torch.no_grad():
                answers[branch] = torch.allclose(method.embed(batch), method.embed(louder), atol=1e-3)
        assert answers == {"series": True, "image": False}

    def test_all_shared_has_no_encoder_of_its_own(self) -> None:
        encoder = {"series": {"depth": 0, "readout_depth": 0}, "image": {"depth": 0}, "labs": "late"}
        method = fresh(encoder={"name": "series_image", "preset": "tiny", **encoder}, labs={})
        assert isinstance(method.encoder, SeriesImage)
        assert [p.name for part in method.encoder.parts() for p in part.modulation_points] == ["fusion0", "fusion1"]
        assert math.isfinite(step(method.train(), with_labs(make_batch()))["loss"])

    def test_all_shared_compares_what_was_recorded(self) -> None:
        """A class token that no layer lets read is the same for all: the agreement would be log(records) for ever."""
        encoder = {"series": {"depth": 0, "readout_depth": 0}, "image": {"depth": 0}}
        method, batch = fresh(encoder={"name": "series_image", "preset": "tiny", **encoder}).eval(), make_batch()
        assert isinstance(method.encoder, SeriesImage)
        with torch.no_grad():
            branches = method.encoder.read_branches(method.preprocess(batch), None)
        for tokens in branches.values():
            assert tokens.pooled.std(0).max() > 1e-3
            seen = torch.where(tokens.mask[..., None], tokens.tokens, 0).sum(1) / tokens.mask.sum(1, keepdim=True)
            assert torch.allclose(tokens.pooled, seen, atol=1e-5)
        assert abs(step(method, batch)["contrast"] - math.log(len(batch))) > 1e-3

    def test_another_encoder_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="use encoder series_image"):
            fresh(encoder={"name": "resnet1d", "preset": "tiny"})
        with pytest.raises(ConfigError, match="one width"):
            fresh(encoder={"name": "series_image", "preset": "tiny", "image": {"width": 32}})


class TestLaboratoryValues:
    def test_they_act_on_every_layer_of_both_branches_and_nowhere_else(self) -> None:
        encoder = fresh(labs={}).encoder
        gated = {m.point.name for m in encoder.modules() if isinstance(m, FiLM) and m.source == "labs"}
        branch_points = {p.name for part in encoder.parts()[1:] for p in part.modulation_points}
        assert gated == branch_points
        assert {p.name for p in encoder.modulation_points} == {"fusion0", "fusion1"}

    def test_without_them_there_is_no_film(self) -> None:
        method = fresh()
        assert not [m for m in method.modules() if isinstance(m, FiLM)]
        assert not method.encoder.codes

    @pytest.mark.parametrize("place", ["film", "late"])
    def test_fresh_they_change_nothing_and_trained_they_do(self, place: str) -> None:
        batch = with_labs(make_batch())
        encoder = {"name": "series_image", "preset": "tiny", "labs": place}
        plain, method = fresh(encoder=encoder).eval(), fresh(encoder=encoder, labs={}).eval()
        method.load_state_dict({**method.state_dict(), **plain.state_dict()})
        with torch.no_grad():
            assert torch.equal(plain.embed(batch), method.embed(batch))
            for parameter in method.encoder.gate_parameters():
                torch.nn.init.normal_(parameter, std=0.3)
            trained = method.embed(batch)
            assert not torch.allclose(trained, plain.embed(batch), atol=1e-2)
            assert not torch.allclose(trained, method.embed(replace(batch, labs=batch.labs * 2)), atol=1e-3)
            hidden = replace(batch, labs=torch.where(batch.labs_mask, batch.labs, torch.nan))
            assert torch.equal(trained, method.embed(hidden))

    @pytest.mark.parametrize("place", ["film", "late"])
    def test_they_are_added_to_weights_that_never_had_any(self, place: str, tmp_path: Path) -> None:
        batch, encoder = with_labs(make_batch()), {"name": "series_image", "preset": "tiny", "labs": place}
        donor = fresh(5, encoder=encoder).eval()
        save_method(donor, tmp_path)
        read = donor.config.input.model_dump()  # as `finetune_values` lays it under a run: what the donor reads
        tuned = create_method("supervised", "tiny", input=read, encoder=encoder, labs={}).eval()
        init_encoder_from(tuned, tmp_path)
        with torch.no_grad():
            assert torch.equal(donor.embed(batch), tuned.embed(batch))

    def test_a_record_without_any_is_answered(self) -> None:
        batch = with_labs(make_batch())
        method = fresh(labs={}).eval()
        with torch.no_grad():
            without = method.embed(replace(batch, labs=None, labs_mask=None))
            masked = method.embed(replace(batch, labs_mask=torch.zeros_like(batch.labs_mask)))
        assert torch.equal(without, masked)

    def test_age_and_labs_compose(self) -> None:
        torch.manual_seed(0)
        encoder = {"name": "series_image", "preset": "tiny"}
        method = create_method("supervised", "tiny", encoder=encoder, gate={}, labs={}).eval()
        batch = with_labs(make_batch())
        with torch.no_grad():
            for parameter in method.encoder.gate_parameters():
                torch.nn.init.normal_(parameter, std=0.3)
            both = method.embed(batch)
            assert not torch.allclose(both, method.embed(batch.without_age()), atol=1e-3)
            assert not torch.allclose(both, method.embed(replace(batch, labs=None, labs_mask=None)), atol=1e-3)


class TestPictures:
    def pictures(self, method: Method, batch: ECGBatch) -> torch.Tensor:
        encoder = method.encoder
        assert isinstance(encoder, SeriesImage)
        size = encoder.config.image.raster
        return torch.randint(0, 256, (len(batch), size.height, size.width), dtype=torch.uint8)

    def test_a_picture_alone_is_an_input(self) -> None:
        method, batch = fresh().eval(), make_batch()
        image = self.pictures(method, batch)
        alone = replace(
            batch,
            lead_mask=torch.zeros_like(batch.lead_mask),
            time_mask=torch.zeros_like(batch.time_mask),
            image=image,
            image_mask=torch.ones(len(batch), dtype=torch.bool),
        )
        with torch.no_grad():
            out = method.embed(alone)
            poisoned = replace(alone, signal=torch.full_like(batch.signal, torch.nan))
            assert torch.equal(out, method.embed(poisoned))
        assert torch.isfinite(out).all()
        assert out.std(0).max() > 0
        assert math.isfinite(step(method.train(), alone)["loss"])

    def test_a_picture_replaces_the_drawn_one_where_there_is_one(self) -> None:
        method, batch = fresh().eval(), make_batch()
        mask = torch.arange(len(batch)) < 3
        mixed = replace(batch, image=self.pictures(method, batch), image_mask=mask)
        with torch.no_grad():
            drawn, out = method.embed(batch), method.embed(mixed)
        changed = (drawn - out).abs().amax(-1) > 1e-4
        assert torch.equal(changed, mask)


class TestLoss:
    def test_it_is_the_labels_and_a_share_of_the_agreement(self) -> None:
        batch = make_batch()
        for weight, settings in ((0.445, {}), (2.0, {"contrast": 2.0}), (0.0, {"contrast": 0.0})):
            terms = step(fresh(**settings), batch)
            expected = terms["classification"] + weight * terms["contrast"]
            assert terms["loss"] == pytest.approx(expected, rel=1e-5)
            assert (terms["contrast"] > 0.1) == (weight > 0)

    def test_the_agreement_is_symmetric_info_nce_of_the_class_tokens(self) -> None:
        """Row by row in both directions, over the records that have a series."""
        torch.manual_seed(0)
        pooled = {"series": torch.randn(5, 6), "image": 3 * torch.randn(5, 6)}
        branches = {name: SimpleNamespace(pooled=vector) for name, vector in pooled.items()}
        cosine = torch.nn.functional.cosine_similarity(pooled["series"][:, None], pooled["image"][None], dim=-1)
        has = torch.tensor([True, True, False, True, True])
        rows = [0, 1, 3, 4]
        for temperature in (0.1, 0.5):
            total = 0.0
            for table in (cosine / temperature, cosine.T / temperature):
                for i in rows:
                    every = sum(math.exp(float(table[i, j])) for j in rows)
                    total -= math.log(math.exp(float(table[i, i])) / every)
            settings = {} if temperature == 0.1 else {"temperature": temperature}
            assert fresh(**settings)._agreement(branches, has).item() == pytest.approx(total / 8, rel=1e-4)

    def test_the_agreement_trains_both_branches_and_without_it_the_labels_alone_do(self) -> None:
        """With a head that is blind the labels teach nothing; what is left is the agreement."""
        batch = make_batch()
        for contrast, learns in ((0.445, True), (0.0, False)):
            method = fresh(contrast=contrast).train()
            torch.nn.init.zeros_(method.head[-1].weight)
            method.step(batch, Progress(0, 1)).loss.backward()
            for branch in method.encoder.branches.values():
                assert any(p.grad is not None and bool(p.grad.any()) for p in branch.parameters()) is learns

    def test_a_picture_alone_is_nobodys_partner(self) -> None:
        """A record without a series does not count in the agreement, and in the labels it does."""
        method, batch = fresh(augment={"lead_drop_records": 0.0, "gain": 0.0, "noise_mv": 0.0}).eval(), make_batch()
        lead_mask = batch.lead_mask.clone()
        lead_mask[2] = False
        rows = torch.tensor([0, 1, 3, 4, 5, 6, 7])
        silent = replace(batch, lead_mask=lead_mask)
        one, other = step(method, silent), step(method, silent.select(rows))
        assert one["contrast"] == pytest.approx(other["contrast"], rel=1e-4)
        assert one["classification"] != pytest.approx(other["classification"], rel=1e-4)

    def test_rare_classes_weigh_more_by_default(self) -> None:
        method = fresh(
            classes=("a", "b"), dropout=0.0, augment={"lead_drop_records": 0.0, "gain": 0.0, "noise_mv": 0.0}
        )
        target = torch.tensor([[1.0, 0.0]] * 2 + [[0.0, 0.0]] * 5 + [[0.0, 1.0]])
        batch = replace(make_batch(), target=target)
        method.eval().prepare(SimpleNamespace(targets=target.numpy(), rows=np.arange(8), times=None))
        weight = balancing_weights(target, exclusive=False)
        assert weight[1, 1] == 4
        assert torch.equal(method.get_buffer("class_weight"), weight)
        with torch.no_grad():
            expected = masked_bce(method.logits(batch), target, weight).item()
            plain = masked_bce(method.logits(batch), target).item()
        assert step(method, batch)["classification"] == pytest.approx(expected, rel=1e-5)
        assert expected != pytest.approx(plain, rel=1e-2)

    @pytest.mark.parametrize("preset", ["paper", None])
    def test_settings_are_the_documents(self, preset: str | None) -> None:
        config = create_method("mirage", preset).config
        assert (config.contrast, config.temperature, config.class_weights) == (0.445, 0.1, True)
        recipe = config.recipe
        assert (recipe.lr, recipe.weight_decay, recipe.betas, recipe.warmup) == (3.26e-5, 0.01, (0.9, 0.999), 0.13)
        assert (config.input.rate_hz, config.input.band_hz) == (100, (0.05, 50))


class TestWhatTheFusionReads:
    """Class tokens are held still and other tokens are changed: only a fusion that attends to them notices."""

    def fused(self, method: Method, branches: dict[str, Tokens]) -> torch.Tensor:
        encoder = method.encoder
        assert isinstance(encoder, SeriesImage)
        with torch.no_grad():
            return encoder.fuse(branches, None).pooled

    def branches(self, method: Method) -> dict[str, Tokens]:
        encoder, batch = method.encoder, make_batch()
        assert isinstance(encoder, SeriesImage)
        lead_mask = batch.lead_mask.clone()
        lead_mask[:, 3] = False
        with torch.no_grad():
            return encoder.read_branches(method.preprocess(replace(batch, lead_mask=lead_mask)), None)

    @pytest.mark.parametrize("branch", ["series", "image"])
    @pytest.mark.parametrize(("fusion", "reads"), [("transformer", True), ("concat", False)])
    def test_the_tokens_of_both_branches(self, branch: str, fusion: str, reads: bool) -> None:
        method = fresh(encoder={"name": "series_image", "preset": "tiny", "fusion": fusion}).eval()
        branches = self.branches(method)
        other = {**branches, branch: replace(branches[branch], tokens=branches[branch].tokens.flip(0))}
        assert torch.equal(self.fused(method, branches), self.fused(method, other)) is not reads

    @pytest.mark.parametrize("branch", ["series", "image"])
    @pytest.mark.parametrize("fusion", ["transformer", "concat"])
    def test_the_class_tokens_of_both_branches(self, branch: str, fusion: str) -> None:
        method = fresh(encoder={"name": "series_image", "preset": "tiny", "fusion": fusion}).eval()
        branches = self.branches(method)
        other = {**branches, branch: replace(branches[branch], pooled=branches[branch].pooled.flip(0))}
        assert not torch.allclose(self.fused(method, branches), self.fused(method, other), atol=1e-4)

    def test_the_token_of_an_absent_lead_is_not_read(self) -> None:
        method = fresh().eval()
        branches = self.branches(method)
        series = branches["series"]
        absent = ~series.mask
        assert absent.sum() == 8
        other = replace(series, tokens=torch.where(absent[..., None], 9.0, series.tokens))
        assert torch.equal(self.fused(method, branches), self.fused(method, {**branches, "series": other}))

    def test_an_image_of_a_lead_says_more_than_nothing(self) -> None:
        """The whole way: with the series masked, two pictures are two answers."""
        method, batch = fresh().eval(), make_batch()
        encoder = method.encoder
        assert isinstance(encoder, SeriesImage)
        ready = method.preprocess(batch)
        whole = encoder.read_branches(ready, None)
        still = {**whole, "image": encoder.read_branches(replace(ready, signal=ready.signal.flip(-1)), None)["image"]}
        assert (self.fused(method, whole) - self.fused(method, still)).abs().amax(-1).min() > 1e-4


class TestWeightsOfClasses:
    def test_balanced_classes_have_equal_say(self) -> None:
        target = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, torch.nan]])
        weight = balancing_weights(target, exclusive=False)
        assert torch.allclose(weight, torch.tensor([[4 / 6, 3 / 4], [4 / 2, 3 / 2]]))
        exclusive = balancing_weights(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), exclusive=True)
        assert torch.allclose(exclusive[1], torch.tensor([4 / 6, 2.0]))

    def test_losses_against_slow_loops(self) -> None:
        torch.manual_seed(0)
        logits = torch.randn(5, 3)
        target = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 1], [torch.nan, 0, 1], [0, 0, 0]], dtype=torch.float32)
        weight = torch.rand(2, 3) + 0.5
        total, count = 0.0, 0
        for row in range(5):
            for column in range(3):
                y = target[row, column].item()
                if math.isnan(y):
                    continue
                p = torch.sigmoid(logits[row, column]).item()
                w = weight[int(y), column].item()
                total -= w * (y * math.log(p) + (1 - y) * math.log(1 - p))
                count += 1
        assert masked_bce(logits, target, weight).item() == pytest.approx(total / count, rel=1e-5)
        rows = [(0, 0), (2, 2)]  # one class each; the others do not count
        slow = [-weight[1, c].item() * logits[r].log_softmax(-1)[c].item() for r, c in rows]
        assert masked_cross_entropy(logits, target, weight).item() == pytest.approx(sum(slow) / 2, rel=1e-5)

    def test_one_of_all_classes_sums_to_one(self) -> None:
        method = fresh(answers="single_label", classes=("a", "b", "c")).eval()
        with torch.no_grad():
            shares = method.probabilities(method.logits(make_batch()))
        assert torch.allclose(shares.sum(-1), torch.ones(8))


def test_the_linear_stem_is_the_documents_and_the_conv_stem_follows_a_shift() -> None:
    """One map of the whole lead moves with every sample of a shift; convolutions with a mean over time hardly do."""
    batch = make_batch(seconds=2.0)
    spec = create_method("mirage", "tiny").config.input
    shifted = torch.roll(batch.signal, 40, dims=-1)
    moved = {}
    for stem in ("linear", "conv"):
        torch.manual_seed(0)
        encoder = build_encoder(configure(ENCODERS, {"name": "lead_graph", "preset": "tiny", "lead_stem": stem}), spec)
        with torch.no_grad():
            one, other = (encoder(x, batch.lead_mask, batch.time_mask).pooled for x in (batch.signal, shifted))
        moved[stem] = ((one - other).norm() / (one - one.mean(0)).norm()).item()
    assert moved["conv"] < 0.5 * moved["linear"]
