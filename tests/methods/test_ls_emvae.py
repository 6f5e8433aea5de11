"""ls_emvae: the four faults of the released script, one test each, and what the method promises of absent leads.

Each of the four fails if `corrected` had the fault, and says that `released` has it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from auricle.batch import ECGBatch
from auricle.config import configure
from auricle.encoders import ENCODERS, build_encoder
from auricle.encoders.lead_vae import LeadVae
from auricle.errors import ConfigError, DataError
from auricle.leads import LIMB, STANDARD
from auricle.methods import Progress, Reconstructs, create_method
from auricle.methods.ls_emvae import PRESETS, LsEmvae
from auricle.nn.experts import Posterior, kl_bound
from auricle.nn.film import AgeCode, FiLM
from auricle.signal.preprocess import InputSpec
from conftest import make_batch

SHORT = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45.0)}


def method(variant: str = "corrected", **more: object) -> LsEmvae:
    torch.manual_seed(0)
    pooling = "flatten" if variant == "released" else "adaptive"
    encoder = {"name": "lead_vae", "preset": "tiny", "fusion": variant, "pooling": pooling}
    made = create_method("ls_emvae", "tiny", variant=variant, encoder=encoder, input=SHORT, **more)
    assert isinstance(made, LsEmvae)
    return made.eval()


def batch() -> ECGBatch:
    return make_batch(8, 2.0, 100.0)


def only(records: ECGBatch, leads: tuple[str, ...]) -> ECGBatch:
    kept = torch.tensor([lead in leads for lead in records.leads])
    return replace(records, lead_mask=records.lead_mask & kept)


def fused(variant: str, mean: torch.Tensor, log_var: torch.Tensor) -> Posterior:
    encoder = method(variant).encoder
    assert isinstance(encoder, LeadVae)
    return encoder.fuse(mean, log_var, torch.ones(mean.shape[:2], dtype=torch.bool))


def vague_experts() -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve leads that say 5, and are next to sure of nothing."""
    return torch.full((2, 12, 3), 5.0), torch.full((2, 12, 3), 8.0)


class TestTheFourFaults:
    def test_the_prior_is_an_expert(self) -> None:
        """Where the leads know nothing, the prior decides; without it vague leads are believed."""
        corrected = fused("corrected", *vague_experts()).sampled
        released = fused("released", *vague_experts()).sampled
        assert corrected.mean.abs().max() < 0.01
        assert corrected.log_var.exp().max() <= 1
        assert torch.allclose(released.mean, torch.tensor(5.0))
        assert released.log_var.exp().min() > 100

    @torch.no_grad()
    def test_every_lead_has_a_waveform_of_its_own(self) -> None:
        corrected, released = (
            made.draw(torch.randn(2, 1, made.encoder.latent, generator=torch.Generator().manual_seed(0)), 200)
            for made in (method("corrected"), method("released"))
        )
        assert corrected.shape == released.shape == (2, 1, 12, 200)
        assert (corrected[:, :, 1:] - corrected[:, :, :1]).abs().amax(-1).min() > 1e-3
        assert torch.equal(released, released[:, :, :1].expand_as(released))

    def test_the_kl_is_paid_for_what_is_sampled(self) -> None:
        mean, log_var = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0)), torch.full((2, 12, 3), -1.0)
        corrected, released = fused("corrected", mean, log_var), fused("released", mean, log_var)
        assert corrected.charged is corrected.sampled
        assert torch.allclose(released.charged.mean[:, 0], mean.mean(1), atol=1e-6), "a plain mean of the encoders"
        assert (kl_bound(released.charged) - kl_bound(released.sampled)).abs().min() > 0.1

    def test_log_variances_are_not_averaged(self) -> None:
        """Groups that disagree: a mixture has samples near each; averaged into one Gaussian it has them between."""
        mean = torch.full((1, 12, 3), 4.0)
        mean[:, 6:] = -4.0
        log_var = torch.full((1, 12, 3), -4.0)
        log_var[:, 3:6] = log_var[:, 9:] = -8.0
        corrected, released = fused("corrected", mean, log_var).sampled, fused("released", mean, log_var).sampled
        assert corrected.mean.shape[1] == 4
        assert corrected.mean[0, :, 0].sign().tolist() == [1, 1, -1, -1]
        widths = corrected.log_var[0, :, 0]
        assert widths[0] - widths[1] > 3, "each component keeps its own width"
        between = torch.zeros(1, 1, 3)
        assert corrected.log_density(between).item() < -100
        assert released.mean.shape[1] == 1
        assert released.log_density(between).item() > 0
        own = [-torch.tensor(3 * torch.e**4).log(), -torch.tensor(3 * torch.e**8).log()]
        assert released.log_var[0, 0, 0].item() == pytest.approx((own[0] + own[1]).item() / 2, abs=1e-4)


