"""What is shared by all methods: rates, decay, the laboratory code, saved weights and what is refused of them."""

from __future__ import annotations

import contextlib
import json
import stat
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from auricle import __version__
from auricle.errors import CheckpointError, ConfigError
from auricle.methods import (
    METHODS,
    Method,
    Progress,
    Recipe,
    create_method,
    init_encoder_from,
    list_methods,
    load_card,
    load_method,
    save_method,
)
from auricle.methods._base import split_decay
from conftest import make_batch


def fresh(name: str = "supervised", seed: int = 0, **more: object) -> Method:
    torch.manual_seed(seed)
    return create_method(name, "tiny", **more)


class TestBase:
    def test_how_much_of_a_run_is_done(self) -> None:
        assert Progress(0, 10).share == 0
        assert Progress(5, 10).share == 0.5
        assert Progress(0, 0).share == 0
        assert Progress(1, 1).share == 1

    def test_decay_is_for_what_maps(self) -> None:
        class Part(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.map, self.norm = torch.nn.Linear(3, 4), torch.nn.LayerNorm(4)
                self.table = torch.nn.Embedding(5, 4)
                self.identity = torch.nn.Parameter(torch.zeros(2, 4))
                self.position = torch.nn.Parameter(torch.zeros(2, 4))
                self.bias = torch.nn.Parameter(torch.zeros(4, 4))
                self.matrix = torch.nn.Parameter(torch.zeros(4, 4))
                self.still = torch.nn.Parameter(torch.zeros(4, 4), requires_grad=False)

        part = Part()
        names = {id(p): name for name, p in part.named_parameters()}
        groups = split_decay(part, 0.2, 0.5)
        decay = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
        assert {name for name, value in decay.items() if value == 0.2} == {"map.weight", "matrix"}
        free = {"map.bias", "norm.weight", "norm.bias", "table.weight", "identity", "position", "bias"}
        assert {name for name, value in decay.items() if value == 0} == free
        assert [group["lr_scale"] for group in groups] == [0.5, 0.5]
        assert [group["lr_scale"] for group in split_decay(part, 0.2)] == [1.0, 1.0]
        assert len(split_decay(part.norm, 0.2)) == 1, "no group without parameters"

    def test_every_trained_parameter_is_optimised_once(self) -> None:
        for name in list_methods():
            method = fresh(name)
            listed = [id(p) for group in method.param_groups() for p in group["params"]]
            assert sorted(listed) == sorted(id(p) for p in method.parameters() if p.requires_grad)

    def test_the_recipe_of_no_method_in_particular(self) -> None:
        recipe = Recipe()
        assert (recipe.lr, recipe.weight_decay, recipe.betas, recipe.warmup, recipe.clip) == (
            1e-3, 0.05, (0.9, 0.98), 0.1, 1.0,
        )  # fmt: skip

    def test_one_method_learns_from_recordings_without_a_report(self) -> None:
        assert {name for name in list_methods() if METHODS.get(name).cls.report_optional} == {"cg_dmer"}

    @pytest.mark.parametrize("name", list_methods())
    def test_every_method_takes_the_scale_of_laboratory_values(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever else it prepares of the training records."""
        asked: list[object] = []
        monkeypatch.setattr(Method, "prepare", lambda _, view: asked.append(view))
        view = SimpleNamespace(targets=np.ones((4, 1)), rows=np.arange(4), corpus=None, times=None)
        with contextlib.suppress(ConfigError):  # of those that need reports
            fresh(name).prepare(view)
        assert asked == [view]

    def test_pictures_are_of_the_size_that_the_encoder_reads(self) -> None:
        assert fresh("mirage").picture_size == (48, 64)
        assert fresh("lisa").picture_size is None

    def test_embedding_is_the_pooled_encoding_of_the_preprocessed_batch(self) -> None:
        method, batch = fresh("lisa").eval(), make_batch(rate_hz=500.0)
        with torch.no_grad():
            expected = method.encoder.read(method.preprocess(batch)).pooled
            assert torch.equal(method.embed(batch), expected)
            assert torch.equal(method.encode_ready(method.preprocess(batch)).pooled, expected)


class TestLaboratoryScale:
    """`prepare` takes the scale of the training records, once, and says what of them is doubtful."""

    def view(self, known: float, untimed: int = 0) -> SimpleNamespace:
        """A view whose panel answers where a share of the records has all values."""
        self.untimed = untimed
        self.asked: list[object] = []

        def of_store(store: object, rows: object) -> tuple[np.ndarray, np.ndarray]:
            self.asked.append((store, rows))
            n = len(self.method.config.labs.tests)
            mask = np.zeros((10, n), dtype=bool)
            mask[: round(10 * known)] = True
            return np.outer(np.arange(7, 17), np.ones(n)).astype(np.float32), mask

        panel = SimpleNamespace(of_store=of_store, untimed=lambda *_: self.untimed, tests=self.method.config.labs.tests)
        self.method.encoder.codes["labs"].panel = panel
        return SimpleNamespace(store=SimpleNamespace(path="stores/x"), rows=np.arange(10))

    def setup_method(self) -> None:
        self.method = fresh("acl_ecg", labs={})
        self.code = self.method.encoder.codes["labs"]

    def test_it_is_taken_once(self) -> None:
        before = self.code.median.clone()
        self.method.prepare(view := self.view(1.0))
        after = self.code.median.clone()
        assert not torch.equal(before, after)
        assert self.code.fitted
        assert self.asked[0][0] is view.store
        assert self.asked[0][1] is view.rows
        self.method.prepare(self.view(0.2))
        assert torch.equal(after, self.code.median), "a scale that came along is kept"

    def test_no_value_at_all_is_refused_or_told(self) -> None:
        with pytest.raises(ConfigError, match=r"stores/x: no training record has a value of .*leave model\.labs out"):
            self.method.prepare(self.view(0.0))
        self.code.fitted.fill_(True)
        with pytest.warns(UserWarning, match="stores/x: has none of the laboratory values") as caught:
            self.method.prepare(self.view(0.0))
        assert len(caught) == 1
        assert caught[0].filename == __file__

    def test_values_without_a_time_are_told_and_others_not(self) -> None:
        with pytest.warns(UserWarning, match="stores/x: 3 laboratory values without a time") as caught:
            self.method.prepare(self.view(1.0, untimed=3))
        assert caught[0].filename == __file__
        self.setup_method()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.method.prepare(self.view(1.0))


class TestSaved:
    def test_the_card_says_what_it_is(self, tmp_path: Path) -> None:
        method = fresh("lisa")
        save_method(method, tmp_path / "new" / "folder", {"steps": 7})
        card, folder = load_card(tmp_path / "new" / "folder")
        assert folder == tmp_path / "new" / "folder"
        assert card["weights_version"] == 2
        assert card["auricle"] == __version__
        assert card["method"] == "lisa"
        assert card["n_parameters"] == sum(p.numel() for p in method.parameters())
        assert card["about"] == {"steps": 7}
        assert "not a diagnosis" in card["use"].lower() or "research" in card["use"].lower()
        for name in ("auricle.json", "model.safetensors"):
            mode = (folder / name).stat().st_mode
            assert mode & stat.S_IRGRP, "a colleague can read it"
        assert stat.S_IMODE((folder / "model.safetensors").stat().st_mode) == 0o644
        save_method(method, tmp_path / "plain")
        assert load_card(tmp_path / "plain")[0]["about"] == {}

    def test_a_folder_may_be_text_and_a_tensor_turned(self, tmp_path: Path) -> None:
        method = fresh()
        with torch.no_grad():
            method.head[-1].weight.data = torch.randn(48, 1).expand(48, 1).t()
        method.encoder.scales[0].mix.data = method.encoder.scales[0].mix.data.transpose(1, 2)
        assert not method.encoder.scales[0].mix.is_contiguous()
        save_method(method, str(tmp_path / "w"))
        assert torch.equal(load_method(str(tmp_path / "w")).encoder.scales[0].mix, method.encoder.scales[0].mix)

    def test_a_run_folder_stands_for_the_weights_in_it(self, tmp_path: Path) -> None:
        save_method(fresh(), tmp_path / "run" / "model")
        assert load_card(tmp_path / "run")[1] == tmp_path / "run" / "model"
        assert not load_method(str(tmp_path / "run")).training

    @pytest.mark.parametrize("text", ["{}", "[1]", "no json", "{'a': 1}"])
    def test_a_card_that_is_none_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "auricle.json").write_text(text)
        with pytest.raises(CheckpointError, match="not a card of auricle weights"):
            load_card(tmp_path)

    @pytest.mark.parametrize("key", ["config", "method", "about"])
    def test_a_card_without_a_part_is_refused(self, key: str, tmp_path: Path) -> None:
        save_method(fresh(), tmp_path)
        card = json.loads((tmp_path / "auricle.json").read_text())
        for broken in ({k: v for k, v in card.items() if k != key}, card | {key: None}):
            (tmp_path / "auricle.json").write_text(json.dumps(broken))
            with pytest.raises(CheckpointError, match=f"not a card of auricle weights .*{key}"):
                load_method(tmp_path)

    def test_a_byte_that_was_changed_on_the_way_is_noticed(self, tmp_path: Path) -> None:
        save_method(fresh(), tmp_path)
        file = tmp_path / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-2] ^= 1  # of the last number: another finite one
        file.write_bytes(bytes(content))
        with pytest.raises(CheckpointError, match=r"SHA-256 differs.*copy both again"):
            load_method(tmp_path)
        card = json.loads((tmp_path / "auricle.json").read_text())
        del card["sha256"]  # a card of before it was kept
        (tmp_path / "auricle.json").write_text(json.dumps(card))
        load_method(tmp_path)

    def test_weights_of_a_newer_version_want_a_newer_auricle(self, tmp_path: Path) -> None:
        save_method(fresh(), tmp_path)
        card = json.loads((tmp_path / "auricle.json").read_text())
        (tmp_path / "auricle.json").write_text(json.dumps(card | {"weights_version": 99}))
        with pytest.raises(CheckpointError, match="take a newer auricle"):
            load_method(tmp_path)

    def test_numbers_that_are_not_finite_are_refused(self, tmp_path: Path) -> None:
        method = fresh()
        with torch.no_grad():
            next(iter(method.parameters())).flatten()[0] = torch.nan
        save_method(method, tmp_path)
        with pytest.raises(CheckpointError, match="not finite: copy it again"):
            load_method(tmp_path)

    def test_a_file_in_the_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "weights").write_text("x")
        with pytest.raises(CheckpointError, match=r"no auricle\.json in it"):
            load_card(tmp_path / "weights")

    def test_an_older_card_names_the_version_that_reads_it(self, tmp_path: Path) -> None:
        save_method(fresh(), tmp_path)
        card = json.loads((tmp_path / "auricle.json").read_text())
        for auricle, said in (("0.0.9", "use auricle 0.0.9"), (None, "use auricle of their time")):
            old = {**card, "weights_version": 1, "auricle": auricle}
            if auricle is None:
                del old["auricle"]
            (tmp_path / "auricle.json").write_text(json.dumps(old))
            with pytest.raises(CheckpointError, match=f"weights of version 1, .*reads version 2: {said}"):
                load_card(tmp_path)

    def test_tensors_that_are_lost_broken_or_not_those_are_refused(self, tmp_path: Path) -> None:
        save_method(fresh(), tmp_path)
        tensors = tmp_path / "model.safetensors"
        whole = tensors.read_bytes()
        tensors.write_bytes(whole[:100])
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_method(tmp_path)
        tensors.unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_method(tmp_path)
        tensors.write_bytes(whole)
        card = json.loads((tmp_path / "auricle.json").read_text())
        card["config"]["gate"] = None
        (tmp_path / "auricle.json").write_text(json.dumps(card))
        with pytest.raises(CheckpointError, match=r"tensors do not fit, .* expected nothing"):
            load_method(tmp_path)
        card["config"]["gate"] = {"colour": "red"}
        (tmp_path / "auricle.json").write_text(json.dumps(card))
        with pytest.raises(CheckpointError, match="its configuration does not fit this auricle"):
            load_method(tmp_path)

    def test_the_first_tensor_that_does_not_fit_is_named_with_both_shapes(self, tmp_path: Path) -> None:
        save_method(fresh(classes=("a", "b")), tmp_path)
        card = json.loads((tmp_path / "auricle.json").read_text())
        card["config"]["classes"] = ["a", "b", "c"]
        (tmp_path / "auricle.json").write_text(json.dumps(card))
        with pytest.raises(
            CheckpointError, match=r"2 tensors do not fit, the first being head\.2\.bias: saved \(2,\), expected \(3,\)"
        ):
            load_method(tmp_path)

    def test_gates_that_the_donor_has_are_taken_and_others_stay_fresh(self, tmp_path: Path) -> None:
        donor = fresh(gate={}, seed=4)
        with torch.no_grad():
            for parameter in donor.encoder.gate_parameters():
                parameter.normal_()
        save_method(donor, tmp_path / "gated")
        taker = fresh(gate={}, seed=5)
        head = taker.head[-1].weight.clone()
        init_encoder_from(taker, tmp_path / "gated")
        for name, tensor in donor.encoder.state_dict().items():
            assert torch.equal(tensor, taker.encoder.state_dict()[name])
        assert torch.equal(head, taker.head[-1].weight), "the encoder and nothing else"
        save_method(fresh(gate=None, seed=6), tmp_path / "plain")
        taker = fresh(gate={}, seed=5)
        gates = {name: taker.encoder.state_dict()[name].clone() for name in taker.encoder.gate_tensors()}
        init_encoder_from(taker, tmp_path / "plain")
        assert gates
        for name, tensor in gates.items():
            assert torch.equal(tensor, taker.encoder.state_dict()[name])

    def test_gates_of_a_donor_are_left_behind_by_an_encoder_without(self, tmp_path: Path) -> None:
        donor = fresh(gate={})
        save_method(donor, tmp_path)
        bare = fresh(seed=1, gate=None)
        with pytest.warns(UserWarning, match="its gates are left behind"):
            init_encoder_from(bare, tmp_path)
        own = bare.encoder.state_dict()
        kept = {name: tensor for name, tensor in donor.encoder.state_dict().items() if name in own}
        assert all(torch.equal(tensor, own[name]) for name, tensor in kept.items())
        assert kept.keys() == own.keys()

    def test_a_gate_that_reads_ages_otherwise_is_left_behind(self, tmp_path: Path) -> None:
        donor = fresh(gate={"code": "linear"})
        for parameter in donor.encoder.gate_parameters():
            torch.nn.init.normal_(parameter)
        save_method(donor, tmp_path)
        other = fresh(seed=1, gate={"code": "log"})
        before = {name: tensor.clone() for name, tensor in other.encoder.state_dict().items()}
        with pytest.warns(UserWarning, match="its gates are left behind"):
            init_encoder_from(other, tmp_path)
        gates = other.encoder.gate_tensors()
        assert all(
            torch.equal(tensor, before[name]) for name, tensor in other.encoder.state_dict().items() if name in gates
        )
        alike = fresh(seed=1, gate={"code": "linear", "unknown_share": 0.3})
        init_encoder_from(alike, tmp_path)
        assert all(torch.equal(t, donor.encoder.state_dict()[n]) for n, t in alike.encoder.state_dict().items())

    def test_an_encoder_of_another_width_is_refused_by_the_tensors_that_differ(self, tmp_path: Path) -> None:
        save_method(fresh(gate=None), tmp_path)
        other = fresh(gate=None, encoder={"name": "lead_groups", "preset": "tiny", "attention": "eca"})
        with pytest.raises(CheckpointError, match=r"first scales\.0\.attention"):
            init_encoder_from(other, tmp_path)
        wider = fresh(gate=None, encoder={"name": "lead_groups", "preset": "tiny", "mlp_ratio": 2.0})
        with pytest.raises(CheckpointError, match=r"18 tensors differ, first scales\.0\.blocks\.0\.mlp"):
            init_encoder_from(wider, tmp_path)

    def test_methods_are_made_by_name(self) -> None:
        assert list_methods() == METHODS.names()
        assert type(create_method("merl", "tiny")).__name__ == "Merl"
        assert create_method("lisa").config.encoder.name == "lead_groups"
