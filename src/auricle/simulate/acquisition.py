"""What happens between skin and file: swapped electrodes, loose contacts, the cart's filters, its limits and its steps.

All of it acts on the leads a cart measures (I, II, V1-V6), so the others keep Einthoven's and Goldberger's laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.errors import UnknownNameError
from auricle.leads import LIMB, STANDARD
from auricle.signal.preprocess import high_pass
from auricle.signal.resample import resample
from auricle.simulate.streams import Floats, Stream, Streams

Quality = Literal["clean", "usual", "hard"]
QUALITIES: Final[tuple[Quality, ...]] = ("clean", "usual", "hard")
# Share of records with each fault, by quality.
_SHARES: Final[Mapping[str, tuple[float, float, float]]] = {
    "swapped": (0.0, 0.015, 0.05),
    "pops": (0.0, 0.06, 0.3),
    "loose": (0.0, 0.02, 0.1),
    "saturated": (0.0, 0.01, 0.05),
    "filtered": (0.0, 0.55, 0.75),
    "few_leads": (0.0, 0.02, 0.15),
}
# Carts as they are set: high-pass and low-pass in Hz, none being the full band of the standard.
CART_BANDS_HZ: Final = ((0.05, 150.0), (0.5, 150.0), (0.05, 100.0), (0.5, 100.0), (0.5, 40.0), (0.05, 40.0))
_MONITOR_SHARE: Final = 0.3  # of the filtered, those cut at 40 Hz
_STEPS_MV: Final = (0.001, 0.00244, 0.005)
_LIMITS_MV: Final = (2.5, 5.0)
_POP_MV, _POP_DECAY_S = 0.8, 0.05
_N_POPS: Final = 3
# Electrode swaps as matrices on (I, II): both arms; right arm and right leg; left arm and left leg.
SWAPS: Final[Mapping[str, tuple[tuple[float, float], tuple[float, float]]]] = {
    "arms": ((-1.0, 0.0), (-1.0, 1.0)),
    "right_arm_leg": ((1.0, -1.0), (0.0, 0.0)),
    "left_arm_leg": ((0.0, 1.0), (1.0, 0.0)),
}
_SWAP_BOUNDS: Final = (0.6, 0.85)
# Standard electrodes over a heart in mirror image: V1 and V2 change places, the others lie farther and farther from it.
_MIRRORED_CHEST: Final = np.array(
    [[0, 1, 0], [1, 0, 0], [0.75, 0, 0], [0.55, 0, -0.05], [0.4, 0, -0.08], [0.3, 0, -0.1]]
)
# Leads kept on a nine-lead record of small children and on a limb-lead record.
_NINE: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V3", "V5")


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How each record was taken; sizes in mV, times in seconds.

    Attributes:
        swap: (record,) name in SWAPS, "" without.
        band: (record,) index into CART_BANDS_HZ; 0 is unfiltered.
        limit_mv: (record,) where the amplifier ends, infinity without.
        step_mv: (record,) the cart's quantum.
        pop_s, pop_mv: (record, pop) when and how high; 0 mV where none.
        pop_lead: (record, pop) on which measured lead.
        loose: (record,) the measured lead whose contact is lost for the second half, -1 without.
        n_leads: (record,) 12, 9 or 6.
    """

    swap: NDArray[np.str_]
    band: NDArray[np.int64]
    limit_mv: Floats
    step_mv: Floats
    pop_s: Floats
    pop_mv: Floats
    pop_lead: NDArray[np.int64]
    loose: NDArray[np.int64]
    n_leads: NDArray[np.int64]

    def facts(self, row: int) -> dict[str, str | float]:
        """Band, step and faults of the recording of one record, by name."""
        low, high = CART_BANDS_HZ[self.band[row]]
        found: dict[str, str | float] = {
            "cart_high_pass_hz": low,
            "cart_low_pass_hz": high,
            "step_mv": self.step_mv[row],
        }
        found |= {"swapped": str(self.swap[row])} if self.swap[row] else {}
        found |= {"limit_mv": float(self.limit_mv[row])} if np.isfinite(self.limit_mv[row]) else {}
        found |= {"pops": float((self.pop_mv[row] != 0).sum())} if self.pop_mv[row].any() else {}
        return found | ({"loose_lead": float(self.loose[row])} if self.loose[row] >= 0 else {})

    def kept(self, row: int) -> tuple[str, ...]:
        """Names of the leads that one record keeps."""
        return {12: STANDARD, 9: _NINE, 6: LIMB}[int(self.n_leads[row])]


