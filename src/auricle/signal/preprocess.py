"""Preprocess: the one module between millivolts as recorded and what an encoder reads, in training as in prediction.

Its settings, `InputSpec`, are saved with the weights, so that prediction uses the preprocessing of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from auricle import leads as lead_names
from auricle.batch import ECGBatch
from auricle.config import Config
from auricle.errors import ConfigError
from auricle.signal.resample import at_rate, resample

# Cascading three moving averages of width w gives a smooth low-pass; one minus it reaches -3 dB at .47 / w.
_PASSES: Final = 3
_WIDTH_TIMES_CUTOFF: Final = 0.47
# Root mean square of a preprocessed ECG in millivolts, roughly: networks are made to read numbers of order one.
TYPICAL_MV: Final = 0.2
# A lead of which less than this share was recorded counts as absent.
_LEAST_FINITE: Final = 0.5


class InputSpec(Config):
    """What an encoder was built to read. Saved with its weights and obeyed by `Preprocess` everywhere.

    Attributes:
        rate_hz: sampling rate of the model input.
        seconds: length of the model input; longer records are read in windows, shorter ones padded and masked.
        leads: the lead axis; absent leads are masked.
        only: leads of the axis that are read, the others as if they had not been recorded; all where empty. So weights
            that were made for twelve leads go on with six. Stored pictures, which show all of them, are not read then.
        band_hz: zero-phase high-pass and low-pass. Children need the upper end: a newborn's QRS lasts 60 ms.
        scale: `mv` keeps millivolts; `amplitude_unknown` brings each record to the spread of a typical one
            (`TYPICAL_MV`), for sources whose gain is lost; `lead_unknown` each lead, for sources that were z-scored by
            lead. Settings in millivolts elsewhere (noise, paper, stems) then fit such records as well.
        clip_mv: amplitudes are clipped to +- this; beyond it they come from electrodes and not from the heart.
        pooling: how the windows of a long record become one answer.
        age: `own`, or `shuffled`: every record of a store is told the age of another, in training as in testing, so
            that what a model gains is not from age, though a recording that comes alone keeps its own; or `unknown`:
            nobody is told any. Controls for experiments.
    """

    rate_hz: Annotated[float, Field(gt=0)] = 500.0
    seconds: Annotated[float, Field(gt=0)] = 10.0
    leads: tuple[str, ...] = lead_names.STANDARD
    only: tuple[str, ...] = ()
    band_hz: tuple[float, float] = (0.5, 100.0)
    scale: Literal["mv", "amplitude_unknown", "lead_unknown"] = "mv"
    clip_mv: Annotated[float, Field(gt=0)] = 10.0
    pooling: Literal["mean"] = "mean"
    age: Literal["own", "shuffled", "unknown"] = "own"

    @model_validator(mode="after")
    def _consistent(self) -> InputSpec:
        unknown = set(self.leads) - set(lead_names.CANONICAL)
        if unknown or len(set(self.leads)) != len(self.leads) or not self.leads:
            raise ValueError(f"leads must be distinct canonical names, not {', '.join(self.leads)}")
        if set(self.only) - set(self.leads):
            raise ValueError(f"only names leads that are not on the axis: {', '.join(self.only)}")
        low, high = self.band_hz
        if not 0 <= low < high:
            raise ValueError(f"band_hz must rise from 0 or more: {self.band_hz}")
        if high > self.rate_hz / 2:
            raise ValueError(
                f"band_hz up to {high:g} Hz needs a rate of at least {2 * high:g} Hz, not {self.rate_hz:g}"
            )
        return self

    @property
    def n_samples(self) -> int:
        """Length of the model input in samples."""
        return round(self.seconds * self.rate_hz)

    @property
    def reads_part(self) -> bool:
        """Whether some leads of the axis are not to be read."""
        return len(self.read) < len(self.leads)

    @property
    def read(self) -> tuple[str, ...]:
        """The leads that are read, in the order of the axis."""
        return tuple(lead for lead in self.leads if not self.only or lead in self.only)

    def narrowed(self, leads: Sequence[str]) -> InputSpec:
        """This input with fewer leads read, on the same axis.

        Raises:
            ConfigError: a lead is not on the axis.
        """
        others = [lead for lead in leads if lead not in self.leads]
        if others:
            raise ConfigError(
                f"the weights to begin from read {', '.join(self.leads)}, not {', '.join(others)}: choose among theirs"
            )
        all_of_them = set(leads) == set(self.leads)
        return self.model_copy(update={"only": () if all_of_them else tuple(leads)})


class Preprocess(nn.Module):
    """Band, rate and scale, on the device of the batch. Holds no parameters and no state."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec

    @torch.no_grad()
    def forward(self, batch: ECGBatch) -> ECGBatch:
        """The batch as encoders read it: (b, l, n) at the spec's rate, finite, and zero wherever a mask is false.

        Leads that are mostly missing, and those that are not to be read, are masked; R peaks follow the change of rate.
        Millivolts are in full precision whatever a network computes in: bf16 would round a QRS by up to 20 µV.

        Raises:
            ValueError: the batch has another lead axis than the spec.
        """
        with torch.autocast(batch.signal.device.type, enabled=False):
            return self._read(batch)

    def _read(self, batch: ECGBatch) -> ECGBatch:
        if batch.leads != self.spec.leads:
            raise ValueError(f"the batch has leads {batch.leads}, the model reads {self.spec.leads}")
        if self.spec.age == "unknown":
            batch = batch.without_age()
        if self.spec.reads_part:
            batch = batch.without_picture()
        signal, lead_mask = fill_missing(batch.millivolts(), _to_read(batch, self.spec), batch.time_mask)
        signal = high_pass(signal, batch.time_mask, batch.rate_hz, self.spec.band_hz[0])
        signal, time_mask = resample(signal, batch.time_mask, batch.rate_hz, self.spec.rate_hz, self.spec.band_hz[1])
        signal = torch.where(lead_mask[:, :, None], signal, 0.0)
        if self.spec.scale != "mv":
            signal = TYPICAL_MV * _unit_scale(signal, lead_mask, time_mask, self.spec.scale == "lead_unknown")
        signal = signal.clamp_(-self.spec.clip_mv, self.spec.clip_mv)
        return replace(batch.with_signal(signal, time_mask, self.spec.rate_hz), lead_mask=lead_mask)


