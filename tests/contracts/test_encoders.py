"""The contract of an encoder, for every registered one, and what lead groups in particular promise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from auricle.config import configure
from auricle.encoders import ENCODERS, Encoder, EncoderModule, build_encoder
from auricle.leads import STANDARD
from auricle.nn.film import AgeCode, FiLM
from auricle.signal.preprocess import InputSpec
from conftest import make_batch

SPEC = InputSpec(rate_hz=250, seconds=2.0)
# `foreign` is whatever network a user names: without it there is none to build, it has no presets, and its leads,
# length and places follow from its weights. What holds for any of them is asked in tests/encoders/test_foreign.py.
NAMES = [name for name in ENCODERS.names() if name != "foreign"]
# Every encoder, and lead groups behind their other stems.
FORMS = [(name, {}) for name in NAMES] + [("lead_groups", {"stem": stem}) for stem in ("conv", "per_lead")]


def tiny(name: str, spec: InputSpec = SPEC, **more: object) -> EncoderModule:
    torch.manual_seed(0)
    return build_encoder(configure(ENCODERS, {"name": name, "preset": "tiny", **more}), spec).eval()


def run(encoder: EncoderModule, batch: object, **changes: torch.Tensor) -> torch.Tensor:
    inputs = {"signal": batch.signal, "lead_mask": batch.lead_mask, "time_mask": batch.time_mask, **changes}
    with torch.no_grad():
        return encoder(**inputs).pooled


@pytest.mark.parametrize("name", NAMES)
def test_every_encoder_has_the_presets_and_keeps_the_protocol(name: str) -> None:
    assert {"tiny", "nano", "small", "base"} <= set(ENCODERS.get(name).presets)
    encoder, batch = tiny(name), make_batch()
    assert isinstance(encoder, Encoder)
    tokens = encoder(batch.signal, batch.lead_mask, batch.time_mask)
    assert tokens.pooled.shape == (8, encoder.width)
    assert tokens.tokens.shape[:2] == tokens.mask.shape
    assert tokens.group.shape == tokens.time_ms.shape == tokens.scale.shape == (tokens.tokens.shape[1],)
    assert all(len(part.modulate) == len(part.modulation_points) for part in encoder.parts())
    assert any(part.modulation_points for part in encoder.parts())


@pytest.mark.parametrize(("name", "more"), FORMS)
def test_what_is_masked_cannot_be_seen(name: str, more: dict) -> None:
    encoder, batch = tiny(name, **more), make_batch()
    lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
    lead_mask[:, [1, 7]] = False
    time_mask[:, 400:] = False
    expected = run(encoder, batch, lead_mask=lead_mask, time_mask=time_mask)
    poisoned = batch.signal.clone()
    poisoned[:, [1, 7]] = torch.nan
    poisoned[:, :, 400:] = torch.nan
    assert torch.equal(expected, run(encoder, batch, signal=poisoned, lead_mask=lead_mask, time_mask=time_mask))
    shorter = run(encoder, batch, signal=batch.signal[..., :400], lead_mask=lead_mask, time_mask=time_mask[:, :400])
    assert torch.allclose(expected, shorter, atol=1e-5)


@pytest.mark.parametrize(("name", "more"), FORMS)
def test_records_do_not_see_each_other(name: str, more: dict) -> None:
    encoder, batch = tiny(name, **more), make_batch()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(run(encoder, batch)[order], run(encoder, batch.select(order)), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_lead_is_known_by_its_name(name: str) -> None:
    """Swapping two leads' signals changes the output; on an axis in another order, the masks say who is who."""
    encoder, batch = tiny(name), make_batch()
    swapped = batch.signal.clone()
    swapped[:, [6, 7]] = batch.signal[:, [7, 6]]
    assert not torch.allclose(run(encoder, batch), run(encoder, batch, signal=swapped), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_what_happens_counts(name: str) -> None:
    """The two seconds change places: an encoder of patches without positions would see nothing of it."""
    encoder, batch = tiny(name), make_batch()
    halves = torch.cat([batch.signal[..., 250:], batch.signal[..., :250]], dim=-1)
    one, other = run(encoder, batch), run(encoder, batch, signal=halves)
    assert ((one - other).norm(dim=1) / one.norm(dim=1)).min() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_any_lead_subset_is_an_input(name: str) -> None:
    encoder, batch = tiny(name), make_batch()
    for kept in (["I"], ["I", "II", "V2"], ["V1", "V3"], [lead for lead in STANDARD if lead not in ("V2", "V4", "V6")]):
        mask = torch.tensor([lead in kept for lead in STANDARD]).expand(8, -1)
        out = run(encoder, batch, lead_mask=mask)
        assert torch.isfinite(out).all()
        assert out.std(0).max() > 0


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize(("name", "more"), FORMS)
def test_many_conditions_of_a_record_are_as_one_by_one(name: str, more: dict, present: bool) -> None:
    """One trace at several ages; `present` false leaves out leads, and the end of some records."""
    encoder, batch = tiny(name, **more), make_batch()
    if not present:
        lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
        lead_mask[1:4, 2:7] = False
        time_mask[::2, -120:] = False
        batch = replace(batch, lead_mask=lead_mask, time_mask=time_mask)
    encoder.attach("age", AgeCode())
    encoder.eval()
    for module in encoder.modules():
        if isinstance(module, FiLM):
            torch.nn.init.normal_(module.net[-1].weight, std=0.3)
    ages = [batch.at_age(days) for days in (3.0, 400.0, 9000.0)]
    with torch.no_grad():
        one_by_one = [encoder.read(at_age) for at_age in ages]
        conditions = [encoder.condition(at_age) for at_age in ages]
        together = encoder.read_each(batch, {"age": torch.cat([one["age"] for one in conditions if one])})
    wanted = torch.cat([tokens.pooled for tokens in one_by_one])
    assert torch.allclose(together.pooled, wanted, atol=1e-4)
    assert torch.equal(together.mask, torch.cat([tokens.mask for tokens in one_by_one]))
    seen = torch.cat([torch.where(tokens.mask[..., None], tokens.tokens, 0) for tokens in one_by_one])
    assert torch.allclose(torch.where(together.mask[..., None], together.tokens, 0), seen, atol=1e-4)
    assert not torch.allclose(one_by_one[0].pooled, one_by_one[2].pooled, atol=1e-3)


def test_conditions_must_be_as_many_for_each_record() -> None:
    encoder, batch = tiny("lead_groups"), make_batch()
    encoder.attach("age", AgeCode())
    with pytest.raises(ValueError, match="equally many for each"):
        encoder.read_each(batch, {"age": torch.zeros(12, 1)})


@pytest.mark.parametrize("name", NAMES)
def test_fresh_gates_are_the_identity_and_then_are_not(name: str) -> None:
    encoder, batch = tiny(name), make_batch()
    before = run(encoder, batch)
    code = AgeCode()
    encoder.attach("age", code)
    condition = {"age": code.eval()(batch.age_days)}
    assert torch.equal(before, run(encoder, batch, condition=condition))
    for module in encoder.modules():
        if isinstance(module, FiLM):
            torch.nn.init.normal_(module.net[-1].weight, std=0.3)
    moved = run(encoder, batch, condition=condition)
    assert not torch.allclose(before, moved, atol=1e-3)
    assert torch.equal(before, run(encoder, batch, condition=None))
    assert torch.equal(before, run(encoder, batch, condition={"labs": condition["age"]}))


@pytest.mark.parametrize("name", NAMES)
def test_bf16_runs(name: str) -> None:
    encoder, batch = tiny(name), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        out = run(encoder, batch)
    assert torch.isfinite(out.float()).all()


@pytest.mark.parametrize("stem", ["conv", "group", "per_lead"])
@pytest.mark.parametrize("attention", ["se", "eca", "none"])
def test_axis_and_septum_are_not_averaged_away(stem: str, attention: str) -> None:
    """Under a mean of leads, III with aVF fixed and V1 against V2 would be invisible."""
    encoder, batch = tiny("lead_groups", stem=stem, attention=attention), make_batch()
    before = run(encoder, batch)
    three = batch.signal.clone()
    three[:, 2] = three[:, 2] * 1.5
    three[:, 1] = three[:, 1] - (three[:, 2] - batch.signal[:, 2])  # keep II + III, as aVF would
    assert not torch.allclose(before, run(encoder, batch, signal=three), atol=1e-3)
    septum = batch.signal.clone()
    septum[:, [6, 7]] = batch.signal[:, [7, 6]]
    assert not torch.allclose(before, run(encoder, batch, signal=septum), atol=1e-3)


def test_overlapping_patches_see_their_neighbours_and_no_padding() -> None:
    plain, wide = (tiny("lead_groups", stem="group", overlap=overlap) for overlap in (0.0, 0.5))
    batch = make_batch()
    assert plain.scales[0].stem.kernels[0].shape[0] == 5 * 25, "five lateral leads, 100 ms"
    assert wide.scales[0].stem.kernels[0].shape[0] == 5 * (25 + 2 * 12)
    longer = torch.nn.functional.pad(batch.signal, (0, 77))
    mask = torch.nn.functional.pad(batch.time_mask, (0, 77))
    assert torch.allclose(run(wide, batch), run(wide, batch, signal=longer, time_mask=mask), atol=1e-5)


def test_a_convolutional_stem_learns_from_one_record_shorter_than_its_longest_stride() -> None:
    encoder, batch = tiny("lead_groups", stem="conv").train(), make_batch(1)
    short = encoder(batch.signal[..., :60], batch.lead_mask, batch.time_mask[:, :60])
    short.pooled.sum().backward()
    assert torch.isfinite(short.pooled).all()
    grads = [parameter.grad for parameter in encoder.body.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)
    nobody = encoder(batch.signal, torch.zeros_like(batch.lead_mask), batch.time_mask)
    assert torch.isfinite(nobody.pooled).all()


def test_records_without_a_group_leave_its_norms_alone() -> None:
    """In training, what a norm sees of a group is the records that have it, however many others are in the batch."""
    batch = make_batch()
    mask = batch.lead_mask.clone()
    mask[3:, 6:8] = False  # V1 and V2, the septal group
    few, many = tiny("lead_groups", stem="conv").train(), tiny("lead_groups", stem="conv").train()
    with torch.no_grad():
        few(batch.signal[:3], mask[:3], batch.time_mask[:3])
        many(batch.signal, mask, batch.time_mask)
    septal = few.group_names.index("septal")
    assert torch.allclose(few.body.norms[septal].mean, many.body.norms[septal].mean, atol=1e-5)
    assert torch.allclose(few.body.norms[septal].variance, many.body.norms[septal].variance, rtol=1e-4)
    assert not torch.allclose(few.body.norms[0].mean, many.body.norms[0].mean, atol=1e-3)


def test_nothing_passes_between_groups_in_the_stem() -> None:
    encoder, batch = tiny("lead_groups", stem="conv"), make_batch()
    with torch.no_grad():
        before = encoder.body(batch.signal, batch.lead_mask, batch.time_mask)
        other = batch.signal.clone()
        other[:, 6:8] = 3.0  # V1 and V2
        after = encoder.body(other, batch.lead_mask, batch.time_mask)
    changed = [not torch.equal(one, two) for one, two in zip(before.x.chunk(4), after.x.chunk(4), strict=True)]
    assert changed == [name == "septal" for name in encoder.group_names]


@pytest.mark.parametrize("stem", ["conv", "group", "per_lead"])
def test_absent_groups_weigh_nothing(stem: str) -> None:
    encoder, batch = tiny("lead_groups", stem=stem), make_batch()
    mask = torch.tensor([lead not in ("V1", "V2") for lead in STANDARD]).expand(8, -1)
    tokens = encoder(batch.signal, mask, batch.time_mask)
    septal = encoder.group_names.index("septal")
    assert (tokens.group_weight[:, septal] == 0).all()
    assert (tokens.group_contribution[:, septal] == 0).all()
    assert torch.allclose(tokens.group_contribution.sum(1), torch.ones(8))
    assert not tokens.mask[:, tokens.group == septal].any()


def test_scales_follow_the_rate() -> None:
    # Behind the stem `conv`, strides are whole steps of 20 ms, which 125 Hz cannot keep exactly.
    for stem, off in (("group", {"abs": 2}), ("conv", {"rel": 0.08})):
        slow, fast = (
            tiny("lead_groups", InputSpec(rate_hz=rate, band_hz=(0.5, 50)), stem=stem) for rate in (125.0, 500.0)
        )
        assert [4 * scale.patch for scale in slow.scales] == pytest.approx(
            [scale.patch for scale in fast.scales], **off
        )
        if stem == "conv":
            assert all(scale.patch % one.body.step == 0 for one in (slow, fast) for scale in one.scales)


def test_a_shift_by_a_multiple_of_all_patches_hardly_matters() -> None:
    """Positions are relative: 1 s later in a periodic signal is the same heart."""
    spec = InputSpec(rate_hz=250, seconds=6.0)
    encoder = tiny("lead_groups", spec)
    beat = make_batch(4, 1.0, 250).signal
    train = beat.repeat(1, 1, 8)
    batch = make_batch(4, 6.0, 250)
    one, later = run(encoder, batch, signal=train[..., :1500]), run(encoder, batch, signal=train[..., 250:1750])
    assert torch.allclose(one, later, atol=1e-3)


def test_groups_are_configuration() -> None:
    plain = tiny("lead_groups", groups={"all": STANDARD}, patch_ms=(100,))
    assert plain.group_names == ("all",)
    with pytest.raises(Exception, match="two groups"):
        tiny("lead_groups", groups={"a": ("I", "II"), "b": ("II",)})


def test_resnet18_has_the_published_size() -> None:
    config = configure(ENCODERS, {"name": "resnet1d", "preset": "small"})
    n = sum(parameter.numel() for parameter in build_encoder(config, InputSpec()).parameters())
    assert n == pytest.approx(3.85e6, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_age_beside_the_features_moves_the_pooled_vector_alone(name: str) -> None:
    encoder, batch = tiny(name), make_batch()
    before = encoder.read(batch)
    encoder.attach_to_output("age", AgeCode())
    encoder.eval()
    fresh = encoder.read(batch)
    assert torch.equal(fresh.pooled, before.pooled)
    film = encoder.modulate_output.films["age"]
    torch.nn.init.normal_(film.net[-1].weight)
    moved = encoder.read(batch)
    shift = moved.pooled - before.pooled
    assert (shift.abs().amax(1) > 1e-3).all()
    assert torch.equal(moved.tokens, before.tokens)
    assert torch.allclose(shift, film.gamma_beta(encoder.codes["age"](batch.age_days))[1][:, 0], atol=1e-5)
    assert encoder.gate_tensors() >= {"modulate_output.films.age.net.0.weight"}


@pytest.mark.parametrize("name", NAMES)
def test_groups_may_share_one_gate(name: str) -> None:
    apart, shared = tiny(name), tiny(name)
    apart.attach("age", AgeCode())
    shared.attach("age", AgeCode(), one_for_all_groups=True)
    films = [module for module in shared.modules() if isinstance(module, FiLM)]
    assert films
    assert all(film.point.groups == 1 for film in films)
    sizes = [sum(parameter.numel() for parameter in one.gate_parameters()) for one in (apart, shared)]
    has_groups = any(point.groups > 1 for part in apart.parts() for point in part.modulation_points)
    assert sizes[1] < sizes[0] if has_groups else sizes[1] == sizes[0]
    shared.eval()
    batch = make_batch()
    before = shared.read(batch).pooled
    for film in films:
        torch.nn.init.normal_(film.net[-1].weight, std=0.1)
    assert not torch.allclose(shared.read(batch).pooled, before)
