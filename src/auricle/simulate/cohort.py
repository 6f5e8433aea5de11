"""A simulated cohort: people of all ages, ill or well, with a trace, a report, laboratory values and the truth.

The physics is simple, but one property is exact: what is normal changes continuously with age, and disease is a
departure from the norm of the age. A trace that is healthy in a newborn can be right ventricular hypertrophy in an
adult, so a model that reads the age can be better than one that does not, and the simulation knows by how much.
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

from auricle.age import ADULT_DAYS, DAYS_PER_YEAR, Age
from auricle.errors import ConfigError, UnknownNameError
from auricle.leads import STANDARD
from auricle.recording import Recording, Sex
from auricle.simulate import (
    acquisition,
    conditions,
    ectopy,
    labs,
    morphology,
    noise,
    pathology,
    render,
    reports,
    rhythm,
)
from auricle.simulate.streams import Draws, Floats, Stream, Streams, draw

AgePreset = Literal["all", "adults", "children"]
Ages = AgePreset | Callable[[Floats], Floats] | Sequence[float] | Floats

# Without age interaction every trace follows the norms of this age.
_CONTROL_AGE_DAYS: Final = 35 * DAYS_PER_YEAR
# Records made at a time: one chunk stays near the cache, and less or more of them is slower (two processes on two
# cores: 940 records/s with 16, 1,070 with 32, 970 with 48).
_CHUNK: Final = 32
_OLDEST_YEARS: Final = 90.0
_NEWBORN_DAYS: Final = 28.0
_ONE_HOUR_DAYS: Final = 1 / 24


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known about one trace because it was made.

    Attributes:
        qrs_s: QRS onsets inside the record, in seconds from its start.
        qrs_ventricular: which of them are ventricular ectopic beats.
        p_s: P onsets inside the record (flutter waves are P here).
        severity: condition -> severity in [0, 1] of what is present.
        amplitudes_mv: (measured lead, wave) of the noise-free usual beat, leads as `noise.MEASURED`, waves as
            `render.AMPLITUDES`.
        acquisition: what was done to the recording, by name.
    """

    qrs_s: Floats
    qrs_ventricular: NDArray[np.bool_]
    p_s: Floats
    severity: Mapping[str, float]
    amplitudes_mv: NDArray[np.float32]
    acquisition: Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Simulated records side by side; all sequences are in record order.

    Attributes:
        signal: (record, lead, time) float32 millivolts, leads in STANDARD order; NaN where a lead was not recorded.
        rate_hz: samples per second.
        record_id: such as `sim0-0000005`: seed and number, so shards of one seed never collide.
        age_days: (record,).
        sex: "F" or "M".
        labels: what was simulated: NORM for the healthy, SR in sinus rhythm, SCP codes where there are, and our own
            name of the condition where it says more (see `conditions.toml` and `codes`).
        report: free text.
        labs: values by test; absent where the test was not done.
        lab_minutes: when each was drawn, in minutes after the ECG.
        measurements: truth of the noise-free usual beat (see `simulate.render.measure`); absent where undefined.
        truth: events, severities and what was done to the recording.
    """

    signal: Float[Tensor, "record lead time"]
    rate_hz: float
    record_id: tuple[str, ...]
    age_days: Floats
    sex: tuple[Sex, ...]
    labels: tuple[tuple[str, ...], ...]
    report: tuple[str, ...]
    labs: tuple[Mapping[str, float], ...]
    lab_minutes: tuple[Mapping[str, float], ...]
    measurements: tuple[Mapping[str, float], ...]
    truth: tuple[Truth, ...]

    def __len__(self) -> int:
        return len(self.record_id)

    def codes(self, system: conditions.System) -> tuple[tuple[str, ...], ...]:
        """The labels of each record in SNOMED CT, SCP or AHA; what has no confirmed code there is left out."""
        return tuple(conditions.codes(labels, system) for labels in self.labels)

    def recordings(self) -> Iterator[Recording]:
        """The records as Recordings in millivolts, each a patient of its own, in order."""
        for row, record_id in enumerate(self.record_id):
            signal = self.signal[row].cpu().numpy()
            recorded = np.isfinite(signal[:, 0])
            band = self.truth[row].acquisition
            yield Recording(
                signal[recorded],
                self.rate_hz,
                tuple(name for name, kept in zip(STANDARD, recorded, strict=True) if kept),
                record_id,
                patient_id=record_id,
                age=Age(float(self.age_days[row]), _ONE_HOUR_DAYS),
                sex=self.sex[row],
                report=self.report[row],
                labels=self.labels[row],
                labs=self.labs[row],
                lab_minutes=self.lab_minutes[row],
                measurements=self.measurements[row],
                cart_band_hz=(float(band["cart_high_pass_hz"]), float(band["cart_low_pass_hz"])),
                source="simulated",
            )


def cohort(
    n: int,
    seed: int = 0,
    *,
    start: int = 0,
    ages: Ages = "all",
    diagnoses: conditions.Diagnosed = None,
    rate_hz: float = 500.0,
    seconds: float = 10.0,
    age_interaction: bool = True,
    quality: acquisition.Quality = "usual",
    language: reports.Language = "en",
    device: torch.device | str = "cpu",
) -> Cohort:
    """Simulate records `start` to `start + n - 1` of a seed.

    A record depends on its seed and number alone, never on `n`, `start`, chunking or device (to float tolerance), so
    shards can be made anywhere. Given the same options, a person also stays the same with and without a disease.

    Args:
        n: number of records.
        seed: of all chance.
        start: number of the first record.
        ages: "all" (0 days to 90 years, many newborns and children), "adults" (18-90 years), "children" (0-18 years,
            spread evenly over log(1 + days/30), many newborns), a quantile function from (record,) uniforms to days, or
            one age in days per record of this call.
        diagnoses: a mix ("default", "adult", "child", "core"), or code -> share of records that have it (several can
            meet in one record). See `simulate.conditions.choose`.
        rate_hz: samples per second.
        seconds: duration.
        age_interaction: False makes the control in which the trace does not depend on age: everybody has the norms of
            one adult age, while the recorded age (and the laboratory) varies as before.
        quality: "clean" (electrodes and noise, nothing worse), "usual" or "hard": how often electrodes are swapped or
            loose, amplifiers saturate, carts filter, and leads are missing.
        language: of the reports: "en", "de" or "zh".
        device: where the traces are computed and kept.

    Raises:
        ConfigError: a count, rate, duration, age or prevalence that makes no sense.
        UnknownNameError: an unknown age preset, mix, diagnosis, quality or language.
    """
    n_samples = round(rate_hz * seconds)
    if n < 0 or start < 0 or rate_hz <= 0 or n_samples < 1:
        raise ConfigError(f"a cohort of {n} records from {start}, {seconds:g} s at {rate_hz:g} Hz is not possible")
    # Chunk by chunk: first all that is decided about the records, then their traces, then what is known of them.
    signal = torch.empty((n, len(STANDARD), n_samples), dtype=torch.float32, device=device)
    facts = _Facts([], [], [], [], [], [], [], [])
    for first in range(0, n, _CHUNK):
        rows = slice(first, min(first + _CHUNK, n))
        streams = Streams(seed, np.arange(start + rows.start, start + rows.stop, dtype=np.int64))
        draws = draw(streams)
        age_days = _ages(ages, draws, rows, n)
        norm_age_days = age_days if age_interaction else np.full_like(age_days, _CONTROL_AGE_DAYS)
        wanted = conditions.choose(streams, diagnoses)
        taken = acquisition.choose(streams, quality, seconds)
        patients = _patients(streams, draws, age_days, norm_age_days, wanted, taken, seconds)
        made = _traces(streams, patients, rate_hz, signal[rows])
        facts.extend(streams, patients, made, language, seconds)
    return Cohort(
        signal,
        rate_hz,
        tuple(f"sim{seed}-{number:07d}" for number in range(start, start + n)),
        np.array(facts.age_days, dtype=np.float64),
        tuple(facts.sex),
        tuple(facts.labels),
        tuple(facts.report),
        tuple(facts.labs),
        tuple(facts.lab_minutes),
        tuple(facts.measurements),
        tuple(facts.truth),
    )


@dataclass(frozen=True, slots=True)
class _Patients:
    """Everything decided about the records of one chunk before a sample is computed."""

    draws: Draws
    age_days: Floats
    norm_age_days: Floats
    sex: NDArray[np.str_]
    diagnoses: conditions.Diagnoses
    shapes: render.Shapes
    rhythm: rhythm.Rhythm
    noise: noise.Noise
    view: Floats
    acquisition: acquisition.Acquisition


@dataclass(frozen=True, slots=True)
class _Made:
    """What was measured on the noise-free beats of one chunk."""

    measurements: Mapping[str, Floats]
    amplitudes_mv: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known beside the traces, record by record, as it grows chunk by chunk."""

    age_days: list[float]
    sex: list[Sex]
    labels: list[tuple[str, ...]]
    report: list[str]
    labs: list[Mapping[str, float]]
    lab_minutes: list[Mapping[str, float]]
    measurements: list[Mapping[str, float]]
    truth: list[Truth]

    def extend(
        self, streams: Streams, patients: _Patients, made: _Made, language: reports.Language, seconds: float
    ) -> None:
        """Add the records of one chunk, given the truth measured on their beats."""
        diagnoses, age_days, sex = patients.diagnoses, patients.age_days, patients.sex
        self.age_days.extend(age_days.tolist())
        self.sex.extend("M" if name == "M" else "F" for name in sex)
        self.labels.extend(diagnoses.labels(row) for row in range(len(age_days)))
        written = reports.write(
            streams, diagnoses, made.measurements, age_days, patients.norm_age_days, sex, language=language
        )
        self.report.extend(written)
        values, minutes = labs.panel(streams, age_days, sex, diagnoses)
        self.labs.extend(_by_record(values))
        self.lab_minutes.extend(_by_record(minutes))
        self.measurements.extend(_by_record(made.measurements))
        self.truth.extend(_truth(patients, made, row, seconds) for row in range(len(age_days)))


