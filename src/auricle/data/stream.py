"""A stream: simulated records that are made while they are learned from, none of them twice and none of them stored.

Record number n of a stream is a function of its settings and n alone, so any process can make any part of it, with the
same result.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.config import Config
from auricle.data.reading import Reading
from auricle.errors import ConfigError
from auricle.leads import STANDARD, rows_onto
from auricle.recording import patient_number
from auricle.simulate import Cohort, cohort
from auricle.simulate.conditions import shares_of
from auricle.simulate.noise import MEASURED
from auricle.simulate.render import AMPLITUDES

_SOURCE: Final = "simulated"
# What the simulator knows of the usual beat in numbers; an angle is two of them, since 180 and -180 degrees are one.
_MEASURED: Final = ("heart_rate", "qrs_ms", "qt_ms", "qtc_ms")
_ANGLE: Final = "qrs_axis_deg"
NUMBERS: Final = (
    *_MEASURED, f"{_ANGLE}:cos", f"{_ANGLE}:sin", *(f"{lead}:{wave}" for lead in MEASURED for wave in AMPLITUDES),
)  # fmt: skip
# A simulator is known again by so many records, and by one of each condition, to this share of their size.
_PROBED: Final = 8
_PROBED_AT: Final = (100.0, 10.0)  # Hz, seconds
_EACH_S: Final = 4.0
_SAME: Final = 1e-3


class StreamConfig(Config):
    """Which people a stream is of; see `auricle.simulate.cohort`.

    Attributes:
        seed: of all chance.
        first: number of the first record.
        ages: `all`, `adults` or `children`.
        diagnoses: a mix by name.
        quality: `clean`, `usual` or `hard`.
        language: of the reports.
        probe: numbers by which the simulator is known again when a run is resumed; filled in when it begins.
    """

    seed: Annotated[int, Field(ge=0)] = 1
    first: Annotated[int, Field(ge=0)] = 0
    ages: Literal["all", "adults", "children"] = "all"
    diagnoses: str = "default"
    quality: Literal["clean", "usual", "hard"] = "usual"
    language: Literal["en", "de", "zh"] = "en"
    probe: tuple[float, ...] = ()

    def make(self, first: int, n: int, rate_hz: float, seconds: float) -> Cohort:
        """Records `first` to `first + n - 1` of this stream."""
        return cohort(
            n, self.seed, start=self.first + first, ages=self.ages, diagnoses=self.diagnoses, rate_hz=rate_hz,
            seconds=seconds, quality=self.quality, language=self.language,
        )  # fmt: skip

    def probed(self) -> StreamConfig:
        """This configuration with what its first records look like, and a record of each condition of its mix.

        Raises:
            ConfigError: a simulator that makes others was probed before.
            UnknownNameError: no such mix of diagnoses.
        """
        shares = shares_of(self.diagnoses)
        drawn = zlib.crc32(repr(sorted((code, share) for code, share in shares.items() if share)).encode())
        each = [
            cohort(1, self.seed, start=self.first, ages=self.ages, diagnoses={code: 1.0}, rate_hz=_PROBED_AT[0],
                   seconds=_EACH_S, quality="clean", language=self.language)
            for code, share in shares.items() if share
        ]  # fmt: skip
        probe = (*_looks([self.make(0, _PROBED, *_PROBED_AT)]), float(drawn), *_looks(each))
        # Runs that were begun when the first records were all that was kept have fewer numbers.
        same = len(self.probe) <= len(probe) and np.allclose(self.probe, probe[: len(self.probe)], rtol=_SAME)
        if self.probe and not same:
            raise ConfigError(
                f"stream of seed {self.seed}: the simulator makes other records than when this run was begun: finish "
                "it with the auricle it was begun with, or begin another"
            )
        return self if self.probe else self.model_copy(update={"probe": probe})


def _looks(made: Sequence[Cohort]) -> list[float]:
    """A number for what is said of records, and the mean size of each."""
    said = [text for one in made for text in (*one.report, *(" ".join(labels) for labels in one.labels))]
    sizes = [size for one in made for size in one.signal.nan_to_num().abs().mean((1, 2)).tolist()]
    return [float(zlib.crc32("\n".join(said).encode())), *(round(size, 6) for size in sizes)]


@dataclass(frozen=True)
class Stream:
    """A stream as batches.

    Attributes:
        config: which people.
        leads: the lead axis.
        rate_hz, seconds: of the records.
        reading: reads the reports, if they are asked for.
        answers: from the labels of records to their classes (record, class), if they are asked for.
    """

    config: StreamConfig
    leads: tuple[str, ...]
    rate_hz: float
    seconds: float
    reading: Reading | None = None
    answers: Callable[[Iterable[Sequence[str]]], NDArray[np.float32]] | None = None

    def batch(self, first: int, n: int) -> ECGBatch:
        """Records `first` to `first + n - 1`, in millivolts, with report, classes and numbers."""
        made = self.config.make(first, n, self.rate_hz, self.seconds)
        signal, lead_mask = _on_axis(made.signal, self.leads)
        return ECGBatch(
            signal=signal,
            lead_mask=lead_mask,
            time_mask=torch.ones(n, signal.shape[2], dtype=torch.bool),
            leads=self.leads,
            rate_hz=made.rate_hz,
            age_days=torch.from_numpy(made.age_days.astype(np.float32)),
            male=torch.tensor([float(sex == "M") for sex in made.sex]),
            patient_id=torch.tensor([patient_number(_SOURCE, name, name) for name in made.record_id]),
            record_id=made.record_id,
            text=self.reading.batch(made.report) if self.reading else None,
            target=torch.from_numpy(self.answers(made.labels)) if self.answers else None,
            numbers=torch.from_numpy(numbers_of(made)),
        )


def numbers_of(made: Cohort) -> NDArray[np.float32]:
    """(record, NUMBERS) what is known of simulated records in numbers, NaN where it does not exist."""

    def column(name: str) -> list[float]:
        return [known.get(name, np.nan) for known in made.measurements]

    angle = np.radians(np.array(column(_ANGLE)))
    measured = np.stack([*map(np.array, map(column, _MEASURED)), np.cos(angle), np.sin(angle)], axis=1)
    amplitudes = np.stack([truth.amplitudes_mv for truth in made.truth]).reshape(len(made), -1)
    return np.concatenate([measured, amplitudes], axis=1).astype(np.float32)


def _on_axis(signal: Tensor, leads: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(b, l, t) of the leads a model reads, 0 where a lead was not recorded, and (b, l) where it was."""
    source, target = rows_onto(STANDARD, tuple(leads))
    placed = torch.full((len(signal), len(leads), signal.shape[2]), torch.nan)
    placed[:, list(target)] = signal[:, list(source)]
    lead_mask = ~placed[:, :, 0].isnan()
    return torch.where(lead_mask[..., None], placed, 0.0), lead_mask
