"""Where an answer comes from: of a model that is known to look at one place, that place and no other is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from auricle.encoders import Tokens
from auricle.errors import DataError
from auricle.explain.attribution import attribution_figure, occlusion
from auricle.methods import Method, create_method
from conftest import make_batch


def looking_at(lead: int, first: int, last: int) -> Method:
    """A model whose one logit is the sum of squares of a stretch of one lead, 2 s at 250 Hz."""
    method = create_method("supervised", "tiny", classes=("a", "b"))

    def read(batch: object, condition: object = None) -> Tokens:
        del condition
        energy = batch.signal[:, lead, first:last].square().sum(-1, keepdim=True)
        empty = torch.zeros(len(batch), 1, 1)
        return Tokens.ungrouped(empty, empty[..., 0] == 0, torch.zeros(1), energy)

    method.encoder.read = read  # type: ignore[method-assign, assignment]
    method.head = torch.nn.Linear(1, 2)
    torch.nn.init.constant_(method.head.weight, 1.0)
    method.head.weight.data[1] = -1.0
    return method


def test_what_is_looked_at_is_found_and_nothing_else() -> None:
    method, batch = looking_at(6, 200, 240), make_batch(1)
    found = occlusion(method, batch, "a", window_ms=80)
    assert found.leads[6] == "V1"
    assert found.loss[6, 200:240].mean() > 0, "the energy falls where a straight line is drawn"
    assert np.abs(found.loss[[row for row in range(12) if row != 6]]).max() == 0
    assert np.abs(found.loss[6, :180]).max() == np.abs(found.loss[6, 260:]).max() == 0
    assert found.unit == "mV"
    opposite = occlusion(method, batch, "b", window_ms=80)
    assert np.allclose(opposite.loss, -found.loss, atol=1e-5)


def test_the_whole_of_a_lead_at_once_is_the_answer_less_what_is_left() -> None:
    method, batch = looking_at(3, 0, 500), make_batch(1)
    found = occlusion(method, batch, "a", window_ms=2000)
    ready = method.preprocess(batch)
    line = ready.signal.clone()
    line[0, 3] = torch.linspace(0, 1, 500) * (line[0, 3, -1] - line[0, 3, 0]) + line[0, 3, 0]
    left = method.classify(method.encoder.read(replace(ready, signal=line)))[0, 0].item()
    assert np.allclose(found.loss[3], found.answer - left, atol=1e-3)


def test_leads_that_are_not_there_and_classes_that_are_none() -> None:
    method, batch = create_method("supervised", "tiny", classes=("a",)), make_batch(1)
    mask = batch.lead_mask.clone()
    mask[:, [1, 6]] = False
    told: list[tuple[int, int]] = []
    found = occlusion(method, replace(batch, lead_mask=mask), "a", on_progress=lambda *n: told.append(n))
    assert "II" not in found.leads
    assert found.signal.shape == found.loss.shape == (10, 500)
    assert told[-1][0] == told[-1][1]
    with pytest.raises(DataError, match="z is none"):
        occlusion(method, batch, "z")
    with pytest.raises(DataError, match="one record"):
        occlusion(method, make_batch(2), "a")


def test_a_stretch_counts_more_than_a_record_is_long() -> None:
    short = make_batch(1)
    time_mask = short.time_mask.clone()
    time_mask[:, 120:] = False
    found = occlusion(create_method("supervised", "tiny", classes=("a",)), replace(short, time_mask=time_mask), "a",
                      window_ms=5000)  # fmt: skip
    assert found.loss.shape == (12, 120)


def test_it_is_drawn() -> None:
    found = occlusion(looking_at(6, 200, 240), make_batch(1), "a", window_ms=80)
    axes = attribution_figure(found, "V1").axes[0]
    drawn = [text.get_text() for text in axes.texts]
    assert drawn == list(found.leads)
    assert axes.get_title(loc="left") == "V1"
    coloured = [np.abs(lines.get_array()).max() for lines in axes.collections]
    assert [lead for lead, value in zip(found.leads, coloured, strict=True) if value > 0] == ["V1"]
