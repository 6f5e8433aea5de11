"""The age gate, as methods ask for it: age modulates every point of an encoder (LISA proposal, 3.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from auricle.config import Config
from auricle.encoders import EncoderModule
from auricle.nn.age_code import AgeKind
from auricle.nn.film import AgeCode


class AgeGateConfig(Config):
    """The age gate.

    Attributes:
        code: how days become a number in [0, 1]; see `auricle.nn.age_code.code`. Beside these, as controls: `bands`,
            age in steps, and `constant`, the same for everybody.
        n_fourier: pairs of sine and cosine features added to it.
        unknown_share: share of training records whose age is hidden.
        at: `blocks`, every modulation point (the proposal's); `output`, the pooled vector alone, to which age may only
            add: with a linear head that is age beside the features, the plainest way to tell a model an age.
        by_group: each lead group and scale has a gamma and beta of its own; off, all share one.
    """

    code: AgeKind = "log_month"
    n_fourier: Annotated[int, Field(ge=0)] = 0
    unknown_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    at: Literal["blocks", "output"] = "blocks"
    by_group: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> AgeGateConfig:
        if self.n_fourier and self.code in ("bands", "constant"):
            raise ValueError(f"n_fourier adds waves of an age that is a number; code={self.code} is none")
        if self.at == "output" and not self.by_group:
            raise ValueError("by_group is of the gates in the blocks: at=output has no groups")
        return self


def attach_age_gate(encoder: EncoderModule, gate: AgeGateConfig | None) -> None:
    """Let age modulate an encoder where the gate says, at first as the identity; None leaves it as it is."""
    if gate is None:
        return
    code = AgeCode(gate.code, gate.n_fourier, gate.unknown_share)
    if gate.at == "output":
        encoder.attach_to_output("age", code)
    else:
        encoder.attach("age", code, one_for_all_groups=not gate.by_group)
