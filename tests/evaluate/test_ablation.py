"""Ablations: rows as data, trained once, asked alike, in one table; every one that comes along is valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.errors import AuricleError, ConfigError, UnknownNameError
from auricle.evaluate.ablate import ablation_table, run_ablation
from auricle.evaluate.ablation import (
    Ablation,
    Called,
    Frame,
    Row,
    donor_config,
    list_ablations,
    load_ablation,
    n_weights,
    row_config,
    row_values,
)
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import answered
from auricle.evaluate.thresholds import thresholds_at
from auricle.leads import STANDARD
from auricle.methods import load_card, load_method
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.setup import load_run
from auricle.train.watch import Watcher
from running import auricle, refused


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation") / "store"
    options = {"n": 120, "diagnoses": "core", "rate_hz": 100, "seconds": 4}
    ingest("simulated", Path(), folder, options=options, rate_hz=100, workers=1)
    return folder


@pytest.mark.parametrize("name", list_ablations())
def test_every_row_of_every_ablation_is_a_valid_run(name: str, tmp_path: Path) -> None:
    ablation = load_ablation(name)
    frame = Frame(tmp_path, load_task("simulated/diagnosis"), tmp_path, pretrain=tmp_path)
    trained = [row for row in ablation.rows if not row.reference]
    resolved = [validate(RunConfig, row_values(ablation, row, frame, 0), row.name) for row in trained]
    models = [config.model_dump_json() for config in resolved]
    assert len(set(models)) == len(models), "two rows are the same run"
    assert len({row.name for row in ablation.rows}) == len(ablation.rows)


def test_the_seven_of_the_document_are_there() -> None:
    names = {row.name for row in load_ablation("mirage").rows}
    assert names >= {
        "Full model", "w/o Laboratory", "w/o IMG", "w/o TS", "w/o Contrast", "w/o Shared", "Late-Concat", "All-Shared",
    }  # fmt: skip


@pytest.mark.parametrize(("preset", "scale"), [("nano", 250), ("small", 100)])
def test_rows_of_the_proposal_have_encoders_of_one_size_at_every_preset(preset: str, scale: float) -> None:
    ablation = load_ablation("lisa")
    frame = Frame(Path(), load_task("simulated/diagnosis"), Path(), over={"model": {"preset": preset}})
    runs = {row.name: row_config(ablation, row, frame, 0) for row in ablation.rows}
    sizes = {name: n_weights(config) for name, config in runs.items()}
    assert all(abs(size / sizes["A5 full"] - 1) < 0.15 for size in sizes.values()), sizes
    assert runs["A3 one scale"].model.encoder.patch_ms == (scale,), "the middle one of this preset"
    full = runs["A5 full"].model.encoder.groups
    for draw in ("first", "second"):
        groups = runs[f"random groups, {draw} draw"].model.encoder.groups
        assert sorted(map(len, groups.values())) == sorted(map(len, full.values()))
        assert sorted(lead for group in groups.values() for lead in group) == sorted(STANDARD)


def test_what_cannot_be_taken_or_sized_is_said() -> None:
    base = {"model": {"name": "lisa", "preset": "tiny"}}
    frame = Frame(Path(), load_task("simulated/diagnosis"), Path())
    for row, why in (
        ({"take": {"model.encoder.patch_ms": (5,)}}, "has no entry 5"),
        ({"take": {"model.encoder.patches": (0,)}}, "the run has no model.encoder.patches"),
        (
            {"sized_by": "model.encoder.width", "run": {"model": {"encoder": {"stem_width": 256}}}},
            "no width gives",
        ),
    ):
        rows = ({"name": "full"}, {"name": "odd", **row})
        ablation = validate(Ablation, {"title": "t", "sized_like": "full", "base": base, "rows": rows}, "ablation")
        with pytest.raises(ConfigError, match=why):
            row_config(ablation, ablation.rows[1], frame, 0)


def test_rows_are_trained_once_and_stand_in_one_table(store: Path, tmp_path: Path) -> None:
    encoder = {"name": "resnet1d", "preset": "tiny"}
    model = {"name": "supervised", "input": {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}, "encoder": encoder}
    ablation = Ablation(
        title="gate",
        metrics=("accuracy", "auroc"),
        base={"model": {**model, "gate": {}}, "train": {"steps": 2, "batch_size": 8}},
        rows=(Row(name="with gate"), Row(name="without", drop=("model.gate",))),
    )
    frame = Frame(store, load_task("simulated/diagnosis"), tmp_path, seeds=(0, 1))
    said: list[str] = []
    table = run_ablation(ablation, frame, Watcher(), said.append)
    assert len(said) == 5
    assert said[1].startswith("4 trainings, at the pace of this one about ")
    assert [row[0] for row in table.rows] == ["with gate", "without"]
    assert all("±" in cell for row in table.rows for cell in row[1:])
    again = run_ablation(ablation, frame, Watcher(), said.append)
    assert again == table
    assert len(said) == 5, "nothing is trained twice"
    longer = ablation.model_copy(update={"base": {**ablation.base, "train": {"steps": 3, "batch_size": 8}}})
    with pytest.raises(ConfigError, match=r"was made with another train\.steps"):
        run_ablation(longer, frame, Watcher())


def test_rows_may_have_equal_time_in_place_of_equal_steps(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps follow from what is timed, the faster of two times; a table that goes on is not timed again."""
    paces, timed = {8: [100.0, 200.0], 16: [50.0, 40.0]}, []

    def timing(config: RunConfig) -> SimpleNamespace:
        width = config.model.encoder.width
        timed.append(width)
        pace = paces[width][timed.count(width) - 1]
        return SimpleNamespace(records_per_second=pace, read_per_second=400.0, read_together=width == 16)

    monkeypatch.setattr("auricle.evaluate.equal_time.throughput", timing)
    base = {"name": "supervised", "input": {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}}
    rows = tuple(
        Row(name=name, run={"model": {"encoder": {"name": "resnet1d", "preset": "tiny", "width": width}}, **more})
        for name, width, more in (("narrow", 8, {}), ("wide", 16, {}), ("as it was", 8, {"train": {"steps": 1}}))
    )
    ablation = Ablation(title="t", base={"model": base, "train": {"steps": 9, "batch_size": 8}}, rows=rows)
    frame = Frame(store, load_task("simulated/diagnosis"), tmp_path, minutes=0.002)
    table = run_ablation(ablation, frame, Watcher())
    # .12 s: 200 records a second make 3 steps of 8; 50 with reading at 400 between them make 5.3 records, under one.
    steps = {name: load_run(tmp_path / "runs" / f"{name}-0").train.steps for name in ("narrow", "wide", "as-it-was")}
    assert steps == {"narrow": 3, "wide": 1, "as-it-was": 1}
    assert timed == [8, 16, 8, 16]
    assert any("0.002 min each" in note and "narrow 3, wide 1" in note for note in table.notes)
    assert run_ablation(ablation, frame, Watcher()) == table
    assert len(timed) == 4
    assert table.rows == run_ablation(ablation, frame, Watcher()).rows
    for other in (1.0, None):
        with pytest.raises(ConfigError, match="with other minutes"):
            run_ablation(ablation, replace(frame, minutes=other), Watcher())
    refused(
        auricle("ablate", "age_gate", store, tmp_path, "--steps", 2, "--minutes", 1), "equal steps or equal minutes"
    )


