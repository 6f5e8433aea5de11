"""Simulated recordings as a data set: records follow from (seed, number), so nothing lies on disk before ingest.

Source: `auricle.simulate`. Licence: none needed. Format: none. Labels: SCP codes of what was simulated, never of what
was measured. Absence: everything that was simulated is in the labels, NORM for the healthy. Split: by patient, every
record being a patient of its own. `docs/simulator.md` compares it with real records.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auricle.errors import DataError, require
from auricle.recording import Recording
from auricle.simulate import cohort

if TYPE_CHECKING:
    import pandas as pd

# Records are generated in chunks: the generator is vectorised and many times faster for many records at once.
_CHUNK = 64


class Simulated:
    """`n` records of one seed.

    Args:
        n: how many.
        seed: which cohort.
        ages: an age distribution of the simulator: `all`, `adults` or `children`.
        diagnoses: a mix of the simulator: `default`, `adult`, `child`, `core`, `chest_pain` or `ph`.
        age_interaction: False makes the control cohort in which the ECG does not depend on age.
        quality: of the recordings: `clean`, `usual` or `hard`.
        language: of the reports: `en`, `de` or `zh`.
        rate_hz: sampling rate in Hz.
        seconds: length of each record.
    """

    name = "simulated"

    def __init__(
        self,
        n: int = 1000,
        seed: int = 0,
        ages: Literal["all", "adults", "children"] = "all",
        diagnoses: str = "default",
        age_interaction: bool = True,
        quality: Literal["clean", "usual", "hard"] = "usual",
        language: Literal["en", "de", "zh"] = "en",
        rate_hz: float = 500.0,
        seconds: float = 10.0,
    ) -> None:
        if n < 1:
            raise DataError(f"cannot simulate {n} records: give 1 or more")
        self.n, self.seed, self.ages, self.age_interaction = n, seed, ages, age_interaction
        self.rate_hz, self.seconds = rate_hz, seconds
        self.diagnoses, self.quality, self.language = diagnoses, quality, language
        self._first = -1
        self._recordings: list[Recording] = []

    def index(self, root: Path) -> pd.DataFrame:
        """A row per record. `root` is not read: there are no files."""
        del root
        numbers = range(self.n)
        table: pd.DataFrame = require("pandas", "train").DataFrame(
            {"record_id": [f"sim{self.seed}-{number:07d}" for number in numbers], "number": numbers}
        )
        return table

    def read(self, root: Path, row: Mapping[str, object]) -> Recording:
        """Generate the chunk a record belongs to, once, and return the record."""
        del root
        number = int(str(row["number"]))
        first = number - number % _CHUNK
        if first != self._first:
            chunk = cohort(
                min(_CHUNK, self.n - first),
                self.seed,
                start=first,
                ages=self.ages,
                rate_hz=self.rate_hz,
                seconds=self.seconds,
                diagnoses=self.diagnoses,
                age_interaction=self.age_interaction,
                quality=self.quality,
                language=self.language,
            )
            self._recordings, self._first = list(chunk.recordings()), first
        return self._recordings[number - first]
