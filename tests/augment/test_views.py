"""Views of a heart: the rhythm is kept, peaks stay on their waves, gaps are whole cycles, nothing leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.augment.signal import AugmentConfig
from auricle.augment.views import (
    GenericViews,
    PhysiologyViews,
    crop,
    cycle_gap,
    random_window,
    scaled,
    view,
    wrapped,
)
from auricle.batch import ECGBatch
from auricle.errors import ConfigError
from auricle.methods import create_method
from conftest import make_batch
from hearts import RATE, hearts

SEEDS = st.integers(0, 10_000)
VIEWS = (PhysiologyViews(), GenericViews())
ALL_LEADS = AugmentConfig(lead_drop_records=0.0, gain=0.0, noise_mv=0.0)


def peaks_of(batch: ECGBatch, row: int) -> list[int]:
    assert batch.beats is not None
    return [at for at in batch.beats[row].tolist() if at >= 0]


def runs(mask: torch.Tensor) -> list[tuple[int, int]]:
    """(first, end) of each run of true."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.int().numpy(), 0])).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def place_of(piece: torch.Tensor, record: torch.Tensor) -> int:
    """Where a piece (l, n) stands in a record (l, t), sample for sample."""
    n = piece.shape[1]
    starts = torch.nonzero((record[:, : record.shape[1] - n + 1] == piece[:, :1]).all(0)).flatten().tolist()
    [start] = [start for start in starts if torch.equal(record[:, start : start + n], piece)]
    return start


def slow_cycles(peaks: list[int], length: int) -> list[tuple[int, int]]:
    """Whole cycles, each from 35 % of the interval before its peak to 65 % of the interval behind it."""
    found = []
    for k, peak in enumerate(peaks if len(peaks) > 1 else []):
        before = peak - peaks[k - 1] if k else peaks[1] - peaks[0]
        after = peaks[k + 1] - peak if k + 1 < len(peaks) else before
        begin, end = round(peak - 0.35 * before), round(peak + 0.65 * after)
        if begin >= 0 and end <= length:
            found.append((begin, end))
    return found


def test_a_whole_unstretched_crop_is_the_record() -> None:
    batch = hearts()
    same = crop(batch, (1.0, 1.0), (1.0, 1.0))
    assert torch.equal(same.signal, batch.signal)
    assert torch.equal(same.time_mask, batch.time_mask)
    assert torch.equal(same.beats, batch.beats)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_an_unstretched_crop_is_a_piece_of_the_record_and_never_wraps(seed: int) -> None:
    torch.manual_seed(seed)
    batch = hearts()
    part = crop(batch, (0.5, 1.0), (1.0, 1.0))
    for row in range(len(batch)):
        [(first, end)] = runs(part.time_mask[row])
        assert 0.5 * 2500 - 1 <= end - first <= 2500
        place_of(part.signal[row, :, first:end], batch.signal[row])
        assert not part.signal[row, :, :first].any()
        assert not part.signal[row, :, end:].any()


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(0.9, 1.1))
def test_intervals_of_a_view_are_the_records_within_the_stretch(seed: int, factor: float) -> None:
    torch.manual_seed(seed)
    batch = hearts()
    part = crop(batch, (0.5, 1.0), (factor, factor))
    for row in range(len(batch)):
        own, seen = np.diff(peaks_of(batch, row)), np.diff(peaks_of(part, row))
        starts = range(len(own) - len(seen) + 1)
        assert any(np.abs(own[k : k + len(seen)] * factor - seen).max(initial=0) <= 1.01 for k in starts)


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_peaks_of_a_view_lie_on_its_r_waves(seed: int) -> None:
    torch.manual_seed(seed)
    seen = view(hearts(), PhysiologyViews(change=ALL_LEADS))
    height = seen.signal.abs().sum(1)
    n_checked = 0
    for row in range(len(seen)):
        for at in peaks_of(seen, row):
            near = slice(at - 9, at + 10)
            if at < 9 or at + 10 > 2500 or not seen.time_mask[row, near].all():
                continue
            # A wave may have two tips of nearly one height, and interpolation lowers a tip a little.
            assert height[row, at - 1 : at + 2].max() > 0.9 * height[row, near].max()
            n_checked += 1
    assert n_checked > len(seen)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_peaks_that_are_cut_off_are_gone_and_the_others_are_all_there(seed: int) -> None:
    torch.manual_seed(seed)
    batch = hearts()
    part = crop(batch, (0.5, 1.0), (1.0, 1.0))
    for row in range(len(batch)):
        [(first, end)] = runs(part.time_mask[row])
        start = place_of(part.signal[row, :, first:end], batch.signal[row])
        wanted = [at - start + first for at in peaks_of(batch, row) if start <= at < start + end - first]
        assert peaks_of(part, row) == wanted
        assert (part.beats[row, len(wanted) :] == -1).all()


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_gaps_are_one_to_three_whole_cycles(seed: int) -> None:
    torch.manual_seed(seed)
    batch = hearts()
    gap = cycle_gap(batch.beats, batch.time_mask, (1, 3))
    for row in range(len(batch)):
        cycles = slow_cycles(peaks_of(batch, row), 2500)
        taken = [cycle for cycle in cycles if gap[row, slice(*cycle)].all()]
        expected = torch.zeros(2500, dtype=torch.bool)
        for cycle in taken:
            expected[slice(*cycle)] = True
        assert torch.equal(gap[row], expected), "cycles and nothing beside them"
        assert 1 <= len(taken) <= 3


