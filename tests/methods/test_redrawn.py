"""Methods that redraw what is hidden from other domains, other records, answers or words; their codebook and beats."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from auricle.encoders.beat_vit import BeatVit
from auricle.encoders.patchtst import Patchtst
from auricle.encoders.spectral_vit import SpectralVit
from auricle.encoders.vit1d import Vit1d
from auricle.errors import ConfigError, DataError
from auricle.leads import STANDARD
from auricle.losses.contrastive import several_positives
from auricle.methods import Method, Progress, create_method, init_encoder_from, save_method
from auricle.nn.codebook import NearestCodebook
from auricle.nn.patch import patchify
from auricle.nn.spectrum import amplitudes, amplitudes_and_phases
from auricle.signal.beats import find_beats
from auricle.signal.preprocess import TYPICAL_MV
from auricle.simulate import cohort
from conftest import make_batch
from processes import in_two_processes
from running import auricle, refused

NAMES = ("crt", "timemae", "simmtm", "patchtst", "vq_hbr", "heartlang")


def fresh(name: str, **more: object) -> Method:
    torch.manual_seed(0)
    return create_method(name, "tiny", **more).train()


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def as_it_is(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches enter the method unfiltered, so that what lies where is known."""
    monkeypatch.setattr(method.preprocess, "forward", lambda batch: batch)


class TestNearestCodebook:
    def test_the_entry_of_the_largest_cosine_is_chosen(self) -> None:
        torch.manual_seed(0)
        book, x = NearestCodebook(6, 4).eval(), seeded(2, 5, 4)
        made = book(x, torch.ones(2, 5, dtype=torch.bool))
        for i in range(2):
            for j in range(5):
                cosines = [float(F.cosine_similarity(x[i, j], entry, dim=0)) for entry in book.entries]
                assert int(made.index[i, j]) == int(np.argmax(cosines))
                assert torch.allclose(made.vectors[i, j], book.entries[np.argmax(cosines)], atol=1e-6)

    def test_entries_follow_what_falls_to_them_and_nothing_else_moves(self) -> None:
        """The mean of the directions, by a loop; what does not count has no say."""
        torch.manual_seed(0)
        book, x = NearestCodebook(3, 4, keep=0.5, patience=100).train(), seeded(2, 6, 4)
        counts = torch.rand(2, 6, generator=torch.Generator().manual_seed(3)) < 0.7
        before, weight = book.entries.clone(), book.weight.clone()
        index = book(x, counts).index
        other = NearestCodebook(3, 4, keep=0.5, patience=100).train()
        other.load_state_dict({**book.state_dict(), "entries": before, "weight": weight, "idle": book.idle * 0})
        other(torch.where(counts[..., None], x, 1e3), counts)
        assert torch.equal(book.entries, other.entries)
        for entry in range(3):
            fallen = [F.normalize(x[i, j], dim=0) for i in range(2) for j in range(6)
                      if counts[i, j] and index[i, j] == entry]  # fmt: skip
            wanted = before[entry]
            if fallen:
                wanted = F.normalize(0.5 * weight[entry] * before[entry] + 0.5 * torch.stack(fallen).sum(0), dim=0)
            assert torch.allclose(book.entries[entry], wanted, atol=1e-5)
        still = book.entries.clone()
        book.eval()(x, counts)
        assert torch.equal(book.entries, still)

    def test_entries_that_nothing_falls_to_begin_anew(self) -> None:
        torch.manual_seed(0)
        book = NearestCodebook(16, 4, patience=3).train()
        with torch.no_grad():
            book.entries.copy_(F.normalize(torch.tensor([1.0, 0, 0, 0]) + 1e-3 * seeded(16, 4), dim=-1))
        x, counts = seeded(8, 20, 4), torch.ones(8, 20, dtype=torch.bool)
        used = [float(book(x, counts).used) for _ in range(12)]
        assert used[-1] > 8
        assert used[-1] > used[0]
        assert torch.allclose(book.entries.norm(dim=1), torch.ones(16), atol=1e-5)

    def test_gradients_pass_to_the_features_and_never_to_the_entries(self) -> None:
        book, x = NearestCodebook(5, 4).train(), seeded(2, 3, 4).requires_grad_()
        made = book(x, torch.ones(2, 3, dtype=torch.bool))
        (made.vectors.sum() + made.commitment).backward()
        assert x.grad is not None
        assert x.grad.any()
        assert not list(book.parameters())

    def test_one_entry_and_no_feature(self) -> None:
        with pytest.raises(ValueError, match="says the same of everything"):
            NearestCodebook(1, 4)
        made = NearestCodebook(4, 4, patience=1).train()(seeded(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool))
        assert float(made.commitment) == 0
        for name, setting in (("timemae", {"codes": 1}), ("vq_hbr", {"words": {"entries": 1, "width": 8}})):
            with pytest.raises(ConfigError, match=r"codes|entries"):
                fresh(name, **setting)


