"""Weights from elsewhere: read without running anything of theirs, probed, fine-tuned and gated as ours are."""

from __future__ import annotations

import copy
import json
import pickle
import re
import tempfile
import tomllib
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.encoders._foreign_network import HuggingFace
from auricle.encoders.foreign import Foreign, TensorConfig, scaled
from auricle.errors import CheckpointError, ConfigError, DataError
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.reference import untrained
from auricle.export import export_onnx
from auricle.io.wfdb_writer import write_wfdb
from auricle.methods import Progress, check_store, create_method, init_encoder_from, load_card, load_method, save_method
from auricle.methods._foreign import ForeignWeights
from auricle.nn.film import AgeCode, FiLM
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.simulate import cohort
from auricle.tasks import load_task
from conftest import make_batch
from running import auricle, refused

transformers = pytest.importorskip("transformers", reason="the extra `text` is not installed")
onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")

RATE, SECONDS, N = 100, 2.0, 200
INPUT = f"[input]\nrate_hz = {RATE}\nseconds = {SECONDS}\nband_hz = [0.5, 45]\n"
KINDS = ("hubert", "per_lead", "patchtst", "graph")


@pytest.fixture(autouse=True)
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def hubert() -> Any:
    torch.manual_seed(3)
    config = transformers.HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 4), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
    )  # fmt: skip
    return transformers.HubertModel(config)


def patchtst() -> Any:
    torch.manual_seed(3)
    config = transformers.PatchTSTConfig(
        num_input_channels=12, context_length=N, patch_length=20, patch_stride=20, d_model=16, num_hidden_layers=2,
        num_attention_heads=2, ffn_dim=32,
    )  # fmt: skip
    return transformers.PatchTSTModel(config)