def test_at_most_half_of_the_cycles_are_missing() -> None:
    mask = torch.ones(1, 1000, dtype=torch.bool)
    for seed in range(20):
        torch.manual_seed(seed)
        gap = cycle_gap(torch.tensor([[200, 400, 600]]), mask, (3, 3))
        assert [end - first for first, end in runs(gap[0])] == [200]


@pytest.mark.parametrize(
    ("peaks", "pause"),
    [
        ([100, 300, 500, 700, 2100, 2300], (700, 2100)),
        ([200, 450, 700, 1900, 2150], (700, 1900)),
        ([50, 100, 2400], None),
    ],
)
def test_an_interval_that_is_no_cycle_is_not_taken_for_one(peaks: list[int], pause: tuple[int, int] | None) -> None:
    mask = torch.ones(1, 2500, dtype=torch.bool)
    for seed in range(20):
        torch.manual_seed(seed)
        gap = cycle_gap(torch.tensor([peaks]), mask, (1, 3))
        if pause is None:
            assert not gap.any()
        else:
            assert gap.any()
            assert not gap[0, slice(*pause)].any()


def test_one_setting_of_what_changes_leaves_the_others() -> None:
    for views in ({"change": {"lead_drop_records": 0.0}}, {"name": "generic", "change": {"lead_drop_records": 0.0}}):
        assert create_method("acl_ecg", "tiny", views=views).config.views.change == ALL_LEADS


def test_a_record_of_one_sample_has_views() -> None:
    batch = hearts().select(torch.tensor([0, 1]))
    one = torch.zeros(2, 2500, dtype=torch.bool)
    one[:, 700] = True
    for config in VIEWS:
        assert torch.isfinite(view(replace(batch, time_mask=one), config).signal).all()


def test_the_ablation_scales_a_part_to_the_whole_and_joins_its_ends() -> None:
    torch.manual_seed(0)
    batch = hearts()
    same = scaled(batch, (1.0, 1.0))
    assert torch.allclose(same.signal, batch.signal, atol=1e-6)
    half = scaled(batch, (0.5, 0.5))
    assert half.time_mask.all()
    for row in range(len(batch)):
        own, seen = peaks_of(batch, row), peaks_of(half, row)
        assert np.median(np.diff(seen)) == pytest.approx(2 * np.median(np.diff(own)), rel=0.15)
    turned = wrapped(batch)
    assert torch.equal(turned.signal.sort(-1).values, batch.signal.sort(-1).values), "every sample is still there"
    assert not torch.equal(turned.signal, batch.signal)
    by = [int((batch.signal[row, 0] == turned.signal[row, 0, 0]).nonzero()[0]) for row in range(len(batch))]
    for row, start in enumerate(by):
        assert sorted((at - start) % 2500 for at in peaks_of(batch, row)) == peaks_of(turned, row)


def test_views_lose_leads_like_any_training_record() -> None:
    torch.manual_seed(0)
    kept = torch.stack([view(hearts(), PhysiologyViews()).lead_mask for _ in range(50)]).float()
    assert kept.mean() == pytest.approx(1 - 0.3 * 0.4, abs=0.03)
    assert kept.any(-1).all()
    assert view(hearts(), PhysiologyViews(change=ALL_LEADS)).lead_mask.all()


def test_a_window_may_stand_for_cycles() -> None:
    torch.manual_seed(0)
    seen = view(hearts(), PhysiologyViews(crop=(1, 1), stretch=(1, 1), gap="window", change=ALL_LEADS))
    for row in range(12):
        [(first, end)] = runs(~seen.time_mask[row])
        assert 0.6 * RATE <= end - first <= 1.0 * RATE


def test_a_gap_is_missing_and_not_a_flat_line() -> None:
    torch.manual_seed(0)
    batch = hearts()
    seen = view(batch, PhysiologyViews(crop=(1, 1), stretch=(1, 1), change=ALL_LEADS))
    gap = batch.time_mask & ~seen.time_mask
    assert gap.any(1).all()
    assert torch.equal(seen.signal, torch.where(gap[:, None], 0.0, batch.signal))
    for row in range(len(batch)):
        assert peaks_of(seen, row) == [at for at in peaks_of(batch, row) if not gap[row, at]]


