"""Work beside the answers goes on: after a fault of its own, and whatever lies in a watched folder."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from auricle.io.wfdb_header import files_of
from auricle.serve import answers, background, jobs, watch
from auricle.serve import workers as workers_module
from auricle.serve.answers import JSON, Answer, Ask
from auricle.serve.jobs import Jobs
from auricle.serve.settings import Settings
from auricle.serve.watch import Watched
from auricle.serve.workers import WorkerDiedError, Workers


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


def test_a_recording_that_ends_three_processes_is_given_up_and_the_next_one_read(tmp_path):
    reading = Reading(*(WorkerDiedError("1") for _ in range(3)))
    queue = Jobs(tmp_path / "jobs", reading, 1, 1.0)  # type: ignore[arg-type]
    lines = done(queue, accepted(queue, "a.xml", "b.xml"))
    assert "3 times" in lines[0]["error"]  # type: ignore[operator]
    assert lines[1] == {"file": "b.xml", "a": 1}
    assert [path.name for path in reading.asked] == ["a.xml", "a.xml", "a.xml", "b.xml"]


def killed_while_it_reads(folder: Path) -> None:
    """What is left of a service that was killed while a recording was read."""
    queue = Jobs(folder, Reading(), 1, 1.0)  # type: ignore[arg-type]
    queue._next()
    queue._data.close()
    queue._lock.__exit__(None, None, None)


def test_a_recording_that_ends_the_service_each_time_is_given_up(tmp_path):
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    job = accepted(queue, "a.xml", "b.xml")
    asyncio.run(queue.stop())
    for _ in range(3):
        killed_while_it_reads(tmp_path / "jobs")
    reading = Reading()
    lines = done(Jobs(tmp_path / "jobs", reading, 1, 1.0), job)  # type: ignore[arg-type]
    assert "3 times" in lines[0]["error"]  # type: ignore[operator]
    assert lines[1] == {"file": "b.xml", "a": 1}
    assert [path.name for path in reading.asked] == ["b.xml"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_after_a_full_disk_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "_PAUSE_S", 0.01)
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    job = accepted(queue, "a.xml")
    finish, back, faults = queue._finish, queue._back, []

    def failing(whole):
        def act(*given, **more):
            if len(faults) < 6:
                faults.append(1)
                full()
            whole(*given, **more)

        return act

    monkeypatch.setattr(queue, "_finish", failing(finish))
    monkeypatch.setattr(queue, "_back", failing(back))
    assert done(queue, job) == [{"file": "a.xml", "a": 1}]
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as data:
        assert data.execute("SELECT tries FROM recordings").fetchall() == [(1,)]


def test_what_could_not_be_entered_leaves_no_files(tmp_path, monkeypatch):
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    monkeypatch.setattr(queue, "_enter", full)
    with pytest.raises(OSError, match="No space"):
        accepted(queue, "a.xml")
    assert not [path for path in (tmp_path / "jobs").iterdir() if path.is_dir()]


def test_a_full_data_base_is_a_full_disk(tmp_path):
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    queue._data.execute(f"PRAGMA max_page_count = {queue._data.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(OSError, match="No space"):
        queue._enter("0" * 32, "measure", {}, [f"{number}.xml" for number in range(5000)])
    assert queue.counts()["waiting"] == 0


def test_a_service_that_is_stopped_again_and_again_gives_nothing_up(tmp_path):
    queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
    job = accepted(queue, "a.xml")
    asyncio.run(queue.stop())
    for _ in range(4):
        queue = Jobs(tmp_path / "jobs", Reading(), 1, 1.0)  # type: ignore[arg-type]
        assert queue._next() is not None
        asyncio.run(queue.stop())
    assert done(Jobs(tmp_path / "jobs", Reading(), 1, 1.0), job) == [{"file": "a.xml", "a": 1}]  # type: ignore[arg-type]


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
    (tmp_path / "jobs").mkdir(mode=0o700)
    for folder in (half, upload, other):
        folder.mkdir()
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


def test_signals_that_are_links_out_of_the_watched_folder_are_not_followed(tmp_path, samples):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "newborn.hea").write_bytes((samples / "newborn.hea").read_bytes())
    (inside / "newborn.dat").symlink_to(samples / "newborn.dat")
    watched = Watched(inside, Reading())  # type: ignore[arg-type]
    watched._scan()
    assert watched.listed() == []


def test_a_link_that_is_made_later_is_not_followed_either(tmp_path, samples):
    inside = tmp_path / "inside"
    inside.mkdir()
    for name in ("newborn.hea", "newborn.dat"):
        (inside / name).write_bytes((samples / name).read_bytes())
    watched = Watched(inside, Reading())  # type: ignore[arg-type]
    watched._scan()
    (number,) = [one["id"] for one in watched.listed()]
    assert watched.path(number) == inside / "newborn.hea"
    (inside / "newborn.dat").unlink()
    (inside / "newborn.dat").symlink_to(samples / "newborn.dat")
    assert watched.path(number) is None


class Summing(Reading):
    """Says of a recording how many of its files are there; busy at first, where it is told so."""

    def __init__(self, busy: int = 0) -> None:
        super().__init__()
        self.busy = busy

    async def ask_once(self, function: object, ask: Ask) -> Answer:
        self.asked.append(ask.path)
        if self.busy:
            self.busy -= 1
            return Answer(503, JSON, b'{"error": "busy"}')
        n = len(files_of(ask.path))
        return Answer(200, JSON, json.dumps({"n": n} if n > 1 else {"error": "missing"}).encode())

    ask = ask_once


def looked(watched: Watched, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What is listed once something is true of it."""

    async def run() -> list[dict[str, Any]]:
        watched.begin()
        end = time.monotonic() + 10
        while not until(watched.listed()):
            assert time.monotonic() < end, watched.listed()
            await asyncio.sleep(0.01)
        await watched.stop()
        return watched.listed()

    return asyncio.run(run())