def _truth(patients: _Patients, made: _Made, row: int, seconds: float) -> Truth:
    beats, diagnoses = patients.rhythm, patients.diagnoses
    inside = (beats.qrs_s[row] >= 0) & (beats.qrs_s[row] < seconds)
    p_inside = (beats.p_s[row] >= 0) & (beats.p_s[row] < seconds)
    return Truth(
        beats.qrs_s[row][inside],
        beats.qrs_kind[row][inside] == 1,
        beats.p_s[row][p_inside],
        {code: float(diagnoses.severity[code][row]) for code, there in diagnoses.present.items() if there[row]},
        made.amplitudes_mv[row],
        patients.acquisition.facts(row),
    )


def _patients(
    streams: Streams,
    draws: Draws,
    age_days: Floats,
    norm_age_days: Floats,
    diagnoses: conditions.Diagnoses,
    taken: acquisition.Acquisition,
    seconds: float,
) -> _Patients:
    sex = np.where(draws.uniform["sex"] < 0.5, "F", "M")
    deviations = morphology.deviations(draws)
    pathology.shift(deviations, diagnoses)
    beat = morphology.build(draws, deviations, norm_age_days, sex, lambda axis: pathology.axis(diagnoses, axis))
    sinus = pathology.apply(beat, draws, diagnoses, norm_age_days, sex)
    placed = rhythm.beats(streams, draws, diagnoses, norm_age_days, sinus, beat.heart_rate, beat.pr_ms, seconds)
    view = acquisition.turn(noise.electrodes(streams, draws), taken, diagnoses.present["DEXTRO"])
    return _Patients(
        draws, age_days, norm_age_days, sex, diagnoses, ectopy.shapes(beat, draws, diagnoses, placed), placed,
        noise.choose(streams, draws, placed, seconds), view, taken,
    )  # fmt: skip


