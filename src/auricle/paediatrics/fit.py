"""A hospital's own centile curves, fitted to its normal records.

For every parameter: curves of both sexes together, and of each sex where it has enough patients. Their degrees of
freedom are chosen by cross-validation over patients, once, on both sexes together. Bands come from a bootstrap over
patients. An age around which there are too few patients has no curve. Axes are angles in [-90, 270) degrees, as in the
limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError, DataError
from auricle.leads import wrap_axis_deg
from auricle.paediatrics.limits import Z_98
from auricle.paediatrics.lms import LMS, Freedom, cost_of, design, fit_lms, fit_resamples
from auricle.paediatrics.normal_records import NormalRecords
from auricle.paediatrics.own_norms import Fitted, OwnNorms, SexKey, unit_of
from auricle.paediatrics.quantile_splines import QuantileSplines, fit_quantiles, pinball
from auricle.progress import OnProgress

Floats = NDArray[np.float64]
Method = Literal["lms", "quantile"]

# Neighbours of an age: 1 + days within this factor's logarithm (3 d: 1.8-4.7 d; 5 yr: 3.5-7.1 yr).
NEIGHBOURHOOD: Final = 0.35
_GRID: Final = 80
_MEDIANS, _SPREADS, _POWERS = (3.0, 5.0, 8.0, 12.0, 17.0), (2.0, 4.0, 7.0, 11.0), (1.0, 2.0, 4.0)
# A curve of few patients has few degrees of freedom to choose from.
_PATIENTS_PER_FREEDOM: Final = 15
# Numbers of a bootstrap that lie in memory at a time.
_NUMBERS_AT_ONCE: Final = 1_000_000
_LEAST_ABOVE: Final = 10
_MOST_USUAL: Final = 0.8
_TOO_FEW: Final = "too few"
_BASES: Final = (5, 7, 10, 14, 19)
_CHECKED: Final = (0.02, 0.5, 0.98)
# A value this many standard deviations from the rest counts as a measuring error: one normal value in two million is.
_OUTLIER_Z: Final = 5.0
_OUTLIER_ROUNDS: Final = 5
# Axes become positive, and far enough from zero that a power bends them only mildly.
_AXIS_SHIFT_DEG: Final = 450.0
_WAVE_FLOOR_MV: Final = 0.02
_SIGNED_WAVES: Final = ("t_", "st_", "p_")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a fit.

    Attributes:
        method: "lms" or "quantile".
        least: patients needed around an age (`NEIGHBOURHOOD`), and twice as many for curves of one sex.
        folds: of the cross-validation.
        bootstrap: resamples for the bands; 0 for none.
        seed: of folds and bootstrap.
        name: who was measured.

    Raises:
        ConfigError: an unknown method, fewer than 10 patients or 2 folds, or a negative number of resamples.
    """

    method: Method = "lms"
    least: int = 50
    folds: int = 5
    bootstrap: int = 100
    seed: int = 0
    name: str = "own normals"

    def __post_init__(self) -> None:
        if self.method not in {"lms", "quantile"}:
            raise ConfigError(f"method {self.method!r}: lms or quantile")
        if self.least < 10 or self.folds < 2 or self.bootstrap < 0:
            raise ConfigError("norms need at least 10 patients around an age, 2 folds and no negative bootstrap")


@dataclass(frozen=True, slots=True)
class _Data:
    """The known values of one parameter: log(1 + days), values, patient numbers from 0 on."""

    parameter: str
    x: Floats
    y: Floats
    patient: NDArray[np.intp]
    shift: float
    floor: float

    def only(self, chosen: NDArray[np.bool_]) -> _Data:
        """The chosen records, patients numbered again from 0."""
        _, patient = np.unique(self.patient[chosen], return_inverse=True)
        return replace(self, x=self.x[chosen], y=self.y[chosen], patient=patient)

    @property
    def n_patients(self) -> int:
        return int(self.patient.max()) + 1 if len(self.patient) else 0


