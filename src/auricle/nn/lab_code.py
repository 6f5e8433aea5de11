"""LabCode: laboratory values as numbers that modulate an encoder, with their place in the reference range of the age.

A troponin of 40 ng/L is usual in a newborn and a sign of infarction in an adult, so a value is given twice: scaled by
the training records, and as its position in the reference range of the age. Laboratory values and the age gate act
together: each has FiLMs of its own.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from auricle.age import DAYS_PER_YEAR
from auricle.batch import ECGBatch
from auricle.data.panel import LabPanel
from auricle.labs import LabTest, lab_test
from auricle.nn.film import Code

# Reference ranges are kept as a table over log(1 + days), so that weights do not depend on where its knots lie.
_GRID: Final = 256
_OLDEST_DAYS: Final = 100 * DAYS_PER_YEAR
_ADULT: Final = _GRID * 9 // 10  # of the table, at about 35 years
_LARGEST: Final = 5.0
# Half of the range of the middle 95 %, and of the middle half, of a normal distribution.
_QUARTILES_PER_LIMIT: Final = 0.674 / 1.96
_NUMBERS_PER_TEST: Final = 3
_EITHER_SEX: Final = 2  # row of the table beside F = 0 and M = 1


class LabCode(Code):
    """A panel of laboratory values as numbers: for each test the scaled value, its place in the reference, and a mask.

    Scaled: (value - median) / interquartile range of the training records, of logarithms where the test is skewed,
    within +-5. Place: 0 in the middle of the reference range of the age and sex, +-1 at its limits, growing as a
    logarithm beyond; 0 where the age is unknown. Whatever is not known is 0, and a record without any value has a
    learned code of its own. Median, range and reference are saved with the weights.

    Args:
        panel: which tests, and how many are hidden in training.
    """

    fitted: Tensor
    median: Tensor
    spread: Tensor
    is_log: Tensor
    floor: Tensor
    reference: Tensor

    def __init__(self, panel: LabPanel) -> None:
        super().__init__()
        self.panel = panel
        self.reads_age = True  # a value's place in its reference range is of an age
        tests = [lab_test(name) for name in panel.tests]
        self.width = _NUMBERS_PER_TEST * len(tests)
        self.register_buffer("is_log", torch.tensor([test.log for test in tests]))
        # A skewed value below what any assay sees (0) is read as the least that one does.
        self.register_buffer("floor", torch.tensor([test.plausible[0] for test in tests]))
        self.register_buffer("reference", _table(tests))
        # Before `fit`: a healthy adult's.
        low, high = (self._scale(limit) for limit in self.reference[_EITHER_SEX, :, :, _ADULT])
        self.register_buffer("median", (low + high) / 2)
        self.register_buffer("spread", (high - low) * _QUARTILES_PER_LIMIT)
        self.register_buffer("fitted", torch.tensor(False))
        self.unknown = nn.Parameter(torch.zeros(self.width))
        nn.init.normal_(self.unknown, std=0.5)

    def _scale(self, values: Float[Tensor, "*b lab"]) -> Float[Tensor, "*b lab"]:
        """The values, as logarithms where the test is skewed."""
        return torch.where(self.is_log, torch.log(torch.maximum(values, self.floor)), values)

    def fit(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Take the median and interquartile range of each test from the training records.

        Args:
            values: (record, lab) in the units of `auricle.labs`.
            mask: (record, lab) which values are known. A test that no record has keeps a healthy adult's numbers.
        """
        scaled = self._scale(torch.from_numpy(values).to(self.median)).cpu().numpy()
        for column, seen in enumerate(mask.T):
            if seen.any():
                first, middle, last = np.percentile(scaled[seen, column], [25, 50, 75])
                self.median[column] = float(middle)
                if last > first:
                    self.spread[column] = float(last - first)
        self.fitted.fill_(True)

    def place(
        self, values: Float[Tensor, "b lab"], age_days: Float[Tensor, " b"], male: Float[Tensor, " b"]
    ) -> Float[Tensor, "b lab"]:
        """(b, lab) where values lie in the reference range of age and sex: 0 its middle, +-1 its limits.

        Args:
            values: (b, lab) in the units of `auricle.labs`.
            age_days: (b,) NaN where unknown, which gives 0.
            male: (b,) 1, 0, or NaN where unknown, which takes the range of either sex.
        """
        # Reference limits (b, 2, lab), interpolated between two knots of the table.
        known = ~torch.isnan(age_days)
        knot = torch.log1p(torch.where(known, age_days, 0.0).clamp(0.0, _OLDEST_DAYS)) / math.log1p(_OLDEST_DAYS)
        knot = knot * (_GRID - 1)
        before = knot.floor().long().clamp_max(_GRID - 2)
        share = (knot - before)[:, None, None]
        sex = torch.where(torch.isnan(male), torch.full_like(male, _EITHER_SEX), male).long()
        limits = self.reference[sex, :, :, before] * (1 - share) + self.reference[sex, :, :, before + 1] * share
        low, high = limits.unbind(1)
        place = (2 * values - low - high) / (high - low)
        # A troponin may be a thousand times the limit, so beyond the limits the place grows as a logarithm.
        beyond = place.abs().clamp_min(1.0)
        place = torch.where(place.abs() > 1, place.sign() * (1 + beyond.log()), place)
        return torch.where(known[:, None], place, 0.0)

    def forward(
        self,
        values: Float[Tensor, "b lab"],
        mask: Bool[Tensor, "b lab"],
        age_days: Float[Tensor, " b"],
        male: Float[Tensor, " b"],
    ) -> Float[Tensor, "b c"]:
        """(b, width) code of each record; in training some panels and some values are hidden at random.

        Args:
            values: (b, lab) in the units of `auricle.labs`; undefined where `mask` is false.
            mask: (b, lab) which values are known.
            age_days: (b,) NaN where unknown.
            male: (b,) 1, 0, or NaN where unknown.
        """
        if self.training:
            hidden = torch.rand_like(mask[:, :1].float()) < self.panel.unknown_share
            mask = mask & ~hidden & (torch.rand_like(mask.float()) >= self.panel.missing_share)
        values = torch.where(mask, values, 1.0)  # what lies under a false mask is undefined
        scaled = ((self._scale(values) - self.median) / self.spread).clamp(-_LARGEST, _LARGEST)
        place = self.place(values, age_days, male)
        # (b, lab, 3): the scaled value, its place in the reference, and whether it is known.
        features = torch.stack([torch.where(mask, scaled, 0.0), torch.where(mask, place, 0.0), mask.float()], dim=-1)
        return torch.where(mask.any(-1)[:, None], features.flatten(1), self.unknown)

    def of(self, batch: ECGBatch) -> Float[Tensor, "b c"]:
        """(b, width) code of each record of a batch; in a batch without laboratory values none is known."""
        values, mask = batch.labs, batch.labs_mask
        if values is None or mask is None:
            return self.unknown.expand(len(batch), -1)
        coded: Tensor = self(values, mask, batch.age_days, batch.male)
        return coded


def _table(tests: list[LabTest]) -> Float[Tensor, "sex limit lab grid"]:
    """Lower and upper reference limit of each test over age, for female, male and either sex."""
    ages = np.expm1(np.linspace(0, math.log1p(_OLDEST_DAYS), _GRID))
    rows = [[[test.reference(age, sex) for age in ages.tolist()] for test in tests] for sex in ("F", "M", None)]
    return torch.tensor(rows, dtype=torch.float32).permute(0, 3, 1, 2).contiguous()
