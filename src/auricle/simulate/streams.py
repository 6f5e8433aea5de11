"""Random numbers that belong to a record and not to a run: record i of a seed draws equal numbers in every run.

Each record owns one Philox counter range per purpose (Salmon et al., SC 2011): key (seed, purpose), counter
(0, 0, 0, record). The numbers are drawn on the CPU whatever the device, so shards made anywhere fit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError

Floats = NDArray[np.float64]

_LARGEST_SEED: Final = 2**64 - 1
# Philox hands out its numbers four at a time; 4 means that none are left over from before.
_BUFFER_EMPTY: Final = 4
_INT16_PER_WORD: Final = 4

# New names go to the end, or every older record changes.
_NORMALS: Final = (
    "chest_wall", "heart_rate", "pr", "qrs", "qtc_bazett", "qrs_axis", "r_v1", "s_v1", "r_v6", "s_v6", "frontal",
    "loop", "p_amplitude", "p_axis", "p_v1", "p_duration", "t_amplitude", "t_axis", "t_boundary", "t_fade",
    "t_first_week", "t_peak", "early_repolarisation", "j_front", "j_angle", "j_profile", "respiration", "rsa",
    "gain", "late_angle", "q_septal", "notch", "u", "t_width", "curved",
    "q_initial", "terminal_along", "terminal_across", "t_front",
)  # fmt: skip
_UNIFORMS: Final = (
    "age_part", "age", "sex", "phase", "respiration_phase", "slow_phase", "af_spread", "af_coarse", "af_frequency",
    "late_variant", "strain", "delay", "delay_size", "t_against_qrs",
)  # fmt: skip
_SCATTERED: Final = ("r", "s", "late", "t", "j")
# x, y and V1-V6: see simulate.morphology.AXES.
N_AXES: Final = 8


class Stream(IntEnum):
    """Purposes with counters of their own, so that more numbers for one purpose change nothing in the others."""

    TRAITS = 0
    CHOICES = 1
    BEATS = 2
    NOISE = 3
    MUSCLE = 4
    ELECTRODES = 5
    LABS = 6
    MISSING_LABS = 7
    NOISE_SHAPE = 8
    SCATTER = 9
    CONDITIONS = 10
    SEVERITIES = 11
    CONDITION_SCATTER = 12
    RHYTHM = 13
    ECTOPY = 14
    ACQUISITION = 15
    REPORT = 16
    LAB_TIMES = 17


class Streams:
    """The random streams of some records of one seed."""

    def __init__(self, seed: int, records: NDArray[np.int64]) -> None:
        if not 0 <= seed <= _LARGEST_SEED:
            raise ConfigError(f"seed {seed} must be between 0 and 2**64 - 1")
        self._seed, self._records = seed, records

    def normals(self, stream: Stream, count: int) -> Floats:
        """(record, count) standard normal deviates."""
        drawn = np.empty((len(self._records), count))
        for row, source in enumerate(self._sources(stream)):
            drawn[row] = np.random.Generator(source).standard_normal(count)
        return drawn

    def uniforms(self, stream: Stream, count: int) -> Floats:
        """(record, count) numbers in [0, 1)."""
        drawn = np.empty((len(self._records), count))
        for row, source in enumerate(self._sources(stream)):
            drawn[row] = np.random.Generator(source).random(count)
        return drawn

    def integers(self, stream: Stream, count: int) -> NDArray[np.int16]:
        """(record, count) integers over the whole int16 range: white noise at a fifth of a normal's price."""
        words = -(-count // _INT16_PER_WORD)
        drawn = np.empty((len(self._records), words), dtype="<u8")
        for row, source in enumerate(self._sources(stream)):
            drawn[row] = source.random_raw(words)
        return drawn.view("<i2")[:, :count].astype(np.int16, copy=False)

    def _sources(self, stream: Stream) -> _Rewound:
        return _Rewound(self._seed, stream, self._records)


class _Rewound:
    """One Philox generator, set to each record's counter in turn: building one per record costs 80 microseconds."""

    def __init__(self, seed: int, stream: Stream, records: NDArray[np.int64]) -> None:
        self._source = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
        self._records = records.tolist()
        self._next = 0

    def __iter__(self) -> _Rewound:
        return self

    def __next__(self) -> np.random.Philox:
        if self._next == len(self._records):
            raise StopIteration
        state = self._source.state
        state["state"]["counter"][:] = (0, 0, 0, self._records[self._next])
        state["buffer_pos"], state["has_uint32"] = _BUFFER_EMPTY, 0
        self._source.state = state
        self._next += 1
        return self._source


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance decides about each record, by name.

    Attributes:
        normal: (record,) standard normal deviates.
        uniform: (record,) in [0, 1).
        scatter: (record, axis) standard normal deviates that differ from axis to axis of a beat.
    """

    normal: Mapping[str, Floats]
    uniform: Mapping[str, Floats]
    scatter: Mapping[str, Floats]

    def of(self, rows: NDArray[np.int64]) -> Draws:
        """The draws of some records."""
        normal, uniform, scatter = (
            {name: values[rows] for name, values in table.items()}
            for table in (self.normal, self.uniform, self.scatter)
        )
        return Draws(normal, uniform, scatter)


def draw(streams: Streams) -> Draws:
    """The named draws of every record. They do not depend on its diagnoses, so an illness changes nothing else."""
    normals = streams.normals(Stream.TRAITS, len(_NORMALS)).T
    uniforms = streams.uniforms(Stream.CHOICES, len(_UNIFORMS)).T
    scatter = streams.normals(Stream.SCATTER, len(_SCATTERED) * N_AXES).reshape(-1, len(_SCATTERED), N_AXES)
    return Draws(
        dict(zip(_NORMALS, normals, strict=True)),
        dict(zip(_UNIFORMS, uniforms, strict=True)),
        dict(zip(_SCATTERED, scatter.transpose(1, 0, 2), strict=True)),
    )
