"""ECGBatch: the input of a model. A missing lead, sample or modality is a mask or None; masks are applied with `where`.

Axis legend, used in every shape of the project: b record, l lead, t sample, n token, d feature, g lead group,
f finding, c class, h and w rows and columns of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import gather_without_gradient, longest

Batch = TypeVar("Batch", "ECGBatch", "TextBatch")
# The step that stands for a missing sample, as in WFDB and in our stores.
MISSING_STEP: Final = -32768
# What a picture shows where there is none.
WHITE: Final = 255


@dataclass(frozen=True, slots=True)
class TextBatch:
    """The reports of a batch. Equal text means equal `report_id`, so pairs of equal reports are known without reading.

    Attributes:
        report_id: (b,) number of the distinct report in its store, -1 where a record has none.
        embedding: (b, d) of a frozen text tower, computed once per distinct report.
        findings: (b, f) statements, each column scaled by the square root of its weight, so that a product of two
            rows is the weight they share (see `auricle.text.findings`).
        diagnoses: (b, f) `findings` without what is denied or names no diagnosis, such as sinus rhythm.
        token_ids: (b, token) for methods that train their text encoder, with `token_mask`.
    """

    report_id: Int[Tensor, " b"]
    embedding: Float[Tensor, "b d"] | None = None
    findings: Float[Tensor, "b f"] | None = None
    diagnoses: Float[Tensor, "b f"] | None = None
    token_ids: Int[Tensor, "b token"] | None = None
    token_mask: Bool[Tensor, "b token"] | None = None

    def select(self, index: Tensor) -> TextBatch:
        """The reports at `index` (positions), in that order."""
        return _map_tensors(self, lambda tensor: tensor[index])

    def gather(self) -> TextBatch:
        """The reports of all processes in rank order, without gradient; token tables as long as the longest of them."""
        if self.token_ids is None:
            return _map_tensors(self, gather_without_gradient)
        short = longest(self.token_ids.shape[1], self.token_ids.device) - self.token_ids.shape[1]
        ids, mask = (None if part is None else F.pad(part, (0, short)) for part in (self.token_ids, self.token_mask))
        return _map_tensors(replace(self, token_ids=ids, token_mask=mask), gather_without_gradient)


@dataclass(frozen=True, slots=True)
class ECGBatch:
    """Records side by side on one lead axis and one time axis.

    Attributes:
        signal: (b, l, t) at `rate_hz`: millivolts, or stored steps (int16) where `gain_mv` is given; read it through
            `millivolts()`. What lies under a false mask is undefined and must not be read.
        lead_mask: (b, l) true where the lead was recorded.
        time_mask: (b, t) true inside the record, false in padding.
        leads: canonical names of the lead axis.
        rate_hz: samples per second of `signal`.
        age_days: (b,) NaN where unknown.
        male: (b,) 1 male, 0 female, NaN unknown.
        text: reports, or None.
        labs: (b, lab) laboratory values in canonical units, and `labs_mask` where they are seen; or None.
        image: (b, h, w) pictures of the ECG, grey, 255 = white, and `image_mask` (b,) where there is one; or None.
        target: (b, c) 0/1, NaN where not annotated; or None.
        beats: (b, beat) R peaks in samples of this crop, -1 in the padding; or None.
        patient_id: (b,) numbers that are equal for equal patients.
        record_id: the names, for messages and prediction files.
        numbers: (b, k) further numbers that are known of the records, NaN where not; or None.
        gain_mv: (b,) millivolts per step of an int16 `signal`: a loader moves half the bytes that way, and the device
            does the arithmetic; None where `signal` is in millivolts.
    """

    signal: Shaped[Tensor, "b l t"]
    lead_mask: Bool[Tensor, "b l"]
    time_mask: Bool[Tensor, "b t"]
    leads: tuple[str, ...]
    rate_hz: float
    age_days: Float[Tensor, " b"]
    male: Float[Tensor, " b"]
    patient_id: Int[Tensor, " b"]
    record_id: tuple[str, ...]
    text: TextBatch | None = None
    labs: Float[Tensor, "b lab"] | None = None
    labs_mask: Bool[Tensor, "b lab"] | None = None
    image: UInt8[Tensor, "b h w"] | None = None
    image_mask: Bool[Tensor, " b"] | None = None
    target: Float[Tensor, "b c"] | None = None
    numbers: Float[Tensor, "b k"] | None = None
    beats: Int[Tensor, "b beat"] | None = None
    gain_mv: Float[Tensor, " b"] | None = None

    def __len__(self) -> int:
        return len(self.record_id)

    def to(self, device: torch.device | str) -> ECGBatch:
        """A copy of the batch whose tensors are on `device`."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def select(self, index: Tensor) -> ECGBatch:
        """The records at `index` (positions), in that order."""
        chosen = _map_tensors(self, lambda tensor: tensor[index])
        return replace(chosen, record_id=tuple(self.record_id[position] for position in index.tolist()))

    def millivolts(self) -> Float[Tensor, "b l t"]:
        """The signal in millivolts as float32, NaN where a sample is missing."""
        if self.gain_mv is None:
            return self.signal.float()
        signal = self.signal.float().mul_(self.gain_mv[:, None, None])
        if self.signal.device.type != "cpu":  # where asking which records have gaps would wait for the device
            return signal.masked_fill_(self.signal == MISSING_STEP, torch.nan)
        for row in torch.nonzero(self.signal.amin((1, 2)) == MISSING_STEP).flatten().tolist():
            signal[row].masked_fill_(self.signal[row] == MISSING_STEP, torch.nan)
        return signal

    def with_signal(self, signal: Tensor, time_mask: Tensor, rate_hz: float) -> ECGBatch:
        """A copy of the batch with a processed signal in millivolts; R peaks are moved to a new rate.

        Args:
            signal: (b, l, t) in millivolts.
            time_mask: (b, t) samples inside the record.
            rate_hz: samples per second of `signal`.
        """
        beats = self.beats
        if beats is not None and rate_hz != self.rate_hz:
            beats = torch.where(beats >= 0, (beats * (rate_hz / self.rate_hz)).round().to(beats.dtype), beats)
        return replace(self, signal=signal, time_mask=time_mask, rate_hz=rate_hz, beats=beats, gain_mv=None)

    def without_age(self) -> ECGBatch:
        """A copy of the batch in which every age is unknown (NaN)."""
        return replace(self, age_days=torch.full_like(self.age_days, torch.nan))

    def without_picture(self) -> ECGBatch:
        """A copy of the batch without stored pictures: where some is read of the signal alone, they show the rest."""
        return replace(self, image=None, image_mask=None)

    def at_age(self, days: float) -> ECGBatch:
        """A copy of the batch in which every record has an age of `days` days, to see what age does to an answer."""
        return replace(self, age_days=torch.full_like(self.age_days, days))


