"""Robustness: test records with fewer leads, at lower rates, in noise, or with swapped limb leads.

Source: the conditions of the project's evaluation plan. A model is trained on whole, clean records and not adapted to
the conditions. Absent leads are masked and never derived again from present ones. The size of noise is given in
standard deviations of the record, so that a record without millivolts can be tested as well, and noise is a function of
the record's name: every method reads the same noise. Stored pictures still show what a condition takes away, so they
are left out, and methods that read pictures draw what is left.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.evaluate.caption import Result
from auricle.evaluate.predictions import Answers
from auricle.evaluate.probe import fit_probe
from auricle.evaluate.protocols import Setting, answers_of, answers_task, own_answers, predictions_of, save
from auricle.evaluate.table import Table, cell
from auricle.leads import LIMB, STANDARD
from auricle.progress import stage
from auricle.signal.preprocess import fill_missing
from auricle.signal.resample import resample

Change = Callable[[ECGBatch], ECGBatch]
PROTOCOL: Final = "robustness"
_NINE: Final = tuple(lead for lead in STANDARD if lead not in {"V2", "V4", "V6"})
# What electrodes in each other's place make of the limb leads: lead -> (sign, lead it is read from).
_ARMS: Final = {
    "I": (-1, "I"), "II": (1, "III"), "III": (1, "II"), "aVR": (1, "aVL"), "aVL": (1, "aVR"), "aVF": (1, "aVF"),
}  # fmt: skip
_RIGHT_ARM_LEG: Final = {
    "I": (-1, "III"), "II": (-1, "II"), "III": (-1, "I"), "aVR": (1, "aVF"), "aVL": (1, "aVL"), "aVF": (1, "aVR"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to make a record worse.

    Attributes:
        name: as tables write it.
        family: what groups conditions in the figure.
        change: what it does to a batch.
        above_hz: the condition is left out for stores of this rate or less, which it would not change.
        leads: of the standard twelve those that are left where they were recorded.
    """

    name: str
    family: str
    change: Change
    above_hz: float = 0.0
    leads: tuple[str, ...] = STANDARD


def only_leads(batch: ECGBatch, leads: Sequence[str]) -> ECGBatch:
    """The batch with all leads but these absent."""
    kept = torch.tensor([lead in leads for lead in batch.leads], device=batch.lead_mask.device)
    return replace(batch.without_picture(), lead_mask=batch.lead_mask & kept)


def at_rate(batch: ECGBatch, rate_hz: float) -> ECGBatch:
    """The batch at a lower rate, low-pass filtered; unchanged where its rate is that low already."""
    if batch.rate_hz <= rate_hz:
        return batch
    # A filter would carry a missing sample along the record: gaps are filled, and leads lost, as without this.
    signal, lead_mask = fill_missing(batch.millivolts(), batch.lead_mask, batch.time_mask)
    slower, mask = resample(signal, batch.time_mask, batch.rate_hz, rate_hz, rate_hz / 2)
    return replace(batch.without_picture().with_signal(slower, mask, rate_hz), lead_mask=lead_mask)


def swapped(batch: ECGBatch, wiring: Mapping[str, tuple[int, str]]) -> ECGBatch:
    """The batch with limb leads as two exchanged electrodes give them; a lead whose source is absent is absent.

    Args:
        batch: (b, l, t)
        wiring: lead -> (sign, lead it is read from).
    """
    signal, mask = batch.millivolts(), batch.lead_mask
    new_signal, new_mask = signal.clone(), mask.clone()
    for lead, (sign, source) in wiring.items():
        if lead in batch.leads:
            row = batch.leads.index(lead)
            is_recorded = source in batch.leads
            source_row = batch.leads.index(source) if is_recorded else row
            new_signal[:, row] = sign * signal[:, source_row]
            new_mask[:, row] = mask[:, source_row] & is_recorded
    return replace(batch.without_picture(), signal=new_signal, lead_mask=new_mask, gain_mv=None)


def noisy(batch: ECGBatch, white: float = 0.0, wander: float = 0.0, mains: float = 0.0) -> ECGBatch:
    """White noise, wander of .3 Hz and mains of 50 Hz in standard deviations of the record, in every lead anew."""
    signal = batch.millivolts()
    valid = batch.lead_mask[:, :, None] & batch.time_mask[:, None] & torch.isfinite(signal)
    # About the mean of each lead: where a trace rests is no part of how much it moves.
    mean = torch.where(valid, signal, 0.0).sum(2, keepdim=True) / valid.sum(2, keepdim=True).clamp_min(1)
    power = torch.where(valid, signal - mean, 0.0).square().sum((1, 2)) / valid.sum((1, 2)).clamp_min(1)
    t = torch.arange(signal.shape[-1], device=signal.device) / batch.rate_hz
    added = [_noise(name, signal.shape[1:], t, white, wander, mains) for name in batch.record_id]
    return replace(
        batch.without_picture(),
        signal=signal + power.sqrt()[:, None, None] * torch.stack(added).to(signal),
        gain_mv=None,
    )