def _codebook(rank: int, n: int) -> tuple[list[object], float]:
    torch.manual_seed(0)
    book = NearestCodebook(5, 4, keep=0.9, patience=100).train()
    for number in range(3):
        x = seeded(4, 7, 4, seed=number)[rank * n : rank * n + n]
        made = book(x, (seeded(4, 7, seed=9) > 0)[rank * n : rank * n + n])
    return book.entries.tolist(), float(made.used)


def _codebook_of_half(rank: int) -> tuple[list[object], float]:
    return _codebook(rank, 2)


def _begun_anew(rank: int, n: int) -> list[object]:
    """Many entries begin anew, some steps with more of them than features; a process may have no feature at all."""
    torch.manual_seed(0)
    book = NearestCodebook(40, 4, patience=1).train()
    counts = seeded(4, 5, seed=7) > 0
    counts[2:] &= seeded(2, 5, seed=8) > 0.5
    for number in range(4):
        rows = slice(rank * n, rank * n + n)
        book(seeded(4, 5, 4, seed=number)[rows], counts[rows] & (number != 2 or rank == 0))
    return book.entries.tolist()


def _begun_anew_of_half(rank: int) -> list[object]:
    return _begun_anew(rank, 2)


def test_two_processes_hold_one_codebook_and_that_of_one_with_all() -> None:
    whole, used = _codebook(0, 4)
    for half in in_two_processes(_codebook_of_half):
        assert torch.allclose(torch.tensor(half[0]), torch.tensor(whole), atol=1e-5)
        assert half[1] == pytest.approx(used, rel=1e-4)


def test_two_processes_begin_entries_anew_at_the_same_features() -> None:
    torch.manual_seed(0)
    book = NearestCodebook(40, 4, patience=1).train()
    counts = seeded(4, 5, seed=7) > 0
    counts[2:] &= seeded(2, 5, seed=8) > 0.5
    for number in range(4):
        of_step = counts.clone()
        of_step[2:] &= number != 2
        book(seeded(4, 5, 4, seed=number), of_step)
    for half in in_two_processes(_begun_anew_of_half):
        assert torch.allclose(torch.tensor(half), book.entries, atol=1e-5)


class TestSpectrum:
    def test_amplitudes_and_phases_are_those_of_numpy(self) -> None:
        signal, mask = seeded(2, 3, 100), torch.ones(2, 100, dtype=torch.bool)
        mask[1, 60:] = False
        signal = torch.where(mask[:, None], signal, 0.0)
        amplitude, phase = amplitudes_and_phases(signal, mask, 100)
        for row, count in ((0, 100), (1, 60)):
            lines = np.fft.rfft(signal[row].numpy(), n=100) / math.sqrt(count)
            assert np.allclose(amplitude[row], np.abs(lines), atol=1e-4)
            assert np.allclose(amplitudes(signal, mask, 100)[row], np.abs(lines), atol=1e-4)
            faded = np.abs(lines) / (np.abs(lines) + 0.3)
            assert np.allclose(phase[row, :3], np.cos(np.angle(lines)) * faded, atol=1e-3)
            assert np.allclose(phase[row, 3:], np.sin(np.angle(lines)) * faded, atol=1e-3)

    def test_nothing_has_a_finite_gradient(self) -> None:
        signal = torch.zeros(1, 2, 50, requires_grad=True)
        amplitude, phase = amplitudes_and_phases(signal, torch.ones(1, 50, dtype=torch.bool), 50)
        (amplitude.sum() + phase.sum()).backward()
        assert signal.grad is not None
        assert torch.isfinite(signal.grad).all()


