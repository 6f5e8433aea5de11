"""ONNX: every encoder and the weights that come along answer in onnxruntime as in PyTorch; the folder is whole."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from auricle.batch import ECGBatch
from auricle.data.collate import window_starts, windows_of
from auricle.data.sources import get_source
from auricle.encoders import ENCODERS
from auricle.errors import CheckpointError, ConfigError, MissingExtraError, UnreadableError
from auricle.export import export_onnx
from auricle.export.folder import FILES
from auricle.export.graph import Graph
from auricle.export.onnx import TOLERANCE, check, differences, write_onnx
from auricle.methods import Method, create_method, load_method, save_method
from auricle.nn.runtime import session
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.scope import Scope
from auricle.simulate import cohort
from conftest import make_batch
from running import auricle, refused

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("onnxscript", reason="the extra `export` is not installed")

ROOT = Path(__file__).parents[2]
# Encoders that do not become ONNX, with words of the reason; docs/export.md says the same.
NOT_EXPORTED: dict[str, str] = {}
# `foreign` is whatever network a user names (tests/encoders/test_foreign.py).
NAMES = [name for name in ENCODERS.names() if name != "foreign"]
# As little of each encoder as has all its parts, because exporting takes seconds a layer.
LEAST: dict[str, dict[str, Any]] = {
    "lead_graph": {"depth": 1},
    "lead_groups": {"patch_ms": (100,), "depth": 1},
    "resnet1d": {"n_stages": 2, "blocks_per_stage": 1},
    "beat_vit": {"depth": 1},
    "context1d": {"depth": 1},
    "patchtst": {"depth": 1},
    "spectral_vit": {"depth": 1},
    "s4": {"depth": 1},
    "st_vit": {"common": 1, "own": 1},
    "time_frequency": {
        part: {"name": "resnet1d", "preset": "tiny", "n_stages": 1, "blocks_per_stage": 1}
        for part in ("time", "frequency")
    },
    "wav2vec1d": {"depth": 1, "step_ms": 8.0},
    "series_image": {
        "series": {"name": "lead_graph", "preset": "tiny", "depth": 0},
        "image": {"name": "vit_image", "preset": "tiny", "depth": 0},
        "depth": 1,
    },
    "vit1d": {"depth": 1},
    "vit_image": {"depth": 1},
}
# Without filters, which the weights that come along are exported with.
PLAIN = {"rate_hz": 250, "seconds": 2.0, "band_hz": (0, 125)}


@pytest.fixture(autouse=True, scope="module")
def _shapes_unchecked() -> Iterator[None]:
    """Symbols of a graph are no numbers to the checker of shapes."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def made(encoder: str, spec: dict[str, Any] = PLAIN, **more: Any) -> Method:
    """Fresh weights, shaken so that gates and norms act."""
    torch.manual_seed(0)
    settings = {"name": encoder, "preset": "tiny", **LEAST.get(encoder, {})}
    method = create_method("supervised", encoder=settings, input=spec, **{"gate": {}, "classes": ("A", "B"), **more})
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return method.eval()


def lacking() -> ECGBatch:
    """Records without chest leads, with a gap, padded, without any lead, and of unknown age."""
    batch = make_batch(5)
    lead_mask, time_mask, signal = batch.lead_mask.clone(), batch.time_mask.clone(), batch.signal.clone()
    lead_mask[0, 6:] = False
    lead_mask[1, [0, 3]] = False
    lead_mask[3] = False
    time_mask[2, 310:] = False
    signal[0, 6:] = torch.nan
    signal[1, 2, 100:160] = torch.nan
    signal[2, :, 310:] = 1e6
    return replace(batch, signal=signal, lead_mask=lead_mask, time_mask=time_mask)


@pytest.mark.parametrize("name", NAMES)
def test_every_encoder_answers_as_in_torch(name: str, tmp_path: Path) -> None:
    method = made(name)
    graph, path = Graph(method, Predictor(method)), tmp_path / "model.onnx"
    if name in NOT_EXPORTED:
        with pytest.raises(CheckpointError, match=NOT_EXPORTED[name]):
            write_onnx(graph, path)
        return
    write_onnx(graph, path)
    onnx.checker.check_model(str(path), full_check=True)
    batch = lacking()
    found = differences(graph, path, [batch, batch.select(torch.tensor([0, 4, 3]))])
    assert max(found.values()) <= TOLERANCE, found
    # What was compared differs between records and by age, or it would prove little.
    embedding = asked(path, graph, batch)["embedding"]
    older = asked(path, graph, batch.at_age(12_000.0))["embedding"]
    assert np.abs(embedding[0] - embedding[4]).max() > 100 * TOLERANCE
    assert np.abs(embedding - older).max() > 100 * TOLERANCE


