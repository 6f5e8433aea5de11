"""Remarks about the recording itself, which a reader must know before any value: electrodes, rate, band and rhythm.

Swapped electrodes are told by their effect on the leads: with the arms exchanged P and QRS are upside down in lead I
but not in V6, which looks from the same side; in dextrocardia V6 agrees with lead I and R falls from V1 to V6; with an
arm and the right leg exchanged one limb lead lies between the two legs, which are at one potential, and is flat
(Batchvarov, Malik and Camm, Europace 2007;9:1081). Each remark is a hint for a person: research use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.leads import STANDARD
from auricle.measure.measurements import Remark
from auricle.measure.waves import Waves
from auricle.recording import Recording

Floats = NDArray[np.float64]

# Gravest first: what turns the values upside down, what makes them wrong, what makes them less sure.
_GRAVITY: Final = (
    "arms_swapped", "dextrocardia", "leg_electrode_swapped", "saturated", "poor_contact", "artefact", "rate_doubtful",
    "paced", "rate_too_low", "band_too_narrow", "few_leads", "few_beats", "pause", "irregular",
)  # fmt: skip
_LEAST_KNOWN, _LEAST_KNOWN_S = 0.5, 1.5
_FLAT_MV: Final = 0.03
_NOISY_MV: Final = 0.15
_NOISY_SHARE: Final = 0.35
_CLIPPED_S: Final = 0.02
_CLIPPED_EPISODES: Final = 2
# A limit lies away from where a lead rests: so much of its range. Nearer, it is the last step of a silent baseline.
_CLIPPED_AWAY: Final = 0.25
# No heart is seen so large at the skin. A pacemaker's spike may be, but not for so long.
_NO_HEART_MV, _NO_HEART_S = 10.0, 0.04
_SLOW_HZ: Final = 250.0
_LOW_PASS_HZ: Final = 150.0
_FEW_BEATS: Final = 4
_FEW_LEADS: Final = 8
_IRREGULAR: Final = 0.1
# An interval departs from its neighbours by more than this share of them, one in so many: beats too early or dropped.
_DEPARTS, _DEPARTING = 0.2, 0.1
# A pause: so many times as long as usual where the others are alike, or beyond 2 s and longer than usual.
_PAUSE, _PAUSE_MS, _PAUSE_STANDS_OUT, _ALIKE = 1.8, 2000.0, 1.3, 0.25
_RATE_DOUBTFUL: Final = 0.1
_LEAST_P_AREA: Final = 1.0  # mV ms: a P wave of 25 uV over 80 ms


def by_gravity(remarks: Sequence[Remark]) -> tuple[Remark, ...]:
    """Remarks in the order of how much they change the values, the gravest first."""
    return tuple(sorted(remarks, key=lambda remark: _GRAVITY.index(remark.code)))


def usable(recording: Recording) -> NDArray[np.bool_]:
    """(lead,) whether a lead has samples for long enough, a beat or two of a column of a sheet, and is not flat."""
    known = np.isfinite(recording.signal)
    least = min(_LEAST_KNOWN * known.shape[1], _LEAST_KNOWN_S * recording.rate_hz)
    recorded = known.sum(axis=1) >= max(1.0, least)
    low, high = np.full(len(recorded), np.nan), np.full(len(recorded), np.nan)
    for row in np.flatnonzero(recorded):
        low[row], high[row] = np.min(recording.signal[row][known[row]]), np.max(recording.signal[row][known[row]])
    limit = _FLAT_MV if recording.amplitude_known else 1e-6
    return np.asarray(recorded & (np.nan_to_num(high - low) > limit))


def of_recording(recording: Recording, keep: NDArray[np.bool_]) -> list[Remark]:
    """Remarks that need no beat: contact, saturation, rate, band, number of leads.

    Args:
        recording: the recording.
        keep: (lead,) leads that are measured, as `usable` gives them.
    """
    remarks = []
    limb = {name for name in recording.leads[:6] if not name.startswith("V")}
    measured = [name for name, good in zip(recording.leads, keep, strict=True) if good]
    independent = sum(name.startswith("V") for name in measured) + min(2, len(limb & set(measured)))
    remarks += of_contact(recording, keep)
    if recording.original_hz <= _SLOW_HZ:
        remarks.append(Remark("rate_too_low", (), {"recorded_hz": recording.original_hz}))
    low_pass = recording.cart_band_hz[1] if recording.cart_band_hz else np.inf
    if low_pass < _LOW_PASS_HZ:
        remarks.append(Remark("band_too_narrow", (), {"low_pass_hz": low_pass}))
    if independent < _FEW_LEADS:
        absent = tuple(name for name in STANDARD if name not in measured)
        remarks.append(Remark("few_leads", absent, {"leads": float(len(measured))}))
    return remarks


def of_contact(recording: Recording, keep: NDArray[np.bool_]) -> list[Remark]:
    """Remarks about leads at the limit of the amplifier, leads that are not measured, and what no heart makes.

    Args:
        recording: the recording.
        keep: (lead,) leads that are measured, as `usable` gives them.
    """
    remarks = []
    clipped = [name for name, row in zip(recording.leads, recording.signal, strict=True)
               if _clipped(row, recording.rate_hz)]  # fmt: skip
    if clipped:
        remarks.append(Remark("saturated", tuple(clipped)))
    if not keep.all():
        share = float(np.isnan(recording.signal[~keep]).sum() / max(1, recording.signal[~keep].size))
        lost = tuple(name for name, good in zip(recording.leads, keep, strict=True) if not good)
        remarks.append(Remark("poor_contact", lost, {"missing_fraction": share}))
    return remarks + of_artefacts(recording)


def of_artefacts(recording: Recording) -> list[Remark]:
    """Leads that for a while are further from where they rest than a heart can take them; none of unknown amplitude."""
    if not recording.amplitude_known:
        return []
    far_mv = {}
    for name, row in zip(recording.leads, recording.signal, strict=True):
        known = row[np.isfinite(row)]
        away = np.abs(known - np.median(known)) if len(known) else known
        if (away > _NO_HEART_MV).sum() > _NO_HEART_S * recording.rate_hz:
            far_mv[name] = float(away.max())
    return [Remark("artefact", tuple(far_mv), {"largest_mv": max(far_mv.values())})] if far_mv else []


def of_noise(leads: Sequence[str], scatter_mv: Floats, height_mv: Floats) -> list[Remark]:
    """Leads whose single beats scatter more than a measurement allows.

    Args:
        leads: names.
        scatter_mv: (lead,) scatter of one beat around the median where the heart is silent.
        height_mv: (lead,) range of QRS in the median beat.
    """
    noisy = (scatter_mv > _NOISY_MV) | ((scatter_mv > _NOISY_SHARE * height_mv) & (scatter_mv > 0.3 * _NOISY_MV))
    names = tuple(name for name, bad in zip(leads, noisy, strict=True) if bad)
    return [Remark("poor_contact", names, {"noise_mv": float(scatter_mv[noisy].max())})] if names else []


def of_rhythm(rr_ms: Floats, n_used: int, unclear: float = 0.0) -> list[Remark]:
    """Few beats, a doubtful rate, a pause, or intervals that jump from beat to beat (breathing moves them smoothly).

    Args:
        rr_ms: (interval,) the known RR intervals in order.
        n_used: beats in the median beat.
        unclear: share of places that may be beats or not.
    """
    remarks = []
    if n_used < _FEW_BEATS:
        remarks.append(Remark("few_beats", (), {"beats": float(n_used)}))
    if not len(rr_ms):
        return remarks
    usual, longest = float(np.median(rr_ms)), float(rr_ms.max())
    if unclear > _RATE_DOUBTFUL:
        remarks.append(Remark("rate_doubtful", (), {"unclear_share": unclear}))
    quarters = np.quantile(rr_ms, [0.25, 0.75])
    alike = float(quarters[1] - quarters[0]) < _ALIKE * usual
    stands_out = longest > _PAUSE * usual and alike
    if len(rr_ms) > 1 and (stands_out or (longest > _PAUSE_MS and longest > _PAUSE_STANDS_OUT * usual)):
        remarks.append(Remark("pause", (), {"longest_rr_ms": longest, "usual_rr_ms": usual}))
    if len(rr_ms) >= _FEW_BEATS:
        jump = float(np.median(np.abs(np.diff(rr_ms))) / usual)
        width = min(5, len(rr_ms))
        first = np.clip(np.arange(len(rr_ms)) - width // 2, 0, len(rr_ms) - width)
        local = np.median(rr_ms[first[:, None] + np.arange(width)], axis=1)
        departing = float((np.abs(rr_ms - local) > _DEPARTS * local).mean())
        if jump > _IRREGULAR or departing > _DEPARTING or stands_out:
            detail = {"jump_share": jump, "departing_share": departing, "longest_rr_ms": longest}
            remarks.append(Remark("irregular", (), detail))
    return remarks


def of_electrodes(waves: Waves, leads: Sequence[str], qrs: Floats, range_mv: Floats) -> list[Remark]:
    """Electrodes in the wrong place, or a heart on the right.

    Args:
        waves: amplitudes and areas, in mV.
        leads: names.
        qrs: (lead, time) the median beat between QRS onset and offset, from its level.
        range_mv: (lead,) range of the whole median beat; a QRS alone may be flat across its axis.
    """
    row = {name: number for number, name in enumerate(leads)}
    remarks = []
    flat = _flat_limb_lead(row, range_mv)
    if flat:
        remarks.append(Remark("leg_electrode_swapped", (flat,), {"range_mv": float(range_mv[row[flat]])}))
    chest = [name for name in ("V1", "V2", "V3", "V4", "V5", "V6") if name in row]
    if "I" not in row or "V6" not in row or len(chest) < 4 or flat == "I":
        return remarks
    # Lead I upside down: either the arms or the heart, which R over the chest leads and V6 decide.
    p_area, qrs_area = waves.area[0, row["I"]], waves.area[1, row["I"]]
    if not (p_area < -_LEAST_P_AREA and qrs_area < 0):
        return remarks
    r = waves.amplitude_mv[1, [row[name] for name in chest]]
    falls = float(np.corrcoef(np.arange(len(r)), r)[0, 1]) if np.ptp(r) > 0 else 0.0
    like = _likeness(qrs[row["I"]], qrs[row["V6"]])
    detail = {"p_area_i": float(p_area), "qrs_area_i": float(qrs_area), "likeness_i_v6": like}
    if falls < -0.5 and r[-1] < 0.5 * r.max():
        remarks.append(Remark("dextrocardia", (), detail | {"r_v6_share": float(r[-1] / max(r.max(), 1e-9))}))
    elif like < 0:
        remarks.append(Remark("arms_swapped", ("I", "II", "III", "aVR", "aVL"), detail))
    return remarks


def _flat_limb_lead(row: dict[str, int], height: Floats) -> str:
    """The one of I, II and III that is flat while the other two are not; empty if there is none."""
    if not {"I", "II", "III"} <= row.keys():
        return ""
    size = {name: float(height[row[name]]) for name in ("I", "II", "III")}
    smallest = min(size, key=lambda name: size[name])
    others = min(value for name, value in size.items() if name != smallest)
    return smallest if size[smallest] < min(0.1, 0.12 * others) else ""


def _likeness(one: Floats, other: Floats) -> float:
    """Cosine of two traces (time,), in [-1, 1]; 0 where one of them is zero throughout."""
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / size) if size > 0 else 0.0


def _clipped(trace: NDArray[np.float32], rate_hz: float) -> bool:
    """Whether a lead stays at its own extreme again and again: an amplifier at its limit, not the top of a wave."""
    known = trace[np.isfinite(trace)]
    least = max(3, round(_CLIPPED_S * rate_hz))
    if len(known) < 2 * least:
        return False
    away = _CLIPPED_AWAY * float(np.ptp(known))
    for extreme in (known.max(), known.min()):
        if abs(float(extreme - np.median(known))) < away:
            continue
        places = np.flatnonzero(known == extreme)
        if len(places) < _CLIPPED_EPISODES * least or len(places) > 0.5 * len(known):
            continue
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        if sum(len(run) >= least for run in runs) >= _CLIPPED_EPISODES:
            return True
    return False