class Convolutions(torch.nn.Module):
    """(b, 12, t) to (b, 8, n) features of places, and (b, 8) their mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = torch.nn.Conv1d(12, 8, 9, 5), torch.nn.Conv1d(8, 8, 5, 2)

    def forward(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        local = self.other(self.one(signal).relu()).tanh()
        return local, local.mean(-1)


def write_graph(path: Path) -> None:
    made = torch.onnx.export(
        Convolutions().eval(), (torch.randn(3, 12, N),), dynamo=True, input_names=["ecg"], verbose=False,
        output_names=["local", "whole"], dynamic_shapes={"signal": {0: torch.export.Dim("batch")}},
    )  # fmt: skip
    made.save(str(path), external_data=True)  # as PyTorch does by default: the weights lie in a file beside it


@cache
def graph_files() -> dict[str, bytes]:
    """What such a graph consists of, by the names of the files."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_graph(Path(folder) / "weights.onnx")
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def write(folder: Path, kind: str, more: str = "", spec: str = INPUT) -> Path:
    """Weights of a kind, and the TOML that says what they read."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, told = "weights", ""
    if kind == "hubert":
        hubert().save_pretrained(folder / weights)
        told = '[tensor]\nlayout = "flattened"\nstandardise = "record"\n'
    elif kind == "per_lead":
        hubert().save_pretrained(folder / weights)
        told = '[tensor]\nlayout = "per_lead"\nper_mv = 10.0\n'
    elif kind == "patchtst":
        patchtst().save_pretrained(folder / weights)
        told = '[tensor]\nlayout = "time_lead"\n'
    else:
        weights = "weights.onnx"
        for name, held in graph_files().items():
            (folder / name).write_bytes(held)
        told = '[output]\nname = "local"\nfeatures = "second"\n'
    head = f'weights = "{weights}"\ntitle = "Tiny {kind}"\ncitation = "Nobody 2024"\nlicence = "cc-by-4.0"\n'
    path = folder / "foreign.toml"
    path.write_text(head + more + spec + told)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("foreign")
    return {kind: write(folder / kind, kind, "absent_leads = true\n") for kind in KINDS}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    options = {"n": 120, "diagnoses": "core", "rate_hz": float(RATE), "seconds": 4.0}
    ingest("simulated", Path(), folder, options=options, rate_hz=RATE)
    return folder


@pytest.fixture
def moved() -> Any:
    """Makes fresh gates act."""

    def move(encoder: torch.nn.Module) -> None:
        torch.manual_seed(1)
        for module in encoder.modules():
            if isinstance(module, FiLM):
                torch.nn.init.normal_(module.net[-1].weight, std=0.3)

    return move


def asked(encoder: Foreign, batch: Any, **changes: torch.Tensor) -> torch.Tensor:
    inputs = {"signal": batch.signal, "lead_mask": batch.lead_mask, "time_mask": batch.time_mask, **changes}
    with torch.no_grad():
        return encoder(**inputs).pooled


def batch_of(n: int = 8) -> Any:
    return make_batch(n, SECONDS, RATE)


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_the_network_says_by_itself(kind: str, files: dict[str, Path]) -> None:
    encoder, batch = load_method(files[kind]).encoder, batch_of()
    x = batch.signal
    with torch.no_grad():
        if kind == "hubert":
            flat = x.flatten(1)
            flat = (flat - flat.mean(1, keepdim=True)) / flat.std(1, correction=0, keepdim=True)
            wanted = hubert().eval()(flat).last_hidden_state.mean(1)
        elif kind == "per_lead":
            wanted = hubert().eval()(10 * x.flatten(0, 1)).last_hidden_state.mean(1).reshape(8, 12, 16).mean(1)
        elif kind == "patchtst":
            wanted = patchtst().eval()(past_values=x.transpose(1, 2)).last_hidden_state.mean((1, 2))
        else:
            wanted = Convolutions().eval()(x)[1]
    assert torch.allclose(asked(encoder, batch), wanted, atol=1e-5)
    tokens = encoder(batch.signal, batch.lead_mask, batch.time_mask)
    assert tokens.tokens.shape[:2] == tokens.mask.shape
    assert tokens.time_ms.shape == (tokens.mask.shape[1],)
    assert tokens.time_ms.min() >= 0
    assert tokens.time_ms.max() < 1000 * SECONDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_masked_cannot_be_seen_and_records_are_apart(kind: str, files: dict[str, Path]) -> None:
    encoder, batch = load_method(files[kind]).encoder, batch_of()
    lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
    lead_mask[:, [1, 7]] = False
    time_mask[:, 150:] = False
    masks = {"lead_mask": lead_mask, "time_mask": time_mask}
    poisoned = batch.signal.clone()
    poisoned[:, [1, 7]] = torch.nan
    poisoned[:, :, 150:] = torch.nan
    expected = asked(encoder, batch, **masks)
    assert torch.isfinite(expected).all()
    assert torch.equal(expected, asked(encoder, batch, signal=poisoned, **masks))
    short = {"signal": batch.signal[..., :150], "lead_mask": lead_mask, "time_mask": time_mask[:, :150]}
    assert torch.allclose(expected, asked(encoder, batch, **short), atol=1e-5)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(asked(encoder, batch)[order], asked(encoder, batch.select(order)), atol=1e-5)
    nobody = asked(encoder, batch, lead_mask=torch.zeros_like(lead_mask))
    assert torch.isfinite(nobody).all()


def test_absent_leads_and_padding_have_no_part_in_the_mean(files: dict[str, Path]) -> None:
    """Each lead by itself: what is left of four leads is the mean of what the network says of them."""
    encoder, batch = load_method(files["per_lead"]).encoder, batch_of()
    four = torch.zeros_like(batch.lead_mask)
    four[:, :4] = True
    with torch.no_grad():
        wanted = hubert().eval()(10 * batch.signal[:, :4].flatten(0, 1)).last_hidden_state.mean(1).reshape(8, 4, 16)
    assert torch.allclose(asked(encoder, batch, lead_mask=four), wanted.mean(1), atol=1e-5)
    half = batch.time_mask.clone()
    half[:, 100:] = False
    tokens = encoder(batch.signal, batch.lead_mask, half)
    per_lead = tokens.mask.reshape(8, 12, -1)
    assert per_lead.float().mean() == pytest.approx(0.5, abs=0.1)
    assert (tokens.time_ms.reshape(12, -1)[0][per_lead[0, 0]] < 1000 + 1000 / per_lead.shape[-1]).all()


def test_flattened_tokens_belong_to_the_leads_they_lie_over(files: dict[str, Path]) -> None:
    encoder, batch = load_method(files["hubert"]).encoder, batch_of()
    only_two = torch.zeros_like(batch.lead_mask)
    only_two[:, 3:5] = True
    mask = encoder(batch.signal, only_two, batch.time_mask).mask[0]
    where = mask.nonzero().flatten().double() / len(mask)
    assert where.min() == pytest.approx(3 / 12, abs=0.02)
    assert where.max() == pytest.approx(5 / 12, abs=0.02)


def test_standardising_reads_recorded_samples_alone() -> None:
    batch = batch_of()
    lead_mask, time_mask = batch.lead_mask.clone(), batch.time_mask.clone()
    lead_mask[:, 6:], time_mask[:, 120:] = False, False
    signal = torch.where(lead_mask[:, :, None] & time_mask[:, None], batch.signal + 3, 0.0)
    by_lead = scaled(signal, lead_mask, time_mask, TensorConfig(standardise="lead"))
    assert torch.allclose(by_lead[:, :6, :120].mean(-1), torch.zeros(8, 6), atol=1e-4)
    assert torch.allclose(by_lead[:, :6, :120].std(-1, correction=0), torch.ones(8, 6), atol=1e-3)
    by_record = scaled(signal, lead_mask, time_mask, TensorConfig(standardise="record"))
    assert by_record[:, :6, :120].flatten(1).std(1, correction=0) == pytest.approx(1, abs=1e-3)
    assert not by_lead[:, 6:].any()
    assert not by_record[:, :, 120:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_gates_act_behind_every_block_and_of_a_graph_on_its_output(
    kind: str, files: dict[str, Path], moved: Any
) -> None:
    encoder, batch = load_method(files[kind]).encoder, batch_of()
    names = [point.name for point in encoder.modulation_points]
    assert names == (["output"] if kind == "graph" else ["block0", "block1"])
    before = asked(encoder, batch)
    encoder.attach("age", AgeCode())
    encoder.eval()
    with torch.no_grad():
        assert torch.equal(encoder.read(batch).pooled, before), "fresh gates are the identity"
        moved(encoder)
        ages = [batch.at_age(days) for days in (3.0, 4000.0)]
        one_by_one = [encoder.read(at_age).pooled for at_age in ages]
        conditions = [encoder.condition(at_age)["age"] for at_age in ages]
        together = encoder.read_each(batch, {"age": torch.cat(conditions)}).pooled
    assert not torch.allclose(*one_by_one, atol=1e-3)
    assert torch.allclose(together, torch.cat(one_by_one), atol=1e-4)
    # A copy modulates by its own gates.
    other = copy.deepcopy(encoder)
    for parameter in encoder.gate_parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        assert torch.allclose(other.read(ages[0]).pooled, one_by_one[0], atol=1e-5)


def test_other_bytes_are_another_graph(files: dict[str, Path]) -> None:
    encoder, batch = load_method(files["graph"]).encoder, batch_of()
    before = asked(encoder, batch)
    graph = onnx.load_from_string(encoder.network.graph.numpy().tobytes())
    for weights in graph.graph.initializer:  # the same size, other numbers
        if weights.data_type == onnx.TensorProto.FLOAT:
            weights.raw_data = (-np.frombuffer(weights.raw_data, np.float32)).tobytes()
    held = torch.frombuffer(bytearray(graph.SerializeToString()), dtype=torch.uint8)
    assert held.shape == encoder.network.graph.shape
    encoder.load_state_dict({**encoder.state_dict(), "network.graph": held})
    assert not torch.allclose(asked(encoder, batch), before, atol=1e-3)


def test_tensors_of_heads_are_left_aside(tmp_path: Path) -> None:
    """A network of this kind that was trained elsewhere carries what it was trained with."""
    path = write(tmp_path / "foreign", "hubert")
    wanted = asked(load_method(path).encoder, batch_of())
    weights = path.parent / "weights" / "model.safetensors"
    more = {"final_proj.0.weight": torch.zeros(4, 16), "label_embedding.0.weight": torch.zeros(9, 4)}
    save_file(load_file(weights) | more, weights, metadata={"format": "pt"})
    assert torch.equal(asked(load_method(path).encoder, batch_of()), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_what_began_with_it_is_saved_whole(kind: str, files: dict[str, Path], tmp_path: Path, moved: Any) -> None:
    """Saved weights need neither the TOML nor what it names, and say what their encoder said."""
    here = tmp_path / "here"
    path = write(here, kind)
    donor, batch = load_method(path), batch_of()
    card, where = load_card(path)
    assert where == path
    assert card["about"]["foreign"] == {"title": f"Tiny {kind}", "citation": "Nobody 2024", "licence": "cc-by-4.0"}
    settings = {"input": card["config"]["input"], "encoder": card["config"]["encoder"], "gate": {}}
    method = create_method("supervised", classes=("A", "B"), **settings)
    init_encoder_from(method, path)
    moved(method.encoder)
    assert torch.allclose(asked(method.eval().encoder, batch), asked(donor.encoder, batch), atol=1e-5)
    save_method(method, tmp_path / "saved")
    here.rename(tmp_path / "gone")
    again = load_method(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again.embed(batch), method.embed(batch))


@pytest.mark.parametrize("kind", ["hubert", "patchtst"])
def test_all_of_it_learns_in_training(kind: str, files: dict[str, Path]) -> None:
    card, _ = load_card(files[kind])
    method = create_method(
        "supervised", classes=("A", "B"), input=card["config"]["input"], encoder=card["config"]["encoder"], gate={}
    ).train()
    batch = replace(batch_of(), target=torch.randint(0, 2, (8, 2)).float())
    optimiser = torch.optim.SGD(method.parameters(), lr=0.01)
    for number in range(2):
        optimiser.zero_grad()
        method.step(batch, Progress(number, 10)).loss.backward()
        optimiser.step()
    silent = [n for n, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not silent
    losses = []
    for other in range(2):
        np.random.seed(other)  # noqa: NPY002
        torch.manual_seed(0)
        losses.append(method.step(batch, Progress(2, 10)).loss.item())
    assert losses[0] == losses[1], "the seed of a step does not reach what NumPy draws"


@pytest.mark.parametrize("kind", ["hubert", "graph"])
def test_the_same_untrained_is_another_network_and_there_is_none_of_a_graph(kind: str, files: dict[str, Path]) -> None:
    method = load_method(files[kind])
    assert method.encoder.is_fixed == (kind == "graph")
    if kind == "hubert":
        assert not torch.allclose(asked(untrained(method).encoder, batch_of()), asked(method.encoder, batch_of()))


def test_older_weights_are_converted_once(tmp_path: Path, converted: Path) -> None:
    """As a training leaves them: beside other things, under a prefix, with the old names of a normed weight."""
    path = write(tmp_path / "old", "hubert")
    wanted = asked(load_method(path).encoder, batch_of())
    folder = path.parent / "weights"
    (folder / "model.safetensors").unlink()
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = {}
    for name, tensor in hubert().state_dict().items():
        for now, before in names.items():
            name = name.replace(now, before)
        tensors[f"hubert.{name}"] = tensor
    torch.save({"state_dict": tensors, "epoch": 3}, folder / "checkpoint.pt")
    assert torch.allclose(asked(load_method(path).encoder, batch_of()), wanted, atol=1e-5)
    (made,) = (converted / "auricle" / "towers").glob("*/model.safetensors")
    written = made.stat().st_mtime_ns
    path.write_text(path.read_text().replace('"weights"', '"weights/checkpoint.pt"'))
    assert torch.allclose(asked(load_method(path).encoder, batch_of()), wanted, atol=1e-5)
    assert made.stat().st_mtime_ns == written
    assert not list(folder.glob("*.safetensors")), "nothing is written beside somebody's weights"


class Runs:
    """Whoever unpickles this runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('it ran')",))


