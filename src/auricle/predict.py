"""Predictor: from a recording to scores by class, with what they rest on. Imports no training library.

Everything it says is for research use and is not a diagnosis.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR, describe
from auricle.batch import ECGBatch
from auricle.data.collate import windows_of
from auricle.data.panel import LabPanel
from auricle.disclaimer import RESEARCH_USE
from auricle.encoders import Tokens
from auricle.errors import CheckpointError, DataError, UnreadableError
from auricle.image.fit import fit_picture
from auricle.labs import lab_test
from auricle.measure.recording import measure_recording
from auricle.methods import AlignsText, Classifies, Method, load_card, load_method
from auricle.recording import Recording
from auricle.signal.acceptance import Acceptance
from auricle.signal.preprocess import InputSpec

# Weights that come with auricle: lisa nano, pre-trained and fine-tuned on simulated people (examples/weights.sh).
SHIPPED_WEIGHTS: Final = Path(__file__).parent / "weights" / "nano"
# The ages at which the same trace is asked again, to show what age does to the answer.
OTHER_AGES_DAYS: Final = (
    1.0, 7.0, DAYS_PER_MONTH, 6 * DAYS_PER_MONTH, DAYS_PER_YEAR, 3 * DAYS_PER_YEAR, 8 * DAYS_PER_YEAR,
    14 * DAYS_PER_YEAR, 30 * DAYS_PER_YEAR, 70 * DAYS_PER_YEAR,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the weights say about one recording.

    Attributes:
        record_id: which recording.
        kind: `probability` (fine-tuned classes) or `similarity` (zero-shot cosines, comparable within a class only).
        scores: by class.
        group_contributions: share of each lead group in the representation, summing to 1; empty without groups.
        age_days: the age used, None for unknown.
        scores_without_age: the answer had the age been unknown; None where age plays no part.
        age_effect: (age in days, scores by class) of the same trace asked at other ages; empty where age plays no part.
        leads_read: leads that were present and read.
        leads_missing: leads the weights read and this recording lacks.
        n_windows: how many windows were averaged.
        notes: what a reader should know: unknown age, absent leads, short record, laboratory values that are absent or
            unusual for the age.
        quality: `acceptable`, and the `reasons` why the trace is not; only the trace counts, not its rhythm.
        model: what is known about the weights: method, version, number of parameters.
        disclaimer: that this is for research use.
    """

    record_id: str
    kind: str
    scores: dict[str, float]
    group_contributions: dict[str, float]
    age_days: float | None
    scores_without_age: dict[str, float] | None
    age_effect: tuple[tuple[float, dict[str, float]], ...]
    leads_read: tuple[str, ...]
    leads_missing: tuple[str, ...]
    n_windows: int
    notes: tuple[str, ...]
    quality: dict[str, Any]
    model: dict[str, Any]
    disclaimer: str = RESEARCH_USE

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain data for JSON."""
        plain = asdict(self)
        plain["age_effect"] = [{"age_days": days, "scores": scores} for days, scores in self.age_effect]
        return plain


class Predictor:
    """Saved weights, ready to read recordings.

    Args:
        method: a method that classifies or is aligned with text.
        about: what every prediction says about the weights.
        task: which of the stored prompt sets to ask, for a zero-shot method; by default the first.

    Raises:
        CheckpointError: the weights neither classify nor carry prompts, or none of this task.
    """

    def __init__(self, method: Method, about: Mapping[str, Any] | None = None, task: str | None = None) -> None:
        self.method, self.about = method.eval(), dict(about or {})
        self.spec: InputSpec = method.config.input
        self.panel: LabPanel | None = method.config.labs
        if isinstance(method, Classifies):
            self.kind, self.classes = "probability", tuple(method.class_names)
        elif isinstance(method, AlignsText) and method.prompt_sets:
            self.kind = "similarity"
            self._task = task or next(iter(method.prompt_sets))
            if self._task not in method.prompt_sets:
                raise CheckpointError(
                    f"the weights carry no prompts of {self._task}, only of {', '.join(method.prompt_sets)}"
                )
            self.classes = method.prompt_sets[self._task]
        else:
            raise CheckpointError(
                "these weights answer no question yet: fine-tune them (auricle finetune), or pre-train "
                "a method that reads reports with --task, so that they carry its prompts"
            )

    @classmethod
    def from_pretrained(cls, where: Path | str = SHIPPED_WEIGHTS, task: str | None = None) -> Predictor:
        """From a run folder, a folder of saved weights, or a name on the hub; by default the weights that come along.

        Raises:
            CheckpointError: nothing there, or weights of another version.
        """
        card, folder = load_card(where)
        about = {key: card[key] for key in ("method", "auricle", "n_parameters", "about")}
        return cls(load_method(folder), about, task)

    @torch.no_grad()
    def __call__(self, recording: Recording, other_ages_days: Sequence[float] = OTHER_AGES_DAYS) -> Prediction:
        """Answer for one recording; its age may be unknown and its leads may be any of those the weights read.

        Args:
            recording: the recording, of any rate and length.
            other_ages_days: further ages at which the trace is asked. An empty sequence skips them, which takes about
                a third of the time.

        Raises:
            UnreadableError: there is no ECG in the recording: noise, no beats, or too short.
            DataError: the recording has none of the leads, and no picture that the weights read; or its amplitudes are
                unknown, and the weights read millivolts.
        """
        quality = self._judged(recording)
        ready, n_windows = self._ready(recording)
        usable = ready.lead_mask.any(0).tolist()
        present = tuple(lead for lead, is_usable in zip(self.spec.leads, usable, strict=True) if is_usable)
        sees_age = "age" in self.method.encoder.codes
        others = (None, *other_ages_days) if sees_age else ()
        tokens, (scores, *asked) = self._at_ages(ready, (ready.age_days[0].item(), *others))
        contributions = {}
        if tokens.group_contribution is not None:
            shares = tokens.group_contribution[:n_windows].mean(0).tolist()
            contributions = dict(zip(self.method.encoder.group_names, shares, strict=True))
        return Prediction(
            record_id=recording.record_id,
            kind=self.kind,
            scores=scores,
            group_contributions=contributions,
            age_days=recording.age.best_days if recording.age else None,
            scores_without_age=asked[0] if sees_age else None,
            age_effect=tuple(zip(other_ages_days, asked[1:], strict=True)) if sees_age else (),
            leads_read=present,
            leads_missing=tuple(lead for lead in self.spec.leads if lead not in present),
            n_windows=n_windows,
            notes=tuple(self._notes(recording, sees_age, present, quality)),
            quality=quality.to_dict(),
            model=self.about,
        )

    def age_curve(self, recording: Recording, ages_days: Sequence[float]) -> dict[str, list[float]]:
        """The scores of one trace at each of some ages, by class: for the figure of the effect of age.

        Args:
            recording: the recording; its own age is not used.
            ages_days: ages in days.

        Raises:
            DataError: the recording has none of the leads, and no picture that the weights read.
        """
        with torch.no_grad():
            _, answers = self._at_ages(self._ready(recording)[0], ages_days)
        return {name: [answer[name] for answer in answers] for name in self.classes}

    def _ready(self, recording: Recording) -> tuple[ECGBatch, int]:
        """The recording's windows, preprocessed, and how many there are."""
        size = self.method.picture_size
        if recording.image is not None and size is not None:
            recording = recording.with_context(image=fit_picture(recording.image, *size))
        elif not recording.leads:
            raise DataError(f"{recording.record_id}: there is only a picture, and these weights read signals")
        batch = windows_of(recording, self.spec, self.panel)
        return self.method.preprocess(batch), len(batch)

    def _at_ages(self, ready: ECGBatch, ages_days: Sequence[float | None]) -> tuple[Tokens, list[dict[str, float]]]:
        """Windows of one recording asked at several ages in one pass.

        Args:
            ready: the windows, preprocessed.
            ages_days: ages in days; None or NaN stands for an unknown age.

        Returns:
            Tokens of all windows at all ages, the first age first, and the scores by class at each age.
        """
        # All windows at the first age, then all at the next: (age * window, l, t).
        n_windows = len(ready)
        ages = torch.tensor([math.nan if days is None else days for days in ages_days], dtype=torch.float32)
        many = ready.select(torch.arange(n_windows).repeat(len(ages)))
        many = replace(many, age_days=ages.repeat_interleave(n_windows))
        method = self.method
        tokens = method.encode_ready(many)
        if isinstance(method, Classifies):
            # Windows are pooled as logits, as in evaluation, and become one probability at the end.
            values = method.probabilities(method.classify(tokens).reshape(len(ages), n_windows, -1).mean(1))
        else:
            assert isinstance(method, AlignsText)
            values = method.compare(tokens, self._task).reshape(len(ages), n_windows, -1).mean(1)
        if not torch.isfinite(values).all():
            raise DataError("the answer is not finite: the recording has no usable sample in the leads read")
        return tokens, [dict(zip(self.classes, row, strict=True)) for row in values.tolist()]

    def _judged(self, recording: Recording) -> Acceptance:
        """The quality of the trace.

        Raises:
            UnreadableError: no question can be asked of it.
            DataError: its amplitudes are unknown, and the weights read millivolts.
        """
        if not recording.leads:
            return Acceptance(True, True)
        if self.spec.scale == "mv" and not recording.amplitude_known:
            raise DataError(
                f"{recording.record_id}: its amplitudes are unknown, and these weights read millivolts: give the unit "
                "and gain of the file, or use weights trained with input.scale=amplitude_unknown"
            )
        quality = measure_recording(recording).quality
        if not quality.readable:
            raise UnreadableError(
                f"{recording.record_id}: no answer: {quality.reasons[0]}; record it again", quality.to_dict()
            )
        return quality

    def _notes(self, recording: Recording, sees_age: bool, present: Sequence[str], quality: Acceptance) -> list[str]:
        """What a reader should know of quality, age, leads, picture, laboratory values and length of the recording."""
        notes = [f"the trace is not acceptable: {reason}" for reason in quality.reasons]
        unknown = 1 - float(np.isfinite(recording.signal).any(axis=0).mean()) if recording.leads else 0.0
        if unknown:
            notes.append(f"no lead has a sample for {max(unknown, 0.01):.0%} of the time: the rest was read")
        if not sees_age:
            notes.append("these weights do not use the age")
        elif recording.age is None:
            notes.append("age unknown: the answer holds for no age in particular; give --age")
        elif recording.age.resolution_days > DAYS_PER_MONTH and recording.age.days < 2 * DAYS_PER_YEAR:
            notes.append(f"age known to {describe(recording.age.resolution_days)} only: too coarse for an infant")
        absent = [lead for lead in self.spec.leads if lead not in present]
        if not recording.leads:
            notes.append("no signal: the answer is read from the picture alone")
        elif absent:
            notes.append(f"leads not recorded, or mostly missing: {', '.join(absent)}")
        if recording.image is not None and self.method.picture_size is None:
            notes.append("these weights do not read pictures")
        notes += _lab_notes(recording, self.panel)
        seconds = recording.trimmed().seconds
        if recording.leads and seconds < self.spec.seconds:
            notes.append(f"{seconds:.1f} s recorded, {self.spec.seconds:g} s expected: padded and masked")
        return notes


