"""A simulated cohort: people of all ages, ill or well, with a trace, a report, laboratory values and the truth.

The physics is simple and its one point is exact: what is normal changes continuously with age, and disease is a
departure from the norm of the age. The same trace is healthy in a newborn and right ventricular hypertrophy in an
adult, so a model that is told the age can beat one that is not, and by how much is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from auricle.age import DAYS_PER_YEAR, Age
from auricle.errors import ConfigError, UnknownNameError
from auricle.leads import STANDARD
from auricle.recording import Recording, Sex
from auricle.simulate import labs, morphology, noise, pathology, render, reports, rhythm
from auricle.simulate.streams import Draws, Floats, Stream, Streams, draw

AgePreset = Literal["all", "adults", "children"]
Ages = AgePreset | Callable[[Floats], Floats] | Sequence[float] | Floats

# Without age interaction every trace follows the norms of this age.
_CONTROL_AGE_DAYS: Final = 35 * DAYS_PER_YEAR
# Records made at a time: memory besides the result stays near 100 MB at 500 Hz and 10 s, and less
# or more of them is slower (two cores: 1360 records/s with 32, 1480 with 64, 990 with 128).
_CHUNK: Final = 64
_OLDEST_YEARS: Final = 90.0
_NEWBORN_DAYS: Final = 28.0
_CHILD_DAYS: Final = 18 * DAYS_PER_YEAR
_ONE_HOUR_DAYS: Final = 1 / 24


@dataclass(frozen=True, slots=True)
class Cohort:
    """Simulated records side by side; all sequences are in record order.

    Attributes:
        signal: (record, lead, time) float32 millivolts, leads in STANDARD order.
        rate_hz: samples per second.
        record_id: such as `sim0-0000005`: seed and number, so shards of one seed never collide.
        age_days: (record,).
        sex: "F" or "M".
        labels: SCP codes of what was simulated; ("NORM",) for the healthy.
        report: English free text.
        labs: values by test; absent where the test was not done.
        measurements: truth of the noise-free median beat (see `simulate.render.measure`); absent where undefined.
    """

    signal: Float[Tensor, "record lead time"]
    rate_hz: float
    record_id: tuple[str, ...]
    age_days: Floats
    sex: tuple[Sex, ...]
    labels: tuple[tuple[str, ...], ...]
    report: tuple[str, ...]
    labs: tuple[Mapping[str, float], ...]
    measurements: tuple[Mapping[str, float], ...]

    def __len__(self) -> int:
        return len(self.record_id)

    def recordings(self) -> Iterator[Recording]:
        """The same as Recordings, one patient each, in order."""
        for row, record_id in enumerate(self.record_id):
            yield Recording(
                self.signal[row].cpu().numpy(),
                self.rate_hz,
                STANDARD,
                record_id,
                patient_id=record_id,
                age=Age(float(self.age_days[row]), _ONE_HOUR_DAYS),
                sex=self.sex[row],
                report=self.report[row],
                labels=self.labels[row],
                labs=self.labs[row],
                measurements=self.measurements[row],
                source="simulated",
            )


def cohort(
    n: int,
    seed: int = 0,
    *,
    start: int = 0,
    ages: Ages = "all",
    diagnoses: Mapping[str, float] | None = None,
    rate_hz: float = 500.0,
    seconds: float = 10.0,
    age_interaction: bool = True,
    device: torch.device | str = "cpu",
) -> Cohort:
    """Simulate records `start` to `start + n - 1` of a seed.

    A record depends on its seed and number alone, never on `n`, `start`, chunking or device (to float tolerance), so
    shards can be made anywhere. Given the same options, a person also stays the same with and without a disease.

    Args:
        n: how many.
        seed: which world.
        start: number of the first record.
        ages: "all" (0 days to 90 years, many newborns and children), "adults" (18-90 years), "children" (0-18 years,
            spread evenly over log(1 + days/30), many newborns), a quantile function from (record,) uniforms to days, or
            one age in days per record of this call.
        diagnoses: SCP code -> share of records that have it (several can meet in one record); the default leaves about
            38 % NORM. See `simulate.pathology.choose`.
        rate_hz: samples per second.
        seconds: duration.
        age_interaction: False makes the control in which the trace does not depend on age: everybody has the norms of
            one adult age, while the recorded age (and the laboratory) varies as before.
        device: where the traces are computed and kept.

    Raises:
        ConfigError: a count, rate, duration, age or prevalence that makes no sense.
        UnknownNameError: an unknown age preset or diagnosis.
    """
    n_samples = round(rate_hz * seconds)
    if n < 0 or start < 0 or rate_hz <= 0 or n_samples < 1:
        raise ConfigError(f"a cohort of {n} records from {start}, {seconds:g} s at {rate_hz:g} Hz is not possible")
    signal = torch.empty((n, len(STANDARD), n_samples), dtype=torch.float32, device=device)
    facts = _Facts([], [], [], [], [], [])
    for first in range(0, n, _CHUNK):
        rows = slice(first, min(first + _CHUNK, n))
        streams = Streams(seed, np.arange(start + rows.start, start + rows.stop, dtype=np.int64))
        draws = draw(streams)
        age_days = _ages(ages, draws, rows, n)
        norm_age_days = age_days if age_interaction else np.full_like(age_days, _CONTROL_AGE_DAYS)
        patients = _patients(streams, draws, age_days, norm_age_days, pathology.choose(draws, diagnoses), seconds)
        signal[rows], truth = _traces(streams, patients, rate_hz, n_samples, signal.device)
        facts.extend(streams, patients, truth)
    return Cohort(
        signal,
        rate_hz,
        tuple(f"sim{seed}-{number:07d}" for number in range(start, start + n)),
        np.array(facts.age_days, dtype=np.float64),
        tuple(facts.sex),
        tuple(facts.labels),
        tuple(facts.report),
        tuple(facts.labs),
        tuple(facts.measurements),
    )


@dataclass(frozen=True, slots=True)
class _Patients:
    """Everything decided about the records of one chunk before a sample is computed."""

    draws: Draws
    age_days: Floats
    norm_age_days: Floats
    sex: NDArray[np.str_]
    diagnoses: pathology.Diagnoses
    beat: morphology.Beat
    rhythm: rhythm.Rhythm
    noise: noise.Noise
    view: Floats


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known beside the traces, record by record, as it grows chunk by chunk."""

    age_days: list[float]
    sex: list[Sex]
    labels: list[tuple[str, ...]]
    report: list[str]
    labs: list[Mapping[str, float]]
    measurements: list[Mapping[str, float]]

    def extend(self, streams: Streams, patients: _Patients, truth: Mapping[str, Floats]) -> None:
        """Add the records of one chunk, given the truth measured on their beats."""
        diagnoses, age_days, sex = patients.diagnoses, patients.age_days, patients.sex
        self.age_days.extend(age_days.tolist())
        self.sex.extend("M" if name == "M" else "F" for name in sex)
        self.labels.extend(diagnoses.labels(row) for row in range(len(age_days)))
        self.report.extend(reports.write(patients.draws, diagnoses, truth, age_days, patients.norm_age_days, sex))
        self.labs.extend(_by_record(labs.panel(streams, age_days, sex, diagnoses)))
        self.measurements.extend(_by_record(truth))


