"""Age in days as a number in [0, 1], which the age gate reads."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.age import ADULT_DAYS, AGE_BANDS
from auricle.errors import DataError

AgeScale = Literal["linear", "log", "log_month"]
# `bands` and `constant` are what the gate is compared with: age in steps, and no age at all with as many weights.
AgeKind = Literal["linear", "log", "log_month", "bands", "constant"]


def code_width(kind: AgeKind) -> int:
    """How many numbers an age becomes."""
    return len(AGE_BANDS) if kind == "bands" else 1


def coded(days: Float[Tensor, " b"], kind: AgeKind) -> Float[Tensor, "b c"]:
    """Ages in days as the numbers a gate reads; NaN (unknown) stays NaN but for `constant`, which knows no ages.

    Args:
        days: (b,) ages.
        kind: one number of `code`; `bands`, 1 for the age band and 0 for the others (`auricle.age.AGE_BANDS`);
            `constant`, 0 for everybody.

    Raises:
        DataError: an unknown kind.
    """
    if kind == "constant":
        return torch.zeros_like(days)[:, None]
    if kind == "bands":
        edges = torch.tensor([band.low_days for band in AGE_BANDS[1:]], dtype=days.dtype, device=days.device)
        place = torch.bucketize(days.nan_to_num(), edges, right=True)
        in_band = torch.nn.functional.one_hot(place, len(AGE_BANDS)).to(days.dtype)
        return torch.where(torch.isnan(days)[:, None], torch.nan, in_band)
    return code(days, kind)[:, None]


def code(days: Float[Tensor, "*batch"], kind: AgeScale = "log_month") -> Float[Tensor, "*batch"]:
    """Age in days as a number in [0, 1], which the age gate reads (LISA proposal 3.4). NaN (unknown) stays NaN.

    Args:
        days: of any shape; ages from 18 years on all give 1.
        kind: `linear`, the proposal's days over 18 years; `log`, from log(1 + d), two fifths of whose range are the
            first month; `log_month`, from log(1 + d / 30), whose range is spread over weeks, months and years.

    Raises:
        DataError: an unknown kind.
    """
    if kind == "linear":
        coded = days / ADULT_DAYS
    elif kind == "log":
        coded = torch.log1p(days) / math.log1p(ADULT_DAYS)
    elif kind == "log_month":
        coded = torch.log1p(days / 30) / math.log1p(ADULT_DAYS / 30)
    else:
        raise DataError(f"unknown age code {kind!r}: linear, log or log_month")
    return coded.clamp(0, 1)
