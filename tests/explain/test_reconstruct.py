"""auricle reconstruct: absent leads over the true ones, with numbers; other methods are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from auricle.cli import app
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.explain.reconstruction import drawn_leads, lead_error, reconstruction_figure
from auricle.io import read
from auricle.leads import LIMB, STANDARD
from auricle.methods import Method, create_method, load_method, save_method
from fakes import heart

SHORT = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45.0)}


@pytest.fixture(scope="module")
def method() -> Method:
    torch.manual_seed(0)
    return create_method("ls_emvae", "tiny", input=SHORT).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds: two windows and a half."""
    path = tmp_path_factory.mktemp("ecg") / "ecg.npz"
    np.savez(path, signal=heart(500).astype(np.float32), rate_hz=100, leads=STANDARD)
    return path


def test_what_is_kept_is_read_and_the_rest_is_drawn(method: Method, file: Path) -> None:
    drawn = drawn_leads(method, read(file), ["i", "II", "avf"])
    assert drawn.kept == ("I", "II", "aVF")
    assert drawn.recorded == STANDARD
    assert drawn.truth.shape == drawn.mean.shape == drawn.std.shape == (12, 600), "three windows, the last flush"
    errors = drawn.errors()
    assert [error.lead for error in errors] == [name for name in STANDARD if name not in drawn.kept]
    assert all(0 <= error.inside <= 1 and error.rmse > 0 for error in errors)


def test_the_numbers_are_what_they_are_called() -> None:
    truth = np.sin(np.arange(400) / 7)
    flat = np.zeros(400)
    exact = lead_error("I", truth, truth, np.full(400, 0.1))
    assert (exact.rmse, exact.inside) == (0, 1)
    assert exact.correlation == pytest.approx(1)
    opposite = lead_error("I", truth, -truth, np.full(400, 0.1))
    assert opposite.correlation == pytest.approx(-1)
    assert opposite.rmse == pytest.approx(2 * opposite.zero)
    assert np.isnan(lead_error("I", truth, flat, flat).correlation)
    noise = np.random.default_rng(0).normal(size=100_000)
    assert lead_error("I", noise, 0 * noise, np.ones(100_000)).inside == pytest.approx(0.954, abs=0.005)


def test_windows_in_which_a_lead_was_not_recorded_are_not_compared(method: Method, tmp_path: Path) -> None:
    signal = heart(400).astype(np.float32)
    np.savez(tmp_path / "short.npz", signal=signal[:, :200], rate_hz=100, leads=STANDARD)
    signal[STANDARD.index("V2"), 200:] = np.nan
    np.savez(tmp_path / "long.npz", signal=signal, rate_hz=100, leads=STANDARD)
    short, long = (drawn_leads(method, read(tmp_path / f"{name}.npz"), ["I", "II"]) for name in ("short", "long"))
    (whole,), (part,) = ([one for one in drawn.errors() if one.lead == "V2"] for drawn in (short, long))
    assert part.rmse == pytest.approx(whole.rmse, rel=1e-4)
    assert part.inside == pytest.approx(whole.inside, abs=0.01)
    assert np.isnan(long.truth[STANDARD.index("V2"), 200:]).all()
    reconstruction_figure(long)


def test_a_one_lead_record_is_drawn_whole(method: Method, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", signal=heart(200)[:1].astype(np.float32), rate_hz=100, leads=["I"])
    drawn = drawn_leads(method, read(tmp_path / "one.npz"))
    assert drawn.kept == drawn.recorded == ("I",)
    assert np.isfinite(drawn.mean).all()
    assert drawn.errors() == []


def test_wrong_leads_and_methods_are_refused(method: Method, file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown lead 'V99'"):
        drawn_leads(method, read(file), ["V99"])
    with pytest.raises(DataError, match="lead V4R is not there"):
        drawn_leads(method, read(file), ["I", "V4R"])
    with pytest.raises(ConfigError, match="supervised cannot draw absent leads"):
        drawn_leads(create_method("supervised", "tiny"), read(file))
    np.savez(tmp_path / "v4r.npz", signal=heart(200)[:1].astype(np.float32), rate_hz=100, leads=["V4R"])
    with pytest.raises(DataError, match="none of the leads"):
        drawn_leads(method, read(tmp_path / "v4r.npz"))
    signal = heart(200)[:2].astype(np.float32)
    signal[0, 20:] = np.nan
    np.savez(tmp_path / "gone.npz", signal=signal, rate_hz=100, leads=["I", "II"])
    with pytest.raises(DataError, match="has a usable sample"):
        drawn_leads(method, read(tmp_path / "gone.npz"), ["I"])


def test_the_figure_has_a_panel_per_lead_and_says_what_it_is_for(method: Method, file: Path) -> None:
    drawn = drawn_leads(method, read(file), list(LIMB))
    figure = reconstruction_figure(drawn)
    assert len(figure.axes) == 12
    bands = {axes.texts[0].get_text(): len(axes.collections) for axes in figure.axes}
    assert all(bands[name] == bands["I"] + (name not in LIMB) for name in STANDARD), "a band where a lead was drawn"
    assert len({axes.get_ylim() for axes in figure.axes}) == 1, "one scale"
    assert any("Research use" in text.get_text() for text in figure.texts)


def test_the_verb(method: Method, file: Path, tmp_path: Path) -> None:
    save_method(method, tmp_path / "weights")
    assert load_method(tmp_path / "weights").config == method.config
    arguments = ["reconstruct", str(file), "--weights", str(tmp_path / "weights"), "--keep", "I,II,V2"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "figure.svg")])
    assert result.exit_code == 0, result.output
    assert "correlation" in result.output
    assert "Research use, not a diagnosis." in result.output
    assert "V6" in result.output
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    wrong = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "figure.docx")])
    assert isinstance(wrong.exception, ConfigError)
    assert not (tmp_path / "figure.docx").exists()