def edited(path: Path, **changes: Any) -> None:
    config = path.parent / "weights" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


def test_nothing_that_runs_code_is_loaded(tmp_path: Path) -> None:
    path = write(tmp_path / "one", "hubert")
    edited(path, auto_map={"AutoModel": "modeling.Evil"})
    (path.parent / "weights" / "modeling.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ConfigError, match=r"config.json: asks for auto_map \(code of its own\).*export the network"):
        load_method(path)
    edited(path, auto_map=None, attn_implementation="somebody/kernel")
    with pytest.raises(ConfigError, match="asks for attn_implementation"):
        load_method(path)
    edited(path, attn_implementation=None, text_config={"quantization_config": {"quant_method": "x"}})
    with pytest.raises(ConfigError, match="asks for quantization_config"):
        load_method(path)
    pickled = write(tmp_path / "two", "hubert")
    (pickled.parent / "weights" / "model.safetensors").unlink()
    with (pickled.parent / "weights" / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Runs()}, file, protocol=2)
    with pytest.raises(ConfigError, match=r"pytorch_model.bin holds more than tensors, or is damaged"):
        load_method(pickled)
    # Nor by what is kept in a configuration of ours.
    with pytest.raises(ConfigError, match="auto_map"):
        HuggingFace(json.dumps({"model_type": "hubert", "auto_map": {"AutoModel": "modeling.Evil"}}))