def test_a_donor_without_steps_of_its_own_takes_its_share_of_what_is_typed() -> None:
    donors = {"first": {"share": 0.25, "model": {"name": "vq_hbr", "preset": "tiny"}},
              "own": {"model": {"name": "simclr", "preset": "tiny"}, "train": {"steps": 7}}}  # fmt: skip
    rows = (
        {"name": "second", "donor": "first", "share": 0.75, "run": {"model": {"name": "heartlang", "preset": "tiny"}}},
        {"name": "other", "donor": "own", "run": {"model": {"name": "simclr"}}},
    )
    base = {"train": {"steps": 40, "batch_size": 4}}
    ablation = validate(Ablation, {"title": "t", "base": base, "rows": rows, "donors": donors}, "ablation")
    frame = Frame(Path("a"), load_task("simulated/diagnosis"), Path("b"), pretrain=Path("c"))

    def steps(frame: Frame) -> list[object]:
        first = row_config(ablation, ablation.rows[0], frame, 0).train
        train = donor_config(ablation, "first", frame).train
        return [(one.steps, one.epochs, one.batch_size) for one in (train, first)]

    assert steps(frame) == [(10, None, 4), (30, None, 4)]
    assert steps(replace(frame, over={"train": {"steps": 80, "batch_size": 8}})) == [(20, None, 8), (60, None, 8)]
    assert [epochs for _, epochs, _ in steps(replace(frame, over={"train": {"epochs": 8}}))] == [2, 6]
    assert steps(replace(frame, steps={"second": 400, "donor first": 100})) == [(25, None, 4), (300, None, 4)]
    assert donor_config(ablation, "own", replace(frame, over={"train": {"steps": 80}})).train.steps == 7