def choose(streams: Streams, quality: str, seconds: float) -> Acquisition:
    """Draw how each record is taken.

    Args:
        streams: chance.
        quality: "clean", "usual" or "hard".
        seconds: duration of the records.

    Raises:
        UnknownNameError: another quality.
    """
    if quality not in QUALITIES:
        raise UnknownNameError("quality of recording", quality, QUALITIES)
    # Every record draws all its numbers, whatever happens to it, so that no fault changes another.
    column = QUALITIES.index(quality)
    chance = streams.uniforms(Stream.ACQUISITION, 16 + 3 * _N_POPS)
    n = len(chance)

    def happens(number: int, name: str) -> NDArray[np.bool_]:
        return np.asarray(chance[:, number] < _SHARES[name][column])

    names = np.array(tuple(SWAPS))
    swap = np.where(happens(0, "swapped"), names[np.searchsorted(_SWAP_BOUNDS, chance[:, 1])], "")
    monitor = chance[:, 3] < _MONITOR_SHARE
    band = np.where(monitor, 4 + np.floor(2 * chance[:, 4]), 1 + np.floor(3 * chance[:, 4])).astype(np.int64)
    pops = chance[:, 16:].reshape(n, 3, _N_POPS)
    popped = happens(5, "pops")[:, None] & (pops[:, 1] < 0.6)
    few = happens(9, "few_leads")
    return Acquisition(
        swap=swap,
        band=np.where(happens(2, "filtered"), band, 0),
        limit_mv=np.where(happens(7, "saturated"), np.take(_LIMITS_MV, (2 * chance[:, 8]).astype(np.int64)), np.inf),
        step_mv=np.take(_STEPS_MV, (3 * chance[:, 10]).astype(np.int64)) * (quality != "clean"),
        pop_s=pops[:, 0] * seconds,
        pop_mv=np.where(popped, _POP_MV * (4 * pops[:, 2] - 2), 0.0),
        pop_lead=(8 * ((pops[:, 0] * 97 + pops[:, 2] * 31) % 1)).astype(np.int64),
        loose=np.where(happens(6, "loose"), np.floor(8 * chance[:, 11]), -1).astype(np.int64),
        n_leads=np.where(few, np.where(chance[:, 12] < 0.6, 9, 6), 12),
    )


def turn(view: Floats, acquisition: Acquisition, mirrored: NDArray[np.bool_]) -> Floats:
    """(record, measured lead, axis) the electrodes after swaps, over a heart in mirror image where it is."""
    seen = view.copy()
    rows = np.flatnonzero(mirrored)
    seen[rows, 0] = -view[rows, 0]
    seen[rows, 1] = view[rows, 1] - view[rows, 0]
    chest = np.einsum("lk,rka->rla", _MIRRORED_CHEST, view[rows, 2:5])
    seen[rows, 2:] = chest
    for name, matrix in SWAPS.items():
        rows = np.flatnonzero(acquisition.swap == name)
        seen[rows, :2] = np.einsum("lk,rka->rla", np.array(matrix), seen[rows, :2])
    return seen


def take(signal: Tensor, acquisition: Acquisition, rate_hz: float) -> Tensor:
    """(record, measured lead, time) what the cart writes: contacts, band, limits, steps, in this order."""
    taken = _contacts(signal, acquisition, rate_hz)
    for number, (low, high) in enumerate(CART_BANDS_HZ):
        rows = np.flatnonzero(acquisition.band == number)
        if number and len(rows):
            taken[rows] = _band(taken[rows], low, high, rate_hz)
    for row in np.flatnonzero(np.isfinite(acquisition.limit_mv)):
        taken[row].clamp_(-acquisition.limit_mv[row], acquisition.limit_mv[row])
    if (acquisition.step_mv > 0).all():
        step = torch.as_tensor(acquisition.step_mv, dtype=torch.float32, device=signal.device)[:, None, None]
        taken.div_(step).round_().mul_(step)
    return taken


def _contacts(signal: Tensor, acquisition: Acquisition, rate_hz: float) -> Tensor:
    """The signal, changed in place, with pops of electrodes and loose contacts."""
    time = torch.arange(signal.shape[2], device=signal.device) / rate_hz
    for row, number in zip(*np.nonzero(acquisition.pop_mv), strict=True):
        since = time - acquisition.pop_s[row, number]
        pop = acquisition.pop_mv[row, number] * torch.exp(-since.clamp_min(0) / _POP_DECAY_S) * (since >= 0)
        signal[row, acquisition.pop_lead[row, number]] += pop
    for row in np.flatnonzero(acquisition.loose >= 0):
        signal[row, acquisition.loose[row], signal.shape[2] // 2 :] *= 0.02
    return signal


def _band(signal: Tensor, low_hz: float, high_hz: float, rate_hz: float) -> Tensor:
    """The signal through a cart's high-pass and low-pass; limits of the full band filter nothing."""
    inside = torch.ones((len(signal), signal.shape[2]), dtype=torch.bool, device=signal.device)
    passed = high_pass(signal, inside, rate_hz, low_hz) if low_hz > CART_BANDS_HZ[0][0] else signal
    open_above = high_hz >= CART_BANDS_HZ[0][1] or 2 * high_hz >= rate_hz
    return passed if open_above else resample(passed, inside, rate_hz, rate_hz, high_hz)[0]