class TestCrt:
    def test_what_is_dropped_is_not_read_and_more_of_it_with_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, shares = fresh("crt"), []
        encoder = method.encoder
        assert isinstance(encoder, SpectralVit)
        encode = encoder.encode_patches

        def encoding(tokens: torch.Tensor, shown: torch.Tensor, condition: object) -> torch.Tensor:
            shares.append(1 - float(shown.float().mean()))
            made = encode(tokens, shown, condition)
            assert torch.equal(made, encode(tokens.masked_fill(~shown[..., None], 9.0), shown, condition))
            return made

        monkeypatch.setattr(encoder, "encode_patches", encoding)
        with torch.no_grad():
            for step in (0, 50, 100):
                method.step(make_batch(), Progress(step, 100))
        assert shares == pytest.approx([0.3, 0.5, 0.8], abs=0.06)

    def test_only_what_was_dropped_and_recorded_is_in_the_loss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, batch = fresh("crt"), make_batch()
        batch = replace(batch, lead_mask=batch.lead_mask & (torch.arange(12) != 4))
        decode, spoilt = method.decoder.forward, [""]

        def decoding(tokens: torch.Tensor, left: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, ...]:
            parts = decode(tokens, left, there)
            n = parts[0].shape[1]
            seen = left.split([n, parts[1].shape[1], parts[2].shape[1]], dim=1)
            if spoilt[0] == "shown":
                return tuple(part + 100.0 * kept[..., None] for part, kept in zip(parts, seen, strict=True))
            if spoilt[0] == "absent lead":
                size = method.encoder.patch
                own = torch.zeros_like(parts[0])
                own[..., 4 * size : 5 * size] = 100.0
                return parts[0] + own, *parts[1:]
            return tuple(part + 1.0 for part in parts) if spoilt[0] == "dropped" else parts

        monkeypatch.setattr(method.decoder, "forward", decoding)
        losses = {}
        for spoilt[0] in ("nothing", "shown", "absent lead", "dropped"):
            torch.manual_seed(0)
            losses[spoilt[0]] = float(method.step(batch, Progress(0, 1)).terms["loss"])
        assert losses["nothing"] == losses["shown"] == losses["absent lead"]
        assert losses["nothing"] != losses["dropped"]

    def test_a_record_of_nothing_counts_for_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, batch = fresh("crt").eval(), make_batch()
        as_it_is(method, monkeypatch)
        monkeypatch.setattr(
            "auricle.methods.crt.chosen", lambda present, share: present & (seeded(1, 80)[:, : present.shape[1]] > 0)
        )
        empty = torch.cat([batch.time_mask[:7], batch.time_mask[7:] & False])
        with torch.no_grad():
            seven = method.step(batch.select(torch.arange(7)), Progress(0, 1)).terms
            eight = method.step(replace(batch, time_mask=empty), Progress(0, 1)).terms
        for name in ("loss", "alike", "signal"):
            assert float(eight[name]) == pytest.approx(float(seven[name]), rel=1e-4)

    def test_shares_in_the_wrong_order_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"least=0\.9 is more than most=0\.5"):
            fresh("crt", least=0.9, most=0.5)

    def test_records_that_are_alike_cost(self) -> None:
        batch = make_batch()
        same = replace(batch, signal=batch.signal[:1].expand(8, -1, -1))
        with torch.no_grad():
            alike = [float(fresh("crt").eval().step(one, Progress(0, 1)).terms["alike"]) for one in (batch, same)]
        assert alike[0] < alike[1] <= 1 + 1e-5