def test_no_encoder_is_excused_that_is_not_there() -> None:
    assert NOT_EXPORTED.keys() | LEAST.keys() <= set(ENCODERS.names())


def asked(path: Path, graph: Graph, batch: ECGBatch) -> dict[str, np.ndarray]:
    answers = session(path).run(None, graph.feed(graph.tensors(batch)))
    return dict(zip((port.name for port in graph.outputs), answers, strict=True))


def test_what_depends_on_a_batch_is_refused(tmp_path: Path) -> None:
    method = made("resnet1d")
    encode = method.encoder.encode
    method.encoder.encode = lambda signal, *rest: encode(signal if bool(signal.sum() > 0) else -signal, *rest)
    with pytest.raises(CheckpointError, match=r"resnet1d: cannot be written as a graph"):
        write_onnx(Graph(method, Predictor(method)), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class TestOtherWeights:
    """Weights that answer otherwise than by a calibrated head."""

    def test_sentences(self) -> None:
        method = create_method("merl", "tiny").eval()
        torch.manual_seed(0)
        method.keep_prompts("one", ("A", "B", "C"), torch.randn(3, method.config.text.width))
        predictor = Predictor(method)
        recording = next(cohort(1, 3, rate_hz=250, seconds=2).recordings())
        graph = Graph(method, predictor)
        assert [port.name for port in graph.outputs] == ["similarities", "embedding"]
        with torch.no_grad():
            similarities, _ = graph(*graph.tensors(windows_of(recording, graph.spec)))
        wanted = list(predictor(recording, ()).scores.values())
        assert np.allclose(similarities[0].numpy(), wanted, atol=1e-6)

    def test_laboratory_values(self, tmp_path: Path) -> None:
        panel = {"tests": ("potassium_mmol_l", "troponin_ng_l")}
        method = made("resnet1d", labs=panel)
        graph = Graph(method, Predictor(method))
        assert [port.name for port in graph.inputs][3:] == ["age_days", "male", "labs"]
        batch = lacking()
        unknown = graph.tensors(batch)
        assert torch.isnan(unknown[-1]).all()
        values, mask = torch.rand(5, 2) * 9, torch.tensor([[True, False]]).expand(5, 2)
        known = graph.tensors(replace(batch, labs=values, labs_mask=mask))
        assert torch.isnan(known[-1][:, 1]).all()
        with torch.no_grad():
            wanted = method.encode(replace(batch, labs=values, labs_mask=mask)).pooled
            name = [port.name for port in graph.outputs].index("embedding")
            assert torch.allclose(graph(*known)[name], wanted)
            assert not torch.allclose(graph(*unknown)[name], wanted, atol=1e-3)
        path = tmp_path / "model.onnx"
        write_onnx(graph, path)
        assert max(differences(graph, path, [batch, replace(batch, labs=values, labs_mask=mask)]).values()) <= TOLERANCE
        assert max(check(graph, path).values()) <= TOLERANCE

    def test_one_class_of_all_is_a_softmax_of_the_windows_together(self, tmp_path: Path) -> None:
        from auricle.audit.models import model_of

        save_method(made("resnet1d", answers="single_label"), tmp_path / "weights")
        export_onnx(tmp_path / "weights", tmp_path / "graph")
        graph, weights = (model_of(str(tmp_path / name)) for name in ("graph", "weights"))
        people = list(cohort(3, 5, rate_hz=250.0, seconds=10.0).recordings())
        answered = [
            pair for pair in zip(graph.scores(people), weights.scores(people), strict=True) if isinstance(pair[1], dict)
        ]
        assert answered
        for ours, theirs in answered:
            assert sum(ours.values()) == pytest.approx(1)
            assert ours == pytest.approx(theirs, abs=TOLERANCE)

    def test_an_embedding_alone_at_another_rate(self, tmp_path: Path) -> None:
        """Weights that answer no question, and signals of 500 Hz for weights that read 250."""
        settings = {"name": "resnet1d", "preset": "tiny", **LEAST["resnet1d"]}
        method = create_method("acl_ecg", "tiny", encoder=settings, region={"weight": 0}).eval()
        save_method(method, tmp_path / "weights")
        made = export_onnx(tmp_path / "weights", tmp_path / "onnx", rate_hz=500, licence="cc-by-4.0")
        assert made.differences.keys() == {"embedding"}
        config = json.loads((tmp_path / "onnx" / "config.json").read_text())
        assert (config["kind"], config["rate_hz"], config["n_samples"]) == ("embedding", 500, 1000)
        page = (tmp_path / "onnx" / "README.md").read_text()
        assert page.startswith("---\nlicense: cc-by-4.0\n")
        assert "not say what they learned from" in page
        assert not (tmp_path / "onnx" / "scope.safetensors").exists()
        run_example(page, tmp_path / "onnx", config)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that come along, exported by the command line."""
    folder = tmp_path_factory.mktemp("export") / "lisa-nano"
    said = auricle("export", folder)
    assert said.returncode == 0, said.stderr
    assert "MB" in said.stdout
    assert "largest difference" in said.stdout
    assert not said.stderr
    return folder


def answered(folder: Path, recording: Recording, age_days: float) -> dict[str, np.ndarray]:
    """What a program without auricle asks of a recording at the rate of the graph, all windows as one."""
    config = json.loads((folder / "config.json").read_text())
    n, rows = config["n_samples"], {lead: row for row, lead in enumerate(config["leads"])}
    assert recording.rate_hz == config["rate_hz"]
    recording = recording.trimmed()
    windows = []
    for start in window_starts(recording.signal.shape[1], n):
        window = np.full((len(rows), n), np.nan, np.float32)
        for lead, trace in zip(recording.leads, recording.signal, strict=True):
            if lead in rows:
                part = trace[start : start + n]
                window[rows[lead], : len(part)] = part
        windows.append(window)
    signal = np.stack(windows)
    present = [lead in recording.leads for lead in rows]
    feed = {
        "signal": signal,
        "lead_mask": np.tile(present, (len(signal), 1)),
        "time_mask": np.isfinite(signal).any(1),
        "age_days": np.full(len(signal), age_days, np.float32),
    }
    names = [port["name"] for port in config["outputs"]]
    found = dict(zip(names, session(folder / "model.onnx").run(None, feed), strict=True))
    found["answer"] = 1 / (1 + np.exp(-found["logits"].mean(0)))
    return found


def agrees(folder: Path, predictor: Predictor, recording: Recording) -> None:
    """The graph says what the predictor says, at the recording's age and at an unknown one."""
    prediction = predictor(recording, ())
    age = recording.age.best_days if recording.age else np.nan
    found = answered(folder, recording, age)
    assert np.abs(found["answer"] - list(prediction.scores.values())).max() <= TOLERANCE
    shares = list(prediction.group_contributions.values())
    assert np.abs(found["group_contributions"].mean(0) - shares).max() <= TOLERANCE
    unknown = answered(folder, recording, np.nan)
    assert np.abs(unknown["answer"] - list(prediction.scores_without_age.values())).max() <= TOLERANCE


def limb_leads(recording: Recording) -> Recording:
    rows = [row for row, lead in enumerate(recording.leads) if not lead.startswith("V")]
    return replace(recording, signal=recording.signal[rows], leads=tuple(recording.leads[row] for row in rows))


def read_by(predictor: Predictor, recordings: Iterator[Recording], n: int) -> list[Recording]:
    """The first recordings that the weights answer for."""
    found = []
    for recording in recordings:
        try:
            predictor(recording, ())
        except UnreadableError:
            continue
        found.append(recording)
        if len(found) == n:
            break
    return found


def test_simulated_people_get_the_answers_of_the_predictor(exported: Path) -> None:
    predictor = Predictor.from_pretrained()
    predictor.scope = None  # fewer leads and short traces are compared, too, where they would be refused
    for seconds in (10.0, 23.0, 6.5):
        people = cohort(6, 8, rate_hz=100, seconds=seconds).recordings()
        for recording in read_by(predictor, people, 2):
            agrees(exported, predictor, recording)
            agrees(exported, predictor, limb_leads(recording))


def test_an_audit_asks_the_graph_as_its_weights(exported: Path, tmp_path: Path) -> None:
    from auricle.audit.models import model_of

    graph, weights = model_of(str(exported)), model_of("lisa-nano")
    assert graph.task == weights.task
    assert graph.is_probability
    # Of any rate and length: brought to the graph's rate, and its windows pooled as logits.
    people = [*cohort(2, 5, rate_hz=250.0).recordings(), *cohort(2, 6, rate_hz=500.0, seconds=23.0).recordings()]
    n_compared = 0
    for ours, theirs in zip(graph.scores(people), weights.scores(people), strict=True):
        if not isinstance(theirs, str):  # the graph itself refuses nothing
            assert not isinstance(ours, str)
            assert max(abs(ours[name] - theirs[name]) for name in theirs) < 0.02
            n_compared += 1
    assert n_compared >= 2
    config = json.loads((exported / "config.json").read_text())
    (tmp_path / "model.onnx").write_bytes((exported / "model.onnx").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "seconds": config["seconds"] / 2}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"does not read what its config\.json says"):
        model_of(str(tmp_path)).scores(people[:1])
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "config.json").write_text(json.dumps({"format": "other"}), encoding="utf-8")
    with pytest.raises(ConfigError, match="no export"):
        model_of(str(tmp_path))


