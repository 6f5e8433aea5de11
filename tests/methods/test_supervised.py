"""supervised: its gate is the one of the configuration, its loss is the labels' and its rates are those asked for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from auricle.batch import ECGBatch
from auricle.errors import ConfigError
from auricle.losses.supervised import balancing_weights, masked_bce, masked_cross_entropy
from auricle.methods import Progress, create_method
from auricle.methods.supervised import Supervised
from auricle.nn.age_code import code
from auricle.nn.film import AgeCode, FiLM
from conftest import make_batch

STILL = {"lead_drop_records": 0.0, "gain": 0.0, "noise_mv": 0.0}


def tiny(**more: object) -> Supervised:
    torch.manual_seed(0)
    method = create_method("supervised", "tiny", **more)
    assert isinstance(method, Supervised)
    return method


def labelled(rows: list[list[float]]) -> ECGBatch:
    return replace(make_batch(len(rows)), target=torch.tensor(rows))


def view(target: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(targets=target.numpy(), rows=np.arange(len(target)), times=None)


class TestGate:
    def test_it_is_the_one_of_the_configuration(self) -> None:
        for settings in (
            {"code": "log", "n_fourier": 2, "unknown_share": 0.4},
            {"code": "linear", "n_fourier": 0, "unknown_share": 0.0},
            {},
        ):
            made = tiny(gate=settings).encoder.codes["age"]
            assert isinstance(made, AgeCode)
            wanted = {"code": "log_month", "n_fourier": 0, "unknown_share": 0.1, **settings}
            assert (made.kind, made.width, made.unknown_share) == (
                wanted["code"], 1 + 2 * wanted["n_fourier"], wanted["unknown_share"],
            )  # fmt: skip
            days = torch.tensor([0.0, 3.0, 900.0])
            assert torch.allclose(made.eval()(days)[:, 0], code(days, wanted["code"]))

    def test_without_it_age_is_not_read(self) -> None:
        method, batch = tiny(gate=None).eval(), make_batch()
        assert not method.encoder.codes
        with torch.no_grad():
            assert torch.equal(method.logits(batch.at_age(3)), method.logits(batch.at_age(9000)))

    def test_the_gate_behind_every_block_learns_from_the_labels(self) -> None:
        method, batch = tiny().train(), make_batch()
        optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
        for _ in range(2):  # the last layers begin at zero and let gradient through from the second step on
            optimiser.zero_grad()
            method.step(batch, Progress(0, 1)).loss.backward()
            optimiser.step()
        films = {m.point.name: m for m in method.encoder.modules() if isinstance(m, FiLM)}
        assert set(films) == {point.name for point in method.encoder.modulation_points}
        assert {"scale0.block0", "scale0.block1", "scale2.block1", "scale1.group_gate", "scale_gain"} <= set(films)
        for film in films.values():
            assert film.net[-1].weight.grad.any(), film.point.name
            assert film.net[0].weight.grad.any(), film.point.name

    def test_children_of_one_week_and_one_month_are_told_apart_and_adults_are_not(self) -> None:
        method, batch = tiny().eval(), make_batch()
        for module in method.modules():
            if isinstance(module, FiLM):
                torch.nn.init.normal_(module.net[-1].weight, std=0.5)
        with torch.no_grad():
            at = {days: method.logits(batch.at_age(days)) for days in (7.0, 30.0, 7000.0, 30_000.0)}
        assert not torch.allclose(at[7.0], at[30.0], atol=1e-4)
        assert torch.equal(at[7000.0], at[30_000.0])


class TestLoss:
    ROWS = ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))

    def method(self, **more: object) -> Supervised:
        return tiny(classes=("a", "b", "c"), augment=STILL, dropout=0.0, gate=None, **more)

    def test_every_class_for_itself(self) -> None:
        method, batch = self.method(), labelled([list(row) for row in self.ROWS])
        logits = method.logits(batch)
        step = method.step(batch, Progress(0, 1))
        assert torch.allclose(step.loss, masked_bce(logits, batch.target), atol=1e-6)
        right = ((logits > 0) == (batch.target > 0.5)).float().mean()
        assert step.terms["accuracy"].item() == pytest.approx(right.item())
        assert torch.allclose(method.probabilities(logits), 1 / (1 + (-logits).exp()))
        assert not step.terms["loss"].requires_grad

    def test_one_of_all_classes(self) -> None:
        method, batch = self.method(answers="single_label"), labelled([list(row) for row in self.ROWS])
        logits = method.logits(batch)
        step = method.step(batch, Progress(0, 1))
        assert torch.allclose(step.loss, masked_cross_entropy(logits, batch.target), atol=1e-6)
        rows, truth = [0, 2, 3], torch.tensor([0, 2, 0])  # the second has two classes and does not count
        assert step.terms["accuracy"].item() == pytest.approx((logits[rows].argmax(1) == truth).float().mean().item())
        assert torch.allclose(method.probabilities(logits), logits.exp() / logits.exp().sum(1, keepdim=True))

    @pytest.mark.parametrize("answers", ["multi_label", "single_label"])
    def test_accuracy_is_one_where_all_is_right_and_nothing_where_all_is_wrong(self, answers: str) -> None:
        method, batch = self.method(answers=answers), labelled([[1.0, 0.0, 0.0]] * 4)
        for sign, expected in ((1, 1.0), (-1, 0.0)):
            with torch.no_grad():
                method.head[-1].weight.zero_()
                method.head[-1].bias.copy_(sign * torch.tensor([5.0, -5.0, -5.0]))
            assert method.step(batch, Progress(0, 1)).terms["accuracy"].item() == expected

    @pytest.mark.parametrize("answers", ["multi_label", "single_label"])
    def test_rare_classes_weigh_more_where_asked(self, answers: str) -> None:
        target = torch.tensor([[1.0, 0.0, 0.0]] * 8 + [[0.0, 1.0, 0.0]] * 3 + [[0.0, 0.0, 1.0]])
        weighted, plain = (self.method(answers=answers, class_weights=on) for on in (True, False))
        assert "class_weight" not in plain.state_dict()
        assert torch.equal(weighted.get_buffer("class_weight"), torch.ones(2, 3))
        for method in (weighted, plain):
            method.prepare(view(target))
        expected = balancing_weights(target, exclusive=answers == "single_label")
        assert torch.equal(weighted.get_buffer("class_weight"), expected)
        batch = labelled([list(row) for row in self.ROWS])
        logits = weighted.logits(batch)
        loss = masked_bce if answers == "multi_label" else masked_cross_entropy
        assert torch.allclose(
            weighted.step(batch, Progress(0, 1)).loss, loss(logits, batch.target, expected), atol=1e-6
        )
        assert not torch.allclose(weighted.step(batch, Progress(0, 1)).loss, plain.step(batch, Progress(0, 1)).loss)

    def test_weights_are_of_the_rows_that_are_trained_on(self) -> None:
        target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        method = self.method(class_weights=True)
        method.prepare(SimpleNamespace(targets=target.numpy(), rows=np.array([0, 2, 3]), times=None))
        assert torch.equal(method.get_buffer("class_weight"), balancing_weights(target[[0, 2, 3]], exclusive=False))

    def test_one_class_where_no_record_has_one_is_refused(self) -> None:
        many = torch.ones(4, 3)
        with pytest.raises(ConfigError, match=r"no record has exactly one class of .*model\.answers=multi_label"):
            self.method(answers="single_label").prepare(view(many))
        self.method().prepare(view(many))

    def test_training_changes_the_recordings_and_hides_features(self) -> None:
        batch, losses = labelled([list(row) for row in self.ROWS]), []
        for more in ({}, {"dropout": 0.5}, {"augment": {**STILL, "noise_mv": 0.3}}):
            method = tiny(
                **{"classes": ("a", "b", "c"), "augment": STILL, "dropout": 0.0, "gate": None, **more}
            ).train()
            torch.manual_seed(3)
            losses.append(method.step(batch, Progress(0, 1)).loss.item())
        assert len(set(losses)) == 3


class TestBackbone:
    def names(self, method: Supervised, scale: float) -> set[str]:
        chosen = {id(p) for group in method.param_groups() if group["lr_scale"] == scale for p in group["params"]}
        return {name for name, p in method.named_parameters() if id(p) in chosen}

    def test_slow_is_the_encoder_without_its_gates(self) -> None:
        method = tiny(backbone="slow", backbone_lr_scale=0.2)
        slow, fast = self.names(method, 0.2), self.names(method, 1.0)
        assert slow | fast == {name for name, _ in method.named_parameters()}
        gates = ("encoder.modulate.", "encoder.codes.")
        assert fast == {n for n, _ in method.named_parameters() if n.startswith((*gates, "head."))}
        assert slow == {n for n, _ in method.named_parameters() if n.startswith("encoder.") and not n.startswith(gates)}

    def test_full_has_one_rate(self) -> None:
        assert {group["lr_scale"] for group in tiny().param_groups()} == {1.0}

    @pytest.mark.parametrize("backbone", ["full", "slow"])
    def test_what_maps_decays_and_what_is_looked_up_does_not(self, backbone: str) -> None:
        method = tiny(backbone=backbone, recipe={"weight_decay": 0.3})
        names = {id(p): name for name, p in method.named_parameters()}
        decay = {names[id(p)]: group["weight_decay"] for group in method.param_groups() for p in group["params"]}
        assert set(decay.values()) == {0.3, 0.0}
        for name, parameter in method.named_parameters():
            free = parameter.ndim < 2 or name.endswith("identity")
            assert decay[name] == (0.0 if free else 0.3), name

    def test_frozen_is_in_evaluation_mode_but_for_its_codes(self) -> None:
        method = tiny(backbone="frozen", encoder={"name": "resnet1d", "preset": "tiny"}).train()
        assert method.training
        assert method.head.training
        codes = {id(m) for m in method.encoder.codes.modules()}
        assert all(m.training is (id(m) in codes) for m in method.encoder.modules())
        trains = {n for n, p in method.named_parameters() if p.requires_grad}
        assert trains == {
            n for n, _ in method.named_parameters() if n.startswith(("head.", "encoder.modulate.", "encoder.codes."))
        }
        assert not method.eval().encoder.codes.training
        assert tiny().train().encoder.training
