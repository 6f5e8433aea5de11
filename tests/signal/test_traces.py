"""What every reading of a trace needs, against the same done by a library or slowly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import find_peaks

from auricle.signal.traces import bridged, moving_average, peaks


@given(
    arrays(np.float64, st.integers(0, 80), elements=st.integers(-4, 9)),
    st.integers(-3, 6),
    st.integers(1, 12),
)
def test_peaks_are_those_of_scipy(row: np.ndarray, least: int, apart: int) -> None:
    """Small whole numbers make flat tops, flat ends and peaks of equal height."""
    wanted, _ = find_peaks(row, height=least, distance=apart)
    assert peaks(row, least, apart).tolist() == wanted.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_peaks_of_noise_are_those_of_scipy(seed: int) -> None:
    row = np.random.default_rng(seed).normal(size=2500)
    wanted, _ = find_peaks(row, height=0.5, distance=35)
    assert peaks(row, 0.5, 35).tolist() == wanted.tolist()


@given(arrays(np.float64, (2, 30), elements=st.integers(-9, 9)), st.integers(1, 9))
def test_moving_averages_are_means(rows: np.ndarray, width: int) -> None:
    held = np.pad(rows, ((0, 0), (width // 2, width - width // 2 - 1)), mode="edge")
    slowly = np.array([[row[at : at + width].mean() for at in range(30)] for row in held])
    assert np.allclose(moving_average(rows, width), slowly)


def test_gaps_are_bridged_by_lines() -> None:
    known = np.array([[True, False, False, True, False], [False] * 5])
    signal = np.array([[1.0, np.nan, np.nan, 4.0, np.nan], [np.nan] * 5])
    assert bridged(signal, known).tolist() == [[1, 2, 3, 4, 4], [0, 0, 0, 0, 0]]
