"""The drawn picture: what lies where, what has no influence, and a slow drawing beside it that shares no code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from auricle.config import validate
from auricle.encoders import ENCODERS, build_encoder
from auricle.errors import ConfigError, DataError
from auricle.image.raster import RasterConfig, raster
from auricle.leads import STANDARD
from auricle.signal.preprocess import InputSpec
from conftest import make_batch

SHEET = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RATE, SECONDS = 100.0, 10.0


def draw(
    signal: Tensor,
    config: RasterConfig | None = None,
    leads: tuple[str, ...] = STANDARD,
    *,
    rate_hz: float = RATE,
    lead_mask: Tensor | None = None,
    time_mask: Tensor | None = None,
    seconds: float = SECONDS,
) -> Tensor:
    b, n_leads, t = signal.shape
    lead_mask = torch.ones(b, n_leads, dtype=torch.bool) if lead_mask is None else lead_mask
    time_mask = torch.ones(b, t, dtype=torch.bool) if time_mask is None else time_mask
    return raster(signal, lead_mask, time_mask, rate_hz, leads, config or RasterConfig(), seconds)


def smooth(n: int = 3, t: int = 1000, seed: int = 0) -> Tensor:
    return make_batch(n, t / RATE, RATE, seed=seed).signal


def slowly_drawn(signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, config: RasterConfig) -> np.ndarray:
    """One record, column by column: the polyline at 400 places in the column, and pixels cut into 64 layers."""
    page = np.zeros((config.height, config.width))
    row_px = config.height / config.n_rows
    layers = (np.arange(config.height * 64) + 0.5) / 64
    for row in range(config.n_rows):
        for column in range(config.width):
            quarter = int((column + 0.5) * 4 / config.width)
            part = (0.0, SECONDS) if row == 3 else (2.5 * quarter, 2.5 * quarter + 2.5)
            lead = "II" if row == 3 else SHEET[row][quarter]
            at = np.arange(signal.shape[1]) / rate_hz
            shown = (at >= part[0] - 1e-9) & (at < part[1] - 1e-9)
            trace = signal[leads.index(lead)][shown]
            reach = max(0.0, config.line_px - 1) / 2
            seen = np.linspace(column - reach, column + 1 + reach, 401) * SECONDS / config.width
            seen = seen[(seen >= at[shown][0] - 1e-9) & (seen <= at[shown][-1] + 1e-9)]
            if not len(seen):
                continue
            # torch's median of an even number is the lower of the two in the middle
            values = np.interp(seen, at[shown], trace) - np.sort(trace)[(len(trace) - 1) // 2]
            y = (row + 0.5) * row_px - values * row_px / config.mv_per_row
            inked = (layers > y.min() - config.line_px / 2) & (layers < y.max() + config.line_px / 2)
            page[:, column] += inked.reshape(-1, 64).mean(1)
    return 1 - np.clip(page, 0, 1)


@pytest.mark.parametrize(
    ("rate_hz", "config"),
    [
        (100.0, RasterConfig(height=96, width=128)),
        (50.0, RasterConfig(height=96, width=1000)),  # pixels finer than samples
        (500.0, RasterConfig(height=64, width=102, line_px=0.7)),  # cells that end inside a column
        (360.0, RasterConfig(height=80, width=133, rhythm_strip=True, line_px=2.5, mv_per_row=1.5)),
    ],
)
def test_it_draws_what_a_slow_drawing_draws(rate_hz: float, config: RasterConfig) -> None:
    signal = make_batch(1, SECONDS, rate_hz).signal
    slow = slowly_drawn(signal[0].numpy().astype(np.float64), STANDARD, rate_hz, config)
    away = np.abs(draw(signal, config, rate_hz=rate_hz)[0].numpy() - slow)
    assert away.mean() < 0.005
    assert np.quantile(away, 0.999) < 0.1


@pytest.mark.parametrize("config", [RasterConfig(), RasterConfig(height=448, width=1344), RasterConfig(width=33)])
def test_any_size_in_range(config: RasterConfig) -> None:
    picture = draw(smooth(), config)
    assert picture.shape == (3, config.height, config.width)
    assert picture.dtype == torch.float32
    assert picture.min() == 0
    assert picture.max() == 1
    assert 0.02 < float(1 - picture.mean()) < 0.5


@pytest.mark.parametrize(("key", "value"), [("height", 31), ("width", 0), ("line_px", 0), ("mv_per_row", -1)])
def test_impossible_pictures_are_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=key):
        validate(RasterConfig, {key: value})


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(DataError, match="12 rows of signal for 3"):
        draw(smooth(), leads=("I", "II", "III"))
    with pytest.raises(DataError, match="positive"):
        draw(smooth(), seconds=0.0)


@pytest.mark.parametrize("lead", STANDARD)
def test_each_lead_has_its_place(lead: str) -> None:
    mask = torch.tensor([[name == lead for name in STANDARD]])
    ink = 1 - draw(smooth(1), lead_mask=mask, config=RasterConfig(height=225, mv_per_row=10.0))[0]
    row, column = next((r, c) for r in range(3) for c in range(4) if SHEET[r][c] == lead)
    place = ink[75 * row : 75 * (row + 1), 56 * column : 56 * (column + 1)]
    assert (place.amax(0) > 0.4).all()
    assert ink.count_nonzero() == place.count_nonzero()


def test_any_axis_of_leads() -> None:
    signal = smooth()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1)).tolist()
    leads = (*(STANDARD[i] for i in order), "V7")
    shuffled = torch.cat([signal[:, order], torch.full_like(signal[:, :1], 3.0)], dim=1)
    assert torch.equal(draw(signal), draw(shuffled, leads=leads))
    some = [STANDARD.index(name) for name in ("V5", "II")]
    mask = torch.tensor([name in ("V5", "II") for name in STANDARD]).expand(3, -1)
    assert torch.equal(draw(signal, lead_mask=mask), draw(signal[:, some], leads=("V5", "II")))
    assert (draw(signal[:, :1], leads=("V3R",)) == 1).all()


def test_a_step_lands_on_its_rows() -> None:
    config = RasterConfig(height=300, width=400)  # 100 pixels a row, 33.3 a millivolt, 4 samples a pixel
    signal = torch.zeros(1, 12, 1000)
    signal[:, 0, 100:150] = 1.0  # lead I, first quarter: pixels 40 to 59
    picture = draw(signal, config)[0]
    level = 1 - picture[:100, 20]
    assert level.nonzero().flatten().tolist() == [49, 50]
    assert level[49:51].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)
    high = 1 - picture[:100, 50]
    centre = (high * (torch.arange(100) + 0.5)).sum() / high.sum()
    assert centre == pytest.approx(50 - 100 / 3, abs=1e-3)
    assert high.sum() == pytest.approx(1.0, abs=1e-4)
    edge = 1 - picture[:100, 39]
    assert edge.sum() == pytest.approx(100 / 3 + 1, abs=1e-3), "the join reaches from level to level"


def test_twice_the_amplitude_is_twice_the_deflection() -> None:
    config = RasterConfig(height=600, width=224, mv_per_row=6.0)

    def deflection(signal: Tensor) -> Tensor:
        ink = 1 - draw(signal, config, lead_mask=torch.tensor([[name == "II" for name in STANDARD]]))[0, :, :56]
        down = (ink * (torch.arange(600) + 0.5)[:, None]).sum(0) / ink.sum(0)
        return 300 - down

    once, twice = deflection(smooth(1)), deflection(2 * smooth(1))
    assert once.abs().max() > 15
    assert torch.allclose(twice, 2 * once, atol=0.3), "within what the pixels of a stroke's ends can tell"


def test_about_the_median_and_cut_at_the_edge() -> None:
    assert torch.allclose(draw(smooth() + 5.0), draw(smooth()), atol=2e-3)
    tall = torch.zeros(1, 12, 1000)
    tall[:, :, 500] = 1e6
    picture = draw(tall)
    assert torch.isfinite(picture).all()
    assert (picture[0, :50, 112] == 0).all(), "through to the top of the sheet"


def test_the_order_and_size_of_a_batch_do_not_matter() -> None:
    signal = smooth(64)
    whole = draw(signal)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(whole[order], draw(signal[order]))
    assert torch.equal(whole[63:], draw(signal[63:]))
    assert draw(signal[:0]).shape == (0, 224, 224)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 1200), st.integers(32, 150), st.integers(32, 150), st.sampled_from([37.0, 100.0, 113.3]),
    st.booleans(), st.lists(st.sampled_from(STANDARD), unique=True), st.integers(0, 2**16),
)  # fmt: skip
def test_nothing_under_a_mask_is_drawn(
    recorded: int, height: int, width: int, rate_hz: float, strip: bool, absent: list[str], seed: int
) -> None:
    signal = smooth(2, 1200, seed)
    config = RasterConfig(height=height, width=width, rhythm_strip=strip)
    lead_mask = torch.tensor([name not in absent for name in STANDARD]).expand(2, -1)
    time_mask = (torch.arange(1200) < recorded).expand(2, -1)
    expected = draw(signal, config, rate_hz=rate_hz, lead_mask=lead_mask, time_mask=time_mask)
    assert torch.isfinite(expected).all()
    assert 0 <= float(expected.min()) <= float(expected.max()) <= 1
    poisoned = torch.where(lead_mask[..., None] & time_mask[:, None], signal, torch.nan)
    for other, mask in ((poisoned, time_mask), (signal[..., :recorded], time_mask[:, :recorded])):
        assert torch.equal(expected, draw(other, config, rate_hz=rate_hz, lead_mask=lead_mask, time_mask=mask))
    shown = int(np.ceil(round(SECONDS * rate_hz, 6)))
    later = torch.where(torch.arange(1200) < shown, signal, 1e3)
    assert torch.equal(expected, draw(later, config, rate_hz=rate_hz, lead_mask=lead_mask, time_mask=time_mask))
    end = recorded / rate_hz / SECONDS * width
    assert (expected[..., int(np.ceil(end)) :] == 1).all()


def test_missing_samples_are_gaps() -> None:
    signal = smooth(1)
    signal[:, :, 100:150] = torch.nan
    signal[:, :, 125] = 0.3
    ink = (1 - draw(signal, RasterConfig(width=400)))[0].sum(0)
    assert (ink[40:50] == 0).all()
    assert (ink[51:60] == 0).all()
    assert ink[50] > 0.9, "one sample alone is a point"
    assert (ink[60:100] > 0.9).all()


def test_the_rhythm_strip_is_lead_two_throughout() -> None:
    only = torch.tensor([[name == "II" for name in STANDARD]])
    ink = 1 - draw(smooth(1), RasterConfig(height=400, rhythm_strip=True, mv_per_row=8.0), lead_mask=only)[0]
    assert (ink[300:].amax(0) > 0.4).all()
    assert torch.allclose(ink[300:, :56], ink[100:200, :56], atol=0.2)
    assert (ink[:100] == 0).all()
    assert (ink[100:200, 56:] == 0).all()


def test_the_grid_lies_under_the_ink() -> None:
    config = RasterConfig(height=360, width=1000, grid=True)  # 4 pixels a millimetre both ways
    blank = draw(torch.full((1, 12, 1000), torch.nan), config)[0]
    assert 0.75 < float(blank.min()) < 0.85
    between = blank[62]  # baseline at 60, the next small square's line at 64
    assert (between < 0.81).nonzero().flatten().tolist() == list(range(0, 1000, 20))
    assert (between < 0.93).nonzero().flatten().tolist() == list(range(0, 1000, 4))
    assert (blank[60] < 0.81).all(), "a bold line along the baseline"
    drawn = draw(smooth(1), config)[0]
    plain = draw(smooth(1), config.model_copy(update={"grid": False}))[0]
    assert torch.allclose(drawn, plain * blank)
    coarse = draw(torch.full((1, 12, 1000), torch.nan), RasterConfig(grid=True))[0]
    assert 0 < float((coarse < 1).float().mean()) < 0.8


def test_drawing_takes_no_part_in_training() -> None:
    signal = smooth(1).requires_grad_()
    assert not draw(signal).requires_grad


def test_the_image_encoder_reads_stored_pictures_and_draws_the_rest() -> None:
    torch.manual_seed(0)
    entry = ENCODERS.get("vit_image")
    config = validate(entry.config_class, entry.expand({"preset": "tiny"}))
    encoder = build_encoder(config, InputSpec(rate_hz=250, seconds=2.0)).eval()
    batch = make_batch()
    drawn = encoder.read(batch).pooled
    stored = (255 * encoder.draw(batch.signal, batch.lead_mask, batch.time_mask)).round().to(torch.uint8)
    nothing = torch.zeros(8, dtype=torch.bool)
    half = torch.arange(8) < 4
    other = torch.where(half[:, None, None], stored, 0)
    no_signal = replace(batch, signal=batch.signal * torch.nan, time_mask=torch.zeros_like(batch.time_mask))
    assert torch.equal(encoder.read(replace(batch, image=other, image_mask=nothing)).pooled, drawn)
    assert torch.allclose(encoder.read(replace(batch, image=other, image_mask=half)).pooled, drawn, atol=1e-2)
    assert torch.allclose(encoder.read(replace(no_signal, image=stored, image_mask=~nothing)).pooled, drawn, atol=1e-2)
    assert not torch.allclose(encoder.read(no_signal).pooled, drawn, atol=1e-2)
    with pytest.raises(DataError, match="50x64 pixels, the encoder reads 48x64: ingest with --image-size 48x64"):
        encoder.read(replace(batch, image=torch.zeros(8, 50, 64, dtype=torch.uint8), image_mask=half))
    with pytest.raises(DataError, match="grey uint8"):
        encoder.read(replace(batch, image=torch.zeros(8, 48, 64), image_mask=half))