def joined(batches: Sequence[ECGBatch]) -> ECGBatch:
    """The records of several batches as one, in order.

    Args:
        batches: at least one; of the same leads, rate and lengths, and each with the same of what a batch may lack.
    """
    parts = _joined_tensors(batches)
    texts = [batch.text for batch in batches if batch.text is not None]
    if texts:
        parts["text"] = replace(texts[0], **_joined_tensors(texts))
    return replace(batches[0], **parts, record_id=tuple(name for batch in batches for name in batch.record_id))


def _joined_tensors(parts: Sequence[ECGBatch] | Sequence[TextBatch]) -> dict[str, Any]:
    """The tensors of several batches by field, those of all records one after another."""
    return {
        entry.name: torch.cat([getattr(part, entry.name) for part in parts])
        for entry in fields(parts[0])
        if isinstance(getattr(parts[0], entry.name), Tensor)
    }


def _map_tensors(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    """A copy with `function` applied to every tensor, those of the reports included."""
    changed: dict[str, Any] = {}
    for entry in fields(batch):
        value = getattr(batch, entry.name)
        if isinstance(value, Tensor):
            changed[entry.name] = function(value)
        elif isinstance(value, TextBatch):
            changed[entry.name] = _map_tensors(value, function)
    return replace(batch, **changed)
