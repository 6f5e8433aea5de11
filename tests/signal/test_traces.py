"""What every reading of a trace needs, against the same done slowly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from auricle.signal.traces import bridged, moving_average


@given(arrays(np.float64, (2, 30), elements=st.integers(-9, 9)), st.integers(1, 9))
def test_moving_averages_are_means(rows: np.ndarray, width: int) -> None:
    held = np.pad(rows, ((0, 0), (width // 2, width - width // 2 - 1)), mode="edge")
    slowly = np.array([[row[at : at + width].mean() for at in range(30)] for row in held])
    assert np.allclose(moving_average(rows, width), slowly)


def test_gaps_are_bridged_by_lines() -> None:
    known = np.array([[True, False, False, True, False], [False] * 5])
    signal = np.array([[1.0, np.nan, np.nan, 4.0, np.nan], [np.nan] * 5])
    assert bridged(signal, known).tolist() == [[1, 2, 3, 4, 4], [0, 0, 0, 0, 0]]
