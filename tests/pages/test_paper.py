"""ECG paper: millimetres are true, and no lead count, gap, rate, length or amplitude breaks the sheet."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.age import Age
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import DataError
from auricle.leads import CANONICAL, STANDARD
from auricle.pages.paper import draw_paper, svg_paper
from auricle.recording import Recording

PIXELS_PER_MM = 10
SVG = "{http://www.w3.org/2000/svg}"


def recording(leads=STANDARD, rate_hz=500.0, seconds=10.0, **context):
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    spikes = (np.mod(time, 1) < 0.04).astype(np.float32)  # 1 mV for 40 ms at every full second
    return Recording(np.tile(spikes, (len(leads), 1)), rate_hz, tuple(leads), "test/1", **context)


def pixels(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=25.4 * PIXELS_PER_MM)
    import matplotlib.image

    content.seek(0)
    return matplotlib.image.imread(content)[..., :3]


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def traces(svg):
    return [path for path in ET.fromstring(svg).iter(f"{SVG}path") if "clip-path" in path.attrib]


def test_a_second_is_25_mm_and_a_millivolt_10_mm():
    image = pixels(draw_paper(recording(["I"])))
    dark = image.sum(axis=2) < 0.9
    dark[: 13 * PIXELS_PER_MM] = dark[-13 * PIXELS_PER_MM :] = False  # header and footer texts
    left_of_trace = 21 * PIXELS_PER_MM
    rows = np.flatnonzero(dark[:, left_of_trace + 50 :].sum(axis=1) > 30)  # horizontal stretches: baseline and tops
    assert rows.max() - rows.min() == pytest.approx(10 * PIXELS_PER_MM, abs=4)  # a line is 3 pixels wide
    pulse = np.flatnonzero(dark[:, :left_of_trace].sum(axis=1) > 10)
    assert pulse.max() - pulse.min() == pytest.approx(10 * PIXELS_PER_MM, abs=4)
    middle = (rows.max() + rows.min()) // 2
    crossings = np.flatnonzero(dark[middle])
    starts = crossings[np.diff(crossings, prepend=-100) > 1]
    # Rising edges a second apart; the falling edge 40 ms = 1 mm after each.
    rising = starts[starts > left_of_trace + 20]
    rising = rising[np.diff(rising, prepend=-1000) > 5 * PIXELS_PER_MM]
    np.testing.assert_allclose(np.diff(rising), 25 * PIXELS_PER_MM, atol=1)
    assert len(rising) == 9


def test_paper_has_lines_every_millimetre():
    image = pixels(draw_paper(recording(["I"])))
    green = image[14 * PIXELS_PER_MM : 15 * PIXELS_PER_MM, 30 * PIXELS_PER_MM : 80 * PIXELS_PER_MM, 1].min(axis=0)
    spectrum = np.abs(np.fft.rfft(green - green.mean()))
    wave = np.fft.rfftfreq(len(green))
    assert wave[spectrum.argmax()] == pytest.approx(1 / PIXELS_PER_MM) or wave[spectrum.argmax()] == pytest.approx(
        1 / (5 * PIXELS_PER_MM)
    )
    assert spectrum[np.argmin(np.abs(wave - 1 / PIXELS_PER_MM))] > 5 * np.median(spectrum)


def test_the_svg_says_its_size_in_millimetres_and_speed_changes_it():
    slow, fast = (ET.fromstring(svg_paper(recording(["I"]), speed_mm_s=speed)) for speed in (25, 50))
    width = [float(root.get("width").removesuffix("mm")) for root in (slow, fast)]
    assert width[1] - width[0] == 250
    assert slow.get("viewBox").split()[2:] == [slow.get("width")[:-2], slow.get("height")[:-2]]
    assert "50 mm/s" in " ".join(texts(svg_paper(recording(["I"]), speed_mm_s=50)))


def test_twelve_leads_are_a_sheet_with_a_rhythm_strip():
    svg = svg_paper(recording())
    assert [name for name in texts(svg) if name in CANONICAL] == [*STANDARD, "II"]
    assert "not recorded" not in texts(svg)
    assert RESEARCH_USE in texts(svg)


def test_a_missing_lead_keeps_its_place_and_says_so():
    nine = [name for name in STANDARD if name not in ("V2", "V4", "V6")]
    svg = svg_paper(recording([*nine, "V3R", "V7"]))
    assert texts(svg).count("not recorded") == 3
    assert {"V2", "V3R", "V7"} <= set(texts(svg))
    assert len(traces(svg)) == 9 + 2 + 1


def test_few_leads_are_rows_and_the_rest_is_named():
    svg = svg_paper(recording(["I", "V1"]))
    assert "not recorded: II, III, aVR, aVL, aVF, V2, V3, V4, V5, V6" in texts(svg)
    assert len(traces(svg)) == 2


def test_gaps_stay_gaps_and_an_unrecorded_stretch_says_so():
    gap = recording(["I", "II"])
    gap.signal[0, 1000:1500] = np.nan
    gap.signal[1] = np.nan
    svg = svg_paper(gap)
    assert len(traces(svg)) == 2
    assert texts(svg).count("not recorded") == 1
    ends = [[float(pair.split(",")[0]) for pair in path.get("d")[1:].split(" L")] for path in traces(svg)]
    assert ends[1][0] - ends[0][-1] == pytest.approx(25 * 501 / 500, abs=1e-3)


def test_an_electrode_offset_does_not_push_the_trace_off_the_paper():
    plain, offset = recording(["I"]), recording(["I"])
    offset.signal[:] += 300
    height = [float(ET.fromstring(svg_paper(each)).get("height").removesuffix("mm")) for each in (plain, offset)]
    assert height[0] == height[1]


def test_large_deflections_grow_the_row_and_huge_ones_are_cut_and_named():
    three, twenty = recording(["I"]), recording(["I"])
    three.signal[:] *= 3
    twenty.signal[:] *= 20
    assert "cut at the row's edge" not in texts(svg_paper(three))
    assert "cut at the row's edge" in texts(svg_paper(twenty))
    assert float(ET.fromstring(svg_paper(twenty)).get("height").removesuffix("mm")) < 120


def test_a_stretch_of_a_long_recording():
    long = recording(["II"], seconds=60)
    assert "20 to 30 s of 60 s" in " ".join(texts(svg_paper(long, start_s=20)))
    with pytest.raises(DataError, match="nothing to draw"):
        svg_paper(long, start_s=60)
    with pytest.raises(DataError, match="positive"):
        svg_paper(long, gain_mm_mv=0)


def test_context_and_hostile_titles_are_text():
    svg = svg_paper(recording(age=Age(3), sex="M"), title="<script>alert(1)</script> & 'more' " * 20)
    assert "age 3 d · male · 500 Hz · 0 to 10 s of 10 s" in texts(svg)
    assert not list(ET.fromstring(svg).iter(f"{SVG}script"))
    assert any(text.endswith("…") for text in texts(svg))


def test_spikes_survive_the_thinning_of_high_rates():
    fine = recording(["I"], rate_hz=20_000.0, seconds=2)
    fine.signal[:] = 0
    fine.signal[0, 12_345] = 2
    ys = [float(pair.split(",")[1]) for pair in traces(svg_paper(fine))[0].get("d")[1:].split(" L")]
    assert max(ys) - min(ys) == pytest.approx(20, abs=1e-4)
    assert len(ys) < 4000


@given(
    n_leads=st.integers(1, len(CANONICAL)),
    rate_hz=st.sampled_from([62.5, 100.0, 257.0, 1000.0]),
    seconds=st.sampled_from([0.1, 1.7, 10.0, 12.3]),
    gaps=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_any_recording_can_be_drawn(n_leads, rate_hz, seconds, gaps, seed):
    random = np.random.default_rng(seed)
    chosen = set(random.permutation(CANONICAL)[:n_leads])
    signal = random.normal(size=(n_leads, round(rate_hz * seconds))).astype(np.float32)
    signal[random.random(signal.shape) < gaps] = np.nan
    drawn = Recording(signal, rate_hz, tuple(name for name in CANONICAL if name in chosen), "any")
    root = ET.fromstring(svg_paper(drawn))
    assert "nan" not in ET.tostring(root, encoding="unicode")
    assert chosen <= {element.text for element in root.iter(f"{SVG}text")}