def _lab_notes(recording: Recording, panel: LabPanel | None) -> list[str]:
    """What a reader should know of the laboratory values: which were absent, not used, or unusual for the age."""
    known = sorted(recording.labs)
    if panel is None:
        return ["these weights do not use laboratory values"] if known else []
    notes = []
    (seen,) = panel.of_recordings([recording])[1].tolist()
    given = {test for test, is_seen in zip(panel.tests, seen, strict=True) if is_seen}
    absent = [test for test in panel.tests if test not in recording.labs]
    if not given:
        notes.append("no laboratory value was seen: the answer holds without them")
    elif absent:
        notes.append(f"laboratory values not given: {', '.join(absent)}")
    unused = [test for test in known if test not in panel.tests]
    if unused:
        notes.append(f"laboratory values these weights do not read: {', '.join(unused)}")
    outside = [test for test in panel.tests if test in recording.labs and test not in given]
    if outside:
        notes.append(f"laboratory values left out for the time they were drawn at: {', '.join(outside)}")
    return notes + _unusual(recording, given)


def _unusual(recording: Recording, given: Collection[str]) -> list[str]:
    """Which of the values seen lie outside of the reference range of the age."""
    if not given:
        return []
    if recording.age is None:
        return ["age unknown: no reference range to compare laboratory values with"]
    notes = []
    for name in sorted(given):
        test, value = lab_test(name), recording.labs[name]
        low, high = test.reference(recording.age.best_days, recording.sex)
        if not low <= value <= high:
            side = "below" if value < low else "above"
            usual = f"{low:.3g} to {high:.3g} {test.unit}"
            notes.append(f"{name} {value:.4g} is {side} the usual for the age ({usual}; textbook figures)")
    return notes