def test_a_wrong_row_is_refused_before_anything_is_trained(store: Path, tmp_path: Path) -> None:
    ablation = Ablation(
        title="wrong", base={"model": {"name": "supervised", "preset": "tiny"}},
        rows=(Row(name="right"), Row(name="wrong", run={"model": {"wdith": 3}})),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="row 'wrong': "):
        run_ablation(ablation, Frame(store, load_task("simulated/diagnosis"), tmp_path), Watcher())
    assert not any(tmp_path.iterdir())


def test_some_rows_may_be_asked_for() -> None:
    ablation = load_ablation("cg_dmer")
    assert ablation.only(()) == ablation
    wanted = ("no alignment", "cg_dmer")
    assert [row.name for row in ablation.only(wanted).rows] == ["cg_dmer", "no alignment"]
    with pytest.raises(UnknownNameError, match="did you mean 'no alignment'"):
        ablation.only(["no alignmnt"])


def test_names_are_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mirage'"):
        load_ablation("mirrage")
    with pytest.raises(AuricleError, match="no such configuration file"):
        load_ablation("nowhere.toml")


INPUT = {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A small ablation of the age gate on children, run once: children, adults, and the folder it was run in."""
    folder = tmp_path_factory.mktemp("children")
    for name, ages in (("children", "children"), ("adults", "adults")):
        options = {"n": 150, "ages": ages, "diagnoses": "child", "rate_hz": 100, "seconds": 4}
        ingest("simulated", Path(), folder / name, options=options, rate_hz=100, workers=1)
    return folder / "children", folder / "adults", folder / "out"


def gates() -> Ablation:
    encoder, short = {"name": "resnet1d", "preset": "tiny"}, {"steps": 2, "batch_size": 8}
    return Ablation(
        title="gates",
        calls=(Called(title="RVH falsely called, first year", called="RVH", high_days=365.25),),
        compared_with="without",
        donors={"merl": {"model": {"name": "merl", "input": INPUT, "encoder": encoder}, "train": short}},
        base={"model": {"backbone": "slow"}, "train": short},
        rows=(
            Row(name="age and sex alone", reference="age_and_sex"),
            Row(name="without", donor="merl"),
            Row(name="with gate", donor="merl", run={"model": {"gate": {}}}),
            Row(name="shuffled", donor="merl", run={"model": {"gate": {}, "input": {"age": "shuffled"}}}),
        ),
    )  # fmt: skip


def test_rows_begin_from_a_donor_and_are_compared_over_the_same_people(children: tuple[Path, Path, Path]) -> None:
    store, adults, out = children
    said: list[str] = []
    frame = Frame(store, load_task("simulated/children"), out, (0, 1), pretrain=adults)
    table = run_ablation(gates(), replace(frame, only=("without", "age and sex alone")), Watcher(), said.append)
    assert [text.split(",")[0] for text in said] == ["donor merl", "3 trainings", "without", "without"]
    assert [row[0] for row in table.rows] == ["age and sex alone", "without", "with gate", "shuffled"]
    assert table.rows[3][1:] == ("not run",) * 4, "what was not asked for stands in the table all the same"
    assert table.rows[1][3:] == ("–", "–")
    assert '--row "with gate" --row "shuffled", by the rows that were run some' in table.notes[-1]
    table = run_ablation(gates(), frame, Watcher(), said.append)
    assert len(said) == 4 + 5, "the donor is trained once"
    # Every row is of the donor's making, and the last one was told other people's ages.
    runs = {name: load_card(out / "runs" / f"{name}-0")[0] for name in ("without", "with-gate", "shuffled")}
    assert all(card["about"]["init_from"] == "merl" for card in runs.values())
    assert [card["config"]["input"]["age"] for card in runs.values()] == ["own", "own", "shuffled"]
    # A call, counted by hand.
    folders = [
        out / "results" / f"seed{seed}" / "simulated-children" / "with gate" / f"finetune-1-{seed}" for seed in (0, 1)
    ]
    shares = []
    for folder in folders:
        test, validation = (Predictions.read(folder / f"{part}.parquet") for part in ("predictions", "validation"))
        column = test.classes.index("RVH")
        threshold = thresholds_at(validation)[column]
        young = (test.age_days < 365.25) & (test.truth[:, column] == 0)
        shares.append(100 * (test.score[young, column] >= threshold).mean())
    assert table.rows[2][2].startswith(f"{np.mean(shares):.1f} ± {np.std(shares, ddof=1):.1f} [")
    assert table.header[-2:] == ("AUROC above without", "RVH falsely called, first year above without")
    difference = float(table.rows[2][3].split(" ")[0])
    auroc = [float(table.rows[row][1].split(" ")[0]) for row in (1, 2)]
    assert difference == pytest.approx(auroc[1] - auroc[0], abs=0.11)
    # The same runs, compared with another row.
    other = ablation_table(gates().against("with gate"), frame.task, out)
    assert other.header[-2] == "AUROC above with gate"
    assert float(other.rows[1][3].split(" ")[0]) == pytest.approx(-difference, abs=0.11)
    with pytest.raises(UnknownNameError, match="with gaet"):
        gates().against("with gaet")


def test_a_donor_that_learned_labels_is_asked_as_it_is(children: tuple[Path, Path, Path], tmp_path: Path) -> None:
    store, adults, _ = children
    model = {"name": "supervised", "input": INPUT, "encoder": {"name": "resnet1d", "preset": "tiny"}}
    donors = {"labels": {"model": model, "train": {"steps": 2, "batch_size": 8}}}
    ablation = Ablation(title="t", donors=donors, rows=(Row(name="adults only", donor="labels", untuned=True),))
    said: list[str] = []
    frame = Frame(store, load_task("simulated/children"), tmp_path, pretrain=adults)
    table = run_ablation(ablation, frame, Watcher(), said.append)
    assert said == ["donor labels"], "nothing else is trained"
    assert not (tmp_path / "runs").exists()
    found = tmp_path / "results" / "seed0" / "simulated-children" / "adults only" / "finetune-1-0"
    asked = Predictions.read(found / "predictions.parquet")
    method = load_method(tmp_path / "donors" / "labels")
    test = frame.task.annotated_parts(Store(store))["test"]
    assert len(asked) == len(test)
    setting = setting_of(tmp_path / "donors" / "labels", Store(store), frame.task, tmp_path / "again")
    assert np.allclose(answered(setting, protocol="finetune")[0].score, asked.score)
    assert method.class_names == asked.classes
    assert table.rows[0][1] != "not run"
    with pytest.raises(ConfigError, match="is its donor as it is"):
        validate(Ablation, {"title": "t", "rows": [{"name": "a", "untuned": True}]})
    silent = Ablation(
        title="t",
        donors={"words": {"model": {"name": "merl"}}},
        rows=(Row(name="adults only", donor="words", untuned=True),),
    )
    with pytest.raises(ConfigError, match="learns no labels"):
        row_config(silent, silent.rows[0], frame, 0)


def test_a_donor_needs_a_store_to_learn_from(children: tuple[Path, Path, Path], tmp_path: Path) -> None:
    store, _, _ = children
    with pytest.raises(ConfigError, match="--pretrain STORE"):
        run_ablation(gates(), Frame(store, load_task("simulated/children"), tmp_path / "new"), Watcher())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"compared_with": "nobody"}, "compared_with names no row"),
        ({"rows": ({"name": "a", "donor": "nobody"},)}, "begins from 'nobody', which is no donor"),
        ({"rows": ({"name": "a", "reference": "rocket", "run": {"train": {"steps": 1}}},)}, "no settings of its own"),
    ],
)
def test_names_in_an_ablation_must_exist(wrong: dict, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        validate(Ablation, {"title": "t", "rows": ({"name": "a"},), **wrong}, "ablation")


def test_pretrained_rows_learn_from_one_store_and_are_asked_on_another(
    children: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    store, adults, _ = children
    encoder = {"name": "resnet1d", "preset": "tiny"}
    ablation = Ablation(
        title="temperatures",
        fractions=(1.0,),
        protocols=("zero_shot", "linear_probe"),
        base={"model": {"name": "merl", "input": INPUT, "encoder": encoder}, "train": {"steps": 1, "batch_size": 8}},
        rows=(Row(name="one"), Row(name="two", run={"train": {"steps": 2}})),
    )
    table = run_ablation(ablation, Frame(store, load_task("simulated/children"), tmp_path, pretrain=adults), Watcher())
    assert table.header == ("", "AUROC at 100 %", "AUROC zero-shot")
    assert all("[" in cell for row in table.rows for cell in row[1:])
    assert load_card(tmp_path / "runs" / "one-0")[0]["about"]["n_records"] == len(Store(adults))


def test_rows_that_are_finished_are_asked_again_with_fewer_leads_and_not_trained_again(
    children: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    store, _, _ = children
    encoder, short = {"name": "resnet1d", "preset": "tiny"}, {"steps": 1, "batch_size": 4}
    of_labels = {"model": {"name": "supervised", "input": INPUT, "encoder": encoder}}
    without = {"model": {"name": "simclr", "preset": "tiny", "input": INPUT}}
    ablation = Ablation(
        title="leads", fractions=(1.0,), compared_with="labels", base={"train": short},
        rows=(Row(name="labels", run=of_labels), Row(name="views", run=without)),
    )  # fmt: skip
    frame = Frame(store, load_task("simulated/children"), tmp_path)
    plain = run_ablation(ablation, frame, Watcher())
    weights = tmp_path / "runs" / "views-0" / "model" / "model.safetensors"
    made, minutes = weights.stat().st_mtime_ns, (tmp_path / "minutes.json").read_text()
    again = ablation.model_copy(update={"protocols": ("linear_probe", "fewer_leads")})
    table = run_ablation(again, frame, Watcher())
    leads = [f"AUROC, {name}" for name in ("9 leads", "6 limb leads", "3 leads (I, II, V2)", "1 lead (I)")]
    assert table.header == ("", "AUROC", *leads, "AUROC above labels")
    assert [(row[0], row[1], row[-1]) for row in table.rows] == list(plain.rows)
    assert all("[" in value for row in table.rows for value in row[2:6])
    assert table.rows[1][1] != table.rows[1][5]
    assert weights.stat().st_mtime_ns == made
    assert (tmp_path / "minutes.json").read_text() == minutes, "what training took is not what asking again takes"


def test_rows_of_fewer_labels_stand_in_the_same_column_and_thresholds_that_are_none_call_nobody(
    children: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    store, _, _ = children
    encoder, short = {"name": "resnet1d", "preset": "tiny"}, {"steps": 1, "batch_size": 4}
    ablation = Ablation(
        title="children", compared_with="all",
        calls=(Called(title="3AVB", called="3AVB", low_days=1e6), Called(title="NORM", called="NORM", having="both")),
        base={"model": {"name": "supervised", "input": INPUT, "encoder": encoder}, "train": short},
        rows=(Row(name="all"), Row(name="few", run={"data": {"label_share": 0.3}})),
    )  # fmt: skip
    table = run_ablation(ablation, Frame(store, load_task("simulated/children"), tmp_path), Watcher())
    assert table.header == ("", "AUROC", "3AVB", "NORM", "AUROC above all", "3AVB above all", "NORM above all")
    assert table.rows[1][2] == table.rows[1][5] == "undefined", "nobody is as old as that"
    (folder,) = (tmp_path / "results").glob("seed0/simulated-children/few/finetune*")
    test = Predictions.read(folder / "predictions.parquet")
    column = test.classes.index("NORM")
    expected = 100 * roc_auc_score(test.truth[:, column], test.score[:, column])
    assert table.rows[1][3].startswith(f"{expected:.1f} [")


class TestAFolderKnowsWhatItWasAsked:
    def small(self, **more: object) -> Ablation:
        encoder, short = {"name": "resnet1d", "preset": "tiny"}, {"steps": 1, "batch_size": 4}
        model = {"name": "supervised", "input": INPUT, "encoder": encoder}
        values = {
            "title": "small", "base": {"model": model, "train": short},
            "rows": ({"name": "w/o gate"}, {"name": "lr [1e-2]", "run": {"model": {"recipe": {"lr": 1e-2}}}}),
            "compared_with": "w/o gate", **more,
        }  # fmt: skip
        return validate(Ablation, values, "ablation")

    def test_other_records_or_another_task_are_refused(self, children: tuple[Path, Path, Path], tmp_path: Path) -> None:
        store, adults, _ = children
        frame = Frame(store, load_task("simulated/children"), tmp_path)
        run_ablation(self.small(), frame, Watcher())
        with pytest.raises(ConfigError, match="were made with other records: choose another folder"):
            run_ablation(self.small(), replace(frame, store=adults), Watcher())
        with pytest.raises(ConfigError, match="were made with other classes"):
            run_ablation(self.small(), replace(frame, task=load_task("simulated/diagnosis")), Watcher())

    def test_names_of_any_letters_are_compared_seed_by_seed(
        self, children: tuple[Path, Path, Path], tmp_path: Path
    ) -> None:
        store, _, _ = children
        table = run_ablation(self.small(), Frame(store, load_task("simulated/children"), tmp_path, (0, 1)), Watcher())
        auroc = [float(row[1].split(" ")[0]) for row in table.rows]
        assert float(table.rows[1][2].split(" ")[0]) == pytest.approx(auroc[1] - auroc[0], abs=0.11)
        assert "±" in table.rows[1][2]

    def test_wrong_questions_are_refused_before_anything_is_trained(
        self, children: tuple[Path, Path, Path], tmp_path: Path
    ) -> None:
        store, _, _ = children
        frame = Frame(store, load_task("simulated/children"), tmp_path / "new")
        with pytest.raises(ConfigError, match="asks for XYZ, which simulated/children has not"):
            run_ablation(self.small(calls=({"title": "XYZ", "called": "XYZ"},)), frame, Watcher())
        rows = ({"name": "rocket", "reference": "rocket"},)
        with pytest.raises(ConfigError, match="reference rows alone"):
            run_ablation(self.small(rows=rows, compared_with=""), frame, Watcher())
        with pytest.raises(ConfigError, match="row names must differ"):
            self.small(rows=({"name": "a b"}, {"name": "a+b"}), compared_with="")
        assert not (tmp_path / "new").exists()

    def test_a_donor_does_not_see_the_test_part_of_its_own_store(self, children: tuple[Path, Path, Path]) -> None:
        store, adults, out = children
        task = load_task("simulated/children")
        beside = store / ".." / store.name
        assert donor_config(gates(), "merl", Frame(store, task, out, pretrain=beside)).data.task == "simulated/children"
        assert donor_config(gates(), "merl", Frame(store, task, out, pretrain=adults)).data.task is None

    def test_steps_that_are_typed_go_before_epochs_of_the_file(self) -> None:
        ablation = self.small(base={"model": {"name": "supervised"}, "train": {"epochs": 50}})
        frame = Frame(Path(), load_task("simulated/children"), Path(), over={"train": {"steps": 5}})
        assert row_values(ablation, ablation.rows[0], frame, 0)["train"] == {"steps": 5, "seed": 0}
