"""Predictor: from a recording to scores by class, with what they rest on. Imports no training library.

Everything it says is for research use and is not a diagnosis.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, overload

import torch
from torch import Tensor

from auricle.about import about_of, is_calibrated, knows, tested_on, trained_ages
from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR
from auricle.batch import ECGBatch, joined
from auricle.caveats import caveats
from auricle.data.collate import windows_of
from auricle.data.panel import LabPanel
from auricle.einthoven import UNDECIDED
from auricle.encoders import Tokens
from auricle.errors import CheckpointError, DataError, UnreadableError
from auricle.image.fit import fit_picture
from auricle.measure.measurements import unmeasured
from auricle.measure.recording import Judged, judge_recording
from auricle.methods import SHIPPED_WEIGHTS, AlignsText, Answering, Classifies, Method, load_card, load_method
from auricle.over_age import AnswerSets
from auricle.prediction import Prediction, Tested
from auricle.recording import Recording
from auricle.scope import Scope
from auricle.shown_in import NO_SETS, sets_said, too_slow
from auricle.signal.acceptance import Acceptance
from auricle.signal.preprocess import InputSpec
from auricle.tasks import list_tasks, load_task

# The ages at which the same trace is asked again, to show what age does to the answer.
OTHER_AGES_DAYS: Final = (
    1.0, 7.0, DAYS_PER_MONTH, 6 * DAYS_PER_MONTH, DAYS_PER_YEAR, 3 * DAYS_PER_YEAR, 8 * DAYS_PER_YEAR,
    14 * DAYS_PER_YEAR, 30 * DAYS_PER_YEAR, 70 * DAYS_PER_YEAR,
)  # fmt: skip


# Recordings answered for in one pass: more take more memory and no less time.
BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recording that a predictor can answer for.

    Attributes:
        recording: as it was read.
        judged: its quality and rate.
        windows: its windows at the rate and on the leads of the weights, side by side.
    """

    recording: Recording
    judged: Judged
    windows: ECGBatch

    @property
    def kind(self) -> object:
        """What windows must have in common to be answered for in one batch."""
        windows = self.windows
        return windows.signal.shape[1:], windows.rate_hz, windows.image is None, windows.labs is None


