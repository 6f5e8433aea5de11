"""melp: sentences found in tokens, a decoder that does not look ahead, likeness by hand, and missing reports."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from auricle.losses.local import local_info_nce, sentence_likeness
from auricle.methods import Progress, create_method
from auricle.methods.melp import Melp
from auricle.nn.caption import sentence_of
from auricle.nn.pooling import QueryPool
from auricle.text.reports import clean, sentences
from auricle.text.vocabulary import DIGITS, SENTENCE_ENDS, SPACE, Vocabulary
from conftest import make_batch
from processes import in_two_processes


def fresh(**more: object) -> Melp:
    torch.manual_seed(0)
    method = create_method("melp", "tiny", **more).train()
    assert isinstance(method, Melp)
    return method


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestSentences:
    def test_they_are_those_between_the_marks(self) -> None:
        texts = [
            "sinus rhythm. left axis deviation; normal ecg.", "", "one", "... ; two.",
            "sinus rhythm . left axis deviation ; abnormal ecg .", "QTc 0.45 s. normal",
        ]  # fmt: skip
        vocabulary = Vocabulary.fit(texts * 3, 300)
        ids, mask = map(torch.from_numpy, vocabulary.table(texts))
        sentence = sentence_of(ids.long(), mask, SENTENCE_ENDS, DIGITS, SPACE)
        for row, text in enumerate(texts):
            n = int(sentence[row].max()) + 1
            found = [vocabulary.decode(ids[row][sentence[row] == k].tolist()).strip() for k in range(n)]
            # The point inside of a number is read, and not one of the words that are compared.
            assert [words.replace("045", "0.45") for words in found] == sentences(clean(text))

    def test_a_sentence_is_the_mean_of_its_words_and_of_no_others(self) -> None:
        method = fresh()
        words, mask = seeded(2, 9, 16), torch.ones(2, 9, dtype=torch.bool)
        sentence = torch.tensor([[-1, 0, 0, -1, 1, 1, 1, -1, 2], [-1, 0, 0, 0, 0, -1, -1, -1, -1]])
        method.sentences.blocks = torch.nn.ModuleList()  # words that have not heard each other
        vectors, there = method.sentences(words, mask, sentence, 2)
        assert there.tolist() == [[True, True], [True, False]]
        wanted = method.sentences.out(words[0, 4:7].mean(0))
        assert torch.allclose(vectors[0, 1], wanted, atol=1e-5)


class TestDecoder:
    def test_it_does_not_look_ahead(self) -> None:
        method = fresh().eval()
        ids, read = torch.randint(3, 259, (2, 10)), seeded(2, 8, 16)
        changed = ids.clone()
        changed[:, 6:] = 5
        with torch.no_grad():
            one, other = (method.decoder(each, read) for each in (ids, changed))
        assert torch.allclose(one[:, :6], other[:, :6], atol=1e-5)
        assert not torch.allclose(one[:, 6:], other[:, 6:], atol=1e-3)

    def test_it_reads_the_recording(self) -> None:
        method = fresh().eval()
        ids = torch.randint(3, 259, (2, 10))
        with torch.no_grad():
            assert not torch.allclose(
                method.decoder(ids, seeded(2, 8, 16)), method.decoder(ids, seeded(2, 8, 16, seed=1))
            )

    def test_padding_and_absent_reports_have_no_part_in_it(self) -> None:
        method, batch = fresh(), make_batch()
        text = batch.text
        other = torch.where(text.token_mask, text.token_ids, 7)
        torch.manual_seed(0)
        one = method.step(batch, Progress(0, 1)).terms
        torch.manual_seed(0)
        two = method.step(replace(batch, text=replace(text, token_ids=other)), Progress(0, 1)).terms
        assert float(one["caption"]) == pytest.approx(float(two["caption"]), rel=1e-5)
        assert float(one["local"]) == pytest.approx(float(two["local"]), rel=1e-4)

    def test_absent_reports_have_no_part_in_it(self) -> None:
        """Of a batch without a report, what is learned is what its other records teach."""
        method, batch = fresh().eval(), make_batch()
        text, absent = batch.text, torch.arange(8) == 2
        gone = replace(
            text, report_id=torch.where(absent, -1, text.report_id), token_mask=text.token_mask & ~absent[:, None]
        )
        with torch.no_grad():
            one = method.step(replace(batch, text=gone), Progress(0, 1)).terms
            kept = torch.nonzero(~absent).flatten()
            two = method.step(batch.select(kept), Progress(0, 1)).terms
        for name in ("align", "caption", "local"):
            assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-4), name


class TestQueries:
    def test_what_is_masked_is_not_read_and_nothing_at_all_is_finite(self) -> None:
        torch.manual_seed(0)
        pool, x = QueryPool(6, 8, 3, 2).eval(), seeded(4, 7, 6)
        mask = torch.rand(4, 7) < 0.6
        mask[3] = False
        poisoned = torch.where(mask[..., None], x, torch.nan)
        with torch.no_grad():
            assert torch.equal(pool(x, mask), pool(poisoned, mask))
            assert pool(poisoned, mask).isfinite().all()


class TestLocal:
    def test_likeness_is_its_equation(self) -> None:
        moments, sentences, there = (
            seeded(3, 4, 5),
            seeded(2, 3, 5, seed=1),
            torch.tensor([[1, 1, 0], [1, 1, 1]]).bool(),
        )
        found = sentence_likeness(moments, torch.where(there[..., None], sentences, 9.0), there, 4.0, 5.0)
        for b in range(3):
            for r in range(2):
                values = []
                for s in range(3):
                    if there[r, s]:
                        cosines = [
                            4 * float(normalize(m, dim=0) @ normalize(sentences[r, s], dim=0)) for m in moments[b]
                        ]
                        total = sum(map(math.exp, cosines))
                        seen = sum(math.exp(c) / total * m for c, m in zip(cosines, moments[b], strict=True))
                        values.append(5 * float(normalize(seen, dim=0) @ normalize(sentences[r, s], dim=0)))
                wanted = math.log(sum(map(math.exp, values)) / len(values))
                assert float(found[b, r]) == pytest.approx(wanted, rel=1e-4, abs=1e-5)

    def test_a_longer_report_is_not_more_like_everything(self) -> None:
        moments, sentence = seeded(3, 4, 5), seeded(1, 1, 5, seed=1)
        once, there = sentence.expand(1, 3, 5), torch.tensor([[True, False, False]])
        one = sentence_likeness(moments, once, there, 4.0, 5.0)
        assert torch.allclose(one, sentence_likeness(moments, once, torch.ones_like(there), 4.0, 5.0), atol=1e-5)

    def test_reports_without_a_sentence_neither_count_nor_repel(self) -> None:
        moments, sentences = seeded(5, 4, 6), seeded(5, 3, 6, seed=1)
        there = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]]).bool()
        some = there.any(1)
        whole = local_info_nce(moments, sentences, there)
        assert float(whole) == pytest.approx(
            float(local_info_nce(moments[some], sentences[some], there[some])), rel=1e-5
        )
        assert float(local_info_nce(moments, sentences, torch.zeros_like(there))) == 0

    def test_a_batch_without_any_report_or_sentence_trains(self) -> None:
        method, batch = fresh(), make_batch()
        ends = torch.full_like(batch.text.token_ids, SENTENCE_ENDS[0])
        silent = replace(batch.text, token_ids=ends)
        none = replace(
            batch.text, report_id=torch.full_like(batch.text.report_id, -1),
            token_mask=torch.zeros_like(batch.text.token_mask),
        )  # fmt: skip
        for text in (silent, none):
            result = method.step(replace(batch, text=text), Progress(0, 1))
            result.loss.backward()
            assert torch.isfinite(result.loss)
            assert float(result.terms["local"]) == 0
            assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def _loss(rank: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = slice(rank * n, rank * n + n)
    both = seeded(6, 7, 5)[rows].clone().requires_grad_()
    there = (seeded(6, 3, seed=2) > 0)[rows]
    return local_info_nce(both[:, :4], both[:, 4:], there), both


def _half(rank: int) -> tuple[float, list[object]]:
    loss, moments = _loss(rank, 3)
    loss.backward()
    return loss.item(), moments.grad.tolist()


def test_two_processes_with_half_the_batch_are_one_with_all() -> None:
    loss, moments = _loss(0, 6)
    loss.backward()
    halved = in_two_processes(_half)
    assert sum(half[0] for half in halved) / 2 == pytest.approx(loss.item(), rel=1e-4)
    assert torch.allclose(torch.tensor(halved[0][1] + halved[1][1]) / 2, moments.grad, atol=1e-5)