def fit_norms(
    records: NormalRecords,
    settings: Settings | None = None,
    parameters: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> OwnNorms:
    """Curves for every parameter that has enough patients.

    Args:
        records: of normal people.
        settings: of the fit; by default those of `Settings`.
        parameters: the parameters that are fitted; by default all that the records have.
        on_progress: called with (parameters done, parameters in all).

    Raises:
        DataError: no parameter has enough patients at any age, or no record has a parameter that is asked for.
    """
    settings = settings or Settings()
    wanted = list(parameters or records.values)
    curves: dict[tuple[str, SexKey], Fitted] = {}
    skipped: dict[str, str] = {}
    for number, parameter in enumerate(wanted):
        if on_progress is not None:
            on_progress(number, len(wanted))
        if parameter not in records.values:
            raise DataError(f"no records have {parameter}; they have {', '.join(sorted(records.values)) or 'nothing'}")
        data, sexes = _data(records, parameter)
        why = _why_no_curve(data, settings.least)
        if why:
            skipped[parameter] = why
            continue
        try:
            curves |= {(parameter, fitted.sex): fitted for fitted in _fit_sexes(data, sexes, settings)}
        except DataError as error:
            skipped[parameter] = str(error)
    if on_progress is not None:
        on_progress(len(wanted), len(wanted))
    if not curves:
        others = {parameter: why for parameter, why in skipped.items() if not why.startswith(_TOO_FEW)}
        if others:
            said = "; ".join(f"{parameter}: {why}" for parameter, why in others.items())
            raise DataError(f"no curve could be fitted ({said})")
        raise DataError(_why_none(records, settings.least))
    return OwnNorms(settings.name, settings.method, settings.least, curves, skipped)


def _why_no_curve(data: _Data, least: int) -> str:
    """Why a parameter cannot have a curve: too few people, or values that do not differ; empty where it may."""
    if not _spans(data, least):
        return f"{_TOO_FEW}: {data.n_patients} patients, {least} needed around an age"
    if not np.ptp(data.y):
        return f"all {len(data.y)} values are the same, so that there is no spread to fit"
    above = int((data.y > data.floor).sum()) if data.floor else len(data.y)
    if above < _LEAST_ABOVE:
        return f"only {above} of {len(data.y)} values are above {data.floor:g} mV"
    return ""


def _why_none(records: NormalRecords, least: int) -> str:
    """What is missing: people, a label, or a range of ages."""
    n_patients = len(np.unique(records.patient))
    few = f"too few normals for any curve ({len(records)} records of {n_patients} patients)"
    left_out = "; ".join(f"{count} left out: {reason}" for reason, count in records.left_out.items())
    if n_patients >= least:
        first, last = float(records.age_days.min()), float(records.age_days.max())
        return (
            f"{few}: they are {first:.0f} to {last:.0f} days old, and a curve needs {least} patients around each age "
            f"over a factor of {np.exp(NEIGHBOURHOOD):.1f} in 1 + days"
        )
    return f"{few}: {least} patients are needed around an age" + (f" ({left_out}; see --label)" if left_out else "")


def _data(records: NormalRecords, parameter: str) -> tuple[_Data, NDArray[np.str_]]:
    """The known values of a parameter, with the shift and floor that its kind needs, and the sex of each record."""
    y = np.array(records.values[parameter], dtype=np.float64)
    shift, floor = 0.0, 0.0
    known = np.isfinite(y)
    if parameter.endswith("_axis"):
        y, shift = np.where(known, wrap_axis_deg(np.where(known, y, 0.0)), np.nan), _AXIS_SHIFT_DEG
    elif parameter.startswith(_SIGNED_WAVES) and unit_of(parameter) == "mV":
        spread = float(np.std(y[known])) if known.any() else 0.0
        shift = float(10 * spread + max(0.0, -y[known].min())) if known.any() else 0.0
    elif unit_of(parameter) == "mV":
        floor, known = _WAVE_FLOOR_MV, known & (y >= 0)
    else:
        known &= y > 0
    _, patient = np.unique(records.patient[known], return_inverse=True)
    data = _Data(parameter, np.log1p(records.age_days[known]), y[known], patient, shift, floor)
    return data, records.sex[known]


def _fit_sexes(data: _Data, sexes: NDArray[np.str_], settings: Settings) -> Iterator[Fitted]:
    if settings.method == "lms":
        freedom = _choose_freedom(data, settings)
        yield _fit_lms(data, "both", freedom, settings)
    else:
        n_basis = _choose_basis(data, settings)
        yield _fit_quantile(data, "both", n_basis, settings)
    each: tuple[SexKey, ...] = ("F", "M")
    for sex in each:
        own = data.only(sexes == sex)
        if own.n_patients < 2 * settings.least or not _spans(own, settings.least):
            continue
        if settings.method == "lms":
            yield _fit_lms(own, sex, freedom, settings)
        else:
            yield _fit_quantile(own, sex, n_basis, settings)


def _fit_lms(data: _Data, sex: SexKey, freedom: Freedom, settings: Settings) -> Fitted:
    low, high = float(data.x.min()), float(data.x.max())

    def fit(part: _Data) -> LMS:
        parts = fit_lms(design(part.x, low, high), part.y + data.shift, data.floor, freedom)
        return LMS(low, high, *parts, data.shift, data.floor)

    kept, curve = data, fit(data)
    for _ in range(_OUTLIER_ROUNDS):  # the first mistakes found hide the others less
        usual = np.abs(curve.z_score(np.expm1(kept.x), kept.y)) <= _OUTLIER_Z
        if usual.all():
            break
        if usual.mean() < _MOST_USUAL:
            raise DataError(f"{int((~usual).sum())} of {len(usual)} values lie far from any curve through the others")
        kept = kept.only(usual)
        curve = fit(kept)
    made = _resampled(kept, curve, freedom, settings)
    return _fitted(kept, sex, curve, made, settings, freedom._asdict(), len(data.y) - len(kept.y))


def _resampled(data: _Data, curve: LMS, freedom: Freedom, settings: Settings) -> Iterator[LMS]:
    """The curve of each resample of patients, some fitted at once."""
    basis = design(data.x, curve.low, curve.high)
    start = (curve.power, curve.median, curve.spread)
    weights = list(_resamples(data, settings))
    at_once = max(1, _NUMBERS_AT_ONCE // len(data.y))
    for first in range(0, len(weights), at_once):
        some = np.stack(weights[first : first + at_once], axis=1)
        parts = fit_resamples(basis, data.y + data.shift, some, data.floor, freedom, start)
        for power, median, spread in zip(*(part.T for part in parts), strict=True):
            yield LMS(curve.low, curve.high, power, median, spread, data.shift, data.floor)


def _fit_quantile(data: _Data, sex: SexKey, n_basis: int, settings: Settings) -> Fitted:
    low, high = float(data.x.min()), float(data.x.max())
    basis = design(data.x, low, high, n_basis)
    least = 0.0 if data.floor else -np.inf
    curve = QuantileSplines(low, high, fit_quantiles(basis, data.y, np.ones(len(data.y))), least)
    made = (
        QuantileSplines(low, high, fit_quantiles(basis, data.y, weight), least) for weight in _resamples(data, settings)
    )
    return _fitted(data, sex, curve, made, settings, {"basis": float(n_basis)}, 0)


def _fitted(
    data: _Data,
    sex: SexKey,
    curve: LMS | QuantileSplines,
    resampled: Iterator[LMS] | Iterator[QuantileSplines],
    settings: Settings,
    freedom: dict[str, float],
    n_outliers: int,
) -> Fitted:
    spans = tuple((float(np.expm1(first)), float(np.expm1(last))) for first, last in _spans(data, settings.least))
    per_span = max(2, _GRID // len(spans))
    grid = np.concatenate([np.expm1(np.linspace(np.log1p(a), np.log1p(b), per_span)).clip(a, b) for a, b in spans])
    z = np.array([-Z_98, 0.0, Z_98])
    drawn = np.array([resample.value(grid[:, None], z[None, :]) for resample in resampled])
    # A resample in which nobody of an age is left may have no curve there.
    drawn = drawn[np.isfinite(drawn).all(axis=(1, 2))] if len(drawn) else drawn
    enough = len(drawn) > settings.bootstrap / 2
    bands = np.moveaxis(np.quantile(drawn, [0.025, 0.975], axis=0), 0, -1) if enough else np.zeros((0, 3, 2))
    return Fitted(data.parameter, sex, curve, spans, len(data.y), data.n_patients, n_outliers, freedom, grid, bands)


def _spans(data: _Data, least: int) -> list[tuple[float, float]]:
    """Runs of log(1 + days), one neighbourhood long or more, around which at least `least` patients were measured."""
    if data.n_patients < least:
        return []
    order = np.argsort(data.x, kind="stable")
    x, patient = data.x[order], data.patient[order]
    grid = np.linspace(x[0], x[-1], 4 * _GRID)
    first, last = np.searchsorted(x, grid - NEIGHBOURHOOD), np.searchsorted(x, grid + NEIGHBOURHOOD, side="right")
    enough = np.array([len(np.unique(patient[a:b])) >= least for a, b in zip(first, last, strict=True)])
    edges = np.flatnonzero(np.diff(np.r_[False, enough, False].astype(np.int8))).reshape(-1, 2)
    return [(float(grid[a]), float(grid[b - 1])) for a, b in edges if grid[b - 1] - grid[a] >= NEIGHBOURHOOD]


def _resamples(data: _Data, settings: Settings) -> Iterator[Floats]:
    """Weights of the records when patients are drawn with replacement."""
    rng = np.random.default_rng(settings.seed)
    for _ in range(settings.bootstrap):
        times = np.bincount(rng.integers(data.n_patients, size=data.n_patients), minlength=data.n_patients)
        yield times[data.patient].astype(np.float64)


def _folds(data: _Data, settings: Settings) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    fold = np.random.default_rng(settings.seed).permutation(data.n_patients)[data.patient] % settings.folds
    for number in range(settings.folds):
        yield fold != number, fold == number


def _choose_freedom(data: _Data, settings: Settings) -> Freedom:
    """Degrees of freedom by the likelihood of patients left out: first the median's, then the spread's and power's."""
    basis = design(data.x, float(data.x.min()), float(data.x.max()))
    y = data.y + data.shift
    folds = list(_folds(data, settings))

    def cost(freedom: Freedom) -> float:
        parts = []
        for inside, outside in folds:
            made = fit_lms(basis[inside], y[inside], data.floor, freedom)
            parts.append(cost_of(basis[outside], y[outside], data.floor, made))
        return float(np.mean(parts))

    def allowed(choices: Sequence[float]) -> Sequence[float]:
        return [df for df in choices if df * _PATIENTS_PER_FREEDOM <= data.n_patients] or choices[:1]

    best = Freedom()
    for curve, choices in (("median", _MEDIANS), ("spread", _SPREADS), ("power", _POWERS)):
        tried = [best._replace(**{curve: df}) for df in allowed(choices)]
        best = min(tried, key=cost) if len(tried) > 1 else tried[0]
    return best


def _choose_basis(data: _Data, settings: Settings) -> int:
    """Number of splines by the pinball loss of patients left out, at p2, p50 and p98."""
    folds = list(_folds(data, settings))

    def cost(n_basis: int) -> float:
        basis = design(data.x, float(data.x.min()), float(data.x.max()), n_basis)
        total = 0.0
        for inside, outside in folds:
            made = fit_quantiles(basis[inside], data.y[inside], np.ones(int(inside.sum())), _CHECKED)
            for level, coefficients in zip(_CHECKED, made, strict=True):
                total += pinball(data.y[outside] - basis[outside] @ coefficients, level) / (level * (1 - level))
        return total

    return min(_BASES, key=cost)
