"""Methods that fill what is hidden: masks, codebooks, what an encoder may not see, losses by hand, what they refuse."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from auricle.augment.masking import geometric, spans
from auricle.encoders.st_vit import StVit
from auricle.encoders.wav2vec1d import Wav2vec1d
from auricle.errors import ConfigError, DataError
from auricle.losses.predictive import hidden_info_nce
from auricle.methods import Method, Progress, create_method
from auricle.methods.st_mem import StMem
from auricle.nn.codebook import GumbelCodebook
from conftest import make_batch
from processes import in_two_processes


def fresh(name: str, **more: object) -> Method:
    torch.manual_seed(0)
    return create_method(name, "tiny", **more).train()


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestMasks:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(1, 40), st.floats(0.05, 0.95), st.integers(1, 12), st.integers(0, 1000))
    def test_spans_hide_their_share_of_what_is_there_and_never_all(
        self, n: int, share: float, length: int, seed: int
    ) -> None:
        torch.manual_seed(seed)
        present = torch.rand(5, n) < 0.8
        hidden = spans(present, share, length)
        assert not (hidden & ~present).any()
        assert torch.equal(hidden.sum(1), (present.sum(1) * share).floor().long())

    def test_spans_are_stretches(self) -> None:
        torch.manual_seed(0)
        hidden = spans(torch.ones(200, 100, dtype=torch.bool), 0.5, 10)
        begins = (hidden[:, 1:] & ~hidden[:, :-1]).sum(1) + hidden[:, 0]
        assert float(50 / begins.float().mean()) > 9  # mean length of a run

    @settings(deadline=None, max_examples=20)
    @given(st.integers(1, 30), st.floats(0.05, 0.7), st.integers(0, 1000))
    def test_geometric_stretches_leave_something(self, n: int, share: float, seed: int) -> None:
        torch.manual_seed(seed)
        present = torch.rand(6, n) < 0.7
        hidden = geometric(present, share, 3.0)
        assert not (hidden & ~present).any()
        assert ((present & ~hidden).any(1) == present.any(1)).all()

    def test_geometric_stretches_have_their_mean_length_and_share(self) -> None:
        torch.manual_seed(0)
        with pytest.raises(ValueError, match=r"hidden stretches of more than 1\.5 places"):
            geometric(torch.ones(4, 20, dtype=torch.bool), 0.9, 1.5)
        hidden = geometric(torch.ones(400, 200, dtype=torch.bool), 0.4, 3.0)
        assert float(hidden.float().mean()) == pytest.approx(0.4, abs=0.01)
        begins = (hidden[:, 1:] & ~hidden[:, :-1]).sum() + hidden[:, 0].sum()
        assert float(hidden.sum() / begins) == pytest.approx(3.0, abs=0.1)


class TestCodebook:
    def test_an_entry_of_each_group_is_chosen(self) -> None:
        torch.manual_seed(0)
        book = GumbelCodebook(6, 2, 5, 8).eval()
        made = book(seeded(3, 7, 6), torch.ones(3, 7, dtype=torch.bool), 1.0)
        for group, vectors in enumerate(made.vectors.chunk(2, dim=-1)):
            distance = torch.cdist(vectors.flatten(0, 1), book.entries[group])
            assert torch.allclose(distance.amin(1), torch.zeros(21), atol=1e-6)

    def test_in_training_it_is_drawn_and_the_gradient_reaches_the_choice(self) -> None:
        torch.manual_seed(0)
        book = GumbelCodebook(6, 2, 5, 8).train()
        x, counts = seeded(3, 7, 6).requires_grad_(), torch.ones(3, 7, dtype=torch.bool)
        one, other = (book(x, counts, 2.0).vectors for _ in range(2))
        assert not torch.equal(one, other)
        one.square().sum().backward()
        assert book.choose.weight.grad.any()
        assert x.grad.any()

    def test_diversity_counts_entries_in_use(self) -> None:
        book = GumbelCodebook(4, 2, 4, 8).eval()
        with torch.no_grad():
            book.choose.weight.zero_()
            book.choose.bias.zero_()
        x, counts = seeded(2, 8, 4), torch.ones(2, 8, dtype=torch.bool)
        alike = book(x, counts, 1.0)
        assert float(alike.used.detach()) == pytest.approx(8, abs=1e-3)
        assert float(alike.diversity.detach()) == pytest.approx(0, abs=1e-4)
        with torch.no_grad():
            book.choose.bias.view(2, 4)[:, 1] = 50.0
        one = book(x, counts, 1.0)
        assert float(one.used.detach()) == pytest.approx(2, abs=1e-3)
        assert float(one.diversity.detach()) == pytest.approx(0.75, abs=1e-3)
        poisoned = torch.where(torch.arange(8)[:, None] < 4, x, 1e3)
        half = counts & (torch.arange(8) < 4)
        assert torch.equal(book(x, half, 1.0).diversity, book(poisoned, half, 1.0).diversity)

    def test_a_codebook_of_one_entry_is_refused(self) -> None:
        with pytest.raises(ValueError, match="says the same of everything"):
            GumbelCodebook(4, 2, 1, 8)
        with pytest.raises(ConfigError, match=r"codes\.entries"):
            fresh("wcr", codes={"groups": 2, "entries": 1, "width": 16})
        with pytest.raises(ValueError, match="3 groups do not divide"):
            GumbelCodebook(4, 3, 4, 8)


def _book(rank: int, n: int) -> tuple[float, list[object]]:
    torch.manual_seed(0)
    book = GumbelCodebook(6, 2, 5, 8).eval()
    rows = slice(rank * n, rank * n + n)
    x = seeded(4, 7, 6)[rows].clone().requires_grad_()
    counts = (seeded(4, 7, seed=1) > 0)[rows]
    made = book(x, counts, 1.0)
    made.diversity.backward()
    return made.diversity.item(), x.grad.tolist()


def _book_of_half(rank: int) -> tuple[float, list[object]]:
    return _book(rank, 2)


def test_two_processes_with_half_the_batch_use_the_codes_as_one_with_all() -> None:
    whole, gradient = _book(0, 4)
    halved = in_two_processes(_book_of_half)
    assert [half[0] for half in halved] == pytest.approx([whole, whole], abs=1e-6)
    assert torch.allclose(torch.tensor(halved[0][1] + halved[1][1]) / 2, torch.tensor(gradient), atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_hidden_places_are_told_from_other_hidden_places_of_their_record(n: int, seed: int) -> None:
    said, true = normalize(seeded(3, n, 4, seed=seed), dim=-1), normalize(seeded(3, n, 4, seed=seed + 1), dim=-1)
    if n > 2:
        true[:, 1] = true[:, 0]  # where the same is true of another, it is no negative
    hidden = torch.rand(3, n, generator=torch.Generator().manual_seed(seed)) < 0.7
    values = []
    for i in range(3):
        for t in range(n):
            others = [j for j in range(n) if j != t and hidden[i, j] and not torch.equal(true[i, j], true[i, t])]
            if hidden[i, t] and others:
                scores = [3 * float(said[i, t] @ true[i, j]) for j in [t, *others]]
                values.append(math.log(sum(map(math.exp, scores))) - scores[0])
    wanted = sum(values) / max(1, len(values))
    assert float(hidden_info_nce(said, true, hidden, n, 3.0)[0]) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


class TestWhatIsHidden:
    @pytest.mark.parametrize("name", ["st_mem", "jepa"])
    def test_the_encoder_reads_nothing_of_hidden_patches(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it is shown is less than what was recorded, and what lies elsewhere has no influence on its tokens."""
        method, batch = fresh(name), make_batch()
        encoder, seen = method.encoder, []
        assert isinstance(encoder, StVit)
        encode = encoder.encode_places

        def encoding(signal: torch.Tensor, shown: torch.Tensor, condition: object) -> object:
            seen.append(shown)
            poison = ~shown.repeat_interleave(encoder.patch, dim=2)[..., : signal.shape[-1]]
            made = encode(signal, shown, condition)
            again = encode(signal.masked_fill(poison, 9.0), shown, condition)
            assert torch.equal(made.tokens, again.tokens)
            return made

        monkeypatch.setattr(encoder, "encode_places", encoding)
        with torch.no_grad():
            method.step(batch, Progress(0, 1))
        share = {"st_mem": 0.75, "jepa": 0.6}[name]
        assert float((~seen[0]).float().mean()) == pytest.approx(share, abs=0.1)

    def test_st_mem_draws_a_lead_from_that_lead_alone(self) -> None:
        method = fresh("st_mem").eval()
        assert isinstance(method, StMem)
        n, leads = 10, 12
        tokens, seen = seeded(2 * leads, n, method.encoder.width), torch.rand(2 * leads, n) < 0.4
        columns = torch.ones(2 * leads, n, dtype=torch.bool)
        with torch.no_grad():
            one = method.decoder(tokens, seen, columns).of_leads(leads)
            tokens[3] += 1.0
            other = method.decoder(tokens, seen, columns).of_leads(leads)
        assert one.shape.shape[:3] == (2, leads, n)
        differs = (one.shape - other.shape).abs().amax((2, 3)) > 1e-6
        assert differs.nonzero().tolist() == [[0, 3]]

    def test_wcr_hears_a_hidden_step_through_the_others_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the hidden step alone is changed, what enters the transformer is the same; where another is, not."""
        method = fresh("wcr", lead_share=0.0)
        encoder = method.encoder
        assert isinstance(encoder, Wav2vec1d)
        entered, context = [], encoder.context
        monkeypatch.setattr(encoder, "context", lambda x, *more: entered.append(x) or context(x, *more))
        only = torch.zeros(16, 64, dtype=torch.bool)
        only[:, 4] = True
        monkeypatch.setattr("auricle.methods.wcr.spans", lambda present, share, length: only[:, : present.shape[1]])
        monkeypatch.setattr(method.preprocess, "forward", lambda batch: batch)
        batch = make_batch()
        with torch.no_grad():
            for step in (None, 4, 5):
                signal = batch.signal.clone()
                if step is not None:
                    signal[..., step * encoder.patch : (step + 1) * encoder.patch] += 1.0
                torch.manual_seed(0)
                method.step(replace(batch, signal=signal), Progress(0, 1))
        assert torch.equal(entered[0], entered[1])
        assert not torch.equal(entered[0], entered[2])

    @pytest.mark.parametrize(("name", "part"), [("st_mem", "decoder"), ("jepa", "predict")])
    def test_only_what_was_hidden_is_in_the_loss(self, name: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
        method, batch = fresh(name), make_batch()
        filler, seen = getattr(method, part), []
        fill = filler.fill

        def filling(tokens: torch.Tensor, shown: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
            made = fill(tokens, shown, columns)
            where = shown.reshape(made.shape[:3])[..., None]
            return made + (100.0 * where if seen[-1] == "shown" else 100.0 * ~where if seen[-1] == "hidden" else 0.0)

        monkeypatch.setattr(filler, "fill", filling)
        losses = {}
        for spoilt in ("nothing", "shown", "hidden"):
            seen.append(spoilt)
            torch.manual_seed(0)
            losses[spoilt] = float(method.step(batch, Progress(0, 1)).terms["loss"])
        assert losses["nothing"] == losses["shown"]
        assert losses["nothing"] != losses["hidden"]

    def test_the_target_of_jepa_reads_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        method, batch, read = fresh("jepa"), make_batch(), []
        target = method.target_encoder
        reads = target.read
        monkeypatch.setattr(target, "read", lambda ready: read.append(ready) or reads(ready))
        method.step(batch, Progress(0, 1))
        assert torch.equal(read[0].time_mask, batch.time_mask)
        assert torch.equal(read[0].lead_mask, batch.lead_mask)

    def test_st_mem_leaves_something_of_every_lead(self) -> None:
        method, batch, seen = fresh("st_mem"), make_batch(), []
        encoder = method.encoder
        assert isinstance(encoder, StVit)
        encode = encoder.encode_places
        encoder.encode_places = lambda signal, shown, condition: seen.append(shown) or encode(signal, shown, condition)
        method.step(batch, Progress(0, 1))
        assert (seen[0].sum(2) == 3).all(), "of ten patches seven are hidden"


class TestRefused:
    def test_encoders_that_cannot_hide_what_is_to_be_hidden(self) -> None:
        resnet = {"name": "resnet1d", "preset": "tiny"}
        for name, needed in (("st_mem", "st_vit"), ("jepa", "st_vit"), ("wcr", "wav2vec1d")):
            with pytest.raises(ConfigError, match=rf"resnet1d .*take model\.encoder\.name={needed}"):
                fresh(name, encoder=resnet)

    @pytest.mark.parametrize("name", ["st_mem", "jepa", "wcr"])
    def test_a_mask_that_hides_everything(self, name: str) -> None:
        with pytest.raises(ConfigError, match="hidden"):
            fresh(name, hidden=1.0)

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("st_mem", "of the patches of a lead is less than one"),
            ("jepa", "of the columns of time is less than one"),
            ("wcr", "has both halves"),
        ],
    )
    def test_records_too_short_for_anything_to_be_hidden(self, name: str, why: str) -> None:
        batch = make_batch()
        short = batch.time_mask & (torch.arange(batch.time_mask.shape[1]) < 4)
        with pytest.raises(DataError, match=why):
            fresh(name).step(replace(batch, time_mask=short), Progress(0, 1))


def test_ecg_fm_is_wcr_at_the_published_size() -> None:
    with torch.device("meta"):
        method = create_method("wcr", "ecg_fm")
    assert 85e6 < sum(parameter.numel() for parameter in method.parameters()) < 92e6