class Predictor:
    """Saved weights, ready to read recordings.

    Args:
        method: a method that classifies or is aligned with text.
        about: what every prediction says about the weights.
        task: which of the stored prompt sets to ask. Where the weights have a head for classes, they answer with that
            unless a task is named; else by the first set.
        scope: for what the weights can answer; None where they answer everything.

    Raises:
        CheckpointError: the weights neither classify nor carry prompts, or none of this task.
    """

    def __init__(
        self,
        method: Method,
        about: Mapping[str, Any] | None = None,
        task: str | None = None,
        scope: Scope | None = None,
    ) -> None:
        self.method, self.about, self.scope = method.eval(), dict(about or {}), scope
        self.spec: InputSpec = method.config.input
        self.panel: LabPanel | None = method.config.labs
        by_head = isinstance(method, Classifies) and not (task and isinstance(method, AlignsText))
        if isinstance(method, Classifies) and by_head:
            self.kind, self.classes = "probability", tuple(method.class_names)
            self.task = getattr(method.config, "task", "")
        elif isinstance(method, AlignsText) and method.prompt_sets:
            self.kind = "similarity"
            self.task = task or next(iter(method.prompt_sets))
            if self.task not in method.prompt_sets:
                raise CheckpointError(
                    f"the weights carry no prompts of {self.task}, only of {', '.join(method.prompt_sets)}"
                )
            self.classes = method.prompt_sets[self.task]
        else:
            raise CheckpointError(
                "these weights answer no question yet: fine-tune them (auricle finetune), or pre-train "
                "a method that reads reports with --task, so that they carry its prompts"
            )

    @classmethod
    def from_pretrained(cls, where: Path | str = SHIPPED_WEIGHTS, task: str | None = None) -> Predictor:
        """From weights that come along by their name (`lisa-nano`), a run folder, saved weights, or a name on the hub.

        Args:
            where: which weights; by default those that come along.
            task: as in `Predictor`.

        Raises:
            CheckpointError: nothing there, or weights of another version.
        """
        card, folder = load_card(where)
        method = load_method(folder)
        return cls(method, about_of(card), task, Scope.load(folder, method.encoder.width, is_calibrated(card)))

    def titles(self, language: str = "en") -> dict[str, str]:
        """What the classes are in words, as far as it is known: from the weights, or the task they were trained for.

        Args:
            language: "en", "de" or "zh"; English where a class has no words in it.
        """
        own = self.about.get("about", {})
        known: Mapping[str, Mapping[str, str]] = {}
        if self.task in list_tasks():
            known = load_task(self.task).titles()
        elif own.get("task") == self.task:
            known = own.get("titles") or {}
        told = {name: known.get(name, {}) for name in self.classes}
        return {name: words.get(language, words.get("en", "")) for name, words in told.items() if words}

    def snomed(self) -> dict[str, str]:
        """The SNOMED CT codes of the classes, of those whose task comes along and gives them one."""
        known = load_task(self.task).snomed() if self.task in list_tasks() else {}
        return {name: known[name] for name in self.classes if name in known}

    def knows(self, language: str = "en") -> list[str]:
        """What the weights were trained on and how they were tested, in sentences, as far as their card says it.

        Args:
            language: "en", "zh" or "de".
        """
        return knows(self.about, language)

    @property
    def tested(self) -> dict[str, tuple[Tested, ...]]:
        """By class, on whom its score was tested, by the card of the weights: ten people at least who had it."""
        return tested_on(self.about, self.classes, self.kind)

    @property
    def digest(self) -> str:
        """What tells weights from others: a SHA-256 of their numbers, configuration (calibration too), and scope."""
        digest = hashlib.sha256(repr((self.classes, self.kind, self.task)).encode())
        digest.update(self.method.config.model_dump_json().encode())
        for entry in () if self.scope is None else fields(self.scope):
            digest.update(entry.name.encode() + getattr(self.scope, entry.name).tobytes())
        for name, value in sorted(self.method.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def sees_age(self) -> bool:
        """Whether an age changes the scores: in the encoder, or in what calibrates them."""
        calibrated = isinstance(self.method, Answering) and self.method.config.over_age is not None
        by_calibration = calibrated and self.kind == "probability" and self.spec.age == "own"
        return self.method.reads_age or by_calibration

    @property
    def sets(self) -> AnswerSets | None:
        """The sets that stand beside probabilities; None where none were fitted, or similarities are asked."""
        fitted: AnswerSets | None = getattr(self.method.config, "sets", None)
        return fitted if self.kind == "probability" else None

    @overload
    def __call__(self, recording: Recording, other_ages_days: Sequence[float] = ...) -> Prediction: ...

    @overload
    def __call__(self, recording: Sequence[Recording], other_ages_days: Sequence[float] = ...) -> list[Prediction]: ...

    def __call__(
        self, recording: Recording | Sequence[Recording], other_ages_days: Sequence[float] = OTHER_AGES_DAYS
    ) -> Prediction | list[Prediction]:
        """Answer for one recording or for each of several; an age may be unknown, and any leads may be there.

        Args:
            recording: the recording, of any rate and length; or a list of them, which is answered in batches.
            other_ages_days: further ages at which the trace is asked. An empty sequence skips them, which takes about
                a third of the time.

        Returns:
            The prediction, or a list of them in the order of the recordings.

        Raises:
            UnreadableError: there is no ECG in a recording (noise, no beats, or too short), or its limb leads
                contradict each other, or the weights refuse it.
            DataError: a recording has none of the leads, or lacks one that the weights must have, and no picture that
                the weights read; or its amplitudes are unknown, and the weights read millivolts.
        """
        if isinstance(recording, Recording):
            return self.answer([self.prepare(recording)], other_ages_days)[0]
        predictions: list[Prediction] = []
        for first in range(0, len(recording), BATCH):
            prepared = [self.prepare(one) for one in recording[first : first + BATCH]]
            predictions += self.answer(prepared, other_ages_days)
        return predictions

    @torch.no_grad()
    def prepare(self, recording: Recording) -> Prepared:
        """Judge a recording and cut it into the windows that the weights read: all that can be wrong with one alone.

        Raises:
            UnreadableError, DataError: as by calling the predictor.
        """
        return Prepared(recording, self._judged(recording), self._ready(recording))

    @torch.no_grad()
    def answer(
        self, prepared: Sequence[Prepared], other_ages_days: Sequence[float] = OTHER_AGES_DAYS
    ) -> list[Prediction]:
        """Answer for recordings that were prepared, in one pass where they are alike.

        Args:
            prepared: by `prepare`, of this predictor.
            other_ages_days: as in a call.

        Raises:
            UnreadableError: a recording, or its age, is outside of what the weights know.
            DataError: an answer is not finite.
        """
        alike: dict[object, list[int]] = {}
        for place, one in enumerate(prepared):
            alike.setdefault(one.kind, []).append(place)
        answers: dict[int, Prediction] = {}
        for places in alike.values():
            group = [prepared[place] for place in places]
            answers |= zip(places, self._answered(group, other_ages_days), strict=True)
        return [answers[place] for place in range(len(prepared))]

    def _answered(self, prepared: Sequence[Prepared], other_ages_days: Sequence[float]) -> list[Prediction]:
        """Answers for recordings whose windows fit into one batch."""
        others = (None, *other_ages_days) if self.sees_age else ()
        ready = joined([one.windows for one in prepared])
        sizes = [len(one.windows) for one in prepared]
        tokens, scores = self._at_ages(ready, sizes, (ready.age_days, *others))
        if self.scope is not None:
            # The features asked without an age: those of the second age where any age acts.
            unaged = tokens.pooled[len(ready) :] if self.method.reads_age else tokens.pooled
            parts = torch.split(unaged[: len(ready)].double(), sizes)
            for one, features in zip(prepared, parts, strict=True):
                self._refuse_outside(self.scope, one, features.mean(0))
        shares = (
            None if tokens.group_contribution is None else torch.split(tokens.group_contribution[: len(ready)], sizes)
        )
        return [
            self._prediction(one, scores[place], None if shares is None else shares[place].mean(0), other_ages_days)
            for place, one in enumerate(prepared)
        ]

    def _refuse_outside(self, scope: Scope, prepared: Prepared, features: Tensor) -> None:
        """Raise `UnreadableError` where the recording, or its age, is outside of what the weights know."""
        recording = prepared.recording
        is_whole = not self._missing(self._present(prepared.windows))
        against = scope.against(features.numpy(), recording.age, is_whole)
        if against:
            raise UnreadableError(f"{recording.record_id}: no answer: {against[0]}", prepared.judged.quality.to_dict())

    def _prediction(
        self, prepared: Prepared, asked: list[dict[str, float]], shares: Tensor | None, other_ages_days: Sequence[float]
    ) -> Prediction:
        """What is said of one recording.

        Args:
            prepared: the recording.
            asked: scores by class at its own age; at an unknown one and at the others, where age plays a part.
            shares: (g,) of each lead group in its representation.
            other_ages_days: the other ages.
        """
        recording, sees_age = prepared.recording, self.sees_age
        days = recording.age.best_days if recording.age else None
        present = self._present(prepared.windows)
        names = () if shares is None else self.method.encoder.group_names
        missing = self._missing(present)
        # Of weights that are told no age, or another's, the sets are those of an unknown one, as their calibration is.
        told = days if self.spec.age == "own" else None
        said = NO_SETS if self.sets is None else sets_said(self.sets, recording, asked[0], told, present, missing)
        tested = self.tested
        return Prediction(
            record_id=recording.record_id,
            kind=self.kind,
            scores=asked[0],
            sets=dict(said.answers),
            coverage=said.coverage,
            tested=tested,
            group_contributions=dict(zip(names, [] if shares is None else shares.tolist(), strict=True)),
            age_days=days,
            scores_without_age=asked[1] if sees_age else None,
            age_effect=tuple(zip(other_ages_days, asked[2:], strict=True)) if sees_age else (),
            leads_read=present,
            leads_missing=missing,
            n_windows=len(prepared.windows),
            notes=tuple(
                caveats(
                    recording,
                    self.spec,
                    self.panel,
                    present,
                    len(prepared.windows),
                    prepared.judged,
                    sees_age=sees_age,
                    sees_pictures=self.method.picture_size is not None,
                    ages_days=trained_ages(self.about),
                    untested=[
                        name
                        for name, answer in said.answers.items()
                        if answer == "yes" and "real_children" not in tested[name]
                    ],
                    left_open=said.notes,
                )
            ),
            quality=prepared.judged.quality.to_dict(),
            model=self.about,
        )

    def _present(self, windows: ECGBatch) -> tuple[str, ...]:
        """The leads that are there in any window."""
        usable = windows.lead_mask.any(0).tolist()
        return tuple(lead for lead, is_usable in zip(self.spec.leads, usable, strict=True) if is_usable)

    def _missing(self, present: Sequence[str]) -> tuple[str, ...]:
        """The leads that the weights read and a recording lacks."""
        return tuple(lead for lead in self.spec.read if lead not in present)

    def age_curve(self, recording: Recording, ages_days: Sequence[float]) -> dict[str, list[float]]:
        """The scores of one trace at each of some ages, by class: for the figure of the effect of age.

        Args:
            recording: the recording; its own age is not used.
            ages_days: ages in days.

        Raises:
            DataError: the recording has none of the leads, and no picture that the weights read.
        """
        with torch.no_grad():
            ready = self._ready(recording)
            _, (answers,) = self._at_ages(ready, [len(ready)], ages_days)
        return {name: [answer[name] for answer in answers] for name in self.classes}

    def _ready(self, recording: Recording) -> ECGBatch:
        """The recording's windows, preprocessed."""
        size = self.method.picture_size
        if recording.image is not None and size is not None:
            recording = recording.with_context(image=fit_picture(recording.image, *size))
        elif not recording.leads:
            remedy = "give the recording itself, or weights that read pictures (mirage, of all leads)"
            raise DataError(f"{recording.record_id}: there is only a picture, and these weights read signals: {remedy}")
        ready: ECGBatch = self.method.preprocess(windows_of(recording, self.spec, self.panel))
        if recording.image is None and not ready.lead_mask.any():
            raise DataError(
                f"{recording.record_id}: none of its leads has enough samples to be read: half of "
                f"{min(self.spec.seconds, recording.seconds):.3g} s are needed, and a sheet of 2.5 s a lead has less; "
                "give leads that run through"
            )
        lacking = sorted(set(self.method.encoder.required) - set(self._present(ready)), key=self.spec.leads.index)
        if lacking:
            raise DataError(
                f"{recording.record_id}: lacks {', '.join(lacking)}, and these weights must have every lead they read"
            )
        return ready

    def _at_ages(
        self, ready: ECGBatch, sizes: Sequence[int], ages_days: Sequence[Tensor | float | None]
    ) -> tuple[Tokens, list[list[dict[str, float]]]]:
        """Windows of recordings asked at several ages in one pass.

        Args:
            ready: the windows, preprocessed, those of a recording side by side.
            sizes: how many windows each recording has.
            ages_days: ages in days, of all windows or (window,) of each; None or NaN stands for an unknown age.

        Returns:
            Tokens of all windows at all ages, the first age first (at one, where no age reaches the weights), and for
            each recording the scores by class at each age.
        """
        # All windows at the first age, then all at the next: (age * window, d).
        n_windows, n_ages = len(ready), len(ages_days)
        ages = [torch.as_tensor(math.nan if days is None else days, dtype=torch.float32) for days in ages_days]
        method = self.method
        asked = [method.encoder.condition(replace(ready, age_days=days.expand(n_windows))) for days in ages]
        sources = asked[0] or {}
        condition = {source: torch.cat([one[source] for one in asked if one]) for source in sources} or None
        tokens = method.encoder.read_each(ready, condition)
        if isinstance(method, Classifies) and self.kind == "probability":
            # Windows are pooled as logits, as in evaluation, and become one probability at the end.
            by_window = method.classify(tokens)
        else:
            assert isinstance(method, AlignsText)
            by_window = method.compare(tokens, self.task)
        if condition is None:  # of weights that no age reaches the answer is the same at all
            by_window = by_window.repeat(n_ages, 1)
        parts = torch.split(by_window.reshape(n_ages, n_windows, -1), list(sizes), dim=1)
        values = torch.stack([part.mean(1) for part in parts])  # (recording, age, class)
        if isinstance(method, Classifies) and self.kind == "probability":
            # A recording's windows have one age.
            firsts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
            of_recordings = torch.stack([days.expand(n_windows) for days in ages])[:, firsts].T.flatten()
            values = method.probabilities(values.flatten(0, 1), of_recordings.double()).reshape(values.shape)
        if not torch.isfinite(values).all():
            raise DataError("the answer is not finite: the recording has no usable sample in the leads read")
        return tokens, [[dict(zip(self.classes, row, strict=True)) for row in rows] for rows in values.tolist()]

    def _judged(self, recording: Recording) -> Judged:
        """The quality and rate of the trace.

        Raises:
            UnreadableError: no question can be asked of it, it was sampled too slowly for the waves of its age, or its
                limb leads contradict each other.
            DataError: its amplitudes are unknown, and the weights read millivolts.
        """
        if not recording.leads:
            return Judged(Acceptance(True, True), unmeasured("heart_rate", "no signal"))
        judged = judge_recording(recording)

        def refused(why: str) -> UnreadableError:
            return UnreadableError(f"{recording.record_id}: no answer: {why}", judged.quality.to_dict())

        if not judged.quality.readable:
            raise refused(f"{judged.quality.reasons[0]}; record it again")
        if self.spec.scale == "mv" and not recording.amplitude_known:
            why = next((f" ({note.partition(':')[0]})" for note in recording.notes if "treated as unknown" in note), "")
            raise DataError(
                f"{recording.record_id}: its amplitudes are unknown{why}, and these weights read millivolts: look "
                "whether it is an ECG, give the unit and gain of the file, or use weights trained with "
                "input.scale=amplitude_unknown"
            )
        if slow := too_slow(recording, self.spec.band_hz[1]):
            raise refused(slow)
        if UNDECIDED in recording.notes:  # then other leads may bear wrong names, too
            raise refused(f"{UNDECIDED}; look which lead is which, or record it again")
        return judged
