"""Methods that foretell: their losses against slow loops and two processes, what they may not see, what they refuse."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from auricle.errors import ConfigError, DataError
from auricle.losses.contrastive import nt_xent
from auricle.losses.hierarchical import hierarchical_contrast
from auricle.losses.predictive import across_records_info_nce, future_info_nce, hidden_info_nce
from auricle.methods import Method, Progress, create_method
from auricle.methods.astcl import Astcl
from auricle.methods.cpc import Cpc
from auricle.methods.timesurl import Timesurl
from auricle.methods.ts_tcc import TsTcc
from conftest import make_batch
from processes import in_two_processes


def fresh(name: str, **more: object) -> Method:
    torch.manual_seed(0)
    return create_method(name, "tiny", **more).train()


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shown(*shape: int, seed: int, share: float = 0.8) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def slow_contrast(scores: list[float], positive: int, counts: list[bool]) -> float | None:
    """-log softmax of one entry among those that count; None where it stands alone."""
    others = [score for number, score in enumerate(scores) if counts[number] and number != positive]
    if not others:
        return None
    return math.log(sum(math.exp(score) for score in [scores[positive], *others])) - scores[positive]


def mean_of(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / max(1, len(known))


class TestLosses:
    @settings(deadline=None, max_examples=20)
    @given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 1000))
    def test_steps_ahead_are_told_from_the_others_of_their_record(self, n: int, ahead: int, seed: int) -> None:
        predicted, local, mask = drawn(3, ahead, n, 4, seed=seed), drawn(3, n, 4, seed=seed + 1), shown(3, n, seed=seed)
        poisoned = torch.where(mask[..., None], local, 50.0)
        values, hits, long = [], [], [False] * 3
        for i in range(3):
            for k in range(ahead):
                for t in range(n - k - 1):
                    if not (mask[i, t] and mask[i, t + k + 1]):
                        continue
                    scores = [float(predicted[i, k, t] @ local[i, j]) for j in range(n)]
                    value = slow_contrast(scores, t + k + 1, mask[i].tolist())
                    values.append(value)
                    if value is not None:
                        long[i] = True
                        rest = [s for j, s in enumerate(scores) if mask[i, j] and j != t + k + 1]
                        hits.append(float(scores[t + k + 1] > max(rest)))
        loss, share, which = future_info_nce(predicted, poisoned, mask, n)
        assert float(loss) == pytest.approx(mean_of(values), rel=1e-4, abs=1e-5)
        assert float(share) == pytest.approx(mean_of(hits), abs=1e-5)
        assert which.tolist() == long

    def test_with_fewer_negatives_it_is_easier_and_never_negative(self) -> None:
        predicted, local, mask = drawn(4, 2, 30, 8), drawn(4, 30, 8, seed=1), torch.ones(4, 30, dtype=torch.bool)
        few, all_of_them = (float(future_info_nce(predicted, local, mask, n)[0]) for n in (3, 30))
        assert 0 < few < all_of_them

    @settings(deadline=None, max_examples=20)
    @given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 1000))
    def test_records_are_told_apart_at_each_prediction(self, n: int, k: int, seed: int) -> None:
        predicted, wanted, there = drawn(n, k, 4, seed=seed), drawn(n, k, 4, seed=seed + 1), shown(n, seed=seed)
        values = [
            slow_contrast([2 * float(predicted[i, j] @ wanted[c, j]) for c in range(n)], i, there.tolist())
            for i in range(n) if there[i] for j in range(k)
        ]  # fmt: skip
        found = across_records_info_nce(predicted, torch.where(there[:, None, None], wanted, 50.0), there, 2.0)
        assert float(found) == pytest.approx(mean_of(values), rel=1e-4, abs=1e-5)

    @settings(deadline=None, max_examples=20)
    @given(st.integers(2, 6), st.integers(0, 1000))
    def test_nt_xent_of_those_who_have_both_views_is_that_without_the_others(self, n: int, seed: int) -> None:
        one, other = normalize(drawn(2, n, 4, seed=seed), dim=-1)
        paired = shown(n, seed=seed, share=0.7)
        if not paired.any():
            return
        found = nt_xent(one, other, 3.0, paired)
        assert float(found) == pytest.approx(float(nt_xent(one[paired], other[paired], 3.0)), rel=1e-4, abs=1e-6)

    @settings(deadline=None, max_examples=10)
    @given(st.integers(2, 4), st.integers(1, 7), st.integers(0, 1000))
    def test_the_hierarchy_is_its_equations(self, b: int, n: int, seed: int) -> None:
        """Mixtures included: both draw the same turn at each level."""
        one, other, mask = drawn(b, n, 3, seed=seed), drawn(b, n, 3, seed=seed + 1), shown(b, n, seed=seed, share=0.9)
        poisoned = [torch.where(mask[..., None], view, 9.0) for view in (one, other)]
        torch.manual_seed(seed)
        records, moments = hierarchical_contrast(*poisoned, mask, 2.0, 0.2)
        torch.manual_seed(seed)
        slow = slow_hierarchy(one, other, mask, 2.0, 0.2)
        assert float(records) == pytest.approx(slow[0], rel=1e-3, abs=1e-4)
        assert float(moments) == pytest.approx(slow[1], rel=1e-3, abs=1e-4)


def slow_hierarchy(
    one: torch.Tensor, other: torch.Tensor, mask: torch.Tensor, scale: float, share: float
) -> tuple[float, float]:
    """Level by level, vector by vector."""
    records, moments = [], []
    while True:
        b, n = mask.shape
        views = [normalize(view, dim=-1) for view in (one, other)]
        records.append(_slow_level(views, mask, scale, share, over_time=False))
        if n == 1:
            break
        moments.append(_slow_level(views, mask, scale, share, over_time=True))
        halves = [range(t, min(t + 2, n)) for t in range(0, n, 2)]
        pooled = []
        for view in (one, other):
            new = torch.zeros(b, len(halves), view.shape[-1])
            for i in range(b):
                for h, places in enumerate(halves):
                    there = [view[i, t] for t in places if mask[i, t]]
                    if there:
                        new[i, h] = torch.stack(there).amax(0)
            pooled.append(new)
        mask = torch.stack([mask[:, list(places)].any(1) for places in halves], dim=1)
        one, other = pooled
    return mean_of(records), mean_of(moments)


def _slow_level(views: list[torch.Tensor], mask: torch.Tensor, scale: float, share: float, over_time: bool) -> float:
    """One contrast of one level: columns are both views and their mixtures, along time or along records."""
    if over_time:
        views, mask = [view.transpose(0, 1) for view in views], mask.T
    n, m = mask.shape  # told apart along n, at each of m
    turn = int(torch.randint(1, n, ())) if n > 1 else 0
    values: list[float | None] = []
    for place in range(m):
        columns, counts = [], []
        for view in views:
            columns += [view[i, place] for i in range(n)]
            counts += [bool(mask[i, place]) for i in range(n)]
        for view in views:
            for i in range(n):
                partner = (i - turn) % n
                mixture = share * view[i, place] + (1 - share) * view[partner, place]
                columns.append(normalize(mixture, dim=0))
                counts.append(bool(mask[i, place] and mask[partner, place] and n > 1))
        for row in range(2 * n):
            if not counts[row]:
                continue
            scores = [scale * float(columns[row] @ column) for column in columns]
            values.append(slow_contrast(scores, (row + n) % (2 * n), [c and j != row for j, c in enumerate(counts)]))
    return mean_of(values)


def _loss(rank: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses that look beyond a process, on some rows of a fixed batch, and what is differentiated."""
    rows = slice(rank * n, rank * n + n)
    vectors = normalize(drawn(6, 2, 3, 5, seed=3), dim=-1)[rows].clone().requires_grad_()
    there, mask = shown(6, seed=1)[rows], shown(6, 3, seed=2)[rows]
    one, other = vectors.unbind(1)
    loss = across_records_info_nce(one, other, there, 3.0) + nt_xent(one[:, 0], other[:, 0], 2.0, there)
    loss = loss + future_info_nce(vectors[:, :, None, 0].expand(-1, -1, 3, -1), one, mask, 3)[0]
    loss = loss + hidden_info_nce(one, other.detach(), mask, 3, 4.0)[0]
    # A mixture is of two records of one process, so here it is of a record with itself, and is told from nothing new.
    drawing = torch.randint
    torch.randint = lambda low, high, size: torch.zeros(size, dtype=torch.long)
    try:
        records, moments = hierarchical_contrast(one, other, mask, 2.0, 0.2)
    finally:
        torch.randint = drawing
    return loss + records + moments, vectors


