"""The picture at the top of the README: one healthy simulated newborn, measured once, read at four ages.

    python examples/four_ages.py docs/images/four_ages.png

Of forty newborns of three days the one closest to the middle of its own age is drawn. For a file of your own:
`auricle measure FILE --age 3d --sex F --ages-figure ages.png`.
"""

from __future__ import annotations

import sys

from auricle.age import Age
from auricle.measure.recording import measure_recording
from auricle.paediatrics.findings import assess
from auricle.pages.ages import PARAMETERS, ages_figure
from auricle.recording import Recording
from auricle.simulate import cohort

N, SEED, AGE = 40, 2026, Age(3)


def farthest(recording: Recording) -> float:
    """How many standard deviations the least usual of its values lies from the norm of its age."""
    assessment = assess(measure_recording(recording), AGE, recording.sex)
    rows = [row for row in assessment.rows if row.parameter in PARAMETERS]
    return max(float("inf") if row.refused else abs(row.z) for row in rows)


def main(path: str) -> None:
    newborns = cohort(N, SEED, ages=[AGE.days] * N, diagnoses={}, quality="clean").recordings()
    recording = min(newborns, key=farthest)
    title = "One healthy (simulated) newborn, measured once and read at four ages"
    ages_figure(recording, measure_recording(recording), sex=recording.sex, title=title).savefig(path, dpi=100)


if __name__ == "__main__":
    main(sys.argv[1])