def _noise(name: str, shape: Sequence[int], t: Tensor, white: float, wander: float, mains: float) -> Tensor:
    """(l, t) noise of one record at times `t` in seconds, each part with the standard deviation it is given."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    hiss = torch.randn(tuple(shape), generator=generator).to(t)
    phase = 2 * torch.pi * torch.rand(2, shape[0], 1, generator=generator).to(t)
    slow, fast = (torch.sin(2 * torch.pi * hz * t + phase[i]) for i, hz in enumerate((0.3, 50.0)))
    root_two = 2**0.5  # a sine of amplitude one has a standard deviation of one over it
    return white * hiss + root_two * (wander * slow + mains * fast)


def _fewer(name: str, leads: tuple[str, ...]) -> Condition:
    return Condition(name, "leads", lambda batch: only_leads(batch, leads), leads=leads)


CONDITIONS: Final = (
    Condition("as recorded", "leads", lambda batch: batch),
    _fewer("9 leads", _NINE),
    _fewer("6 limb leads", LIMB),
    _fewer("3 leads (I, II, V2)", ("I", "II", "V2")),
    _fewer("1 lead (I)", ("I",)),
    Condition("250 Hz", "rate", lambda batch: at_rate(batch, 250), 250),
    Condition("125 Hz", "rate", lambda batch: at_rate(batch, 125), 125),
    Condition("62.5 Hz", "rate", lambda batch: at_rate(batch, 62.5), 62.5),
    Condition("white noise, half the signal", "noise", lambda batch: noisy(batch, white=0.5)),
    Condition("white noise as the signal", "noise", lambda batch: noisy(batch, white=1.0)),
    Condition("wander, twice the signal", "noise", lambda batch: noisy(batch, wander=2.0)),
    Condition("mains, half the signal", "noise", lambda batch: noisy(batch, mains=0.5), 100),
    Condition("arm electrodes swapped", "swap", lambda batch: swapped(batch, _ARMS)),
    Condition("right arm and leg swapped", "swap", lambda batch: swapped(batch, _RIGHT_ARM_LEG)),
)


# Fewer leads than were recorded; the first condition is all of them.
FEWER_LEADS: Final = tuple(condition for condition in CONDITIONS if condition.family == "leads")


def robustness(setting: Setting, conditions: Sequence[Condition] = CONDITIONS) -> None:
    """Score the test part under every condition: by the method's own classes, or by a probe of all training records."""
    score, how, answers = _scorer(setting)
    rows = setting.parts("test")["test"]
    for number, condition in enumerate(conditions):
        if setting.store.rate_hz <= condition.above_hz:
            continue
        with stage(f"{setting.name}: condition {number + 1} of {len(conditions)}, {condition.name}"):
            scores = score(rows, condition.change)
        meta = {"protocol": f"{PROTOCOL}/{condition.name}", "fraction": 1.0, "answers": answers}
        test = predictions_of(setting, rows, scores, **meta)
        test = replace(test, meta=test.meta.model_copy(update={"notes": {**test.meta.notes, "scored_by": how}}))
        save(setting, f"{PROTOCOL}/{number:02d}", test, None)


def _scorer(setting: Setting) -> tuple[Callable[[NDArray[np.int64], Change], NDArray[np.floating]], str, Answers]:
    """What scores rows under a change, how tables say it, and the form of the answers."""
    method = setting.method
    if answers_task(setting):
        return (lambda rows, change: own_answers(setting, rows, change)), "its classes", answers_of(setting)
    parts = setting.parts()
    features = {part: setting.each(method.embed, parts[part]) for part in ("train", "validation")}
    targets = {part: setting.targets(parts[part]) for part in ("train", "validation")}
    with stage(f"{setting.name}: probe on all training records"):
        probe = fit_probe(features["train"], targets["train"], features["validation"], targets["validation"])
    return (
        (lambda rows, change: probe.predict(setting.each(method.embed, rows, change))),
        "linear probe",
        "multi_label",
    )


def table(results: Sequence[Result], task: str) -> Table:
    """One row for each condition, one column for each row of the other tables; macro AUROC in per cent."""
    found = by_condition(results, task)
    names = list(found)
    known = {condition.name: condition for condition in CONDITIONS}
    rows = [
        (name, *(cell([found[method][name]], "auroc") if name in found[method] else "–" for method in names))
        for name in known
        if any(name in found[method] for method in names)
    ]
    caption = f"**{task}**: macro AUROC in per cent of the test part under each condition, nothing learned again."
    told = {
        method: {r["meta"].get("notes", {}).get("scored_by", "") for r in found[method].values()} for method in names
    }
    how = "; ".join(f"{method} {' or '.join(sorted(said))}" for method, said in told.items() if said != {""})
    notes = ("In brackets the 95 % interval of a bootstrap over patients.", *([f"Answered by: {how}."] if how else []))
    return Table(("condition", *names), tuple(rows), caption, notes)


def by_condition(results: Sequence[Result], task: str) -> dict[str, dict[str, Result]]:
    """Row name -> condition -> result."""
    found: dict[str, dict[str, Result]] = {}
    for result in results:
        protocol, _, condition = result["meta"]["protocol"].partition("/")
        if protocol == PROTOCOL and result["meta"]["task"] == task:
            found.setdefault(result["meta"]["method"], {})[condition] = result
    return found


def with_intervals(found: Mapping[str, Mapping[str, Result]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Row name -> condition -> macro AUROC with the bounds of its interval, NaN where it has no value."""

    def three(result: Result) -> tuple[float, float, float]:
        entry = result["macro"]["auroc"]
        value, low, high = (np.nan if entry[key] is None else entry[key] for key in ("value", "low", "high"))
        return value, low, high

    return {name: {condition: three(result) for condition, result in each.items()} for name, each in found.items()}