WRONG = {
    "an unknown key": ("hubert", ("title =", "titel ="), "unknown key 'titel': did you mean 'title'"),
    "an unknown setting": ("hubert", ("standardise", "standardize"), "did you mean 'standardise'"),
    "no weights": ("hubert", ('"weights"', '"elsewhere"'), "no such weights: .*elsewhere"),
    "no key weights": ("hubert", ("weights =", "weight ="), "names no weights"),
    "two units": ("hubert", ("[tensor]\n", "[tensor]\nper_mv = 2.0\n"), "standardised signals have no unit"),
    "leads of a network": ("patchtst", ("[input]\n", '[input]\nleads = ["I", "II"]\n'), "cannot read .*2 leads of 2 s"),
    "length of a network": ("patchtst", ("seconds = 2.0", "seconds = 5.0"), "cannot read .*5 s at 100 Hz.*make input"),
    "rate of a network": ("patchtst", ("rate_hz = 100", "rate_hz = 250"), "cannot read .*2 s at 250 Hz"),
    "leads of a graph": (
        "graph", ("[input]\n", '[input]\nleads = ["I", "II"]\n'),
        r"reads \(12, 200\) of each record, and would be given \(2, 200\)",
    ),
    "rate of a graph": ("graph", ("rate_hz = 100", "rate_hz = 250"), r"would be given \(12, 500\).*input.rate_hz"),
    "layout of a graph": ("graph", ("[output]\n", '[tensor]\nlayout = "time_lead"\n[output]\n'), r"given \(200, 12\)"),
    "an output of a network": ("hubert", ("[tensor]\n", '[output]\nname = "x"\n[tensor]\n'), "one of last_hidden"),
    "an output of a graph": ("graph", ('"local"', '"x"'), "no output 'x': set output.name to one of local, whole"),
    "an output of several": ("graph", ('name = "local"\n', ""), "several outputs: set output.name to one of local"),
    "an input of a graph": ("graph", ("[output]\n", '[tensor]\nname = "x"\n[output]\n'), "tensor.name to one of ecg"),
    "tokens as one vector": ("hubert", ("[tensor]\n", '[output]\npool = "pooled"\n[tensor]\n'), "pooled is for one"),
    "what is no graph": ("graph", ('"weights.onnx"', '"no.onnx"'), "no ONNX graph that can be read"),
    "a graph without its file": ("graph", ('"weights.onnx"', '"alone.onnx"'), "alone.onnx"),
    "another rate in the folder": ("hubert", ("rate_hz = 100", "rate_hz = 90.5"), "preprocessor_config.json says 100"),
    "a state dict alone": ("hubert", ('"weights"', '"alone.pt"'), "no config.json beside the weights"),
}  # fmt: skip


