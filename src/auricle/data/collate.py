"""From recordings to a batch: cropped, leads on the model's axis, what is absent masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import WHITE, ECGBatch
from auricle.data.panel import LabPanel
from auricle.errors import DataError
from auricle.leads import block_of, rows_onto
from auricle.recording import Recording, patient_number
from auricle.signal.preprocess import InputSpec, leads_left


def window_starts(n_samples: int, n_window: int) -> list[int]:
    """First samples of the windows of a recording: side by side, the last one ending with the recording.

    Args:
        n_samples: length of the recording.
        n_window: length of a window; a shorter recording has one window, which begins at 0.
    """
    if n_samples <= n_window:
        return [0]
    starts = list(range(0, n_samples - n_window + 1, n_window))
    if starts[-1] + n_window < n_samples:
        starts.append(n_samples - n_window)
    return starts


def starts_in(recording: Recording, spec: InputSpec) -> list[int]:
    """First samples of the windows of a recording that was trimmed, of the length that a model reads."""
    return window_starts(recording.signal.shape[1], round(spec.seconds * recording.rate_hz))


def collate(
    records: Sequence[Recording],
    leads: Sequence[str],
    n_samples: int,
    starts: Sequence[int] | None = None,
) -> ECGBatch:
    """Put recordings of one rate side by side, in millivolts.

    Args:
        records: all at the same rate.
        leads: the lead axis; leads a record lacks are masked, leads not on the axis are left out.
        n_samples: length of the time axis, at the records' rate; shorter ones are padded and masked.
        starts: first sample of each crop, by default 0.

    Raises:
        DataError: records of different rates, pictures of different sizes, or a record that has none of the leads and
            no picture.
    """
    rates = {record.rate_hz for record in records if record.leads} or {records[0].rate_hz}
    if len(rates) != 1:
        raise DataError(f"one batch needs one sampling rate, not {sorted(rates)}")
    # Filled record by record; what a record leaves empty is cleared.
    starts = [0] * len(records) if starts is None else starts
    signal = np.empty((len(records), len(leads), n_samples), dtype=np.float32)
    lead_mask = np.zeros(signal.shape[:2], dtype=bool)
    time_mask = np.zeros((len(records), n_samples), dtype=bool)
    for row, (record, start) in enumerate(zip(records, starts, strict=True)):
        source, target = rows_onto(record.leads, tuple(leads))
        if not source and record.image is not None:
            signal[row] = 0
            continue
        if not source:
            raise DataError(
                f"{record.record_id}: has none of the leads the model reads ({', '.join(leads)}), "
                f"only {', '.join(record.leads)}"
            )
        crop = record.signal[:, start : start + n_samples]
        length = crop.shape[1]
        if len(target) < len(leads) or length < n_samples:
            signal[row] = 0
        # Neighbours are copied as one block, and most records have the leads of the axis in its order.
        taken = crop[block_of(source)]
        signal[row, block_of(target), :length] = taken
        lead_mask[row, target] = True
        # What no lead has is no part of the recording, wherever it lies.
        time_mask[row, :length] = _known(taken)
    image, image_mask = _pictures(records)
    return ECGBatch(
        signal=torch.from_numpy(signal),
        lead_mask=torch.from_numpy(lead_mask),
        time_mask=torch.from_numpy(time_mask),
        leads=tuple(leads),
        rate_hz=rates.pop(),
        age_days=torch.tensor([r.age.best_days if r.age else float("nan") for r in records]),
        male=torch.tensor([{"M": 1.0, "F": 0.0}.get(r.sex or "", float("nan")) for r in records]),
        patient_id=torch.tensor([patient_number(r.source, r.patient_id, r.record_id) for r in records]),
        record_id=tuple(r.record_id for r in records),
        image=image,
        image_mask=image_mask,
    )


def _pictures(records: Sequence[Recording]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """(b, h, w) pictures, white where a record has none, and (b,) which have one; None without pictures."""
    sizes = {record.image.shape for record in records if record.image is not None}
    if not sizes:
        return None, None
    if len(sizes) > 1:
        listed = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise DataError(f"one batch needs pictures of one size, not {listed}: fit them by auricle.image.fit")
    image = np.full((len(records), *sizes.pop()), WHITE, dtype=np.uint8)
    for row, record in enumerate(records):
        if record.image is not None:
            image[row] = record.image
    mask = torch.tensor([record.image is not None for record in records])
    return torch.from_numpy(image), mask


def windows_of(recording: Recording, spec: InputSpec, panel: LabPanel | None = None) -> ECGBatch:
    """One recording as a batch of its windows, side by side, each with the recording's laboratory values.

    What no lead has before and behind the recording is cut off. Windows in which no lead that is read has half of its
    samples are left out, unless there are no others.

    Args:
        recording: of any rate and length.
        spec: lead axis and window length of the model.
        panel: the laboratory values that the model reads, if any.

    Raises:
        DataError: the recording has none of the leads and no picture.
    """
    n = round(spec.seconds * recording.rate_hz)
    recording = recording.trimmed()
    starts = starts_in(recording, spec)
    many = [recording] * len(starts)
    batch = collate(many, spec.leads, n, starts)
    filled = torch.nonzero(leads_left(batch, spec).any(1)).flatten()
    if 0 < len(filled) < len(starts):
        batch, many = batch.select(filled), many[: len(filled)]
    if panel is None:
        return batch
    values, mask = map(torch.from_numpy, panel.of_recordings(many))
    return replace(batch, labs=values, labs_mask=mask)


def _known(crop: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(time,) whether any lead of a crop (lead, time) has a sample."""
    known = np.zeros(crop.shape[1], dtype=bool)
    # Lead by lead until nothing is open: the first one is nearly always complete.
    for lead in crop:
        known |= np.isfinite(lead)
        if known.all():
            break
    return known