@torch.no_grad()
def test_a_lead_left_out_changes_nothing_but_what_it_said() -> None:
    made, records = method(), batch()
    without = only(records, tuple(lead for lead in STANDARD if lead != "V2"))
    tokens, all_tokens = made.encode(without), made.encode(records)
    row = STANDARD.index("V2")
    others = [number for number in range(12) if number != row]
    assert torch.equal(tokens.tokens[:, others], all_tokens.tokens[:, others])
    assert (tokens.tokens[:, row] == 0).all(), "the prior's mean"
    assert not tokens.mask[:, row].any()
    assert torch.equal(tokens.pooled[:, -12:], without.lead_mask.float()), "and the mask says so"
    assert tokens.group_contribution is not None
    assert torch.allclose(tokens.group_contribution.sum(1), torch.ones(8))


@pytest.mark.parametrize("leads", [("I",), ("V4",), LIMB, ("I", "II", "V2")])
def test_any_leads_are_an_input_of_training_and_of_drawing(leads: tuple[str, ...]) -> None:
    made, records = method(), only(batch(), leads)
    assert isinstance(made, Reconstructs)
    with torch.no_grad():
        drawn = made.reconstruct(records)
    assert drawn.mean.shape == drawn.std.shape == records.signal.shape
    assert torch.isfinite(drawn.mean).all()
    assert (drawn.std > 0).all()
    torch.manual_seed(0)
    result = made.train().step(records, Progress(3, 10))
    result.loss.backward()
    assert torch.isfinite(result.loss)
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


@torch.no_grad()
def test_drawing_does_not_see_what_is_hidden_and_is_the_same_every_time() -> None:
    made, records = method(), only(batch(), LIMB)
    poisoned = records.signal.clone()
    poisoned[:, 6:] = torch.nan
    expected = made.reconstruct(records)
    torch.manual_seed(123)
    again = made.reconstruct(replace(records, signal=poisoned))
    assert torch.equal(expected.mean, again.mean)
    assert torch.equal(expected.std, again.std)
    order = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    assert torch.allclose(expected.mean[order], made.reconstruct(records.select(order)).mean, atol=1e-5)
    longer = replace(
        records,
        signal=torch.nn.functional.pad(records.signal, (0, 60)),
        time_mask=torch.nn.functional.pad(records.time_mask, (0, 60)),
    )
    padded = made.reconstruct(longer)
    assert torch.allclose(padded.mean[..., :200], expected.mean, atol=1e-4)
    assert (padded.mean[..., 200:] == 0).all()


def test_hidden_leads_that_were_recorded_have_to_be_drawn() -> None:
    """With every record losing leads the error still counts all twelve; the residual knows read from drawn."""
    made = method(hidden_records=1.0).train()
    torch.manual_seed(0)
    shown = made._hide(torch.ones(400, 12, dtype=torch.bool))
    assert shown.any(1).all(), "one lead always stays"
    left = shown.sum(1)
    assert left.min() == 1
    assert (left >= 9).sum() > 60, "of a quarter few are lost"
    assert (left <= 3).sum() > 60, "of another nearly all"
    halves = left.float().reshape(2, 200).mean(1)
    assert abs(halves[0] - halves[1]) < 1.0, "wherever a record lies in the batch"
    made.step(batch(), Progress(0, 10)).loss.backward()
    assert made.log_noise.grad is not None
    assert made.log_noise.grad.abs().min() > 0, "leads that were read, and leads that were drawn"
    assert torch.equal(method("released").train()._hide(shown), shown)


def test_the_residual_finds_the_error_it_leaves() -> None:
    made, records = method(hidden_records=0.0).train(), batch()
    optimiser = torch.optim.Adam([made.log_noise], lr=0.1)
    for number in range(80):
        torch.manual_seed(number)
        optimiser.zero_grad()
        result = made.step(records, Progress(0, 10))
        result.loss.backward()
        optimiser.step()
    size = made.preprocess(records).signal.square().mean((0, 2)).sqrt()
    read = made.log_noise.chunk(2)[0].exp()
    assert torch.allclose(read, size, rtol=0.25), "an untrained decoder draws next to nothing"