def test_what_the_documents_show_is_a_configuration() -> None:
    page = (Path(__file__).parents[2] / "docs" / "foreign_weights.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shown = [validate(ForeignWeights, tomllib.loads(block), "docs") for block in blocks]
    assert [Path(one.weights).suffix for one in shown] == ["", ".onnx"]


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    kind, (old, new), words = WRONG[case]
    path = write(tmp_path / "foreign", kind)
    (path.parent / "no.onnx").write_bytes(b"no graph")
    (path.parent / "alone.pt").write_bytes(b"no config beside it")
    if kind == "graph":
        (path.parent / "alone.onnx").write_bytes((path.parent / "weights.onnx").read_bytes())
        if case == "a graph without its file":
            (path.parent / "weights.onnx.data").unlink()
    else:
        (path.parent / "weights" / "preprocessor_config.json").write_text('{"sampling_rate": 100}')
        if "rate of a network" in case:
            (path.parent / "weights" / "preprocessor_config.json").unlink()
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=words) as told:
        load_method(path)
    assert "\n" not in str(told.value)
    assert str(path.parent) in str(told.value)


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    """Where transformers would draw the rest afresh, with a warning."""
    path = write(tmp_path / "foreign", "hubert")
    edited(path, num_hidden_layers=3)
    with pytest.raises(ConfigError, match=r"tensors of weights are missing or of .*, first encoder.layers.2"):
        load_method(path)
    edited(path, num_hidden_layers=2, model_type="nobody")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_method(path)