def test_a_header_that_comes_before_its_signals_is_read_again_when_they_come(tmp_path, samples, monkeypatch):
    monkeypatch.setattr(watch, "_EVERY_S", 0.05)
    watched = Watched(tmp_path, Summing())  # type: ignore[arg-type]
    (tmp_path / "newborn.hea").write_bytes((samples / "newborn.hea").read_bytes())
    (before,) = looked(watched, lambda listed: bool(listed and "error" in listed[0]))
    (tmp_path / "newborn.dat").write_bytes((samples / "newborn.dat").read_bytes())
    (after,) = looked(watched, lambda listed: "n" in listed[0])
    assert after["n"] == 2
    assert before["id"] != after["id"]  # an age that was typed for what lay there before is not its age


@pytest.mark.parametrize("name", ["newborn.hea", "newborn.dat"])
def test_a_recording_that_is_written_anew_is_another(tmp_path, samples, monkeypatch, name):
    monkeypatch.setattr(watch, "_EVERY_S", 0.05)
    for file in ("newborn.hea", "newborn.dat"):
        (tmp_path / file).write_bytes((samples / file).read_bytes())
    watched = Watched(tmp_path, Summing())  # type: ignore[arg-type]
    (before,) = looked(watched, lambda listed: bool(listed and "n" in listed[0]))
    (tmp_path / name).write_bytes((samples / name).read_bytes())
    (after,) = looked(watched, lambda listed: listed[0]["id"] != before["id"] and "n" in listed[0])
    assert watched.path(before["id"]) is None
    assert watched.path(after["id"]) == tmp_path / "newborn.hea"


def test_a_number_is_never_another_recordings_not_even_before_it_is_seen(tmp_path, samples):
    for file in ("newborn.hea", "newborn.dat"):
        (tmp_path / file).write_bytes((samples / file).read_bytes())
    watched = Watched(tmp_path, Reading())  # type: ignore[arg-type]
    watched._scan()
    (one,) = watched.listed()
    state = (tmp_path / "newborn.dat").stat()
    (tmp_path / "new.dat").write_bytes((samples / "newborn.dat").read_bytes()[::-1])
    os.utime(tmp_path / "new.dat", ns=(state.st_atime_ns, state.st_mtime_ns))
    (tmp_path / "new.dat").rename(tmp_path / "newborn.dat")  # the same size and time
    assert watched.path(one["id"]) is None
    watched._scan()
    assert watched.listed()[0]["id"] != one["id"]