def _patients(
    streams: Streams,
    draws: Draws,
    age_days: Floats,
    norm_age_days: Floats,
    diagnoses: pathology.Diagnoses,
    seconds: float,
) -> _Patients:
    sex = np.where(draws.uniform["sex"] < 0.5, "F", "M")
    deviations = morphology.deviations(draws)
    pathology.shift(deviations, diagnoses)
    beat = morphology.build(draws, deviations, norm_age_days, sex)
    pathology.apply(beat, draws, diagnoses, norm_age_days, sex)
    fibrillating = diagnoses.present["AFIB"]
    morphology.add_p_waves(beat, draws, norm_age_days, fibrillating)
    placed = rhythm.beats(streams, draws, norm_age_days, beat.heart_rate, fibrillating, seconds)
    return _Patients(
        draws, age_days, norm_age_days, sex, diagnoses, beat, placed,
        noise.choose(streams, draws, placed, seconds), noise.electrodes(streams, draws),
    )  # fmt: skip


def _traces(
    streams: Streams, patients: _Patients, rate_hz: float, n_samples: int, device: torch.device
) -> tuple[Tensor, dict[str, Floats]]:
    """(record, 12, time) in STANDARD order, and the truth about the noise-free beats."""
    drawn = render.templates(patients.beat, patients.view, device)
    clean = render.trace(drawn, patients.beat, patients.rhythm, n_samples, rate_hz)
    n_leads = len(noise.MEASURED)
    white = streams.integers(Stream.MUSCLE, n_leads * noise.n_white(n_samples)).reshape(len(clean), n_leads, -1)
    measured = noise.add(clean, patients.noise, torch.from_numpy(white).to(device), rate_hz)
    return _twelve(measured), render.measure(drawn, patients.beat, patients.rhythm)


def _twelve(measured: Tensor) -> Tensor:
    """I, II, V1-V6 -> the standard twelve, by Einthoven and Goldberger."""
    one, two = measured[:, :1], measured[:, 1:2]
    derived = [two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return torch.cat([one, two, *derived, measured[:, 2:]], dim=1)


def _by_record(columns: Mapping[str, Floats]) -> list[Mapping[str, float]]:
    """Columns to one mapping per record, without what is NaN."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [{name: value for name, value in zip(columns, row, strict=True) if value == value} for row in rows]


def _ages(ages: Ages, draws: Draws, rows: slice, n: int) -> Floats:
    chance = draws.uniform["age"]
    if isinstance(ages, str):
        days = _preset(ages, draws.uniform["age_part"], chance)
    elif callable(ages):
        days = np.asarray(ages(chance), dtype=np.float64)
    else:
        given = np.asarray(ages, dtype=np.float64)
        if given.shape != (n,):
            raise ConfigError(f"ages of shape {given.shape} for {n} records: give one age in days per record")
        days = given[rows]
    if days.shape != chance.shape or not (np.isfinite(days).all() and (days >= 0).all()):
        raise ConfigError("ages of a cohort must be finite, not negative, and one per record")
    return days


def _preset(name: str, part: Floats, chance: Floats) -> Floats:
    """Ages in days of a named mixture; `part` chooses the component, `chance` the age inside it."""
    newborn = _NEWBORN_DAYS * chance
    child = 30 * np.expm1(chance * np.log1p(_CHILD_DAYS / 30))
    adult = DAYS_PER_YEAR * (18 + (_OLDEST_YEARS - 18) * chance)
    if name == "adults":
        return adult
    if name == "children":
        return np.where(part < 0.15, newborn, child)
    if name == "all":
        return np.select([part < 0.15, part < 0.60], [newborn, child], adult)
    raise UnknownNameError("age preset", name, ("all", "adults", "children"))
