"""The age gate, as methods ask for it: age modulates every point of an encoder (LISA proposal, 3.4)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from auricle.config import Config
from auricle.encoders import EncoderModule
from auricle.nn.age_code import AgeScale
from auricle.nn.film import AgeCode


class AgeGateConfig(Config):
    """The age gate.

    Attributes:
        code: how days become a number in [0, 1]; see `auricle.nn.age_code.code`.
        n_fourier: pairs of sine and cosine features added to it.
        unknown_share: share of training records whose age is hidden.
    """

    code: AgeScale = "log_month"
    n_fourier: Annotated[int, Field(ge=0)] = 0
    unknown_share: Annotated[float, Field(ge=0, le=1)] = 0.1


def attach_age_gate(encoder: EncoderModule, gate: AgeGateConfig | None) -> None:
    """Let age modulate every point of an encoder, at first as the identity; None leaves it as it is."""
    if gate is not None:
        encoder.attach("age", AgeCode(gate.code, gate.n_fourier, gate.unknown_share))