def test_what_no_header_looks_like_keeps_nobody_waiting(tmp_path, samples):
    os.mkfifo(tmp_path / "pipe.hea")
    (tmp_path / "digits.hea").write_text(f"a {'9' * 5000}\n", encoding="utf-8")
    (tmp_path / "long.hea").write_text("a" + " 1" * 400_000, encoding="utf-8")
    for file in ("newborn.hea", "newborn.dat"):
        (tmp_path / file).write_bytes((samples / file).read_bytes())
    watched = Watched(tmp_path, Reading())  # type: ignore[arg-type]
    begun = time.process_time()
    watched._scan()
    assert time.process_time() - begun < 1
    assert {one["name"] for one in watched.listed()} == {"pipe.hea", "digits.hea", "long.hea", "newborn.hea"}


def test_a_file_that_nobody_thought_of_does_not_keep_the_others(tmp_path, monkeypatch):
    for name in ("bad.xml", "good.xml"):
        (tmp_path / name).write_bytes(b"x")
    watched = Watched(tmp_path, Reading())  # type: ignore[arg-type]
    seen = watched._seen
    monkeypatch.setattr(watched, "_seen", lambda path: 1 / 0 if path.name == "bad.xml" else seen(path))
    watched._scan()
    assert [one["name"] for one in watched.listed()] == ["good.xml"]


def test_who_was_busy_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_EVERY_S", 0.05)
    (tmp_path / "a.xml").write_bytes(b"x")
    reading = Summing(busy=2)
    looked(Watched(tmp_path, reading), lambda listed: bool(listed and listed[0].get("error") == "missing"))  # type: ignore[arg-type]
    assert len(reading.asked) == 3


def test_what_comes_while_much_is_read_is_listed_meanwhile_and_read_first(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_EVERY_S", 0.0)
    for number in range(5):
        (tmp_path / f"{number}.xml").write_bytes(b"x")
        os.utime(tmp_path / f"{number}.xml", (number, number))
    reading = Summing()
    watched = Watched(tmp_path, reading)  # type: ignore[arg-type]

    async def run() -> None:
        await watched._look()
        (tmp_path / "new.xml").write_bytes(b"x")
        await watched._look()

    asyncio.run(run())
    assert [path.name for path in reading.asked] == ["4.xml", "new.xml"]
    assert len(watched.listed()) == 6


def test_names_that_are_not_utf_8_are_listed(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.xml")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes no such names")
    watched = Watched(tmp_path, Reading())  # type: ignore[arg-type]
    watched._scan()
    (one,) = watched.listed()
    assert one["name"] == "M\ufffdller.xml"
    assert answers.to_json(one)
    assert watched.path(one["id"]) is not None


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


def workers_of(function):
    """Run something beside the processes of a service that measures."""

    async def run() -> None:
        workers = Workers(Settings(weights=None, workers=1, seconds=1.0))
        assert await workers.failure() == ""
        try:
            await function(workers)
        finally:
            await workers.stop()

    asyncio.run(run())


def test_processes_that_stand_still_are_begun_anew_and_asked_again(monkeypatch):
    monkeypatch.setattr(workers_module, "_LOOK_EVERY_S", 0.05)

    async def act(workers: Workers) -> None:
        first = workers._pool
        # A process that was killed while it took a question has the lock of the others with it.
        first._pool_manager.worker_manager.workers_channel.mutex.reader_mutex.acquire()
        asked = asyncio.create_task(workers.ask_once(answers.measured, Ask(Path("/none.xml"))))
        await asyncio.sleep(0.1)
        workers._moved -= 1000.0
        workers.begin()
        assert (await asyncio.wait_for(asked, 30)).status == 422
        assert workers._pool is not first
        assert workers.is_ready

    workers_of(act)


def test_a_question_that_ends_all_processes_each_time_is_given_up(monkeypatch):
    async def act(workers: Workers) -> None:
        class Broken:
            active = False

            def schedule(self, *_: object, **__: object) -> object:
                raise RuntimeError("Unexpected error within the Pool")

            stop = join = lambda self: None

        whole = workers._pool
        monkeypatch.setattr(workers, "_new", Broken)
        workers._pool = Broken()  # type: ignore[assignment]
        with pytest.raises(WorkerDiedError):
            await workers.ask_once(answers.measured, Ask(Path("/none.xml")))
        assert not workers.is_ready
        workers._pool = whole

    workers_of(act)