def test_a_store_must_have_what_the_weights_must_have(store: Path, tmp_path: Path) -> None:
    """A lead that some records lack; less time, and less of the band."""
    longer = INPUT.replace(str(SECONDS), "5.0")
    path, folder = write(tmp_path / "one", "per_lead", spec=longer), tmp_path / "few"
    people = list(cohort(24, 0, rate_hz=50, seconds=3.0).recordings())
    lacking = [replace(one, signal=one.signal[:8], leads=one.leads[:8]) for one in people[12:]]
    write_store(folder, [*people[:12], *lacking])
    method, few = load_method(path), Store(folder)
    with pytest.raises(DataError, match=r"12 of 24 records lack leads .*: V3, V4, V5, V6\): .*absent_leads = true"):
        check_store(method, few, lambda: np.arange(24))
    path.write_text(path.read_text().replace("[input]", "absent_leads = true\n[input]"))
    with pytest.warns(UserWarning, match="read") as told:
        check_store(load_method(path), few, lambda: np.arange(24))
    said = " ".join(str(one.message) for one in told)
    assert "24 of 24 records are shorter than the 5 s" in said
    assert "holds nothing above 25 Hz, and the weights read up to 45 Hz" in said
    must = write(tmp_path / "three", "per_lead", spec=longer)
    task = ("--task", "simulated/diagnosis", "--steps", "1")
    tuned = auricle("finetune", folder, tmp_path / "run", "--encoder", must, *task)
    refused(tuned, "lack leads that the weights must have")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = load_method(write(tmp_path / "two", "patchtst"))
        check_store(whole, Store(store), lambda: np.arange(len(Store(store))))


