"""Age in days as a number in [0, 1], which the age gate reads."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.age import ADULT_DAYS
from auricle.errors import DataError

AgeScale = Literal["linear", "log", "log_month"]


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
