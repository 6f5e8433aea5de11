"""Views of order and of frequency: what they keep, what they change, and that records stay apart where they should."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.augment.spectrum import LinesConfig, changed_lines, mixed_lines, smoothed
from auricle.augment.views import overlapping, permuted
from conftest import make_batch


def ragged(seed: int = 0) -> object:
    """Records that begin and end at different samples."""
    batch = make_batch(seed=seed)
    n, t = batch.time_mask.shape
    begin, end = 11 * torch.arange(n)[:, None], t - 23 * torch.arange(n)[:, None]
    place = torch.arange(t)
    mask = (place >= begin) & (place < end)
    beats = torch.where((batch.beats >= begin) & (batch.beats < end), batch.beats, -1)
    return replace(batch, signal=torch.where(mask[:, None], batch.signal, 0.0), time_mask=mask, beats=beats)


class TestPermuted:
    @settings(deadline=None, max_examples=15)
    @given(st.integers(1, 9), st.integers(0, 1000))
    def test_every_sample_is_there_once_and_leads_stay_together(self, most: int, seed: int) -> None:
        batch = ragged()
        torch.manual_seed(seed)
        new = permuted(batch, most)
        assert torch.equal(new.time_mask, batch.time_mask)
        for before, after, mask in zip(batch.signal, new.signal, batch.time_mask, strict=True):
            # All leads of a moment as one word, so that a lead that moved alone would make a new one.
            words = [sorted(map(tuple, each[:, mask].T.tolist())) for each in (before, after)]
            assert words[0] == words[1]
        assert most > 1 or torch.equal(new.signal, batch.signal)

    def test_it_is_made_of_pieces_and_beats_stay_on_their_peaks(self) -> None:
        batch = ragged()
        ramp = torch.arange(batch.time_mask.shape[1]).float().expand_as(batch.signal)
        torch.manual_seed(3)
        new = permuted(replace(batch, signal=ramp), 6)
        jumps = (new.signal[:, 0].diff(dim=1) != 1).sum(1)
        assert jumps.max() > 1
        assert (jumps <= 7).all()  # five cuts, and both ends of the record
        for row in range(len(batch)):
            old, now = (each.beats[row][each.beats[row] >= 0] for each in (batch, new))
            assert new.signal[row, 0, now].sort().values.tolist() == old.tolist()

    def test_how_many_pieces_is_drawn_for_each_record(self) -> None:
        batch = make_batch(64)
        ramp = torch.arange(batch.time_mask.shape[1]).float().expand_as(batch.signal)
        torch.manual_seed(0)
        jumps = (permuted(replace(batch, signal=ramp), 5).signal[:, 0].diff(dim=1) != 1).sum(1)
        assert {0, 1, 2} <= set(jumps.tolist())


class TestOverlapping:
    def test_the_second_begins_and_ends_behind_the_first_and_they_share_a_quarter(self) -> None:
        batch = ragged()
        for seed in range(20):
            torch.manual_seed(seed)
            one, other = overlapping(batch.time_mask)
            shared = (one & other).sum(1) / batch.time_mask.sum(1)
            assert (shared > 0.24).all()
            assert not ((one | other) & ~batch.time_mask).any()
            assert (one.int().argmax(1) <= other.int().argmax(1)).all()
            t = one.shape[1]
            assert (t - one.flip(1).int().argmax(1) <= t - other.flip(1).int().argmax(1)).all()


class TestFrequency:
    def test_smoothing_leaves_half_the_power_at_the_cut_off_and_moves_nothing(self) -> None:
        batch = make_batch(1, 10.0, 100.0)
        time = torch.arange(1000) / 100
        slow, fast = (torch.sin(2 * math.pi * f * time).expand_as(batch.signal) for f in (1.0, 20.0))
        assert torch.allclose(smoothed(replace(batch, signal=slow), 20.0).signal, slow, atol=0.01)
        half = smoothed(replace(batch, signal=fast), 20.0).signal
        assert float(half.square().mean() / fast.square().mean()) == pytest.approx(0.5, abs=0.01)

    def test_what_was_not_recorded_stays_zero(self) -> None:
        batch = ragged()
        leads = batch.lead_mask.clone()
        leads[:, 2] = False
        batch = replace(batch, lead_mask=leads, signal=batch.signal.masked_fill(~leads[..., None], 0.0))
        for new in (smoothed(batch, 10.0), mixed_lines(batch, 0.5)):
            assert not new.signal[:, 2].any()
            assert not new.signal.transpose(1, 2)[~batch.time_mask].any()

    def test_lines_come_from_one_other_record(self) -> None:
        batch = make_batch(2, 10.0, 100.0)
        torch.manual_seed(0)
        mixed = torch.fft.rfft(mixed_lines(batch, 1.0).signal)
        own = torch.fft.rfft(batch.signal)
        is_own, is_other = ((mixed - each).abs() < 1e-2 for each in (own, own.flip(0)))
        inner = slice(1, -1)  # the ends are real numbers in any signal
        assert (is_own | is_other)[..., inner].all()
        assert is_other[..., inner].any()
        assert torch.allclose(mixed_lines(batch, 0.0).signal, batch.signal, atol=1e-5)

    def test_a_lead_that_the_other_record_has_not_keeps_its_own_lines(self) -> None:
        batch = make_batch(2, 10.0, 100.0)
        leads = batch.lead_mask.clone()
        leads[1, 1:] = False
        batch = replace(batch, lead_mask=leads, signal=batch.signal.masked_fill(~leads[..., None], 0.0))
        torch.manual_seed(0)
        mixed = mixed_lines(batch, 1.0).signal
        assert torch.allclose(mixed[0, 1:], batch.signal[0, 1:], atol=1e-5)
        assert not torch.allclose(mixed[0, 0], batch.signal[0, 0], atol=1e-2)

    def test_lines_are_removed_and_raised_by_a_share(self) -> None:
        spectrum = 1 + torch.rand(4, 12, 501, generator=torch.Generator().manual_seed(0))
        leads = torch.ones(4, 12, dtype=torch.bool)
        leads[0, 5] = False
        torch.manual_seed(0)
        new = changed_lines(spectrum, leads, LinesConfig(removed=0.2, added=0.1, strength=0.1))
        assert not new[0, 5].any()
        kept = leads[..., None].expand_as(new)
        assert float((new[kept] == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
        assert float((new[kept] > spectrum[kept]).float().mean()) == pytest.approx(0.1, abs=0.02)
        assert (new - spectrum).max() <= 0.1 * spectrum.max()
