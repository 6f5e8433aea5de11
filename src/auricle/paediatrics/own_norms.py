"""Centile curves of a hospital's own, read through the functions that `auricle.paediatrics.limits` has, in one JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.atomic import write_json
from auricle.errors import DataError, UnknownNameError
from auricle.leads import wrap_axis_deg
from auricle.measure.measurements import UNITS
from auricle.paediatrics.limits import Z_98, Centiles, SexLike
from auricle.paediatrics.lms import LMS
from auricle.paediatrics.quantile_splines import QuantileSplines
from auricle.recording import Sex

Floats = NDArray[np.float64]
SexKey = Literal["F", "M", "both"]

FORMAT: Final = "auricle norms 1"
METHODS: Final = {
    "lms": "LMS (Cole and Green 1992)",
    "quantile": "quantile splines (Koenker, Ng and Portnoy 1994)",
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """One parameter's curves for one sex, or for both together.

    Attributes:
        parameter, sex: whose curves they are.
        curve: converts values at an age to z and back.
        spans_days: (from, to) ages with enough patients around them; elsewhere there is no curve.
        n_records, n_patients, n_outliers: fitted, and left out as farther than 5 standard deviations.
        freedom: chosen by cross-validation, by name.
        grid_days: (age,) where the bands are known.
        bands: (age, 3, 2) 95 % bootstrap intervals of p2, p50 and p98; empty without a bootstrap.
    """

    parameter: str
    sex: SexKey
    curve: LMS | QuantileSplines
    spans_days: tuple[tuple[float, float], ...]
    n_records: int
    n_patients: int
    n_outliers: int
    freedom: Mapping[str, float]
    grid_days: Floats
    bands: Floats

    def inside(self, days: Floats) -> NDArray[np.bool_]:
        """Whether there were enough patients around each of the ages in days."""
        known = np.zeros(np.shape(days), dtype=bool)
        for first, last in self.spans_days:
            known |= (days >= first) & (days <= last)
        return known


@dataclass(frozen=True, slots=True)
class OwnNorms:
    """All curves of one fit. Values are NaN at ages with too few patients.

    Attributes:
        name: who was measured, printed as the population.
        method: "lms" or "quantile".
        least: patients needed around an age.
        curves: by (parameter, sex).
        skipped: parameter -> why it has no curve.
    """

    name: str
    method: str
    least: int
    curves: Mapping[tuple[str, SexKey], Fitted]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> tuple[str, ...]:
        """Every parameter with curves, in alphabetical order."""
        return tuple(sorted({parameter for parameter, _ in self.curves}))

    def fitted(self, parameter: str, sex: Sex | None = None) -> Fitted:
        """The curves used for a sex: its own, or those of both together.

        Raises:
            UnknownNameError: no such parameter.
        """
        if parameter not in self.parameters():
            raise UnknownNameError("ECG parameter", parameter, self.parameters())
        return self.curves.get((parameter, sex or "both")) or self.curves[parameter, "both"]

    def limits(self, parameter: str, age_days: float, sex: Sex | None = None) -> Centiles:
        """The limits at one age, with source and population.

        Raises:
            UnknownNameError: no such parameter.
            DataError: an age that is negative or not finite, or an unknown sex.
        """
        p2, p50, p98 = self.centiles(parameter, age_days, sex).tolist()
        used = self.fitted(parameter, sex)
        whose = {"F": "girls", "M": "boys", "both": "both sexes"}[used.sex]
        return Centiles(
            parameter, p2, p50, p98, unit_of(parameter), self.name,
            f"{used.n_patients} patients, {whose}", METHODS[self.method], extrapolated=False, unverified=False,
        )  # fmt: skip

    def centiles(self, parameter: str, age_days: ArrayLike, sex: SexLike = None) -> Floats:
        """(*ages, 3) p2, p50 and p98 in the parameter's unit.

        Args:
            parameter: one with curves.
            age_days: ages, any shape.
            sex: one value for all, or one per age; None uses the curves of both sexes together.

        Raises:
            UnknownNameError: no such parameter.
            DataError: an age that is negative or not finite, or an unknown sex.
        """
        ages = np.asarray(age_days, dtype=np.float64)
        sexes = np.asarray(sex, dtype=object)
        return self.quantile(parameter, ages[..., None], sexes[..., None], np.array([-Z_98, 0.0, Z_98]))

    def median(self, parameter: str, age_days: ArrayLike, sex: SexLike = None) -> Floats:
        """(*ages) the median in the parameter's unit."""
        return self.centiles(parameter, age_days, sex)[..., 1]

    def quantile(self, parameter: str, age_days: ArrayLike, sex: SexLike | NDArray[Any], z: ArrayLike) -> Floats:
        """The value `z` standard deviations from the norm of age and sex; an axis is in [-90, 270) degrees."""
        value = self._ask(parameter, age_days, sex, z, "value")
        return wrap_axis_deg(value) if parameter.endswith("_axis") else value

    def z_score(self, parameter: str, age_days: ArrayLike, sex: SexLike, value: ArrayLike) -> Floats:
        """How many standard deviations a value lies from the norm: the inverse of `quantile`.

        The axis of QRS is read from -90 to 270 degrees, as the rules about it are, those of P and T within half a turn
        of the median of their age, so that their side is that of the shorter way.
        """
        if parameter == "qrs_axis":
            return self._ask(parameter, age_days, sex, wrap_axis_deg(value), "z_score")
        if not parameter.endswith("_axis"):
            return self._ask(parameter, age_days, sex, value, "z_score")
        median = self._ask(parameter, age_days, sex, 0.0, "value")
        nearest = median + (np.asarray(value, dtype=np.float64) - median + 180.0) % 360.0 - 180.0
        return self._ask(parameter, age_days, sex, nearest, "z_score")

    def _ask(self, parameter: str, age_days: ArrayLike, sex: Any, at: ArrayLike, what: str) -> Floats:
        ages = np.asarray(age_days, dtype=np.float64)
        if not np.isfinite(ages).all() or (ages < 0).any():
            raise DataError(f"limits of {parameter}: ages must be known and not negative")
        days, sexes, points = np.broadcast_arrays(ages, np.asarray(sex, dtype=object), np.asarray(at, dtype=np.float64))
        found = np.full(days.shape, np.nan)
        for asked in {str(name) if name is not None else "" for name in sexes.ravel().tolist()}:
            if asked not in {"F", "M", ""}:
                raise DataError("sex must be 'F', 'M' or None where unknown")
            used = self.fitted(parameter, asked or None)  # type: ignore[arg-type]
            chosen = np.array([name == (asked or None) for name in sexes.ravel()], dtype=bool).reshape(sexes.shape)
            chosen = chosen & used.inside(days)
            if chosen.any():
                found[chosen] = getattr(used.curve, what)(days[chosen], points[chosen])
        return found

    def write(self, path: Path) -> None:
        """Write all curves to one JSON file, which is replaced as a whole."""
        write_json(
            path,
            {
                "format": FORMAT,
                "name": self.name,
                "method": self.method,
                "least": self.least,
                "skipped": dict(self.skipped),
                "curves": [_to_plain(fitted) for fitted in self.curves.values()],
            },
        )

    @classmethod
    def read(cls, path: Path) -> OwnNorms:
        """Read the curves that `write` wrote.

        Raises:
            DataError: no such file, or not one that `auricle norms fit` wrote.
        """
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain["format"] != FORMAT:
                raise KeyError(plain["format"])
            fitted = [_from_plain(entry) for entry in plain["curves"]]
            curves = {(curve.parameter, curve.sex): curve for curve in fitted}
            return cls(plain["name"], plain["method"], plain["least"], curves, plain["skipped"])
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: is no file of norms; make one with `auricle norms fit`") from None