def _half(rank: int) -> tuple[float, list[object]]:
    loss, vectors = _loss(rank, 3)
    loss.backward()
    return loss.item(), vectors.grad.tolist()


def test_two_processes_with_half_the_batch_are_one_with_all() -> None:
    loss, vectors = _loss(0, 6)
    loss.backward()
    halved = in_two_processes(_half)
    assert sum(half[0] for half in halved) / 2 == pytest.approx(loss.item(), rel=1e-4)
    assert torch.allclose(torch.tensor(halved[0][1] + halved[1][1]) / 2, vectors.grad, atol=1e-5)


class TestCpc:
    def test_an_encoder_that_hears_the_future_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"resnet1d hears the whole record: take model\.encoder\.name=context1d"):
            fresh("cpc", encoder={"name": "resnet1d", "preset": "tiny"})

    def test_a_record_that_is_shorter_than_two_steps_is_refused_with_the_remedy(self) -> None:
        method, batch = fresh("cpc"), make_batch()
        assert isinstance(method, Cpc)
        short = replace(batch, time_mask=batch.time_mask & (torch.arange(batch.time_mask.shape[1]) < 5))
        with pytest.raises(DataError, match=r"has two steps of 0\.02 s.*model\.input\.seconds"):
            method.step(short, Progress(0, 1))
        some = batch.time_mask.clone()
        some[0, 5:] = False
        assert torch.isfinite(method.step(replace(batch, time_mask=some), Progress(0, 1)).loss)

    def test_it_learns_that_a_rhythm_goes_on(self) -> None:
        """A wave of its own rate in each record: the next steps can be told; in noise they cannot."""
        batch = make_batch(16)
        rate = 1 + torch.arange(16)[:, None] / 4
        wave = torch.sin(2 * math.pi * rate * torch.arange(500) / 250)[:, None].expand(-1, 12, -1)
        noise = torch.randn(16, 12, 500, generator=torch.Generator().manual_seed(0))
        ends = []
        for signal in (wave, noise):
            method = fresh("cpc", input={"rate_hz": 250, "seconds": 2.0, "band_hz": (0.5, 100)})
            optimiser = torch.optim.AdamW(method.parameters(), lr=5e-3)
            for number in range(60):
                torch.manual_seed(number)
                result = method.step(replace(batch, signal=signal.contiguous()), Progress(number, 60))
                optimiser.zero_grad()
                result.loss.backward()
                optimiser.step()
            ends.append(float(result.loss.detach()))
        assert ends[0] < 0.8 * ends[1]


