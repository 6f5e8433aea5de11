"""From recordings to a batch: crop, put leads on the model's axis, mask what is absent, wherever a batch is needed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from auricle import leads as lead_names
from auricle.batch import ECGBatch
from auricle.errors import DataError
from auricle.recording import Recording


def window_starts(n_samples: int, n_window: int) -> list[int]:
    """Where the windows of a recording begin: side by side, the last one flush with the end."""
    if n_samples <= n_window:
        return [0]
    starts = list(range(0, n_samples - n_window + 1, n_window))
    if starts[-1] + n_window < n_samples:
        starts.append(n_samples - n_window)
    return starts


def patient_number(recording: Recording) -> int:
    """A number equal for recordings of one person; a recording without a patient is a person of its own."""
    identity = recording.patient_id if recording.patient_id is not None else f"record:{recording.record_id}"
    return zlib.crc32(f"{recording.source}/{identity}".encode())


def collate(
    recordings: Sequence[Recording],
    leads: Sequence[str],
    n_samples: int,
    starts: Sequence[int] | None = None,
    beats: Sequence[NDArray[np.int64]] | None = None,
) -> ECGBatch:
    """Put recordings of one rate side by side.

    Args:
        recordings: all at the same rate.
        leads: the lead axis; what a recording lacks is masked, what it has beyond it is left out.
        n_samples: length of the time axis, at the recordings' rate; shorter ones are padded and masked.
        starts: first sample of each crop, by default 0.
        beats: R peaks of each whole recording, shifted into the crop.

    Raises:
        DataError: recordings of different rates, or one that has none of the leads.
    """
    rates = {recording.rate_hz for recording in recordings}
    if len(rates) != 1:
        raise DataError(f"one batch needs one sampling rate, not {sorted(rates)}")
    starts = [0] * len(recordings) if starts is None else starts
    signal = np.zeros((len(recordings), len(leads), n_samples), dtype=np.float32)
    lead_mask = np.zeros(signal.shape[:2], dtype=bool)
    time_mask = np.zeros((len(recordings), n_samples), dtype=bool)
    for row, (recording, start) in enumerate(zip(recordings, starts, strict=True)):
        crop = recording.signal[:, start : start + n_samples]
        placed, present = lead_names.place(crop, recording.leads, leads)
        if not present.any():
            raise DataError(
                f"{recording.record_id}: has none of the leads the model reads ({', '.join(leads)}), "
                f"only {', '.join(recording.leads)}"
            )
        signal[row, :, : crop.shape[1]] = placed
        lead_mask[row] = present
        time_mask[row, : crop.shape[1]] = True
    return ECGBatch(
        signal=torch.from_numpy(signal),
        lead_mask=torch.from_numpy(lead_mask),
        time_mask=torch.from_numpy(time_mask),
        leads=tuple(leads),
        rate_hz=rates.pop(),
        age_days=torch.tensor([r.age.best_days if r.age else float("nan") for r in recordings]),
        male=torch.tensor([{"M": 1.0, "F": 0.0}.get(r.sex or "", float("nan")) for r in recordings]),
        patient_id=torch.tensor([patient_number(r) for r in recordings]),
        record_id=tuple(r.record_id for r in recordings),
        beats=None if beats is None else _crop_beats(beats, starts, n_samples),
    )


def _crop_beats(beats: Sequence[NDArray[np.int64]], starts: Sequence[int], n_samples: int) -> torch.Tensor:
    inside = [
        peaks[(peaks >= start) & (peaks < start + n_samples)] - start
        for peaks, start in zip(beats, starts, strict=True)
    ]
    padded = np.full((len(inside), max((len(peaks) for peaks in inside), default=0)), -1, dtype=np.int64)
    for row, peaks in enumerate(inside):
        padded[row, : len(peaks)] = peaks
    return torch.from_numpy(padded)