def test_the_kl_rises_over_half_of_the_run_and_no_further() -> None:
    made, records = method(hidden_records=0.0, agreement=0.0).train(), batch()

    def loss(step: int) -> tuple[float, float]:
        torch.manual_seed(0)
        result = made.step(records, Progress(step, 100))
        return result.terms["loss"].item(), result.terms["kl"].item()

    (start, kl), (quarter, _), (half, _), (end, _) = (loss(step) for step in (0, 25, 50, 99))
    assert quarter - start == pytest.approx(0.5 * kl, rel=0.01)
    assert half - start == pytest.approx(kl, rel=0.01)
    assert end == half


class TestLoss:
    def records(self) -> ECGBatch:
        """Leads are absent, records end early, and one record is empty."""
        records = only(batch(), tuple(lead for lead in STANDARD if lead != "V3"))
        time_mask = records.time_mask.clone()
        time_mask[2, 120:] = False
        lead_mask = records.lead_mask.clone()
        lead_mask[4, 2:] = False
        lead_mask[7] = False
        return replace(records, time_mask=time_mask, lead_mask=lead_mask)

    def test_terms_and_their_weights(self) -> None:
        """mse_weight * squares + a * KL + agreement * apart, each recomputed with the same samples."""
        records = self.records()
        for settings in ({}, {"mse_weight": 3.0, "agreement": 7.0, "anneal": 1.0}):
            made = method(hidden_records=0.0, **settings)
            mse_weight, agreement, anneal = (made.config.mse_weight, made.config.agreement, made.config.anneal)
            torch.manual_seed(4)
            step = made.step(records, Progress(20, 100))
            ready, encoder = made.preprocess(records), made.encoder
            assert isinstance(encoder, LeadVae)
            with torch.no_grad():
                mean, log_var = encoder.experts(ready.signal, ready.lead_mask, ready.time_mask, None)
                mixture = encoder.fuse(mean, log_var, ready.lead_mask).sampled
                torch.manual_seed(4)
                drawn = made.draw(mixture.sample(), ready.signal.shape[-1])
                squares, of_samples, apart = [], [], []
                for b in range(8):
                    of_components, per_sample = [], torch.zeros(12)
                    leads = [lead for lead in range(12) if ready.lead_mask[b, lead]]
                    inside = ready.time_mask[b]
                    for g in range(mixture.mean.shape[1]):
                        if not mixture.present[b, g]:
                            continue
                        errors = {
                            lead: float(((drawn[b, g, lead] - ready.signal[b, lead])[inside] ** 2).sum())
                            for lead in leads
                        }
                        of_components.append(sum(errors.values()))
                        for lead, error in errors.items():
                            per_sample[lead] += error / int(inside.sum()) / int(mixture.present[b].sum())
                    squares.append(sum(of_components) / max(1, len(of_components)))
                    of_samples += [(lead, float(per_sample[lead])) for lead in leads if mixture.present[b].any()]
                    centre = mean[b, leads].mean(0) if leads else 0.0
                    distances = [float((mean[b, lead] - centre).square().mean()) for lead in leads]
                    apart.append(sum(distances) / max(1, len(leads)))
                kl = kl_bound(mixture).mean().item()
            expected = mse_weight * sum(squares) / 8 + min(0.2 / anneal, 1) * kl + agreement * sum(apart) / 8
            assert step.terms["kl"].item() == pytest.approx(kl, rel=1e-4)
            assert step.terms["apart"].item() == pytest.approx(sum(apart) / 8, rel=1e-4)
            assert step.terms["loss"].item() == pytest.approx(expected, rel=1e-4)
            mse = sum(value for _, value in of_samples) / len(of_samples)
            assert step.terms["mse_mv2"].item() == pytest.approx(mse, rel=1e-4)
            # The residual stands beside the loss: Gaussian, one deviation per lead, of leads that were read.
            sd = made.log_noise.detach()[:12].exp()
            slow = [
                float(made.log_noise[lead].detach()) + value / (2 * float(sd[lead]) ** 2) for lead, value in of_samples
            ]
            noise = step.loss.item() - step.terms["loss"].item()
            assert noise == pytest.approx(sum(slow) / len(slow), rel=1e-2, abs=1e-3)

    def test_the_residual_learns_and_teaches_nothing(self) -> None:
        made = method(hidden_records=0.0).train()
        with torch.no_grad():
            made.log_noise.normal_()
        grads = []
        for shift in (0.0, 2.0):
            with torch.no_grad():
                made.log_noise += shift
            made.zero_grad()
            torch.manual_seed(0)
            made.step(batch(), Progress(1, 2)).loss.backward()
            grads.append(made.decoder.layers[-1].weight.grad.clone())
        assert torch.equal(*grads)

    def test_agreement_draws_the_leads_together_and_only_where_asked(self) -> None:
        spread = {}
        for weight in (0.0, 1e4):
            made = method(hidden_records=0.0, agreement=weight, mse_weight=1e-6).train()
            optimiser = torch.optim.Adam(made.encoder.parameters(), lr=1e-3)
            for number in range(8):
                torch.manual_seed(number)
                optimiser.zero_grad()
                step = made.step(batch(), Progress(0, 100))  # the KL weighs nothing yet
                step.loss.backward()
                optimiser.step()
            spread[weight] = step.terms["apart"].item()
        assert spread[1e4] < 0.8 * spread[0.0]

    def test_the_residual_has_a_rate_of_its_own_and_no_decay(self) -> None:
        made = method()
        groups = made.param_groups()
        own = [group for group in groups if group["lr_scale"] == 20]
        assert [id(p) for group in own for p in group["params"]] == [id(made.log_noise)]
        assert own[0]["weight_decay"] == 0
        listed = [id(p) for group in groups for p in group["params"]]
        assert sorted(listed) == sorted(id(p) for p in made.parameters())
        assert {group["lr_scale"] for group in groups} == {1.0, 20.0}
        assert made.log_noise.exp().tolist() == pytest.approx([0.1] * 24)

    @torch.no_grad()
    def test_a_drawing_has_the_doubt_of_latents_and_residual(self) -> None:
        """Leads that were read and leads that were not have their own; where latents say one thing it is all."""
        made, records = method(), only(batch(), LIMB)
        made.log_noise.copy_(torch.linspace(-3, 0, 24))
        residual = torch.cat([made.log_noise[:6], made.log_noise[18:]]).exp()
        first = made.reconstruct(records)
        assert (first.std > residual[:, None]).all()
        for parameter in made.decoder.parameters():
            parameter.zero_()
        flat = made.reconstruct(records)
        assert torch.allclose(flat.std, residual[None, :, None].expand_as(flat.std), atol=1e-5)
        assert (flat.mean == 0).all()

    @pytest.mark.parametrize("leads", [LIMB, ("V1",)])
    @torch.no_grad()
    def test_a_drawing_is_the_mean_over_opposite_samples_of_the_present_components(
        self, leads: tuple[str, ...]
    ) -> None:
        made, records = method(), only(batch(), leads)
        ready, encoder = made.preprocess(records), made.encoder
        assert isinstance(encoder, LeadVae)
        mean, log_var = encoder.experts(ready.signal, ready.lead_mask, ready.time_mask, None)
        mixture = encoder.fuse(mean, log_var, ready.lead_mask).sampled
        generator = torch.Generator().manual_seed(0)
        half = torch.randn(4, *mixture.mean.shape[1:], generator=generator)
        drawn = torch.stack([made.draw(mixture.sample(noise), 200) for noise in torch.cat([half, -half])])
        there = drawn[:, :, mixture.present[0]].transpose(0, 1).flatten(1, 2)  # (b, sample and component, l, t)
        got = made.reconstruct(records)
        assert torch.allclose(got.mean, there.mean(1), atol=1e-4)
        residual = torch.where(ready.lead_mask, *made.log_noise.chunk(2)).exp()[..., None]
        assert torch.allclose(got.std, (there.var(1, correction=0) + residual**2).sqrt(), atol=1e-4)

    def test_what_was_published(self) -> None:
        """The KL rises over half of the run, Adam as it comes; `released` weighs the squared error by a thousandth."""
        config = create_method("ls_emvae", "small").config
        assert (config.anneal, config.kl, config.recipe.betas) == (0.5, "bound", (0.9, 0.999))
        assert (config.recipe.weight_decay, config.recipe.lr) == (1e-5, 5e-4)
        assert config.mse_weight == 100, "noise of 0.07 mV that the latent need not explain"
        assert method("released").config.mse_weight == method().config.mse_weight
        assert PRESETS["released"]["mse_weight"] == 1e-3
        assert PRESETS["released"]["variant"] == "released"

    def test_each_layer_of_the_decoder_doubles_the_time(self) -> None:
        decoder = method().decoder
        assert [layer.in_channels for layer in decoder.layers] == [64, 32]
        assert decoder.layers[-1].out_channels == 12
        for layer in decoder.layers:
            assert layer(torch.zeros(1, layer.in_channels, 10)).shape == (1, layer.out_channels, 20)

    @torch.no_grad()
    def test_waves_are_cut_and_filled_to_the_length_asked_for(self) -> None:
        made = method()
        z = torch.randn(2, 3, made.encoder.latent)
        whole = made.draw(z, 200)
        assert whole.shape == (2, 3, 12, 200)
        assert torch.equal(made.draw(z, 150), whole[..., :150])
        longer = made.draw(z, 230)
        assert torch.equal(longer[..., :200], whole)
        assert (longer[..., 200:] == 0).all()
        assert whole[..., 180:].std() > 0