def slower(recording: Recording) -> Recording:
    """A recording of 500 Hz at the 100 Hz that the graph takes."""
    assert recording.rate_hz == 500
    return replace(recording, signal=resample_poly(recording.signal, 1, 5, axis=1).astype(np.float32), rate_hz=100.0)


def real(folder: Path, name: str, n: int, **options: Any) -> Iterator[Recording]:
    source = get_source(name, **options)
    for row in source.index(folder).to_dict("records")[:n]:
        yield source.read(folder, row)


def test_real_adults_get_the_answers_of_the_predictor(exported: Path, real_data: Path) -> None:
    predictor = Predictor.from_pretrained()
    recordings = read_by(predictor, real(real_data / "ptb-xl", "ptb_xl", 20, rate_hz=100), 8)
    assert len(recordings) == 8
    for recording in recordings:
        agrees(exported, predictor, recording)
        agrees(exported, predictor, replace(recording, age=None))
    predictor.scope = None
    agrees(exported, predictor, limb_leads(recordings[0]))
    at_100 = map(slower, real(real_data / "csn", "csn", 12))
    for recording in read_by(predictor, at_100, 3):
        agrees(exported, predictor, recording)


def test_the_folder_is_weights_as_well(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == set(FILES)
    recording = next(cohort(1, 5, rate_hz=250).recordings())
    whole, copied = Predictor.from_pretrained(), Predictor.from_pretrained(exported)
    assert copied(recording, ()).scores == whole(recording, ()).scores
    # What a graph does not do can be done beside it, without torch.
    scope = Scope.load(exported, copied.method.encoder.width)
    recording = next(cohort(1, 5, rate_hz=100).recordings())
    unaged = answered(exported, recording, np.nan)["embedding"].mean(0)
    assert not scope.against(unaged.astype(np.float64), recording.age)
    assert scope.against(unaged + 100, recording.age)


def test_on_the_hub_the_folder_brings_its_scope(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(name: str, allow_patterns: list[str]) -> str:
        assert name == "someone/weights"
        for path in exported.iterdir():
            if any(path.match(pattern) for pattern in allow_patterns):
                (tmp_path / path.name).write_bytes(path.read_bytes())
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert Predictor.from_pretrained("someone/weights").scope is not None
    assert not (tmp_path / "model.onnx").exists()


def test_the_graph_tells_nothing_of_the_machine_and_keeps_no_pickle(exported: Path) -> None:
    content = (exported / "model.onnx").read_bytes()
    for word in (b"/site-packages", str(ROOT).encode(), b".py", b"stack_trace"):
        assert word not in content
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    sizes = [value.type.tensor_type.shape.dim[0].dim_param for value in (*model.graph.input, *model.graph.output)]
    assert set(sizes) == {"batch"}
    assert {entry.key: entry.value for entry in model.metadata_props}["use"].startswith("Research use")


def test_the_card_says_what_the_weights_say(exported: Path) -> None:
    page, card = ((exported / name).read_text() for name in ("README.md", "auricle.json"))
    front, _, body = page.removeprefix("---\n").partition("\n---\n")
    assert front.startswith("license: apache-2.0\nlibrary_name: auricle\ntags:\n- ecg\n")
    assert "**Research use, not a diagnosis.**" in body
    assert "Licence of `ptb_xl`: CC BY 4.0." in body
    assert "No class was tested on real children." in body
    test = next(test for test in json.loads(card)["about"]["tests"] if test["source"] == "ptb_xl")
    low, high = test["interval"]["AFIB"]
    told = f"{100 * test['auroc']['AFIB']:.1f} [{100 * low:.1f}, {100 * high:.1f}] ({test['positive']['AFIB']})"
    assert re.search(rf"^\| AFIB \| atrial fibrillation \| .*{re.escape(told)}", body, re.MULTILINE)
    for name in Predictor.from_pretrained().classes:
        assert f"\n| {name} | " in body


def run_example(page: str, folder: Path, config: dict[str, Any]) -> str:
    """Run the first Python of a page where an `ecg.npy` lies."""
    recording = next(cohort(1, 5, rate_hz=config["rate_hz"], seconds=config["seconds"]).recordings())
    np.save(folder / "ecg.npy", recording.signal)
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(code.group(1), "example", "exec"), {})
    finally:
        (folder / "ecg.npy").unlink()
    return said.getvalue()


def test_the_examples_run_as_they_stand(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    for page in (exported / "README.md", ROOT / "docs" / "export.md"):
        said = run_example(page.read_text(), exported, config)
        assert "'SR': " in said


@pytest.fixture
def ready_made(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is exported, its graph is that of the weights that come along: tracing takes long."""
    graph = (exported / "model.onnx").read_bytes()
    monkeypatch.setattr("auricle.export.folder.write_onnx", lambda _, path: path.write_bytes(graph))


@pytest.mark.usefixtures("ready_made")
def test_an_export_is_replaced_and_nothing_else(exported: Path, tmp_path: Path) -> None:
    save_method(load_method(exported), tmp_path / "weights")
    folder = tmp_path / "onnx"
    folder.mkdir()
    export_onnx(tmp_path / "weights", folder)  # an empty folder
    assert not (folder / "scope.safetensors").exists()
    export_onnx(exported, folder)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    export_onnx(tmp_path / "weights", folder, licence="mit")
    assert {path.name for path in folder.iterdir()} == set(FILES) - {"scope.safetensors"}
    assert json.loads((folder / "config.json").read_text())["licence"] == "mit"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["onnx", "weights"]
    (folder / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match=r"holds notes\.txt, which no export wrote"):
        export_onnx(tmp_path / "weights", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # Weights that were never exported have names that an export has, too.
    with pytest.raises(ConfigError, match=r"holds auricle\.json"):
        export_onnx(exported, tmp_path / "weights")
    assert load_method(tmp_path / "weights")


@pytest.mark.usefixtures("ready_made")
def test_a_graph_that_answers_otherwise_is_not_handed_over(exported: Path, tmp_path: Path) -> None:
    method = load_method(exported)
    with torch.no_grad():
        next(iter(method.head.parameters())).add_(0.01)
    save_method(method, tmp_path / "weights")
    with pytest.raises(CheckpointError, match=r"does not answer as its weights do: probabilities by 0\.0"):
        export_onnx(tmp_path / "weights", tmp_path / "onnx")
    save_method(made("resnet1d"), tmp_path / "weights")
    with pytest.raises(CheckpointError, match=r"cannot be run"):
        export_onnx(tmp_path / "weights", tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "thesis.tex").write_text("mine")
    file.write_text("mine")
    refused(auricle("export", full), "thesis.tex", "name a new or an empty folder")
    refused(auricle("export", file), "is a file")
    refused(auricle("export", file / "below"), "cannot be written")
    refused(auricle("export", tmp_path / "new", "--weights", full), "no auricle.json in it")
    refused(auricle("export", tmp_path / "new", "--rate-hz", "0"), "a rate of 0 Hz")
    refused(auricle("export", tmp_path / "new", "--rate-hz", "nan"), "a rate of nan Hz")
    refused(auricle("export", tmp_path / "new", "--task", "nothing"), "no prompts of nothing")

    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(f"{module} is not installed: pip install 'auricle[{extra}]'")

    monkeypatch.setattr("auricle.export.folder.require", missing)
    refused(auricle("export", tmp_path / "new"), "onnx is not installed", "auricle[export]")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]
