"""The signal and the amplitudes of its spectrum, each read by an encoder of its own: the encoder of `tf_c`.

Source: Zhang et al. 2022, "Self-supervised contrastive pre-training for time series via time-frequency consistency".
The spectrum is that of the window of the `InputSpec`, whatever the length of a record: what is shorter is filled up
with zeros, which makes its lines wider and moves none; what is longer is read up to the window's end by the spectrum,
and whole by the other branch. Amplitudes are divided by the root of the samples that were recorded, so that noise is as
strong in a short record as in a long one. The phase is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from auricle.config import ComponentConfig, component
from auricle.encoders import ENCODERS, build_encoder
from auricle.encoders._base import EncoderModule, Tokens, visible
from auricle.nn.film import Condition
from auricle.nn.spectrum import amplitudes
from auricle.signal.preprocess import InputSpec


def _preset(**resnet: Any) -> dict[str, Any]:
    """Both branches of one size, together about as large as the preset of the common backbone."""
    return {"time": {"name": "resnet1d", **resnet}, "frequency": {"name": "resnet1d", **resnet}}


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": _preset(preset="tiny"),
    "nano": _preset(width=17),
    "small": _preset(width=45),
    "base": _preset(width=90),
}


class TimeFrequencyConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        time: the encoder of the signal.
        frequency: the encoder of the spectrum, which reads it as it would a signal.
    """

    name: Literal["time_frequency"] = "time_frequency"
    time: component(ENCODERS) = Field(default=PRESETS["small"]["time"], validate_default=True)  # type: ignore[valid-type]
    frequency: component(ENCODERS) = Field(default=PRESETS["small"]["frequency"], validate_default=True)  # type: ignore[valid-type]


class TimeFrequency(EncoderModule):
    """Two encoders; what they say of a record stands side by side. Tokens are those of the signal."""

    def __init__(self, config: TimeFrequencyConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        self.time, self.frequency = build_encoder(config.time, spec), build_encoder(config.frequency, spec)
        self.width = self.time.width + self.frequency.width
        self.n_samples = round(spec.seconds * spec.rate_hz)

    def spectrum(
        self, signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b l k"]:
        """(b, l, k) amplitudes from 0 Hz to half the rate, in the unit of the signal times the root of a sample.

        Args:
            signal: what lies under a false mask is not read.
            lead_mask: true where a lead was recorded.
            time_mask: true inside the record.
        """
        return amplitudes(visible(signal, lead_mask, time_mask), time_mask, self.n_samples)

    def read_spectrum(
        self, spectrum: Float[Tensor, "b l k"], lead_mask: Tensor, time_mask: Tensor, condition: Condition | None
    ) -> Tokens:
        """What the frequency branch says of spectra (b, l, k) of records with these masks."""
        lines = time_mask.any(1)[:, None].expand(-1, spectrum.shape[-1])
        tokens: Tokens = self.frequency(spectrum, lead_mask, lines, condition)
        return tokens

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) tokens of the signal, and (b, width) what both branches say, side by side, as `pooled`."""
        heard: Tokens = self.time(signal, lead_mask, time_mask, condition)
        seen = self.read_spectrum(self.spectrum(signal, lead_mask, time_mask), lead_mask, time_mask, condition)
        return replace(heard, pooled=torch.cat([heard.pooled, seen.pooled], dim=-1))