def write_store(folder: Path, people: list[Recording]) -> None:
    files = folder.parent / f"{folder.name}_files"
    files.mkdir()
    lines = ["file,patient_id,labels"]
    for number, one in enumerate(people):
        write_wfdb(files / f"r{number}", one)
        lines.append(f"r{number}.hea,p{number},NORM")
    (files / "records.csv").write_text("\n".join(lines) + "\n")
    ingest("manifest", files / "records.csv", folder, rate_hz=50)


def test_results_say_that_it_may_have_seen_them(store: Path, tmp_path: Path) -> None:
    task = load_task("simulated/diagnosis")
    unknown = write(tmp_path / "one", "per_lead")
    setting = setting_of(unknown, Store(store), task, tmp_path / "out")
    assert setting.name == "foreign"
    assert setting.overlap
    assert setting.notes["overlap"] == "unknown"
    assert "may have seen" in setting.notes["foreign_weights"]
    assert setting.notes["citation"] == "Nobody 2024"
    told = write(tmp_path / "two", "per_lead", 'learned_from = ["mimic_iv_ecg"]\n')
    setting = setting_of(told, Store(store), task, tmp_path / "out")
    assert not setting.overlap
    assert setting.pretrained_on == ("mimic_iv_ecg",)
    assert "learned from mimic_iv_ecg" in setting.notes["foreign_weights"]
    same = write(tmp_path / "three", "per_lead", 'learned_from = ["simulated"]\n')
    setting = setting_of(same, Store(store), task, tmp_path / "out")
    assert setting.overlap
    assert "overlap" not in setting.notes


@pytest.mark.parametrize("kind", ["hubert", "graph"])
def test_the_command_line_probes_fine_tunes_and_predicts(kind: str, store: Path, tmp_path: Path, samples: Path) -> None:
    path, task = write(tmp_path / "foreign", kind), ("--task", "simulated/diagnosis")
    few = ("--rows", "class_prior,random_encoder", "--fractions", "100", "--seeds", "1")
    done = auricle("evaluate", "--encoder", path.parent, store, tmp_path / "out", *task, *few, "--name", "theirs")
    assert done.returncode == 0, done.stderr
    assert "theirs (foreign)" in done.stdout
    assert "**may have**" in done.stdout
    assert ("| random_encoder | not run | not run | not run" in done.stdout) == (kind == "graph")
    assert f"Tiny {kind}, trained elsewhere: what they learned from is not known here" in done.stdout
    assert "Nobody 2024. Licence: cc-by-4.0." in done.stdout
    if kind == "graph":
        assert "random_encoder is left out" in done.stderr
    (made,) = (tmp_path / "out").glob("*/theirs/linear_probe-1-0/predictions.parquet")
    meta = Predictions.read(made).meta
    assert meta.pretrained_on == (f"Tiny {kind}",)
    assert "may have seen" in str(meta.notes["foreign_weights"])
    run = tmp_path / "run"
    done = auricle("finetune", store, run, "--encoder", path, *task, "--steps", "2", "--batch-size", "8")
    assert done.returncode == 0, done.stderr
    assert ("the head and the gates behind it learn alone" in done.stderr) == (kind == "graph")
    assert "age" in load_method(run).encoder.codes
    path.parent.rename(tmp_path / "gone")  # nothing of it is needed any more
    done = auricle("evaluate", run, store, tmp_path / "tuned", "--rows", "class_prior")
    assert done.returncode == 0, done.stderr
    assert "**may have**" in done.stdout
    done = auricle("predict", samples / "newborn.hea", "--weights", run, "--age", "3d")
    assert done.returncode == 0, done.stderr
    assert f"Tiny {kind}" in done.stdout
    newborn = next(cohort(1, 0, rate_hz=RATE, seconds=4.0).recordings())
    fewer = replace(newborn, signal=newborn.signal[:6], leads=newborn.leads[:6])
    with pytest.raises(DataError, match=r"lacks V1, .*these weights must have every lead"):
        Predictor.from_pretrained(run)(fewer)