class TestTsTcc:
    def test_the_context_hears_nothing_behind_its_moment(self) -> None:
        method = fresh("ts_tcc").eval()
        assert isinstance(method, TsTcc)
        tokens, mask = drawn(4, 12, 64), torch.ones(4, 12, dtype=torch.bool)
        last = torch.tensor([0, 3, 7, 11])
        later = torch.where((torch.arange(12) > last[:, None])[..., None], 9.0, tokens)
        with torch.no_grad():
            assert torch.allclose(method.context(tokens, last, mask), method.context(later, last, mask), atol=1e-5)

    def test_a_moment_has_as_many_tokens_behind_it_as_are_predicted(self) -> None:
        method = fresh("ts_tcc", n_ahead=3)
        assert isinstance(method, TsTcc)
        mask = shown(200, 9, seed=0)
        last, there = method._moment(mask)
        for row in range(200):
            fits = [t for t in range(6) if mask[row, t : t + 4].all()]
            assert bool(there[row]) == bool(fits)
            assert not fits or int(last[row]) in fits

    def test_too_short_a_record_and_tokens_without_an_order_are_refused(self) -> None:
        with pytest.raises(DataError, match=r"more than the 40 tokens.*lower model\.n_ahead"):
            fresh("ts_tcc", n_ahead=40).step(make_batch(), Progress(0, 1))
        groups = fresh("ts_tcc", encoder={"name": "lead_groups", "preset": "tiny"})
        with pytest.raises(ConfigError, match="several groups of leads or time scales"):
            groups.step(make_batch(), Progress(0, 1))


