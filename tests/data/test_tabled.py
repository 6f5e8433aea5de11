"""Tables of very many recordings: made in parts, going on after a kill, on a cluster whose workers may die."""

from __future__ import annotations

import csv
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from auricle.cli.measure import _Measuring, _table_verb
from auricle.cli.recordings import _Lines
from auricle.data import tabled as parts
from auricle.data.inputs import inputs
from auricle.errors import ConfigError
from auricle.io.wfdb_writer import write_wfdb
from auricle.simulate import cohort
from clusters import dask_cluster
from running import auricle

N = 9


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated children, and a file that is no recording."""
    folder = tmp_path_factory.mktemp("ward")
    for number, recording in enumerate(cohort(N, seed=3, seconds=5, rate_hz=250).recordings()):
        write_wfdb(folder / f"r{number}", recording)
    (folder / "broken.hea").write_text("nothing")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    """Its lines without when they were made, and without where they were seen from."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            name: Path(value).name if name == "path" else value
            for name, value in row.items()
            if name not in {"time", "error"}
        }
        for row in rows
    ]


@pytest.mark.parametrize("verb", ["measure", "predict"])
def test_a_table_in_parts_is_the_table(ward: Path, tmp_path: Path, verb: str) -> None:
    plain = auricle(verb, ward, "--out", tmp_path / "a.csv")
    in_parts = auricle(verb, ward, "--out", tmp_path / "b.csv", "--executor", "processes", "--workers", "1")
    assert plain.returncode == in_parts.returncode == 2
    assert table(tmp_path / "a.csv") == table(tmp_path / "b.csv")
    assert len(table(tmp_path / "a.csv")) == N + 1
    assert f"{N + 1} recordings, 1 of them without an answer" in in_parts.stdout
    assert not list(tmp_path.glob("*.parts"))


def counted(given: Any) -> list[dict[str, Any]]:
    """Lines of its own, and a file for each that says that it was made."""
    for one in given:
        with (Path(os.environ["COUNTED"]) / one.record_id).open("a") as file:
            file.write("x")
    return [{"record_id": one.record_id, "n": number, "error": ""} for number, one in enumerate(given)]


def killed_at(number: int) -> Any:
    def rows_of(given: Any) -> list[dict[str, Any]]:
        if given[0].record_id == f"f{number}":
            raise KeyboardInterrupt
        return counted(given)

    return rows_of


def test_what_was_made_before_a_kill_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 3)
    (tmp_path / "made").mkdir()
    monkeypatch.setenv("COUNTED", str(tmp_path / "made"))
    given = inputs([tmp_path / f"f{number}.npz" for number in range(10)])
    out = tmp_path / "t.csv"

    def write(rows_of: Any, plan: dict[str, Any]) -> parts.Tabled:
        return parts.write_in_parts(out, given, rows_of, plan, "processes", 1, lambda done, total: None)

    with pytest.raises(KeyboardInterrupt):
        write(killed_at(6), {"a": 1})
    assert not out.exists()
    with pytest.raises(ConfigError, match="was begun with other a; remove it"):
        write(counted, {"a": 2})
    found = write(counted, {"a": 1})
    assert (found.n, found.n_failed, found.n_before) == (10, 0, 6)
    assert all((tmp_path / "made" / f"f{number}").read_text() == "x" for number in range(10))
    lines = out.read_text().splitlines()[1:]
    assert [line.partition(",")[0] for line in lines] == [f"f{number}" for number in range(10)]


def test_parts_of_another_manifest_or_without_a_plan_are_not_used(tmp_path: Path) -> None:
    from auricle.data.inputs import fingerprint

    lists, record = tmp_path / "m.csv", tmp_path / "f.hea"
    record.write_text("x")
    digests = set()
    for age in ("3d", "40yr"):
        lists.write_text(f"file,age\nf.hea,{age}\n")
        digests.add(fingerprint(inputs([lists])))
    record.write_text("xy")
    digests.add(fingerprint(inputs([lists])))
    assert len(digests) == 3

    def rows(text: str) -> Any:
        return lambda given: [{"record_id": text, "error": ""} for _ in given]

    given, out = inputs([tmp_path / "f0.npz"]), tmp_path / "t.csv"
    (tmp_path / "t.csv.parts").mkdir()
    (tmp_path / "t.csv.parts" / "000000.json").write_text('[{"record_id": "old", "error": ""}]')
    found = parts.write_in_parts(out, given, rows("new"), {}, "processes", 1, lambda done, total: None)
    assert found.n_before == 0
    assert out.read_text() == "record_id,error\nnew,\n"


def test_columns_of_a_parquet_table_keep_their_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra train")
    monkeypatch.setattr(parts, "PART", 2)

    def rows_of(given: Any) -> list[dict[str, Any]]:
        late = given[0].record_id != "f0"
        return [{"a": "x", "b": 1.5 if late else 1, "c": None, "error": "no" if late else ""} for _ in given]

    given = inputs([tmp_path / f"f{number}.npz" for number in range(4)])
    out = tmp_path / "t.parquet"
    found = parts.write_in_parts(out, given, rows_of, {}, "processes", 1, lambda done, total: None)
    assert found.n_failed == 2
    assert parquet.read_table(out).to_pylist()[3] == {"a": "x", "b": 1.5, "c": None, "error": "no"}
    assert [str(field.type) for field in parquet.read_schema(out)] == ["string", "double", "double", "string"]


def test_an_executor_needs_a_table_and_must_be_one(ward: Path, tmp_path: Path) -> None:
    done = auricle("measure", ward, "--executor", "processes")
    assert done.returncode == 2
    assert "--executor is of a table: give --out" in done.stderr
    done = auricle("measure", ward, "--out", tmp_path / "t.csv", "--executor", "slurm")
    assert done.returncode == 2
    assert "unknown executor 'slurm'" in done.stderr


def test_a_cluster_makes_the_same_table_though_a_worker_is_killed(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 4)
    given = inputs([ward / f"r{number % N}.hea" for number in range(48)])
    lines = _Lines(partial(_table_verb, _Measuring({}, None)), "now")
    alone = parts.write_in_parts(tmp_path / "a.csv", given, lines, {}, "processes", 1, lambda done, total: None)
    with dask_cluster() as cluster:
        victims = [cluster.workers[0].process.pid]

        def kill_one(done: int, total: int) -> None:
            if done and victims:
                os.kill(victims.pop(), signal.SIGKILL)

        address = f"dask:{cluster.scheduler_address}"
        found = parts.write_in_parts(tmp_path / "b.csv", given, lines, {}, address, None, kill_one)
    assert not victims
    assert found == alone == parts.Tabled(48, 0, 0)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
