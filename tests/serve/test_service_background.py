"""Work beside the answers goes on: after a fault of its own, and whatever lies in a watched folder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from auricle.serve import background, jobs
from auricle.serve.answers import JSON, Answer, Ask
from auricle.serve.jobs import Jobs
from auricle.serve.watch import Watched
from auricle.serve.workers import WorkerDiedError


class Reading:
    """Stands for the processes: answers at once, or does what it is told to."""

    def __init__(self, *faults: Exception) -> None:
        self.faults, self.asked = list(faults), list[Path]()

    async def ask_once(self, function: object, ask: Ask) -> Answer:
        self.asked.append(ask.path)
        if self.faults:
            raise self.faults.pop(0)
        return Answer(200, JSON, b'{"a": 1}')

    ask = ask_once


def accepted(queue: Jobs, *names: str) -> str:
    async def accept() -> str:
        folder = queue.folder / "sent"
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"x")
        asked = {"age": "", "sex": "", "gestation": "", "language": "en"}
        return (await queue.accept(folder, "measure", asked))[0]

    return asyncio.run(accept())


def done(queue: Jobs, job: str, seconds: float = 10.0) -> list[dict[str, object]]:
    """The answers of a job once it is finished."""

    async def run() -> list[dict[str, object]]:
        queue.begin()
        end = time.monotonic() + seconds
        while not (queue.about(job) or {})["finished"]:
            assert time.monotonic() < end, queue.about(job)
            await asyncio.sleep(0.01)
        lines = [json.loads(line) async for line in queue.lines(job)]
        await queue.stop()
        return lines

    return asyncio.run(run())


def test_a_recording_that_ends_two_processes_is_given_up_and_the_next_one_read(tmp_path):
    reading = Reading(WorkerDiedError("1"), WorkerDiedError("2"))
    queue = Jobs(tmp_path / "jobs", reading, 1, 1.0)  # type: ignore[arg-type]
    lines = done(queue, accepted(queue, "a.xml", "b.xml"))
    assert "twice" in lines[0]["error"]  # type: ignore[operator]
    assert lines[1] == {"file": "b.xml", "a": 1}
    assert [path.name for path in reading.asked] == ["a.xml", "a.xml", "b.xml"]


def test_a_fault_of_the_service_ends_no_work(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "_PAUSE_S", 0.01)
    queue = Jobs(tmp_path / "jobs", Reading(sqlite3.OperationalError("disk I/O error")), 1, 1.0)  # type: ignore[arg-type]
    lines = done(queue, accepted(queue, "a.xml"))
    assert lines == [{"file": "a.xml", "a": 1}]


def test_a_fault_is_logged_without_what_it_says(caplog, monkeypatch):
    monkeypatch.setattr(background, "_PAUSE_S", 0.01)
    seen = []

    async def act() -> None:
        seen.append(len(seen))
        if len(seen) < 3:
            raise ValueError("Anna Mueller")
        await asyncio.sleep(60)

    async def run() -> None:
        task = background.keep_doing(act)
        while len(seen) < 3:
            await asyncio.sleep(0.01)
        task.cancel()

    with caplog.at_level("ERROR", logger="auricle.serve"):
        asyncio.run(run())
    assert len(caplog.messages) == 2
    assert all("ValueError" in text and "Mueller" not in text for text in caplog.messages)


def test_finished_jobs_are_forgotten_when_their_time_has_come(tmp_path):
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 0.0002)  # type: ignore[arg-type]
    job = accepted(queue, "a.xml")

    async def run() -> None:
        queue.begin()
        end = time.monotonic() + 10
        while queue.about(job) is not None:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        await queue.stop()

    asyncio.run(run())
    assert not (tmp_path / "jobs" / job).exists()


def test_what_was_not_accepted_is_removed_at_the_next_start_and_nothing_else(tmp_path):
    half, upload, other = (tmp_path / "jobs" / name for name in ("0" * 32, "auricle-upload-x", "other_study"))
    for folder in (half, upload, other):
        folder.mkdir(parents=True)
    Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    assert not half.exists()
    assert not upload.exists()
    assert other.exists()


@pytest.mark.parametrize("name", ["..", ".", "other_study", "auricle-upload-x"])
def test_a_name_that_is_no_jobs_removes_nothing(tmp_path, name):
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    for folder in ("other_study", "auricle-upload-x"):
        (tmp_path / "jobs" / folder).mkdir()
    (tmp_path / "precious").mkdir()
    assert not queue.forget(name)
    left = {path.name for path in (tmp_path / "jobs").iterdir()}
    assert {"jobs.sqlite", "other_study", "auricle-upload-x"} <= left
    assert (tmp_path / "precious").exists()


def test_many_answers_come_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_PAGE", 3)
    queue = Jobs(tmp_path / "jobs", Reading(), 2, 1.0)  # type: ignore[arg-type]
    names = [f"{number}.xml" for number in range(8)]
    assert [line["file"] for line in done(queue, accepted(queue, *names))] == names


def test_a_link_out_of_the_watched_folder_is_not_followed(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.xml").write_bytes(b"x")
    (inside / "link.xml").symlink_to(outside / "secret.xml")
    (inside / "own.xml").write_bytes(b"x")
    watched = Watched(inside, Reading())  # type: ignore[arg-type]
    watched._scan()
    assert [one["name"] for one in watched.listed()] == ["own.xml"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_watched_folder_may_go_and_come_again(tmp_path, gone):
    folder = tmp_path / "watched"
    folder.mkdir()
    watched = Watched(folder, Reading())  # type: ignore[arg-type]
    (folder / "a.xml").write_bytes(b"x")
    watched._scan()
    (number,) = [one["id"] for one in watched.listed()]
    if gone:
        (folder / "a.xml").unlink()
        folder.rmdir()
    watched._scan()
    assert (watched.path(number) is None) == gone
