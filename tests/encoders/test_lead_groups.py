"""lead_groups: every part does what it is there for, each against its equation or a case that it alone can tell."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from auricle.config import configure
from auricle.encoders import ENCODERS, Tokens, build_encoder
from auricle.encoders._group_stems import GroupStem, PerLeadStem
from auricle.encoders.lead_groups import LeadGroups, LeadGroupsConfig
from auricle.leads import LISA_GROUPS, STANDARD
from auricle.nn.film import Code, FiLM, Modulations
from auricle.signal.preprocess import TYPICAL_MV, InputSpec
from conftest import make_batch

SPEC = InputSpec(rate_hz=250, seconds=2.0)
N_SCALES, DEPTH, WIDTH = 3, 2, 16


class Given(Code):
    """One number, the same for every record."""

    width = 1


def tiny(spec: InputSpec = SPEC, **more: object) -> LeadGroups:
    torch.manual_seed(0)
    encoder = build_encoder(configure(ENCODERS, {"name": "lead_groups", "preset": "tiny", **more}), spec)
    assert isinstance(encoder, LeadGroups)
    return encoder.eval()


def gated(**more: object) -> LeadGroups:
    """With a gate at every point that passes on what it gets, until its bias is set."""
    encoder = tiny(**more)
    encoder.attach("age", Given())
    return encoder


def film(encoder: LeadGroups, point: str) -> FiLM:
    names = [p.name for p in encoder.modulation_points]
    place = encoder.modulate[names.index(point)]
    assert isinstance(place, Modulations)
    found = place.films["age"]
    assert isinstance(found, FiLM)
    return found


def set_gate(
    encoder: LeadGroups, point: str, gamma: torch.Tensor | float = 0.0, beta: torch.Tensor | float = 0.0
) -> None:
    """The gate of a point becomes (1 + gamma) x + beta, for every condition."""
    gate = film(encoder, point)
    bias = gate.net[-1].bias
    assert isinstance(bias, nn.Parameter)
    with torch.no_grad():
        both = bias.view(2, gate.point.groups, gate.point.width)
        both[0], both[1] = gamma, beta


@torch.no_grad()
def tokens_of(encoder: LeadGroups, signal: torch.Tensor | None = None, lead_mask: torch.Tensor | None = None) -> Tokens:
    batch = make_batch()
    signal = batch.signal if signal is None else signal
    lead_mask = batch.lead_mask if lead_mask is None else lead_mask
    return encoder(signal, lead_mask, batch.time_mask, {"age": torch.ones(len(signal), 1)})


class TestTime:
    @pytest.mark.parametrize(
        ("stem", "lengths"), [("group", [(25, 20), (62, 9), (125, 4)]), ("conv", [(25, 20), (60, 9), (125, 4)])]
    )
    def test_scales_have_the_lengths_of_the_configuration(self, stem: str, lengths: list[tuple[int, int]]) -> None:
        """100, 250 and 500 ms at 250 Hz, and behind the stem `conv` whole steps of 20 ms."""
        encoder = tiny(stem=stem)
        assert [scale.patch for scale in encoder.scales] == [patch for patch, _ in lengths]
        tokens = tokens_of(encoder)
        for number, (patch, n) in enumerate(lengths):
            times = tokens.time_ms[tokens.scale == number].view(4, -1)
            assert times.shape == (4, n)
            assert torch.allclose(times[:, 0], torch.full((4,), patch * 2.0)), "the middle of the first patch"
            assert torch.allclose(times.diff(dim=1), torch.full((4, n - 1), patch * 4.0))
        fast = tiny(InputSpec(rate_hz=500, seconds=4.0), patch_ms=(2000, 3.0), stem=stem)
        shortest = {"group": 2, "conv": 10}[stem]
        assert [scale.patch for scale in fast.scales] == [1000, shortest], "to the nearest sample, or a whole step"
        least = {"group": [1, 3], "conv": [5, 5]}[stem]
        assert [scale.patch for scale in tiny(patch_ms=(1, 12), stem=stem).scales] == least, "never less than one"

    def test_tokens_say_their_group_and_their_mask(self) -> None:
        encoder, batch = tiny(stem="group"), make_batch()
        time_mask = batch.time_mask.clone()
        time_mask[:, 130:] = False
        lead_mask = batch.lead_mask.clone()
        lead_mask[3, [STANDARD.index("V1"), STANDARD.index("V2")]] = False
        with torch.no_grad():
            tokens = encoder(batch.signal, lead_mask, time_mask)
        for number, patch in enumerate((25, 62, 125)):
            for group, name in enumerate(encoder.group_names):
                mask = tokens.mask[:, (tokens.scale == number) & (tokens.group == group)]
                recorded = torch.arange(mask.shape[1]) * patch < 130
                assert torch.equal(mask[0], recorded)
                assert torch.equal(mask[3], recorded & (name != "septal"))

    def test_the_order_of_what_happens_counts_at_every_scale(self) -> None:
        """Pooling does not know an order: without positions, patches in another order are the same recording."""
        encoder, batch = tiny(patch_ms=(100, 200, 500), stem="group"), make_batch()
        halves = torch.cat([batch.signal[..., 250:], batch.signal[..., :250]], dim=-1)
        one, other = (tokens_of(encoder, signal).pooled.view(8, 3, WIDTH) for signal in (batch.signal, halves))
        moved = (one - other).norm(dim=-1) / one.norm(dim=-1)
        assert moved.min() > 1e-4, "whole patches change places, at all three scales"
        still = tiny(patch_ms=(100, 200, 500), stem="group")
        for scale in still.scales:
            scale.rotary.rates.zero_()
        one, other = (tokens_of(still, signal).pooled for signal in (batch.signal, halves))
        assert torch.allclose(one, other, atol=1e-5), "and nothing else than positions tells them apart"

    def test_a_scale_reads_what_happens_inside_its_patches(self) -> None:
        """Inside one patch of 500 ms, samples change places: every scale sees that, the finest in one patch alone."""
        encoder, batch = tiny(depth=1), make_batch()
        signal = batch.signal.clone()
        signal[..., :25] = signal[..., :25].flip(-1)
        before, after = tokens_of(encoder), tokens_of(encoder, signal)
        for number in range(N_SCALES):
            assert not torch.allclose(before.pooled.view(8, 3, -1)[:, number], after.pooled.view(8, 3, -1)[:, number])

    def test_padding_takes_no_part_in_attention_or_pooling(self) -> None:
        encoder, batch = tiny(), make_batch()
        time_mask = batch.time_mask.clone()
        time_mask[4:, 250:] = False
        with torch.no_grad():
            mixed = encoder(batch.signal, batch.lead_mask, time_mask).pooled
            whole = encoder(batch.signal, batch.lead_mask, batch.time_mask).pooled
            half = encoder(batch.signal[..., :250], batch.lead_mask, time_mask[:, :250]).pooled
        assert torch.allclose(mixed[:4], whole[:4], atol=1e-5)
        assert torch.allclose(mixed[4:], half[4:], atol=1e-5)

    @pytest.mark.parametrize(("overlap", "reach"), [(0.0, [0, 0, 0]), (0.5, [12, 31, 62]), (1.0, [25, 62, 125])])
    def test_overlap_is_a_share_of_the_patch(self, overlap: float, reach: list[int]) -> None:
        encoder = tiny(overlap=overlap, stem="group")
        assert [scale.stem.reach for scale in encoder.scales] == reach
        widths = [scale.stem.kernels[0].shape[0] // 5 for scale in encoder.scales]
        assert widths == [patch + 2 * r for patch, r in zip((25, 62, 125), reach, strict=True)]


class TestBody:
    """The convolutional stem's shared part, recomputed sample by sample."""

    def test_the_first_layer_is_the_rescaled_sum_over_the_leads_of_a_group(self) -> None:
        encoder, batch = tiny(stem_depth=0), make_batch()
        body = encoder.body
        assert body is not None
        lead_mask = batch.lead_mask.clone()
        lead_mask[2, STANDARD.index("V2")] = False
        signal = torch.where(lead_mask[:, :, None], batch.signal, 0.0)
        with torch.no_grad():
            waves = body(signal, lead_mask, batch.time_mask).x.unflatten(0, (4, 8))
        before = (body.taps - body.step) // 2
        for group, members in enumerate(encoder.group_rows):
            for record, position in ((0, 7), (2, 0), (2, 50), (5, 99)):
                expected = torch.zeros(body.kernels[group].shape[0])
                for place, lead in enumerate(members):
                    for tap in range(body.taps):
                        sample = position * body.step - before + tap
                        if 0 <= sample < signal.shape[-1]:
                            expected += body.kernels[group].data[:, place, tap] * signal[record, lead, sample]
                present = int(lead_mask[record, members].sum())
                expected = (expected * len(members) / present / (1 + 1e-5) ** 0.5).relu()
                assert torch.allclose(waves[group, record, :, position], expected, atol=1e-4)

    def test_residual_layers_begin_with_what_they_get(self) -> None:
        """A residual layer whose second norm is 0 passes on the first layer's features."""
        encoder, batch = tiny(stem_depth=2), make_batch()
        body = encoder.body
        assert body is not None
        with torch.no_grad():
            for block in body.blocks:
                block.second_norm.weight.zero_()
            plain = tiny(stem_depth=0).body
            assert plain is not None
            plain.kernels.load_state_dict(body.kernels.state_dict())
            one, other = (part(batch.signal, batch.lead_mask, batch.time_mask).x for part in (body, plain))
        assert torch.allclose(one, other, atol=1e-6)

    def test_a_token_sees_its_stride_and_half_a_stride_on_either_side(self) -> None:
        encoder = tiny(stem_depth=0, patch_ms=(100,), depth=1)
        body, stem = encoder.body, encoder.scales[0].stem
        assert body is not None
        n = 500
        signal = torch.zeros(1, 12, n, requires_grad=True)
        masks = torch.ones(1, 12, dtype=torch.bool), torch.ones(1, n, dtype=torch.bool)
        noise = torch.randn(1, 12, n) * 0.2
        tokens = stem(body(signal + noise, *masks), masks[0], torch.ones(1, n // 25, dtype=torch.bool))
        tokens[0, :, 10].square().sum().backward()
        assert signal.grad is not None
        seen = signal.grad[0].abs().amax(0).nonzero()[:, 0]
        reach = stem.reach * body.step + (body.taps - body.step + 1) // 2
        assert 250 - reach <= seen.min()
        assert seen.max() < 275 + reach
        assert len(seen) > 25 + body.step


class TestStems:
    def test_a_group_is_the_sum_of_its_leads_kernels_rescaled(self) -> None:
        torch.manual_seed(0)
        stem = GroupStem([[0, 3], [1, 2, 4]], 6, width=5, overlap=0.0)
        assert stem.n_streams == 2
        patches = torch.randn(3, 5, 7, 6)
        mask = torch.tensor([[True] * 5, [True, True, False, True, True], [False, True, False, False, False]])
        patches = torch.where(mask[..., None, None], patches, 0.0)
        got = stem(patches.flatten(2), mask, torch.ones(3, 7, dtype=torch.bool)).detach().numpy()
        for b in range(3):
            for g, members in enumerate(stem.groups):
                kernel = stem.kernels[g].detach().numpy().reshape(len(members), 6, 5)
                there = [k for k, lead in enumerate(members) if mask[b, lead]]
                for n in range(7):
                    total = sum((patches[b, members[k], n].numpy() @ kernel[k] for k in there), np.zeros(5))
                    expected = total * len(members) / max(1, len(there)) + stem.identity[g].detach().numpy()
                    assert np.allclose(got[b, g, n], expected, atol=1e-5)
        assert torch.equal(stem.gather(torch.ones(3, 2, 7, 5), mask), torch.ones(3, 2, 7, 5))

    def test_a_lead_is_one_stream_of_one_kernel_and_its_identity(self) -> None:
        torch.manual_seed(0)
        stem = PerLeadStem([[4, 0], [2]], 6, width=5, overlap=0.0)
        assert stem.n_streams == 3
        patches = torch.randn(2, 5, 7, 6)
        got = stem(patches.flatten(2), torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 7, dtype=torch.bool))
        for stream, lead in enumerate((4, 0, 2)):
            assert torch.allclose(got[:, stream], patches[:, lead] @ stem.kernel + stem.identity[stream], atol=1e-5)

    def test_leads_meet_by_a_softmax_over_those_present(self) -> None:
        torch.manual_seed(0)
        stem, x = PerLeadStem([[4, 0, 1], [2, 3]], 6, width=5, overlap=0.0), torch.randn(2, 5, 7, 5)
        mask = torch.tensor([[True] * 5, [False, True, True, False, True]])
        got = stem.gather(x, mask).detach().numpy()
        assert got.shape == (2, 2, 7, 5)
        weight = stem.score.weight[0].detach().numpy()
        for b in range(2):
            for g, streams in enumerate(([0, 1, 2], [3, 4])):
                there = [s for s in streams if mask[b, stem.order[s]]]
                for n in range(7):
                    scores = np.exp([x[b, s, n].numpy() @ weight for s in there])
                    expected = sum(e * x[b, s, n].numpy() for e, s in zip(scores / scores.sum(), there, strict=True))
                    assert np.allclose(got[b, g, n], expected, atol=1e-5)

    @pytest.mark.parametrize("stem", [GroupStem, PerLeadStem])
    @pytest.mark.parametrize("patch", [8, 128])
    def test_a_fresh_stem_makes_tokens_of_unit_size_from_millivolts(self, stem: type[nn.Module], patch: int) -> None:
        """Else the size of a token would depend on the length of the patch, the group and the unit."""
        torch.manual_seed(0)
        groups = [[0, 1, 2, 3], [4]]
        made = stem(groups, patch, width=64, overlap=0.0)
        signal, tokens = TYPICAL_MV * torch.randn(4, 5, 16 * patch), torch.ones(4, 16, dtype=torch.bool)
        bare = made(signal, torch.ones(4, 5, dtype=torch.bool), tokens) - made.identity[:, None]
        assert torch.allclose(bare.std((0, 2, 3)), torch.ones(len(made.identity)), rtol=0.25)
        assert made.identity.std().item() == pytest.approx(0.5, rel=0.2), "and a group is known by half of that"


class TestGates:
    def test_there_is_one_behind_every_block_of_every_scale_one_of_groups_and_one_of_scales(self) -> None:
        encoder = tiny()
        blocks = [f"scale{s}.{what}" for s in range(N_SCALES) for what in ("block0", "block1", "group_gate")]
        assert [point.name for point in encoder.modulation_points] == [*blocks, "scale_gain"]
        for point in encoder.modulation_points:
            wide = "block" in point.name
            assert point.width == (WIDTH if wide else 1)
            assert point.groups == (3 if point.name == "scale_gain" else 4)
            assert (point.channel_axis, point.group_axis) == (-1, 1)
        per_lead = tiny(stem="per_lead")
        assert {p.groups for p in per_lead.modulation_points if "block" in p.name} == {12}, "a gate for every stream"
        assert {p.groups for p in per_lead.modulation_points if p.name.endswith("group_gate")} == {4}

    @pytest.mark.parametrize("stem", ["group", "per_lead"])
    @pytest.mark.parametrize("attention", ["se", "none"])
    def test_each_of_them_acts(self, stem: str, attention: str) -> None:
        encoder = gated(stem=stem, attention=attention)
        before = tokens_of(encoder).pooled
        for point in encoder.modulation_points:
            # Not one number for all channels, which the layer norm behind a last block takes out again.
            set_gate(encoder, point.name, gamma=torch.rand(point.width), beta=torch.rand(point.width))
            assert not torch.allclose(before, tokens_of(encoder).pooled, atol=1e-4), point.name
            set_gate(encoder, point.name)
        assert torch.equal(before, tokens_of(encoder).pooled)

    def test_it_gets_what_its_block_made_and_the_next_block_gets_what_it_makes(self) -> None:
        encoder = gated(attention="none")
        for point in encoder.modulation_points:
            if "block" in point.name:
                set_gate(encoder, point.name, gamma=torch.rand(4, WIDTH), beta=torch.rand(4, WIDTH))
        for number, scale in enumerate(encoder.scales):
            seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []

            def note(name: str) -> object:
                def hook(module: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
                    seen.append((name, given[0], made))  # noqa: B023

                return hook

            handles = [block.register_forward_hook(note("block")) for block in scale.blocks]
            handles += [encoder.modulate[point].register_forward_hook(note("gate")) for point in scale.points]
            tokens = tokens_of(encoder)
            for handle in handles:
                handle.remove()
            assert [name for name, _, _ in seen] == ["block", "gate"] * DEPTH
            flat = [(given.reshape(-1, WIDTH), made.reshape(-1, WIDTH)) for _, given, made in seen]
            for (_, made), (given, _) in pairwise(flat):
                assert torch.equal(made, given)
            for given, made in (flat[1], flat[3]):
                assert not torch.allclose(given, made, atol=1e-2)
            last = tokens.tokens[:, tokens.scale == number].reshape(-1, WIDTH)
            assert torch.equal(last, flat[-1][1]), "the last gate is behind the last block"

    def test_a_scale_gain_multiplies_its_part_and_counts_in_the_groups_shares(self) -> None:
        encoder = gated()
        before = tokens_of(encoder)
        gain = torch.tensor([0.5, 3.0, 1.0])
        set_gate(encoder, "scale_gain", gamma=(gain - 1)[:, None])
        after = tokens_of(encoder)
        parts = before.pooled.view(8, N_SCALES, WIDTH)
        assert torch.allclose(after.pooled.view(8, N_SCALES, WIDTH), parts * gain[:, None], atol=1e-5)
        assert not torch.allclose(before.group_contribution, after.group_contribution, atol=1e-3)
        assert torch.allclose(after.group_contribution.sum(1), torch.ones(8))

    def test_a_group_gate_moves_the_logit_of_its_group_at_its_scale(self) -> None:
        encoder = gated(attention="none")
        assert torch.equal(tokens_of(encoder).group_weight, torch.ones(8, 4))
        shift = torch.tensor([0.0, 1.5, 0.0, -1.0])
        for number in range(N_SCALES):
            set_gate(encoder, f"scale{number}.group_gate", beta=shift[:, None] * (number + 1))
        expected = sum(2 * torch.sigmoid(shift * (number + 1)) for number in range(N_SCALES)) / N_SCALES
        assert torch.allclose(tokens_of(encoder).group_weight, expected.expand(8, -1), atol=1e-5)


class TestAttentionBetweenGroups:
    def test_none_weighs_every_present_group_by_one(self) -> None:
        assert torch.equal(tokens_of(tiny(attention="none")).group_weight, torch.ones(8, 4))

    @pytest.mark.parametrize("attention", ["se", "eca"])
    def test_weights_are_of_the_record_and_not_one(self, attention: str) -> None:
        weight = tokens_of(tiny(attention=attention, stem="group")).group_weight
        assert ((weight - 1).abs() > 1e-3).all()
        assert (weight.std(0) > 1e-5).all()
        assert ((weight > 0) & (weight < 2)).all()

    @pytest.mark.parametrize(
        ("attention", "sees"), [("se", [True, True, True, True]), ("eca", [False, True, True, True])]
    )
    def test_the_weight_of_a_group_is_decided_by_the_others_too(self, attention: str, sees: list[bool]) -> None:
        """se: all of all; eca: itself and its neighbours. The third group changes."""
        encoder, batch = tiny(attention=attention), make_batch()
        with torch.no_grad():
            for scale in encoder.scales:
                if attention == "se":
                    scale.attention.net[0].bias.fill_(5.0)  # no unit is off
        signal = batch.signal.clone()
        signal[:, [STANDARD.index(lead) for lead in LISA_GROUPS[encoder.group_names[2]]]] *= -3
        moved = (tokens_of(encoder).group_weight - tokens_of(encoder, signal).group_weight).abs().amax(0) > 1e-6
        assert moved.tolist() == sees

    @pytest.mark.parametrize("stem", ["group", "per_lead"])
    def test_pooled_is_recomputed_from_the_tokens(self, stem: str) -> None:
        """Squeeze, weigh, pool, norm, mix, sum: what stands behind the blocks, slowly and with groups absent."""
        encoder, batch = tiny(stem=stem), make_batch()
        with torch.no_grad():
            for scale in encoder.scales:
                scale.pool.score.weight.normal_()
                scale.norm.bias.normal_()
        lead_mask = batch.lead_mask.clone()
        lead_mask[2, [STANDARD.index(lead) for lead in LISA_GROUPS["septal"]]] = False
        lead_mask[5, [STANDARD.index(lead) for lead in ("V3", "II")]] = False
        time_mask = batch.time_mask.clone()
        time_mask[6, 300:] = False
        caught: list[torch.Tensor] = []
        # The squeeze is called with the tokens of the groups, before they are weighed.
        handles = [
            s.squeeze.register_forward_hook(lambda _, given, __: caught.append(given[0])) for s in encoder.scales
        ]
        with torch.no_grad():
            tokens = encoder(batch.signal, lead_mask, time_mask)
        for handle in handles:
            handle.remove()
        present = encoder.groups_present(lead_mask)
        assert present.sum() == 31
        pooled, weights, sizes = [], [], torch.zeros(8, 4)
        with torch.no_grad():
            for number, (scale, x) in enumerate(zip(encoder.scales, caught, strict=True)):
                n = x.shape[2]
                mask = tokens.mask[:, tokens.scale == number].view(8, 4, n)[:, 0]
                squeezed = torch.zeros(8, 4)
                for b in range(8):
                    for g in range(4):
                        if present[b, g]:
                            squeezed[b, g] = torch.stack(
                                [scale.squeeze(x[b, g, i])[0] for i in range(n) if mask[b, i]]
                            ).mean()
                weight = torch.where(present, 2 * torch.sigmoid(scale.attention(squeezed)), 0.0)
                part = torch.zeros(8, WIDTH)
                for b in range(8):
                    for g in range(4):
                        seen = x[b, g, mask[b]]
                        share = (seen @ scale.pool.score.weight[0]).softmax(0)
                        one = weight[b, g] * (scale.norm(seen.mean(0) + share @ seen) @ scale.mix[g])
                        part[b] += one
                        sizes[b, g] += one.norm()
                    assert torch.allclose(
                        tokens.tokens[b, tokens.scale == number].view(4, n, -1),
                        x[b] * weight[b, :, None, None],
                        atol=1e-5,
                    )
                pooled.append(part)
                weights.append(weight)
        assert torch.allclose(tokens.pooled, torch.cat(pooled, dim=1), atol=1e-4)
        assert torch.allclose(tokens.group_weight, torch.stack(weights).mean(0), atol=1e-5)
        assert torch.allclose(tokens.group_contribution, sizes / sizes.sum(1, keepdim=True), atol=1e-4)

    def test_groups_differ_in_what_they_add(self) -> None:
        """Each has a matrix of its own; else groups could change places and the sum would not know."""
        for scale in tiny().scales:
            assert not torch.allclose(scale.mix[0], scale.mix[1], atol=1e-2)
            assert scale.mix.std().item() == pytest.approx(1 / (4 * WIDTH) ** 0.5, rel=0.1)


class TestLayout:
    def test_a_group_without_a_lead_on_the_axis_is_left_out(self) -> None:
        spec = InputSpec(rate_hz=250, seconds=2.0, leads=("I", "II", "V1", "V5"))
        encoder = tiny(spec)
        assert set(encoder.group_names) == {"lateral", "inferior", "septal"}
        rows = dict(zip(encoder.group_names, encoder.group_rows, strict=True))
        assert rows == {"lateral": [0, 3], "inferior": [1], "septal": [2]}
        assert encoder.width == N_SCALES * WIDTH

    def test_a_lead_in_no_group_is_not_read(self) -> None:
        encoder, batch = tiny(groups={"a": ("I", "V1"), "b": ("II",)}), make_batch()
        signal = batch.signal.clone()
        signal[:, STANDARD.index("V6")] *= 5
        assert torch.equal(tokens_of(encoder).pooled, tokens_of(encoder, signal).pooled)

    def test_what_it_is_by_default(self) -> None:
        """40, 100 and 500 ms: waveform, complex, rhythm."""
        encoder = LeadGroups(LeadGroupsConfig(), InputSpec())
        assert encoder.group_names == tuple(LISA_GROUPS)
        assert encoder.body is not None
        assert encoder.body.step == 10, "20 ms"
        assert [scale.patch for scale in encoder.scales] == [20, 50, 250]
        assert [len(scale.blocks) for scale in encoder.scales] == [4] * 3
        assert encoder.width == 3 * 192
        assert {block.n_heads for scale in encoder.scales for block in scale.blocks} == {6}
        assert [scale.stem.reach for scale in encoder.scales] == [1, 2, 12], "half a stride, in steps"
        config = encoder.config
        assert (config.dropout, config.overlap, config.mlp_ratio) == (0, None, 4)
        assert (config.stem, config.attention) == ("conv", "se")

    def test_dropout_is_of_training_alone(self) -> None:
        encoder, batch = tiny(dropout=0.5), make_batch()
        assert torch.equal(tokens_of(encoder).pooled, tokens_of(encoder).pooled)
        encoder.train()
        one, other = (encoder(batch.signal, batch.lead_mask, batch.time_mask).pooled for _ in range(2))
        assert not torch.allclose(one, other, atol=1e-3)

    def test_a_silent_record_has_shares_and_no_nan(self) -> None:
        encoder = tiny(attention="none")
        batch = make_batch()
        nothing = tokens_of(encoder, batch.signal, torch.zeros_like(batch.lead_mask))
        assert torch.equal(nothing.group_contribution, torch.zeros(8, 4))
        assert torch.equal(nothing.pooled, torch.zeros_like(nothing.pooled))
