"""The six limb leads carry two signals: what is missing in one follows from two others, and what contradicts is found.

Einthoven: I + III = II. Goldberger: aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. Any two limb leads give
the other four, exactly. Where more than two were recorded, each pair is a witness: leads that most pairs agree with are
believed, and one that contradicts them (exchanged, inverted, on another scale, or wrong for a moment) is derived from
them instead. Where no majority can be had, nothing is guessed.

Sources: Einthoven, Lancet 1912;179:853; Goldberger, Am Heart J 1942;23:483. The vote is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.leads import IN_I_AND_II

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The note of a recording of whose limb leads none is believed.
UNDECIDED: Final = (
    "the limb leads contradict each other and it cannot be told which is right: all are treated as missing"
)
# Leads are compared in windows of this length, which hold a QRS at most rates, by the range of what is between them, so
# that an offset does not count.
_WINDOW_S: Final = 1.0
# They contradict from this on: in millivolts, and as a share of the range of the lead. Rounding and the filters of
# carts stay far below it (benchmarks/acceptance.py).
_LEAST_MV: Final = 0.06
_LEAST_SHARE: Final = 0.15
# A lead that contradicts for this share of the time is wrong as a whole, and not for a moment.
_MOSTLY: Final = 0.5
_BESIDE_S: Final = 0.02
# Two leads always agree with what they say themselves: a third must bear them out.
_FEWEST_WITNESSES: Final = 3
# So many leads, of so little outside of one plane, are the limb leads of one heart on scales of their own.
_ENOUGH_FOR_SCALES: Final = 5
_FLAT_PLANE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Settled:
    """Leads after the vote.

    Attributes:
        signal: (lead, time) with contradicting samples of limb leads derived from the others, or NaN.
        notes: what was found, a sentence each.
        comparable: false where the leads are on scales of their own, so that no amplitude can be trusted.
    """

    signal: NDArray[np.float32]
    notes: tuple[str, ...] = ()
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class _Ballot:
    """What pairs of limb leads say of the others, window by window.

    Attributes:
        pairs: rows of each pair.
        apart: (pair, lead, window) whether a lead contradicts the pair; false where that is not known.
        known: (pair, lead, window) whether it could be asked.
    """

    pairs: tuple[tuple[int, int], ...]
    apart: Mask
    known: Mask

    def agrees(self, share: float, windows: slice | int = slice(None)) -> Mask:
        """(pair, lead) whether a lead contradicts a pair for less than a share of the windows; a pair agrees itself."""
        asked = self.known[:, :, windows].reshape(*self.known.shape[:2], -1).sum(axis=2)
        apart = self.apart[:, :, windows].reshape(*self.known.shape[:2], -1).sum(axis=2)
        result = (asked > 0) & (apart < share * np.maximum(asked, 1))
        for number, pair in enumerate(self.pairs):
            result[number, list(pair)] = True
        return np.asarray(result)


def settle(signal: NDArray[np.float32], leads: Sequence[str], rate_hz: float) -> Settled:
    """Find limb leads that contradict each other, and derive or set aside what is wrong.

    Args:
        signal: (lead, time) mV, NaN where missing.
        leads: canonical names, one per row.
        rate_hz: samples per second.
    """
    # I and II first: of two pairs with as many followers the first is believed.
    names = [name for name in IN_I_AND_II if name in leads]
    rows = [leads.index(name) for name in names]
    if len(names) < _FEWEST_WITNESSES:
        return Settled(signal)
    limb = signal[rows].astype(np.float64)
    width = min(max(2, round(_WINDOW_S * rate_hz)), limb.shape[1])
    pairs = tuple(combinations(range(len(names)), 2))
    if not _asked(limb, names, pairs[:1], width).apart.any():
        return Settled(signal)
    # Leads that are wrong as a whole.
    votes = _asked(limb, names, pairs, width).agrees(_MOSTLY)
    best = int(np.argmax(votes.sum(axis=1)))
    believed = votes[best]
    if not _trusted(limb, names, pairs[best], believed):
        return _undecided(signal, rows, limb)
    limb[~believed] = np.nan
    wrong = [name for name, right in zip(names, believed.tolist(), strict=True) if not right]
    notes = [f"{_listed(wrong)} the other limb leads (Einthoven, Goldberger): derived from them"] if wrong else []
    # Leads that are wrong for a moment.
    moments = _moments(limb, names, _asked(limb, names, pairs, width), width, max(1, round(_BESIDE_S * rate_hz)))
    limb[moments] = np.nan
    if moments.any():
        seconds = moments.any(axis=0).sum() / rate_hz
        names_of = [name for name, any_of in zip(names, np.asarray(moments.any(axis=1)), strict=True) if any_of]
        notes.append(
            f"{_listed(names_of)} the other limb leads (Einthoven, Goldberger) for {max(seconds, 0.01):.2g} s in all: "
            "derived from them there, or missing where it cannot be told which is wrong"
        )
    if not notes:
        return Settled(signal)  # apart in a window here and there, as steps of a coarse converter are
    result = signal.copy()
    result[rows] = filled(limb, names)
    return Settled(result, tuple(notes))


def _trusted(limb: Floats, names: Sequence[str], pair: tuple[int, int], believed: Mask) -> bool:
    """Whether the leads that a pair stands for are to be believed against the others.

    They are if they are most of the leads, and not less than three. With half of them, only if one factor explains all
    others, as where augmented leads were not augmented (or twice).
    """
    if believed.sum() < _FEWEST_WITNESSES or 2 * believed.sum() < len(names):
        return False
    if 2 * believed.sum() > len(names):
        return True
    said, other = (_centred(values[~believed]) for values in (_said(limb, names, pair), limb))
    factor = float((said * other).sum() / max(float((said**2).sum()), 1e-12))
    return bool(np.linalg.norm(other - factor * said) < _LEAST_SHARE * np.linalg.norm(other))


def _centred(traces: Floats) -> Floats:
    """(lead, time) traces about their medians, zero where missing."""
    known = np.isfinite(traces).any(axis=1)
    result = np.zeros_like(traces)
    result[known] = np.nan_to_num(traces[known] - np.nanmedian(traces[known], axis=1, keepdims=True))
    return result


def filled(limb: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.float32]:
    """(lead, time) limb leads whose missing samples follow from two others, wherever two others are known."""
    result = limb.astype(np.float32)
    for row, name in enumerate(names):
        for first, second in combinations([other for other in range(len(names)) if other != row], 2):
            gap = ~np.isfinite(result[row])
            if not gap.any():
                break
            one, two = _weights(name, names[first], names[second])
            result[row, gap] = one * limb[first, gap] + two * limb[second, gap]
    return result


def _asked(limb: Floats, names: Sequence[str], pairs: Sequence[tuple[int, int]], width: int) -> _Ballot:
    """Ask pairs of leads about all leads, in windows of `width` samples; the last one takes what is left."""
    bounds = np.arange(max(1, limb.shape[1] // width)) * width
    apart = np.zeros((len(pairs), len(names), len(bounds)), dtype=bool)
    known = np.zeros_like(apart)
    own = _range(limb, bounds)
    for number, pair in enumerate(pairs):
        said = _said(limb, names, pair)
        spread = _range(limb - said, bounds)
        known[number] = np.isfinite(spread)
        apart[number] = known[number] & (spread > np.fmax(_LEAST_MV, _LEAST_SHARE * np.fmax(own, _range(said, bounds))))
    return _Ballot(tuple(pairs), apart, known)


def _moments(limb: Floats, names: Sequence[str], ballot: _Ballot, width: int, beside: int) -> Mask:
    """(lead, time) samples at which a lead contradicts most of the others, or all where it cannot be told which."""
    found = np.zeros(limb.shape, dtype=bool)
    n_windows = ballot.apart.shape[2]
    for window in np.flatnonzero(ballot.apart.any(axis=(0, 1))).tolist():
        here = slice(window * width, limb.shape[1] if window == n_windows - 1 else (window + 1) * width)
        there: Mask = np.asarray(np.isfinite(limb[:, here]).any(axis=1))
        votes = ballot.agrees(_MOSTLY, window) & there
        best = int(np.argmax(votes.sum(axis=1)))
        said = _said(limb[:, here], names, ballot.pairs[best])
        error = np.abs(_centred(limb[:, here] - said))
        reach = np.nan_to_num(_range(said, np.array([0])))
        at = error > np.fmax(_LEAST_MV, _LEAST_SHARE * reach) / 2
        tied = votes[best].sum() < _FEWEST_WITNESSES
        for row in np.flatnonzero(there if tied else there & ~votes[best]).tolist():
            places = np.flatnonzero(at.any(axis=0) if tied else at[row]) + here.start
            for place in places.tolist():
                found[row, max(0, place - beside) : place + beside + 1] = True
    return found & np.isfinite(limb)


def _undecided(signal: NDArray[np.float32], rows: list[int], limb: Floats) -> Settled:
    """No three limb leads agree: each on a scale of its own (no amplitude is trusted), or set aside."""
    known = limb[:, np.isfinite(limb).all(axis=0)]
    if len(rows) >= _ENOUGH_FOR_SCALES and known.shape[1] > 2:
        known = _centred(known)
        size = np.linalg.svd(known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-9), compute_uv=False)
        if size[2] < _FLAT_PLANE * size[1]:
            note = "no three limb leads agree, as if each had a gain of its own: amplitudes are treated as unknown"
            return Settled(signal, (note,), comparable=False)
    result = signal.copy()
    result[rows] = np.nan
    return Settled(result, (UNDECIDED,))


def _said(limb: Floats, names: Sequence[str], pair: tuple[int, int]) -> Floats:
    """(lead, time) what two of the leads say of all."""
    weights = np.array([_weights(name, names[pair[0]], names[pair[1]]) for name in names])
    return np.asarray(weights @ limb[list(pair)])


@lru_cache(maxsize=128)
def _weights(name: str, first: str, second: str) -> tuple[float, float]:
    """How much of either of two limb leads makes a third."""
    matrix = np.array([IN_I_AND_II[first], IN_I_AND_II[second]]).T
    one, two = np.linalg.solve(matrix, np.array(IN_I_AND_II[name])).tolist()
    return one, two


def _range(traces: Floats, bounds: NDArray[np.int64]) -> Floats:
    """(lead, window) range of traces (lead, time) in the windows that begin at `bounds`, NaN where nothing is known."""
    high, low = np.fmax.reduceat(traces, bounds, axis=1), np.fmin.reduceat(traces, bounds, axis=1)
    return np.asarray(high - low)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names)} contradict{'s' if len(names) == 1 else ''}"