def unit_of(parameter: str) -> str:
    """The unit of a parameter; amplitudes are in mV."""
    return UNITS.get(parameter, "mV")


def _to_plain(fitted: Fitted) -> dict[str, Any]:
    curve = asdict(fitted.curve)
    if not np.isfinite(curve.get("least", 0.0)):
        del curve["least"]
    plain = {"kind": "lms" if isinstance(fitted.curve, LMS) else "quantile", **curve}
    return {
        "parameter": fitted.parameter,
        "sex": fitted.sex,
        "unit": unit_of(fitted.parameter),
        "n_records": fitted.n_records,
        "n_patients": fitted.n_patients,
        "n_outliers": fitted.n_outliers,
        "freedom": dict(fitted.freedom),
        "spans_days": [list(span) for span in fitted.spans_days],
        "curve": {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()},
        "grid_days": fitted.grid_days.tolist(),
        "bands": fitted.bands.tolist(),
    }


def _from_plain(plain: Mapping[str, Any]) -> Fitted:
    given = {name: np.array(value) if isinstance(value, list) else value for name, value in plain["curve"].items()}
    kind: Callable[..., LMS | QuantileSplines] = LMS if given.pop("kind") == "lms" else QuantileSplines
    return Fitted(
        plain["parameter"],
        plain["sex"],
        kind(**given),
        tuple((float(first), float(last)) for first, last in plain["spans_days"]),
        plain["n_records"],
        plain["n_patients"],
        plain["n_outliers"],
        plain["freedom"],
        np.array(plain["grid_days"], dtype=np.float64),
        np.array(plain["bands"], dtype=np.float64).reshape(-1, 3, 2),
    )