class TestTimesurl:
    def test_an_encoder_of_groups_is_refused(self) -> None:
        groups = fresh("timesurl", encoder={"name": "lead_groups", "preset": "tiny"})
        with pytest.raises(ConfigError, match="several groups of leads or time scales"):
            groups.step(make_batch(), Progress(0, 1))

    def test_only_what_was_set_to_zero_is_drawn(self) -> None:
        method, batch = fresh("timesurl"), make_batch()
        assert isinstance(method, Timesurl)
        ready = method.preprocess(batch)
        hidden = torch.zeros_like(ready.time_mask)
        hidden[:, 32:48] = True
        elsewhere = replace(ready, signal=torch.where(hidden[:, None], ready.signal, 77.0))
        with torch.no_grad():
            tokens = method.encoder.read(ready)
            assert torch.equal(method._missed(tokens, ready, hidden), method._missed(tokens, elsewhere, hidden))
            assert float(method._missed(tokens, ready, torch.zeros_like(hidden))) == 0


class TestTfC:
    def test_an_encoder_without_a_spectrum_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"resnet1d reads no spectrum.*time_frequency"):
            fresh("tf_c", encoder={"name": "resnet1d", "preset": "tiny"})


class TestAstcl:
    def test_the_adversary_learns_and_the_encoder_unlearns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Against the same step with an adversary whose gradient is not reversed: the other sign in the encoder."""
        method, batch = fresh("astcl", ahead=0.0), make_batch()
        assert isinstance(method, Astcl)

        def gradients(share: int) -> tuple[torch.Tensor, torch.Tensor]:
            method.zero_grad()
            torch.manual_seed(0)
            method.step(batch, Progress(share, 1)).loss.backward()
            parts = (method.tell, method.encoder)
            told, encoder = (torch.cat([p.grad.flatten() for p in part.parameters()]) for part in parts)
            return told, encoder

        _, alone = gradients(0)  # at the beginning nothing of the adversary reaches the encoder
        told, at_end = gradients(1)
        monkeypatch.setattr("auricle.methods.astcl.reversed_gradient", lambda x, strength: x * 1.0)
        told_plain, plain = gradients(1)
        assert torch.equal(told, told_plain)
        assert (plain - alone).abs().max() > 1e-5
        strength = 2 / (1 + math.exp(-10)) - 1
        assert torch.allclose(at_end - alone, -strength * (plain - alone), rtol=1e-2, atol=1e-4)

    def test_records_of_one_patient_have_one_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The answer that a prediction is compared with is the mean direction of all targets of the patient."""
        batch = replace(make_batch(), patient_id=torch.tensor([0, 0, 1, 2, 3, 4, 5, 6]))
        method, answers, projected = fresh("astcl"), [], []
        assert isinstance(method, Astcl)
        read = method.read_by_target

        def reading(one: object) -> object:
            made = read(one)
            projected.append(normalize(made[1], dim=-1))
            return made

        def compared(predicted: torch.Tensor, target: torch.Tensor, counts: object = None) -> torch.Tensor:
            if counts is None:
                answers.append(target)
            return predicted.sum() * 0

        monkeypatch.setattr(method, "read_by_target", reading)
        monkeypatch.setattr("auricle.methods.astcl.cosine_regression", compared)
        terms = method.step(batch, Progress(0, 1)).terms
        assert float(terms["patients"]) == 0.25
        for answer, own in zip(answers, reversed(projected), strict=True):
            assert torch.allclose(answer[0], own[0] + own[1], atol=1e-5)
            assert torch.equal(answer[0], answer[1])
            assert torch.allclose(answer[2:], own[2:], atol=1e-6)
