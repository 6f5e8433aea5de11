"""Your own recordings in Python: read, measure, and ask the shipped weights at the age and at others.

    python examples/own_records.py newborn.hea --age 3d --sex F
    python examples/own_records.py a.npz b.mat record.h5 --age 5y4m
    python examples/own_records.py                                   # a simulated newborn

The weights that come along learned of infants from simulated ones alone. Research use, not a diagnosis.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import auricle
from auricle.age import DAYS_PER_YEAR, describe, parse
from auricle.paediatrics import wording
from auricle.paediatrics.findings import assess, main_rows
from auricle.simulate.newborn import newborn

# The ages at which the same trace is asked again.
OTHER_AGES_DAYS = (3.0, 90.0, 3 * DAYS_PER_YEAR, 30 * DAYS_PER_YEAR)


def show_measurements(recording: auricle.Recording) -> None:
    """Each value with its error and its centile at this age, then what stands out."""
    values = auricle.measure_recording(recording)
    assessment = assess(values, recording.age, recording.sex)
    for row in main_rows(assessment, values):
        name = wording.parameter_name(row.parameter, "en")
        print(f"  {name:<18}{wording.result_text(row, 'en'):>16}   {wording.interval_text(row)}")
    for finding in assessment.findings:
        print(f"  - {wording.sentence(finding, assessment.age, 'en')}")


def show_prediction(recording: auricle.Recording, predictor: auricle.Predictor) -> None:
    """The scores at the recording's age, without an age, and of the same trace at other ages."""
    prediction = predictor(recording, OTHER_AGES_DAYS)
    print(f"  {'class':<8}{'own age':>9}{'no age':>9}" + "".join(f"{describe(age):>9}" for age in OTHER_AGES_DAYS))
    for name, score in sorted(prediction.scores.items(), key=lambda entry: -entry[1]):
        without = (prediction.scores_without_age or {}).get(name, float("nan"))
        others = "".join(f"{scores[name]:>9.2f}" for _, scores in prediction.age_effect)
        print(f"  {name:<8}{score:>9.2f}{without:>9.2f}{others}")
    for note in prediction.notes:
        print(f"  note: {note}")
    print(f"  {prediction.disclaimer}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="recordings in any readable format")
    parser.add_argument("--age", help="3d, 6wk, 16mo, 2.4yr, 5y4m ...; goes before the file's own")
    parser.add_argument("--sex", choices=["F", "M"])
    parser.add_argument("--weights", default=None, help="a run folder; by default the weights that come along")
    given = parser.parse_args(arguments)
    # What is not given is left as the file says it; an age that is not known at all stays unknown.
    known = {"age": parse(given.age), "sex": given.sex}
    recordings = [auricle.read(file, **known) for file in given.files] or [newborn()]
    predictor = auricle.Predictor.from_pretrained(*([given.weights] if given.weights else []))
    for recording in recordings:
        age = recording.age or "age unknown"
        print(f"{recording.record_id}: {age}, {recording.seconds:g} s, {len(recording.leads)} leads")
        show_measurements(recording)
        show_prediction(recording, predictor)


if __name__ == "__main__":
    main()
