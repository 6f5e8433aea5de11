"""FiLM, the age code and how they are attached: against their equations, and what a fresh one leaves alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from auricle.age import ADULT_DAYS, AGE_BANDS
from auricle.nn.age_code import code, coded
from auricle.nn.film import AgeCode, Code, FiLM, ModulationPoint, Modulations, attach
from conftest import make_batch


def trained(point: ModulationPoint, source: str = "age", width: int = 2) -> FiLM:
    torch.manual_seed(0)
    film = FiLM(point, source, width)
    for layer in (film.net[0], film.net[-1]):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    return film


def slow_gamma_beta(film: FiLM, condition: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    first, last = film.net[0], film.net[-1]
    hidden = condition.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    hidden = hidden / (1 + np.exp(-hidden))
    out = hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    both = out.reshape(len(condition), 2, film.point.groups, film.point.width)
    return 1 + both[:, 0], both[:, 1]


class TestFiLM:
    # (axis of the channels, axis of the groups), of (record, a, b, c) with the groups and the channels among a, b, c.
    @pytest.mark.parametrize(("channels", "groups"), [(-1, 1), (3, 2), (1, 2), (1, 3), (2, 1), (-1, None), (1, None)])
    def test_it_is_gamma_x_plus_beta_for_every_group_and_channel(self, channels: int, groups: int | None) -> None:
        n_groups = 1 if groups is None else 3
        film = trained(ModulationPoint("p", 5, channels, n_groups, groups))
        shape = [4, 2, 2, 2]
        shape[channels] = 5
        if groups is not None:
            shape[groups] = 3
        x, condition = torch.randn(shape), torch.randn(4, 2)
        gamma, beta = slow_gamma_beta(film, condition)
        got = film(x, {"age": condition, "labs": 7 * condition}).detach().numpy()
        assert got.shape == tuple(shape)
        for place in np.ndindex(*shape):
            g, d = 0 if groups is None else place[groups], place[channels % 4]
            expected = gamma[place[0], g, d] * float(x[place]) + beta[place[0], g, d]
            assert got[place] == pytest.approx(expected, rel=1e-4, abs=1e-4)

    def test_gamma_is_about_one_and_beta_about_nothing(self) -> None:
        film = FiLM(ModulationPoint("p", 5, -1, 3, 1), "age", 2)
        gamma, beta = film.gamma_beta(torch.randn(4, 2))
        assert torch.equal(gamma, torch.ones(4, 3, 5))
        assert torch.equal(beta, torch.zeros(4, 3, 5))
        x = torch.randn(4, 3, 7, 5)
        assert torch.equal(film(x, {"age": torch.randn(4, 2)}), x)
        assert film.net[0].weight.any(), "only the last layer starts at zero: else nothing would ever train"

    def test_another_sources_condition_is_not_its_own(self) -> None:
        film, x = trained(ModulationPoint("p", 5, -1)), torch.randn(4, 6, 5)
        condition = torch.randn(4, 2)
        assert film(x, None) is x
        assert film(x, {"labs": condition}) is x
        assert not torch.allclose(film(x, {"age": condition}), x)

    def test_it_reaches_its_condition_and_its_input_with_a_gradient(self) -> None:
        film = trained(ModulationPoint("p", 5, -1))
        x, condition = torch.randn(4, 6, 5, requires_grad=True), torch.randn(4, 2, requires_grad=True)
        film(x, {"age": condition}).square().sum().backward()
        assert (x.grad.abs() > 0).all()
        assert (condition.grad.abs() > 0).all()

    def test_it_works_in_the_precision_of_what_it_modulates(self) -> None:
        film = trained(ModulationPoint("p", 5, -1)).double()
        x = torch.randn(4, 6, 5, dtype=torch.float64)
        assert film(x, {"age": torch.randn(4, 2)}).dtype == torch.float64

    def test_all_sources_of_a_point_act_one_after_the_other(self) -> None:
        point = ModulationPoint("p", 5, -1)
        place = Modulations()
        x, condition = torch.randn(4, 6, 5), {"age": torch.randn(4, 2), "labs": torch.randn(4, 3)}
        assert place(x, condition) is x
        place.films["age"], place.films["labs"] = trained(point), trained(point, "labs", 3)
        assert torch.allclose(
            place(x, condition), place.films["labs"](place.films["age"](x, condition), condition), atol=1e-6
        )
        alone = place(x, {"labs": condition["labs"]})
        assert torch.equal(alone, place.films["labs"](x, condition))

    def test_attaching_puts_one_at_every_point_of_its_own_width(self) -> None:
        points = [ModulationPoint("a", 5, -1, 3, 1), ModulationPoint("b", 1, -1)]
        places = [Modulations(), Modulations()]
        attach(places, points, "age", 7)
        for place, point in zip(places, points, strict=True):
            film = place.films["age"]
            assert film.point is point
            assert film.source == "age"
            assert film.net[0].in_features == 7
            assert film.net[-1].out_features == 2 * point.groups * point.width
        with pytest.raises(ValueError, match="argument"):
            attach(places[:1], points, "age", 7)


class TestAgeInNumbers:
    @pytest.mark.parametrize(
        ("kind", "days", "expected"),
        [
            ("linear", 9 * 365.25, 0.5),
            ("linear", 30.0, 30 / 6574.5),
            ("log", 30.0, math.log(31) / math.log(6575.5)),
            ("log", 365.25, math.log(366.25) / math.log(6575.5)),
            ("log_month", 30.0, math.log(2) / math.log(1 + 6574.5 / 30)),
            ("log_month", 365.25, math.log(1 + 12.175) / math.log(1 + 219.15)),
            ("log_month", 3.0, math.log(1.1) / math.log(220.15)),
        ],
    )
    def test_codes_are_their_equations(self, kind: str, days: float, expected: float) -> None:
        assert code(torch.tensor([days]), kind).item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("kind", ["linear", "log", "log_month"])
    def test_adults_are_one_and_nothing_lies_outside(self, kind: str) -> None:
        days = torch.tensor([[0.0, -0.5], [ADULT_DAYS, 30_000.0]])
        assert code(days, kind).tolist() == [[0, 0], [1, 1]]
        assert code(torch.tensor([17.0 * 365.25]), kind) < 1

    def test_bands_are_one_where_the_age_lies(self) -> None:
        for number, band in enumerate(AGE_BANDS):
            last = min(band.high_days, 40_000.0)
            days = torch.tensor([band.low_days, np.nextafter(np.float32(last), np.float32(0))])
            expected = torch.zeros(2, len(AGE_BANDS))
            expected[:, number] = 1
            assert torch.equal(coded(days, "bands"), expected)
        assert coded(torch.tensor([np.nan]), "bands").isnan().all()

    def test_constant_is_the_same_for_everybody(self) -> None:
        assert coded(torch.tensor([0.0, 9000.0, np.nan]), "constant").tolist() == [[0], [0], [0]]
        told = AgeCode("constant", unknown_share=0.0)
        assert torch.equal(told(torch.tensor([3.0])), told(torch.tensor([6000.0])))
        assert told(torch.tensor([np.nan])).tolist() == [[0]], "nor is it told whose age is unknown"

    def test_bands_and_waves_have_the_widths_they_say(self) -> None:
        days = torch.tensor([3.0, np.nan, 900.0])
        for made in (AgeCode("bands"), AgeCode("log", 3), AgeCode()):
            assert made.eval()(days).shape == (3, made.width)

    def test_how_much_of_the_range_each_gives_to_the_first_month_and_year(self) -> None:
        """Why there are three: the first month has next to nothing, two fifths, or an eighth of the range."""
        month, year = torch.tensor([30.0]), torch.tensor([365.25])
        assert code(month, "linear") < 0.005
        assert code(month, "log").item() == pytest.approx(0.39, abs=0.01)
        assert code(month, "log_month").item() == pytest.approx(0.128, abs=0.001)
        assert code(year, "log_month").item() == pytest.approx(0.478, abs=0.001)

    def test_the_default_is_log_month_here_and_in_the_gate(self) -> None:
        days = torch.tensor([3.0, 400.0])
        assert torch.equal(code(days), code(days, "log_month"))
        assert AgeCode().kind == "log_month"
        assert torch.allclose(AgeCode().eval()(days)[:, 0], code(days, "log_month"))


class TestAgeCode:
    @pytest.mark.parametrize("kind", ["linear", "log", "log_month"])
    def test_waves_are_sines_and_cosines_of_the_code(self, kind: str) -> None:
        days = torch.tensor([0.0, 3.0, 200.0, 3000.0])
        made = AgeCode(kind, n_fourier=3).eval()
        assert made.width == 7
        got = made(days).detach().numpy()
        for row, c in enumerate(code(days, kind).tolist()):
            waves = [math.pi * 2**k * c for k in range(3)]
            expected = [c, *(math.sin(w) for w in waves), *(math.cos(w) for w in waves)]
            assert got[row] == pytest.approx(expected, abs=1e-5)

    def test_without_waves_it_is_the_code_alone(self) -> None:
        assert AgeCode().width == 1
        assert AgeCode().eval()(torch.tensor([3.0])).shape == (1, 1)

    def test_an_unknown_age_has_a_learned_code_of_its_own(self) -> None:
        made = AgeCode(n_fourier=2).eval()
        got = made(torch.tensor([torch.nan, 3.0, torch.nan]))
        assert torch.equal(got[0], made.unknown)
        assert torch.equal(got[2], made.unknown)
        assert not torch.allclose(got[1], made.unknown)
        got.sum().backward()
        assert made.unknown.grad.tolist() == [2.0] * 5
        many = torch.stack([AgeCode(n_fourier=8).unknown for _ in range(50)])
        assert many.std().item() == pytest.approx(0.5, rel=0.15), "it does not start as a newborn's"

    def test_a_share_of_the_ages_is_hidden_in_training_alone(self) -> None:
        days = torch.linspace(1, 6000, 4000)
        torch.manual_seed(0)
        for share in (0.1, 0.5):
            made = AgeCode(unknown_share=share).train()
            hidden = (made(days) == made.unknown).all(1)
            assert hidden.float().mean().item() == pytest.approx(share, abs=0.03)
            assert not (made.eval()(days) == made.unknown).any()
        assert AgeCode().unknown_share == 0.1
        none = AgeCode(unknown_share=0.0).train()
        assert torch.equal(none(days)[:, 0], code(days))

    def test_of_a_batch_it_reads_the_age(self) -> None:
        made, batch = AgeCode().eval(), make_batch()
        assert torch.equal(made.of(batch), made(batch.age_days))
        other = replace(batch, age_days=batch.age_days / 2)
        assert not torch.equal(made.of(batch), made.of(other))

    def test_what_follows_from_the_configuration_is_not_saved(self) -> None:
        assert set(AgeCode(n_fourier=3).state_dict()) == {"unknown"}

    def test_a_code_that_is_none_says_so(self) -> None:
        with pytest.raises(NotImplementedError):
            Code().of(make_batch())
