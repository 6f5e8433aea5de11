"""Whether one row of a table is ahead of another: both on the same resampled patients, averaged over seeds.

Two rows that were asked of the same records share their luck with these records; the interval of the difference is far
narrower than the intervals of the two suggest, and is the one that tells whether they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from auricle.errors import DataError
from auricle.evaluate.bootstrap import patient_weights, quantiles
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.ranking import Values, auroc, macro

N_REPLICATES: Final = 1000
# A test over fewer seeds says nothing.
_FEWEST_SEEDS: Final = 3
# Seeds that differ by less than this are one and the same row.
_ALIKE: Final = 1e-9
# Where p is told in two and three decimals, and not at all more finely.
_COARSE_P, _SMALLEST_P = 0.1, 0.001
Weights = NDArray[np.uint16]
Measure = Callable[[Predictions, Weights], Values]
"""(r,) one number of some predictions under each row of (r, record) weights; NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, how it varies over patients, and how over seeds.

    Attributes:
        value: mean over seeds.
        low, high: 95 % interval of a bootstrap over patients.
        over_seeds: standard deviation over seeds, NaN where there is one.
        p: of a difference, that of a paired t test over seeds (Student 1908), two-sided; NaN for what is no difference,
            and with fewer than three seeds.
    """

    value: float
    low: float
    high: float
    over_seeds: float
    p: float = float("nan")

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "undefined"
        spread = "" if np.isnan(self.over_seeds) else f" ± {self.over_seeds:.1f}"
        return f"{self.value:.1f}{spread} [{self.low:.1f}, {self.high:.1f}]{self._test}"

    @property
    def _test(self) -> str:
        if np.isnan(self.p):
            return ""
        if self.p < _SMALLEST_P:
            return f", p < {_SMALLEST_P:g}"
        return f", p {self.p:.2f}" if self.p >= _COARSE_P else f", p {self.p:.3f}"


def macro_auroc(predictions: Predictions, weights: Weights) -> Values:
    """(r,) macro AUROC in per cent."""
    return 100 * macro(auroc(predictions.truth, predictions.score, weights))


def measured(
    ones: Sequence[Predictions],
    others: Sequence[Predictions] | None = None,
    measure: Measure = macro_auroc,
    n: int = N_REPLICATES,
) -> Estimate:
    """A measure of a row, or by how much it is above that of another.

    Args:
        ones: the predictions of a row, one for each seed.
        others: those of the row it is compared with, its first seed beside the first and so on where they are equally
            many; None measures the row by itself.
        measure: what is asked of each.
        n: replicates of the bootstrap over patients, the same ones for all predictions.

    Raises:
        DataError: not the same records in the same order, or with other labels.
    """
    everyone = [*ones, *(others or ())]
    if len({(one.record_id, one.classes) for one in everyone}) > 1:
        raise DataError("rows are compared on the same records, and these are of others, or in another order")
    if not all(np.array_equal(one.truth, everyone[0].truth, equal_nan=True) for one in everyone):
        raise DataError("rows are compared on the same labels, and these are of other versions of them: ask them again")
    drawn = patient_weights(everyone[0], n, seed=0)
    weights = np.concatenate([np.ones_like(drawn[:1]), drawn])
    by_seed = np.stack([measure(one, weights) for one in ones])  # (seed, 1 + r)
    seeds, paired = by_seed[:, 0], False
    total = by_seed.mean(axis=0)
    if others is not None:
        against = np.stack([measure(other, weights) for other in others])
        total = total - against.mean(axis=0)
        paired = len(against) == len(by_seed)
        seeds = seeds - against[:, 0] if paired else seeds[:0]
    low, high = quantiles(total[1:])
    spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else float("nan")
    # Seeds that are all alike (a reference row beside itself) have no test.
    tested = paired and len(seeds) >= _FEWEST_SEEDS and float(np.ptp(seeds)) > _ALIKE
    return Estimate(float(total[0]), low, high, spread, float(ttest_1samp(seeds, 0).pvalue) if tested else float("nan"))
