"""What a recording has besides the heart: electrodes put down by hand, wandering baseline, mains, muscle, motion.

Noise is added to I, II and V1-V6, the leads a cart measures; the other limb leads inherit it through Einthoven and
Goldberger, as they do in life.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from auricle.simulate.rhythm import Rhythm
from auricle.simulate.streams import Draws, Floats, Stream, Streams

MEASURED: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
# Sources: breathing, two slow drifts, mains in sine and cosine, two fibrillation waves; then two motion artefacts.
_WAVES: Final = 7
_MOTIONS: Final = 2
_MOTION_SHARE: Final = 0.4  # of records
_MAINS_HZ: Final = (50.0, 60.0)
# Typical sizes in mV (medians of log-normal spreads over records), as seen on unfiltered carts.
_WANDER_MV, _MAINS_MV, _MUSCLE_MV, _MOTION_MV = 0.055, 0.003, 0.008, 0.18
_SPREAD: Final = 0.5
_F_WAVE_MV: Final = (0.02, 0.08)
_F_WAVE_HZ: Final = (4.5, 8.0)
_F_WAVE_LEADS: Final = np.array([0.25, 0.5, 1.0, 0.6, 0.35, 0.25, 0.2, 0.2])
# Smooths white noise to what surface muscle leaves at 500 Hz: little below 15 Hz, most between 40 and 150.
_MUSCLE_TAPS: Final = (-0.5, 0.2, 0.8, 0.2, -0.5)
_AMPLITUDE_BREATHES: Final = 0.04
_CHEST_SHIFT, _CHEST_GAIN, _RECORD_GAIN = 0.22, 0.06, 0.05


@dataclass(frozen=True, slots=True)
class Noise:
    """Parameters of everything but the heart, per record.

    Attributes:
        frequency_hz, phase: (record, source) of the sinusoidal sources.
        bend: (record, source) depth of a slow frequency modulation in radians (fibrillation waves wander).
        weight_mv: (record, measured lead, source) of sinusoids and motions.
        motion_s, motion_width_s: (record, motion) when and how long.
        muscle_mv: (record, measured lead) standard deviation.
        breathing: (record, 2) frequency in Hz and phase, which also modulates the amplitude of the beats.
    """

    frequency_hz: Floats
    phase: Floats
    bend: Floats
    weight_mv: Floats
    motion_s: Floats
    motion_width_s: Floats
    muscle_mv: Floats
    breathing: Floats


def electrodes(streams: Streams, draws: Draws) -> Floats:
    """(record, measured lead, axis) what each lead sees: the frontal plane, and chest electrodes put down by hand.

    A chest electrode lies up to about half a space off towards its neighbour and sees a mixture of both; each has a
    gain of its own (chest wall, height), and the record one more (calibration).
    """
    normals = streams.normals(Stream.ELECTRODES, 12)
    n = len(normals)
    view = np.zeros((n, len(MEASURED), len(MEASURED)))
    view[:, 0, 0] = 1
    view[:, 1, 0], view[:, 1, 1] = 0.5, math.sqrt(3) / 2
    for lead in range(6):
        off = np.clip(_CHEST_SHIFT * normals[:, lead], -0.5, 0.5)
        row, below, above = 2 + lead, max(lead - 1, 0), min(lead + 1, 5)
        view[:, row, row] += 1 - np.abs(off)
        view[:, row, 2 + below] += np.maximum(-off, 0)
        view[:, row, 2 + above] += np.maximum(off, 0)
        view[:, row] *= np.exp(_CHEST_GAIN * normals[:, 6 + lead])[:, None]
    return np.asarray(view * np.exp(_RECORD_GAIN * draws.normal["gain"])[:, None, None])


def choose(streams: Streams, draws: Draws, rhythm: Rhythm, seconds: float) -> Noise:
    """Draw the noise of each record.

    Args:
        streams: chance.
        draws: named draws of the records.
        rhythm: breathing and fibrillation of the records.
        seconds: their duration.
    """
    # Weights in mV of every source in every lead.
    n, leads = len(rhythm.mean_rr_s), len(MEASURED)
    n_sources = _WAVES + _MOTIONS
    normals = streams.normals(Stream.NOISE, leads * (n_sources + 1) + 3)
    uniforms = streams.uniforms(Stream.NOISE_SHAPE, _WAVES + 2 * _MOTIONS + 4)
    spread = np.exp(_SPREAD * np.clip(normals[:, -3:], -2.5, 2.5))
    weight = normals[:, : leads * n_sources].reshape(n, leads, n_sources)
    weight[:, :, :3] *= _WANDER_MV * spread[:, None, :1]
    weight[:, :, 3:5] *= _MAINS_MV * spread[:, None, 1:2]
    low, high = _F_WAVE_MV
    coarse = (low + (high - low) * draws.uniform["af_coarse"]) * rhythm.fibrillating
    weight[:, :, 5] = coarse[:, None] * _F_WAVE_LEADS
    weight[:, :, 6] *= 0.3 * coarse[:, None] * _F_WAVE_LEADS
    # Motion concerns the few leads whose electrode moved: only large draws of the weights remain.
    moved = (uniforms[:, -1:] < _MOTION_SHARE)[:, None] * (np.abs(weight[:, :, _WAVES:]) > 1.2)
    weight[:, :, _WAVES:] *= _MOTION_MV * moved
    # Frequencies and phases of the sources, then motions, muscle and breathing.
    mains = np.where(uniforms[:, -2] < 0.5, *_MAINS_HZ)
    f_wave = _F_WAVE_HZ[0] + (_F_WAVE_HZ[1] - _F_WAVE_HZ[0]) * draws.uniform["af_frequency"]
    drift = 0.05 + 0.35 * uniforms[:, -4:-2]
    frequency = np.column_stack([rhythm.respiration_hz, drift, mains, mains, f_wave, 1.37 * f_wave])
    phase = 2 * np.pi * uniforms[:, :_WAVES]
    phase[:, 0], phase[:, 4] = rhythm.respiration_phase, phase[:, 3] + np.pi / 2
    bend = np.zeros((n, _WAVES))
    bend[:, 5:] = 2.5
    start = uniforms[:, _WAVES : _WAVES + _MOTIONS] * seconds
    width = 0.15 + 0.6 * uniforms[:, _WAVES + _MOTIONS : _WAVES + 2 * _MOTIONS]
    muscle = _MUSCLE_MV * spread[:, 2:3] * np.exp(0.3 * normals[:, leads * n_sources : leads * (n_sources + 1)])
    breathing = np.column_stack([rhythm.respiration_hz, rhythm.respiration_phase])
    return Noise(frequency, phase, bend, weight, start, width, muscle, breathing)


def add(signal: Tensor, noise: Noise, white: Tensor, rate_hz: float) -> Tensor:
    """(record, measured lead, time) signal with amplitudes that follow breathing, and the noise, in mV.

    Args:
        signal: (record, measured lead, time) mV, without noise.
        noise: parameters of these records.
        white: (record, measured lead, time + taps - 1) white integers over the int16 range.
        rate_hz: samples per second.
    """

    def tensor(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=signal.device)

    # All sources of a record as rows, (record, source, time): waves, then motions.
    time = torch.arange(signal.shape[2], device=signal.device) / rate_hz
    slow = torch.sin(2 * math.pi * 0.3 * time)
    n, _, n_samples = signal.shape
    sources = torch.empty((n, _WAVES + _MOTIONS, n_samples), device=signal.device)
    waves, motion = sources[:, :_WAVES], sources[:, _WAVES:]
    torch.mul(tensor(2 * math.pi * noise.frequency_hz)[:, :, None], time, out=waves)
    waves += tensor(noise.phase)[:, :, None]
    fibrillating = waves[:, -2:]  # the only sources whose frequency wanders
    fibrillating.addcmul_(tensor(noise.bend)[:, -2:, None], slow)
    waves.sin_()
    torch.sub(time, tensor(noise.motion_s)[:, :, None], out=motion)
    motion.div_(tensor(noise.motion_width_s)[:, :, None]).square_().neg_().exp_()
    # Amplitudes that breathe, the weighted sources, and muscle.
    breath = tensor(noise.breathing)[:, :, None]
    gain = 1 + _AMPLITUDE_BREATHES * torch.sin(2 * math.pi * breath[:, :1] * time + breath[:, 1:])
    heart = torch.baddbmm(signal * gain, tensor(noise.weight_mv), sources)
    heart += _muscle(white, tensor(noise.muscle_mv))
    return heart


def n_white(n_samples: int) -> int:
    """White integers needed per lead for `n_samples`."""
    return n_samples + len(_MUSCLE_TAPS) - 1


def _muscle(white: Tensor, size_mv: Tensor) -> Tensor:
    """Filtered white noise of the wanted standard deviation; five uniforms together are normal enough."""
    taps = torch.tensor(_MUSCLE_TAPS, device=white.device)
    one_mv = taps.norm() * 2**15 / math.sqrt(3)
    n_samples = white.shape[2] - len(_MUSCLE_TAPS) + 1
    even = white.float()
    filtered: Tensor = even[:, :, :n_samples] * taps[0]
    for offset in range(1, len(_MUSCLE_TAPS)):
        filtered.add_(even[:, :, offset : offset + n_samples], alpha=_MUSCLE_TAPS[offset])
    filtered.mul_((size_mv / one_mv)[:, :, None])
    return filtered