@pytest.mark.parametrize("kl", ["bound", "monte_carlo"])
@pytest.mark.parametrize("groups", [{"all": STANDARD}, {"a": ("I", "II"), "b": ("V1", "V2", "V3")}])
def test_groups_and_both_forms_of_the_kl_are_configuration(kl: str, groups: dict[str, tuple[str, ...]]) -> None:
    encoder = {"name": "lead_vae", "preset": "tiny", "groups": groups}
    made = create_method("ls_emvae", "tiny", kl=kl, encoder=encoder, input=SHORT)
    assert isinstance(made.encoder, LeadVae)
    assert sorted(row for rows in made.encoder.expert_groups for row in rows) == list(range(12)), "nobody is left out"
    assert torch.isfinite(made.step(batch(), Progress(1, 2)).loss)


def test_a_variant_is_one_thing() -> None:
    with pytest.raises(ConfigError, match="variant released goes with"):
        create_method("ls_emvae", "tiny", variant="released")
    with pytest.raises(ConfigError, match="needs the encoder lead_vae"):
        create_method("ls_emvae", encoder="resnet1d")


def test_flatten_has_the_published_size_and_reads_one_length() -> None:
    def size(preset: str) -> int:
        with torch.device("meta"):  # counted without being made
            encoder = build_encoder(configure(ENCODERS, {"name": "lead_vae", "preset": preset}), InputSpec(seconds=10))
        assert isinstance(encoder, LeadVae)
        return sum(parameter.numel() for parameter in encoder.pool.parameters())

    assert size("paper") == pytest.approx(246e6, rel=0.01)
    assert size("small") < 0.01 * size("paper")
    config = configure(ENCODERS, {"name": "lead_vae", "preset": "tiny", "pooling": "flatten"})
    encoder = build_encoder(config, InputSpec(**SHORT))
    records = batch()
    with pytest.raises(DataError, match="one length only"):
        encoder(records.signal[..., :150], records.lead_mask, records.time_mask[:, :150])


def test_a_longer_record_is_not_cut_in_silence() -> None:
    records = make_batch(2, 3.0, 100.0)
    with pytest.raises(DataError, match="read them in windows"):
        method().encoder(records.signal, records.lead_mask, records.time_mask)


@torch.no_grad()
def test_gates_see_leads() -> None:
    """One gamma and beta per lead: turning up V1's gate moves V1's token alone."""
    made, records = method(), batch()
    encoder = made.encoder
    before = made.encode(records).tokens
    encoder.attach("age", AgeCode())
    for module in encoder.modules():
        if isinstance(module, FiLM):
            bias = module.net[-1].bias.view(2, 12, -1)
            bias[0, STANDARD.index("V1")] = 1.0
    moved = (made.eval().encode(records).tokens - before).abs().amax((0, 2)) > 0
    assert [lead for lead, is_moved in zip(STANDARD, moved.tolist(), strict=True) if is_moved] == ["V1"]


def test_the_released_fusion_has_nothing_to_say_of_empty_bins() -> None:
    with pytest.raises(ConfigError, match="use pooling=flatten"):
        create_method("ls_emvae", "tiny", variant="released", encoder={"name": "lead_vae", "fusion": "released"})
