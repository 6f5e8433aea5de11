"""LabPanel: which laboratory values a model sees, and from when.

A value drawn after the ECG was not known at the bedside (a troponin rises for hours), so the window of time belongs to
the configuration that is saved with the weights. A value drawn outside of it is masked, as a test never done is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from auricle.config import Config
from auricle.data.format import LAB_COLUMN, MINUTES_COLUMN
from auricle.errors import UnknownNameError
from auricle.labs import lab_test
from auricle.recording import Recording

if TYPE_CHECKING:
    from auricle.data.store import Store

Values = tuple[NDArray[np.float32], NDArray[np.bool_]]
DEFAULT_TESTS: Final = (
    "troponin_ng_l", "nt_probnp_ng_l", "potassium_mmol_l", "haemoglobin_g_l", "white_cells_g_l", "calcium_mmol_l",
    "crp_mg_l",
)  # fmt: skip


class LabPanel(Config):
    """The laboratory values a model reads.

    Attributes:
        tests: canonical names (any known spelling is accepted), one column each.
        earliest_min: values drawn earlier than this many minutes after the ECG are not seen; None sets no limit.
        latest_min: values drawn later than this many minutes after the ECG are not seen; a large number lets all in. By
            default nothing drawn after the ECG is seen, because it was not known when the ECG was read.
        needs_time: whether a value whose time is unknown is left out as well.
        unknown_share: share of training records whose whole panel is hidden, so that the model also works without.
        missing_share: share of single values hidden in the other training records.
    """

    tests: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_TESTS
    earliest_min: float | None = None
    latest_min: float = 0.0
    needs_time: bool = False
    unknown_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    missing_share: Annotated[float, Field(ge=0, le=1)] = 0.1

    @field_validator("tests")
    @classmethod
    def _canonical(cls, tests: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names = tuple(lab_test(name).name for name in tests)
        except UnknownNameError as error:
            raise ValueError(str(error)) from None
        if len(set(names)) != len(names):
            raise ValueError(f"a laboratory test occurs twice among {', '.join(names)}")
        return names

    @model_validator(mode="after")
    def _rising(self) -> LabPanel:
        if self.earliest_min is not None and self.earliest_min > self.latest_min:
            raise ValueError(f"earliest_min {self.earliest_min:g} is after latest_min {self.latest_min:g}")
        return self

    def of_store(self, store: Store, rows: NDArray[np.int64]) -> Values:
        """Laboratory values of records of a store.

        Args:
            store: the store.
            rows: (n,) row numbers.

        Returns:
            (n, lab) values in canonical units, 0 where not seen, and (n, lab) whether they are seen.
        """
        names = set(store.table.column_names)

        def columns(prefix: str) -> NDArray[np.float64]:
            absent = np.full(len(rows), np.nan)
            return np.stack(
                [
                    store.column(prefix + test)[rows].astype(np.float64) if prefix + test in names else absent
                    for test in self.tests
                ],
                axis=1,
            )

        return self._seen(columns(LAB_COLUMN), columns(MINUTES_COLUMN))

    def untimed(self, store: Store, rows: NDArray[np.int64]) -> int:
        """How many values of the records at `rows` are seen although the time they were drawn at is not known."""
        return int(
            self.of_store(store, rows)[1].sum()
            - self.model_copy(update={"needs_time": True}).of_store(store, rows)[1].sum()
        )

    def of_recordings(self, recordings: Sequence[Recording]) -> Values:
        """Laboratory values of recordings.

        Args:
            recordings: n recordings.

        Returns:
            (n, lab) values in canonical units, 0 where not seen, and (n, lab) whether they are seen.
        """

        def table(known: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
            rows = [[values.get(test, np.nan) for test in self.tests] for values in known]
            return np.asarray(rows, dtype=np.float64).reshape(len(known), len(self.tests))

        labs, minutes = [recording.labs for recording in recordings], [r.lab_minutes for r in recordings]
        return self._seen(table(labs), table(minutes))

    def _seen(self, values: NDArray[np.float64], minutes: NDArray[np.float64]) -> Values:
        """Values (n, lab), NaN where absent, with 0 where they are not seen, and whether they are seen."""
        seen, timed = np.isfinite(values), np.isfinite(minutes)
        if self.needs_time:
            seen &= timed
        for limit, outside in ((self.earliest_min, np.less), (self.latest_min, np.greater)):
            if limit is not None:
                seen &= ~(timed & outside(np.where(timed, minutes, limit), limit))
        return np.where(seen, values, 0.0).astype(np.float32), seen