def test_the_command_line_says_what_is_wrong(store: Path, tmp_path: Path) -> None:
    path, task = write(tmp_path / "foreign", "per_lead"), ("--task", "simulated/diagnosis")
    refused(auricle("evaluate", path, store, tmp_path / "out"), "trained for no task", "--task")
    refused(auricle("evaluate", "--encoder", path, "run", store, tmp_path / "out", *task), "STORE and OUT alone")
    refused(auricle("evaluate", store, tmp_path / "out", *task), "RUN STORE OUT", "--encoder")
    refused(auricle("evaluate", "--encoder", tmp_path / "no.toml", store, tmp_path / "out", *task), "no such")
    refused(auricle("finetune", store, tmp_path / "run", "--encoder", path, "--from", path, *task), "one of the two")
    refused(
        auricle("evaluate", "--encoder", path.parent / "weights", store, tmp_path / "out", *task), "a TOML that says"
    )
    begun = ("finetune", store, tmp_path / "run", "--encoder", path, *task, "--steps", "1")
    refused(
        auricle(*begun, "model.input.seconds=3"), "read 12 leads of 2 s at 100 Hz and nothing else", "input.seconds"
    )
    refused(auricle(*begun, 'model.input.leads=["I","II"]'), "V6 would be left out", "absent_leads")
    assert not (tmp_path / "run").exists()
    refused(auricle("predict", "x.hea", "--weights", path), "answer no question yet")
    path.write_text(path.read_text().replace("rate_hz", "rate"))
    refused(auricle("evaluate", "--encoder", path, store, tmp_path / "out", *task), "unknown key", "rate_hz")


@pytest.mark.parametrize("kind", ["patchtst", "graph"])
def test_a_network_becomes_onnx_and_a_graph_does_not_once_more(
    kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    card, _ = load_card(files[kind])
    settings = {"input": card["config"]["input"], "encoder": card["config"]["encoder"], "gate": {}}
    method = create_method("supervised", classes=("A", "B"), **settings)
    init_encoder_from(method, files[kind])
    save_method(method, tmp_path / "saved")
    jaxtyping.config.update("jaxtyping_disable", True)  # symbols of a graph are no numbers to the checker of shapes
    try:
        if kind == "graph":
            with pytest.raises(CheckpointError, match="foreign: cannot be written as a graph"):
                export_onnx(tmp_path / "saved", tmp_path / "exported")
        else:
            assert max(export_onnx(tmp_path / "saved", tmp_path / "exported").differences.values()) < 1e-4
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_a_graph_reads_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    """Weights beside a graph may be named by any path."""
    (tmp_path / "secret").write_bytes(np.zeros(8, np.float32).tobytes())
    path = write(tmp_path / "foreign", "graph")
    for place in ("../secret", str(tmp_path / "secret")):
        weights = onnx.TensorProto(name="w", data_type=1, dims=[8], data_location=onnx.TensorProto.EXTERNAL)
        weights.external_data.add(key="location", value=place)
        ends = [onnx.helper.make_tensor_value_info(name, 1, ["b", 8]) for name in ("x", "local")]
        node = onnx.helper.make_node("Add", ["x", "w"], ["local"])
        made = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weights]))
        (path.parent / "weights.onnx").write_bytes(made.SerializeToString())
        with pytest.raises(ConfigError, match="no ONNX graph that can be read"):
            load_method(path)