@pytest.mark.parametrize("known", ["no beats", "none inside", "one beat", "one whole cycle"])
def test_without_cycles_a_window_is_missing(known: str) -> None:
    none = torch.full((12, 3), -1)
    one = torch.tensor([[1200, -1, -1]]).expand(12, -1)
    first_cycle_alone = torch.tensor([[1000, 2400, -1]]).expand(12, -1)
    beats = {"no beats": None, "none inside": none, "one beat": one, "one whole cycle": first_cycle_alone}[known]
    lengths = set()
    for seed in range(5):
        torch.manual_seed(seed)
        seen = view(replace(hearts(), beats=beats), PhysiologyViews(crop=(1, 1), stretch=(1, 1)))
        for row in range(12):
            [(first, end)] = runs(~seen.time_mask[row])
            lengths.add(end - first)
    assert 0.6 * RATE <= min(lengths) < max(lengths) <= 1.0 * RATE


def test_a_window_takes_no_more_than_half_of_a_short_record_and_nothing_of_an_empty_one() -> None:
    mask = torch.zeros(2, 500, dtype=torch.bool)
    mask[0, 50:150] = True
    window = random_window(mask, (0.6, 1.0), RATE)
    assert int(window[0].sum()) == 50
    assert not (window & ~mask).any()
    assert not window[1].any()
    batch = replace(hearts().select(torch.tensor([0, 1])), time_mask=torch.zeros(2, 2500, dtype=torch.bool))
    for config in VIEWS:
        seen = view(batch, config)
        assert not seen.time_mask.any()
        assert not seen.signal.any()


@pytest.mark.parametrize("config", VIEWS, ids=lambda config: config.name)
def test_what_is_masked_has_no_influence_and_stays_masked(config: PhysiologyViews | GenericViews) -> None:
    batch = hearts()
    lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
    lead_mask[:, [1, 7]] = False
    time_mask[:, 2000:] = False
    time_mask[3, 700:900] = False
    poisoned = batch.signal.clone()
    poisoned[:, [1, 7]] = torch.nan
    poisoned.masked_fill_(~time_mask[:, None], torch.nan)
    seen = []
    for signal in (batch.signal, poisoned):
        torch.manual_seed(5)
        seen.append(view(replace(batch, signal=signal, lead_mask=lead_mask, time_mask=time_mask), config))
    assert torch.equal(seen[0].signal, seen[1].signal)
    assert not (seen[1].lead_mask & ~lead_mask).any(), "absent leads stay absent"
    outside = ~(seen[1].lead_mask[:, :, None] & seen[1].time_mask[:, None])
    assert not seen[1].signal[outside].any()
    assert seen[1].time_mask.any(1).all()


def test_a_hole_in_a_record_stays_a_hole() -> None:
    batch = hearts()
    time_mask = batch.time_mask.clone()
    time_mask[:, 1000:1200] = False
    part = crop(replace(batch, time_mask=time_mask), (1, 1), (1.1, 1.1), shift=0.0)
    inside = part.time_mask[0].clone()
    assert len(runs(inside)) == 2
    assert int((~inside).sum()) == pytest.approx(220, abs=3)


def test_longer_padding_changes_nothing() -> None:
    batch = hearts()
    longer = replace(
        batch,
        signal=torch.nn.functional.pad(batch.signal, (0, 333), value=torch.nan),
        time_mask=torch.nn.functional.pad(batch.time_mask, (0, 333)),
    )
    config = PhysiologyViews(shift=0.0, stretch=(0.9, 1.0), change=ALL_LEADS)
    torch.manual_seed(1)
    one = view(batch, config)
    torch.manual_seed(1)
    other = view(longer, config)
    assert torch.equal(one.signal, other.signal[..., :2500])
    assert torch.equal(one.time_mask, other.time_mask[:, :2500])
    assert not other.time_mask[:, 2500:].any()
    assert torch.equal(one.beats, other.beats)


def test_generic_views_lose_leads_and_a_window() -> None:
    torch.manual_seed(0)
    batch = make_batch(8, 10.0, RATE)
    seen = view(batch, GenericViews())
    assert (seen.lead_mask != batch.lead_mask).any()
    assert seen.lead_mask.any(1).all()
    assert [len(runs(~row)) for row in seen.time_mask] == [1] * 8
    assert not view(batch, GenericViews(change=ALL_LEADS)).lead_mask.logical_not().any()


@pytest.mark.parametrize("config", VIEWS, ids=lambda config: config.name)
def test_a_stored_picture_is_left_out(config: PhysiologyViews | GenericViews) -> None:
    """It shows the whole record twice: an encoder that reads it would need nothing else to tell records apart."""
    picture = torch.zeros(12, 64, 64, dtype=torch.uint8)
    seen = view(replace(hearts(), image=picture, image_mask=torch.ones(12, dtype=torch.bool)), config)
    assert seen.image is None
    assert seen.image_mask is None


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"crpo": (0.5, 1)}, "did you mean 'crop'"),
        ({"name": "generick"}, "did you mean 'generic'"),
        ({"crop": (0.9, 0.5)}, "crop must rise"),
        ({"crop": (0.5, 1.5)}, "at most 1"),
        ({"stretch": (0.0, 1.0)}, "stretch must rise"),
        ({"name": "generic", "cycles": (1, 3)}, "unknown key 'cycles'"),
    ],
)
def test_wrong_views_are_one_clear_line(views: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_method("acl_ecg", "tiny", views=views)