def _traces(streams: Streams, patients: _Patients, rate_hz: float, out: Tensor) -> _Made:
    """Fill `out`, (record, 12, time) in STANDARD order; returns the truth about the noise-free beats."""
    n_samples, device = out.shape[2], out.device
    beat = patients.shapes.usual
    drawn = render.templates(patients.shapes, patients.view, device)
    clean = render.trace(drawn, beat, patients.rhythm, n_samples, rate_hz)
    n_leads = len(noise.MEASURED)
    white = streams.integers(Stream.MUSCLE, n_leads * noise.n_white(n_samples)).reshape(len(clean), n_leads, -1)
    measured = noise.add(clean, patients.noise, torch.from_numpy(white).to(device), rate_hz)
    _twelve(acquisition.take(measured, patients.acquisition, rate_hz), out)
    for row in np.flatnonzero(patients.acquisition.n_leads < len(STANDARD)):
        kept = patients.acquisition.kept(int(row))
        out[row, [number for number, name in enumerate(STANDARD) if name not in kept]] = torch.nan
    has_pr = ~patients.diagnoses.any(*rhythm.WITHOUT_PR) & ~rhythm.paced_alone(patients.diagnoses)
    return _Made(render.measure(drawn, beat, patients.rhythm, has_pr), render.amplitudes(drawn, beat).cpu().numpy())


def _twelve(measured: Tensor, out: Tensor) -> None:
    """Fill `out` (record, 12, time) from the measured leads I, II, V1-V6 (record, 8, time), by Einthoven's law."""
    lead_i, lead_ii = measured[:, 0], measured[:, 1]
    out[:, :2], out[:, 6:] = measured[:, :2], measured[:, 2:]
    torch.sub(lead_ii, lead_i, out=out[:, 2])
    torch.add(lead_i, lead_ii, out=out[:, 3]).div_(-2)
    torch.sub(lead_i, lead_ii, alpha=0.5, out=out[:, 4])
    torch.sub(lead_ii, lead_i, alpha=0.5, out=out[:, 5])


def _by_record(columns: Mapping[str, Floats]) -> list[Mapping[str, float]]:
    """Columns to one mapping per record, without what is NaN."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [{name: value for name, value in zip(columns, row, strict=True) if value == value} for row in rows]


def _ages(ages: Ages, draws: Draws, rows: slice, n: int) -> Floats:
    """(record,) ages in days of the records at `rows` of a cohort of n."""
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
    child = 30 * np.expm1(chance * np.log1p(ADULT_DAYS / 30))
    adult = DAYS_PER_YEAR * (18 + (_OLDEST_YEARS - 18) * chance)
    if name == "adults":
        return adult
    if name == "children":
        return np.where(part < 0.15, newborn, child)
    if name == "all":
        return np.select([part < 0.15, part < 0.60], [newborn, child], adult)
    raise UnknownNameError("age preset", name, ("all", "adults", "children"))