def leads_left(batch: ECGBatch, spec: InputSpec) -> Bool[Tensor, "b l"]:
    """(b, l) the leads that `Preprocess` does not mask: those that are to be read, and of which half was recorded.

    Args:
        batch: as recorded, on the lead axis of `spec`.
        spec: what is read.
    """
    wanted = _to_read(batch, spec)
    known = wanted[:, :, None] & batch.time_mask[:, None] & torch.isfinite(batch.millivolts())
    return wanted & _enough(known, batch.time_mask)


def recorded(batch: ECGBatch, spec: InputSpec) -> Bool[Tensor, "b l s"]:
    """(b, l, s) the samples of a preprocessed batch, at the rate of `spec`, in whose place a lead that is left has one.

    Elsewhere `Preprocess` leaves zeros: in leads that it masks, outside of the record, and in gaps of a lead.

    Args:
        batch: as recorded, on the lead axis of `spec`.
        spec: what is read.
    """
    known = leads_left(batch, spec)[:, :, None] & batch.time_mask[:, None] & torch.isfinite(batch.millivolts())
    return at_rate(known, batch.rate_hz, spec.rate_hz)


def _to_read(batch: ECGBatch, spec: InputSpec) -> Tensor:
    """(b, l) the leads that are there and to be read."""
    if not spec.only:
        return batch.lead_mask
    return batch.lead_mask & torch.tensor([lead in spec.only for lead in spec.leads]).to(batch.lead_mask)


def _enough(known: Tensor, time_mask: Tensor) -> Tensor:
    """(b, l) leads of which half of the record is there, and something."""
    n_known = known.sum(-1)
    return (n_known >= _LEAST_FINITE * time_mask.sum(-1)[:, None]) & (n_known > 0)


def fill_missing(
    signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
) -> tuple[Float[Tensor, "b l t"], Bool[Tensor, "b l"]]:
    """Put each lead's mean where samples are missing and subtract it; mask leads that are mostly missing.

    Args:
        signal: (b, l, t) NaN where a sample is missing.
        lead_mask: (b, l) leads that are there.
        time_mask: (b, t) samples inside the record.

    Returns:
        (b, l, t) finite, 0 outside of the masks; and (b, l) leads that are there and of which half was recorded.
    """
    inside = time_mask[:, None] & lead_mask[:, :, None]
    known = inside & torch.isfinite(signal)
    filled = torch.where(known, signal, 0.0)
    mean = filled.sum(-1) / known.sum(-1).clamp_min(1)
    centred = filled.sub_(mean[:, :, None]).mul_(known)
    return centred, lead_mask & _enough(known, time_mask)


def high_pass(
    signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"], rate_hz: float, cutoff_hz: float
) -> Float[Tensor, "b l t"]:
    """Remove what is slower than `cutoff_hz`, zero-phase, by subtracting a cascade of masked moving averages.

    The averages run over valid samples only, so there is no edge transient and padding has no influence. Costs O(t).

    Args:
        signal: (b, l, t) finite.
        time_mask: (b, t) samples inside the record; the result is 0 elsewhere.
        rate_hz: samples per second.
        cutoff_hz: where the filter is at -3 dB; 0 or less leaves the signal as it is.
    """
    if cutoff_hz <= 0:
        return signal
    n = signal.shape[-1]
    half = min(n, max(1, round(_WIDTH_TIMES_CUTOFF / cutoff_hz * rate_hz / 2)))
    inside = time_mask[:, None].to(signal)

    def window_sum(rows: Tensor) -> Tensor:
        # Sums from the start, held at both ends: a window is then a difference of two slices.
        total = rows.new_zeros(*rows.shape[:-1], n + 2 * half + 1)
        total[..., half + 1 : half + 1 + n] = rows.cumsum(-1)
        total[..., half + 1 + n :] = total[..., half + n, None]
        return total[..., 2 * half + 1 :] - total[..., :n]

    count = window_sum(inside).clamp_min_(1.0)
    slow = signal
    for _ in range(_PASSES):
        slow = window_sum(slow * inside).div_(count)
    return torch.sub(signal, slow, out=slow).mul_(inside)


def _unit_scale(signal: Tensor, lead_mask: Tensor, time_mask: Tensor, by_lead: bool) -> Tensor:
    """Each record (relative lead amplitudes survive), or each lead, divided by its standard deviation."""
    over = (2,) if by_lead else (1, 2)
    valid = lead_mask[:, :, None] & time_mask[:, None]
    power = torch.where(valid, signal, 0.0).square().sum(over, keepdim=True)
    power = power / valid.sum(over, keepdim=True).clamp_min(1)
    return signal / power.sqrt().clamp_min(1e-6)