class TestTimemae:
    def test_the_encoder_sees_what_is_shown_and_the_target_what_is_hidden(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        method, seen = fresh("timemae"), {}
        for name, encoder in (("online", method.encoder), ("target", method.target_encoder)):
            assert isinstance(encoder, Vit1d)
            encode = encoder.encode_places

            def encoding(
                signal: torch.Tensor, shown: torch.Tensor, condition: object, name: str = name, encode: object = encode
            ) -> object:
                seen[name] = shown
                return encode(signal, shown, condition)

            monkeypatch.setattr(encoder, "encode_places", encoding)
        method.step(make_batch(), Progress(0, 1))
        assert not (seen["online"] & seen["target"]).any()
        assert (seen["online"] | seen["target"]).all()
        assert float(seen["target"].float().mean()) == pytest.approx(0.6, abs=0.05)

    def test_answers_know_nothing_of_what_is_hidden_but_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, answers = fresh("timemae"), []
        as_it_is(method, monkeypatch)
        only = torch.arange(25).expand(8, -1) % 5 == 2
        monkeypatch.setattr("auricle.methods.timemae.chosen", lambda present, share: only[:, : present.shape[1]])
        answer = method._answers
        monkeypatch.setattr(method, "_answers", lambda *read: answers.append(answer(*read)) or answers[-1])
        batch = make_batch()
        gone = only.repeat_interleave(20, dim=1)[:, None]
        for signal in (batch.signal, batch.signal.masked_fill(gone, 3.0), batch.signal.masked_fill(~gone, 3.0)):
            with torch.no_grad():
                method.step(replace(batch, signal=signal), Progress(0, 1))
        assert torch.equal(answers[0], answers[1])
        assert not torch.allclose(answers[0], answers[2])
        hidden = answers[0][0][only[0]]
        assert (hidden[0] - hidden[1]).abs().max() > 1e-4, "places are told apart"

    def test_the_codebook_is_of_the_target_and_moves_with_training_alone(self) -> None:
        method, batch = fresh("timemae"), make_batch()
        before = method.codebook.entries.clone()
        method.step(batch, Progress(0, 1))
        moved = method.codebook.entries.clone()
        assert not torch.equal(before, moved)
        method.eval().step(batch, Progress(0, 1))
        assert torch.equal(moved, method.codebook.entries)


class TestSimmtm:
    def test_every_positive_is_told_from_all_others(self) -> None:
        """By a loop; one near copy does not make up for one that is far."""
        logits, positive = seeded(3, 7), torch.zeros(3, 7, dtype=torch.bool)
        for i in range(3):
            logits[i, i] = -torch.inf
            positive[i, i] = positive[i, i + 3] = positive[i, 6] = True
        for i, value in enumerate(several_positives(logits, positive)):
            others = sum(math.exp(float(logits[i, j])) for j in range(7) if j != i)
            own = [-math.log(math.exp(float(logits[i, j])) / others) for j in (i + 3, 6)]
            assert float(value) == pytest.approx(sum(own) / 2, rel=1e-5)
        logits[:, 6] = -20.0
        assert (several_positives(logits, positive) > 5).all()

    def test_a_record_is_drawn_from_all_others_by_their_likeness(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Equations 5 and 6, by a loop: the record itself has no part in it, its copies have."""
        method, read, drawn = fresh("simmtm", copies=2), [], []
        reads, draws = method.encoder.read, method.drawing.forward
        monkeypatch.setattr(method.encoder, "read", lambda batch: read.append(reads(batch)) or read[-1])
        monkeypatch.setattr(method.drawing, "forward", lambda *given: drawn.append(given[0].tokens) or draws(*given))
        with torch.no_grad():
            method.step(make_batch(4), Progress(0, 1))
            tokens = read[0]
            whole = F.normalize(method.project(tokens.pooled), dim=-1)
        for i in range(4):
            weights = [math.exp(float(whole[i] @ whole[j]) / 0.2) if j != i else 0.0 for j in range(12)]
            mixed = sum(w / sum(weights) * tokens.tokens[j] for j, w in enumerate(weights))
            assert torch.allclose(drawn[0][i], mixed, atol=1e-5)

    def test_copies_have_stretches_of_their_own_at_zero(self) -> None:
        method, batch = fresh("simmtm"), make_batch()
        one, other = method._masked(batch).signal == 0, method._masked(batch).signal == 0
        assert float(one.float().mean()) == pytest.approx(0.5, abs=0.05)
        assert not torch.equal(one, other)
        assert not torch.equal(one[:, 0], one[:, 1])

    def test_the_weights_of_both_losses_are_learned(self) -> None:
        method = fresh("simmtm")
        result = method.step(make_batch(), Progress(0, 1))
        result.loss.backward()
        drawn, copies = (float(result.terms[name]) for name in ("drawn", "copies"))
        assert float(result.loss.detach()) == pytest.approx(drawn + copies, rel=1e-5)  # both variances begin as one
        assert method.uncertainty.grad is not None
        assert method.uncertainty.grad.tolist() == pytest.approx([1 - drawn, 1 - copies], rel=1e-4)

    def test_stretches_too_short_for_their_share_are_refused_before_training(self) -> None:
        with pytest.raises(ConfigError, match=r"model\.stretch_ms or lower model\.hidden"):
            fresh("simmtm", hidden=0.74, stretch_ms=8)

    def test_a_single_record_is_refused(self) -> None:
        with pytest.raises(DataError, match="this one has a single record"):
            fresh("simmtm").step(make_batch(1), Progress(0, 1))


def _simmtm(rank: int, n: int) -> tuple[float, list[float]]:
    method = fresh("simmtm", copies=1, encoder={"name": "vit1d", "preset": "tiny"})
    method._masked = lambda ready: replace(ready, signal=ready.signal * 0.5)  # no draw, so that halves are alike
    batch = make_batch(4).select(torch.arange(rank * n, rank * n + n))
    result = method.step(batch, Progress(0, 1))
    result.loss.backward()
    gradient = method.encoder.embed.weight.grad
    assert gradient is not None
    return float(result.loss.detach()), gradient.flatten().tolist()


def _simmtm_of_half(rank: int) -> tuple[float, list[float]]:
    return _simmtm(rank, 2)


def test_two_processes_draw_from_the_records_of_both() -> None:
    whole, gradient = _simmtm(0, 4)
    halves = in_two_processes(_simmtm_of_half)
    assert sum(half[0] for half in halves) / 2 == pytest.approx(whole, rel=1e-5)
    mean = (torch.tensor(halves[0][1]) + torch.tensor(halves[1][1])) / 2
    assert torch.allclose(mean, torch.tensor(gradient), atol=1e-5)


class TestPatchtst:
    def test_it_is_the_library_s_model(self) -> None:
        """Of a whole window, what the library's own forward pass says of the same patches."""
        encoder, batch = fresh("patchtst").encoder.eval(), make_batch()
        assert isinstance(encoder, Patchtst)
        with torch.no_grad():
            ours = encoder(batch.signal, batch.lead_mask, batch.time_mask)
            encoder._keys = torch.zeros(8 * 12, 1, 1, encoder.n_patches)
            patches = patchify(batch.signal / TYPICAL_MV, encoder.patch)
            theirs = encoder.transformer(patch_input=patches).last_hidden_state
        assert torch.allclose(ours.tokens, theirs.flatten(1, 2), atol=1e-5)

    def test_no_lead_hears_another(self) -> None:
        encoder, batch = fresh("patchtst").encoder.eval(), make_batch()
        changed = batch.signal.clone()
        changed[:, 3] += 1.0
        with torch.no_grad():
            one, other = (encoder(signal, batch.lead_mask, batch.time_mask) for signal in (batch.signal, changed))
        differs = (one.pooled - other.pooled).view(8, 12, -1).abs().amax((0, 2)) > 1e-6
        assert differs.nonzero().flatten().tolist() == [3]

    def test_a_longer_record_is_read_window_by_window(self) -> None:
        encoder, batch = fresh("patchtst", input={"rate_hz": 256, "seconds": 2.0}).encoder.eval(), make_batch(4, 4, 256)
        assert isinstance(encoder, Patchtst)
        with torch.no_grad():
            long = encoder(batch.signal, batch.lead_mask, batch.time_mask)
            halves = [
                encoder(batch.signal[..., begin : begin + 512], batch.lead_mask, batch.time_mask[:, :512]).pooled
                for begin in (0, 512)
            ]
        assert torch.allclose(long.pooled, (halves[0] + halves[1]) / 2, atol=1e-5)

    def test_hidden_patches_are_zero_and_alone_in_the_loss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, batch, seen = fresh("patchtst", input={"rate_hz": 250, "seconds": 2.0}), make_batch(), []
        as_it_is(method, monkeypatch)
        reads = method.encoder.read
        monkeypatch.setattr(method.encoder, "read", lambda ready: seen.append(ready.signal) or reads(ready))
        draws = method.draw.forward
        losses = []
        for added in ("nothing", "shown", "hidden"):

            def drawing(tokens: torch.Tensor, added: str = added) -> torch.Tensor:
                drawn = draws(tokens)
                gone = (patchify(seen[-1], method.encoder.patch) == 0).all(-1).flatten(1)[..., None]
                return drawn + {"nothing": 0.0, "shown": 9.0 * ~gone, "hidden": 9.0 * gone}[added]

            monkeypatch.setattr(method.draw, "forward", drawing)
            torch.manual_seed(0)
            losses.append(float(method.step(batch, Progress(0, 1)).terms["loss"]))
        gone = (patchify(seen[0], method.encoder.patch) == 0).all(-1)
        assert (gone.sum(-1) == int(0.4 * gone.shape[-1])).all()
        assert losses[0] == losses[1]
        assert losses[0] != losses[2]


class TestBeats:
    def test_they_are_the_beats_that_the_detector_finds_in_people_of_all_ages(self) -> None:
        made = cohort(40, seed=5, rate_hz=250)
        encoder = create_method("vq_hbr", "tiny", input={"rate_hz": 250, "seconds": 10.0}).encoder
        assert isinstance(encoder, BeatVit)
        signal = torch.as_tensor(made.signal, dtype=torch.float32).nan_to_num()
        at, found = encoder.find_beats(signal, torch.ones(40, signal.shape[-1], dtype=torch.bool))
        missed, extra, n = 0, 0, 0
        for row in range(40):
            peaks = torch.as_tensor(find_beats(made.signal[row].numpy(), STANDARD, 250))
            if len(peaks) < 2:
                continue
            distance = (at[row][found[row]][:, None] - peaks[None]).abs()
            n, missed, extra = (
                n + len(peaks),
                missed + int((distance.amin(0) > 25).sum()),
                extra + int((distance.amin(1) > 25).sum()),
            )
        assert missed < 0.03 * n
        assert extra < 0.03 * n

    def test_beats_do_not_lie_in_each_other(self) -> None:
        encoder, batch = fresh("vq_hbr").encoder, make_batch()
        assert isinstance(encoder, BeatVit)
        at, found = encoder.find_beats(batch.signal, batch.time_mask)
        _, own = encoder.cut(batch.signal, batch.time_mask, at, found)
        for row in range(8):
            places = at[row][found[row]]
            assert (places.diff() > 0).all()
            covered = torch.zeros(500)
            for beat, place in zip(own[row][found[row]], places.tolist(), strict=True):
                samples = torch.arange(-encoder.reach, encoder.reach)[beat] + place
                covered[samples] += 1
            assert covered.max() == 1

    def test_padding_is_not_drawn_and_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, batch = fresh("vq_hbr").eval(), make_batch(8, 1.2)
        as_it_is(method, monkeypatch)
        longer = replace(
            batch, signal=F.pad(batch.signal, (0, 200)), time_mask=F.pad(batch.time_mask, (0, 200)), beats=None
        )
        with torch.no_grad():
            alone, padded = (method.step(one, Progress(0, 1)).terms for one in (batch, longer))
        assert float(padded["drawn"]) == pytest.approx(float(alone["drawn"]), rel=1e-5)

    def test_as_many_beats_are_read_as_were_recorded_and_no_more_for_padding(self) -> None:
        few = {"name": "beat_vit", "preset": "tiny", "most_per_minute": 120.0}
        encoder = create_method("vq_hbr", "tiny", encoder=few).encoder
        assert isinstance(encoder, BeatVit)
        signal, mask = torch.zeros(1, 12, 750), torch.ones(1, 750, dtype=torch.bool)
        signal[..., 30::80] = 1.0
        _, alone = encoder.find_beats(signal, mask)
        _, padded = encoder.find_beats(F.pad(signal, (0, 1000)), F.pad(mask, (0, 1000)))
        assert alone.sum() == padded.sum() == 6

    def test_a_flat_record_has_one_beat_and_nothing_has_none(self) -> None:
        encoder = fresh("vq_hbr").encoder
        assert isinstance(encoder, BeatVit)
        mask = torch.ones(2, 500, dtype=torch.bool)
        mask[1] = False
        _, found = encoder.find_beats(torch.zeros(2, 12, 500), mask)
        assert found.sum(1).tolist() == [1, 0]
        tokens = encoder(torch.zeros(2, 12, 500), torch.ones(2, 12, dtype=torch.bool), mask)
        assert torch.isfinite(tokens.pooled).all()
        assert not tokens.pooled[1].any()

    def test_the_steepest_are_kept_where_there_are_more_than_are_read(self) -> None:
        few = {"name": "beat_vit", "preset": "tiny", "most_per_minute": 60.0}
        encoder = create_method("vq_hbr", "tiny", encoder=few).encoder
        assert isinstance(encoder, BeatVit)
        signal = torch.zeros(1, 12, 500)
        places = list(range(30, 500, 80))
        for number, place in enumerate(places):
            signal[:, :, place] = 1.0 + 0.1 * number
        at, found = encoder.find_beats(signal, torch.ones(1, 500, dtype=torch.bool))
        assert found.sum() == 2
        assert all(abs(int(one) - place) <= 12 for one, place in zip(at[0], places[-2:], strict=True))


class TestHeartlang:
    def test_without_a_first_stage_it_is_not_trained(self) -> None:
        with pytest.raises(ConfigError, match=r"--method vq_hbr.*init_from=RUN"):
            fresh("heartlang").prepare(SimpleNamespace(store=None))

    def test_it_keeps_the_words_of_the_first_stage(self, tmp_path: Path) -> None:
        first, second, batch = fresh("vq_hbr"), create_method("heartlang", "tiny"), make_batch()
        first.step(batch, Progress(0, 1))  # which moves the codebook
        save_method(first, tmp_path / "words")
        init_encoder_from(second, tmp_path / "words")
        second.prepare(SimpleNamespace(store=None))
        for name, tensor in first.words.state_dict().items():
            assert torch.equal(tensor, second.words.state_dict()[name])
        for name, tensor in first.encoder.state_dict().items():
            assert torch.equal(tensor, second.writer.state_dict()[name])
        # And they stay what they were, whatever is trained.
        second.train()
        optimiser = torch.optim.AdamW([p for p in second.parameters() if p.requires_grad], lr=1e-2)
        for number in range(3):
            optimiser.zero_grad()
            second.step(batch, Progress(number, 3)).loss.backward()
            optimiser.step()
        assert torch.equal(first.words.codebook.entries, second.words.codebook.entries)
        assert torch.equal(first.encoder.embed.weight, second.writer.embed.weight)
        assert not torch.equal(second.encoder.embed.weight, second.writer.embed.weight)

    def test_who_has_no_words_or_others_is_refused(self, tmp_path: Path) -> None:
        save_method(fresh("simclr", encoder={"name": "beat_vit", "preset": "tiny"}), tmp_path / "none")
        save_method(fresh("vq_hbr", words={"entries": 32, "width": 8}), tmp_path / "others")
        with pytest.raises(ConfigError, match="simclr has none: begin from vq_hbr"):
            init_encoder_from(fresh("heartlang"), tmp_path / "none")
        with pytest.raises(ConfigError, match="says 16 words of 8 numbers, and the first stage learned 32"):
            init_encoder_from(fresh("heartlang"), tmp_path / "others")

    @pytest.mark.parametrize(
        ("more", "key"),
        [
            ({"input": {"rate_hz": 125, "seconds": 2.0, "band_hz": (0.5, 40)}}, r"model\.input\."),
            ({"encoder": {"name": "beat_vit", "preset": "tiny", "most_per_minute": 100.0}}, r"model\.encoder\.most_"),
            ({"labs": {"tests": ("potassium",)}}, r"model\.labs"),
        ],
    )
    def test_a_first_stage_that_read_something_else_is_refused(self, more: dict, key: str) -> None:
        with pytest.raises(ConfigError, match=key):
            fresh("heartlang").take_over(fresh("vq_hbr", **more))

    def test_fewer_leads_than_the_first_stage_are_no_other_words(self) -> None:
        second = fresh("heartlang", input={"rate_hz": 250, "seconds": 2.0, "only": ["I", "II", "V2"]})
        second.take_over(fresh("vq_hbr", input={"rate_hz": 250, "seconds": 2.0}))
        assert second.taught

    def test_a_hidden_beat_is_known_by_its_place_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, entered = fresh("heartlang"), []
        as_it_is(method, monkeypatch)
        encoder = method.encoder
        assert isinstance(encoder, BeatVit)
        reads = encoder.read_beats
        monkeypatch.setattr(encoder, "read_beats", lambda x, *more: entered.append(x) or reads(x, *more))
        monkeypatch.setattr(
            "auricle.methods.heartlang.chosen", lambda present, share: present & (torch.arange(present.shape[1]) == 1)
        )
        batch = make_batch()
        at, found = encoder.find_beats(batch.signal, batch.time_mask)
        monkeypatch.setattr(encoder, "find_beats", lambda signal, mask: (at, found))
        _, own = encoder.cut(batch.signal, batch.time_mask, at, found)
        changed = batch.signal.clone()
        samples = (torch.arange(-encoder.reach, encoder.reach) + at[0, 1])[own[0, 1]]
        changed[0, 0, samples] += 1.0
        with torch.no_grad():
            for signal in (batch.signal, changed, batch.signal + 0.1):
                method.step(replace(batch, signal=signal), Progress(0, 1))
        assert torch.equal(entered[0], entered[1])
        assert not torch.equal(entered[0], entered[2])

    def test_both_stages_by_the_command_line(self, tmp_path: Path) -> None:
        """Words, then sentences; without words nothing is begun."""
        store = tmp_path / "store"
        assert auricle("simulate", store, "-n", 24, "--seed", 1, "--rate-hz", 100).returncode == 0
        common = ("--preset", "tiny", "--batch-size", 8, "model.input.rate_hz=100", "model.input.band_hz=[0.5,40]")
        words = auricle("pretrain", store, tmp_path / "words", "--method", "vq_hbr", "--steps", 3, *common)
        assert words.returncode == 0, words.stderr
        refused(
            auricle("pretrain", store, tmp_path / "no", "--method", "heartlang", "--steps", 2, *common), "init_from=RUN"
        )
        assert not (tmp_path / "no").exists()
        made = auricle(
            "pretrain", store, tmp_path / "out", "--method", "heartlang", "--steps", 3, *common,
            f"init_from={tmp_path / 'words'}",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "out" / "model" / "model.safetensors").exists()


class TestRefused:
    def test_heads_that_do_not_divide_a_width(self) -> None:
        for name, more in (("timemae", {"n_heads": 3}), ("crt", {"decoder": {"width": 17, "depth": 1, "n_heads": 2}})):
            with pytest.raises(ConfigError, match="heads do not divide a width"):
                fresh(name, **more)

    def test_encoders_that_cannot_hide_what_is_to_be_hidden(self) -> None:
        resnet = {"name": "resnet1d", "preset": "tiny"}
        needed = {"crt": "spectral_vit", "timemae": "vit1d", "patchtst": "patchtst", "vq_hbr": "beat_vit",
                  "heartlang": "beat_vit"}  # fmt: skip
        for name, encoder in needed.items():
            with pytest.raises(ConfigError, match=rf"resnet1d .*take model\.encoder\.name={encoder}"):
                fresh(name, encoder=resnet)
        with pytest.raises(ConfigError, match="no fixed place in time"):
            fresh("simmtm", encoder={"name": "beat_vit", "preset": "tiny"})

    @pytest.mark.parametrize(
        ("name", "share"),
        [("crt", "most"), ("timemae", "hidden"), ("simmtm", "hidden"), ("patchtst", "hidden"), ("heartlang", "hidden")],
    )
    def test_a_mask_that_hides_everything(self, name: str, share: str) -> None:
        with pytest.raises(ConfigError, match=share):
            fresh(name, **{share: 1.0})

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("crt", "of the patches is less than one"),
            ("timemae", "of the patches is less than one"),
            ("patchtst", "of the patches of a lead is less than one"),
            ("heartlang", "of the beats is less than one"),
        ],
    )
    def test_records_too_short_for_anything_to_be_hidden(self, name: str, why: str) -> None:
        batch = make_batch()
        short = batch.time_mask & (torch.arange(batch.time_mask.shape[1]) < 4)
        leads = batch.lead_mask & (torch.arange(12) == 0)
        if name == "crt":
            short = short & False
        with pytest.raises(DataError, match=why):
            fresh(name).step(replace(batch, time_mask=short, lead_mask=leads), Progress(0, 1))
