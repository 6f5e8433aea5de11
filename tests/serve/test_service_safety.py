"""Who may call, how much may be sent, and what happens when a process, the service or a browser goes away."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import sqlite3
import tempfile
import time
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from auricle.leads import STANDARD
from auricle.serve.settings import Settings
from auricle.serve.workers import Workers
from running import auricle, refused
from serving import form, recording_files, service

TOKEN = "a token that nobody guesses"
PLAIN = ("--weights", "none", "--workers", 1)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service with a token, small limits, and nothing but measuring."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    (folder / "token").chmod(0o600)
    options = (
        "--token-file",
        folder / "token",
        "--most-mb",
        8,
        "--upload-seconds",
        2,
        "--seconds",
        3,
        "--memory-gb",
        1,
    )
    uploads = folder / "uploads"
    uploads.mkdir()
    with service(folder / "log", *PLAIN, *options, environment={"TMPDIR": str(uploads)}) as found:
        found.uploads = uploads
        yield found


def bearer(token=TOKEN):
    return {"Authorization": f"Bearer {token}"}


def long_recording(minutes: float) -> tuple[str, str, bytes]:
    """A recording of which measuring takes seconds, small in its file."""
    content = io.BytesIO()
    beat = np.zeros(500, dtype=np.float32)
    beat[100:110] = np.hanning(10)
    signal = np.tile(np.tile(beat, round(minutes * 60)), (12, 1))
    np.savez_compressed(content, signal=signal, rate_hz=500, leads=np.array(STANDARD))
    return "file", "long.npz", content.getvalue()


def test_without_the_token_nothing_is_answered(guarded, samples):
    newborn = recording_files(samples, "newborn")
    for headers in (
        {},
        bearer("another token, as long"),
        {"Authorization": TOKEN},
        {"Cookie": "auricle_session=guess"},
    ):
        answer = guarded.ask("/api/measure", {}, newborn, **headers)
        assert answer.status == 401
        assert "token" in answer.json["error"]
    assert guarded.ask("/api/openapi.json").status == 401
    assert guarded.ask("/api/measure", {}, newborn, **bearer()).status == 200
    assert TOKEN not in guarded.log


def test_a_browser_says_the_token_once(guarded, samples):
    assert guarded.ask("/api/login", {"token": "wrong"}).status == 401
    said = guarded.ask("/api/login", {"token": TOKEN})
    cookie = said.headers["set-cookie"]
    assert said.status == 204
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    newborn = recording_files(samples, "newborn")
    assert guarded.ask("/api/measure", {}, newborn, Cookie=cookie.partition(";")[0]).status == 200


def test_the_page_and_the_state_need_no_token_and_know_nothing(guarded):
    for path in ("/", "/app.js", "/style.css", "/health", "/metrics", "/api/words/en"):
        assert guarded.ask(path).status == 200
    for path in ("/page/index.html", "/../pyproject.toml", "/docs", "/redoc", "/index.html"):
        assert guarded.ask(path).status == 404


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/words/en", "/api/watched", "/nothing", "/health"])
def test_headers_are_strict_whatever_is_answered(guarded, path):
    headers = guarded.ask(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_other_sites_cannot_use_it(guarded, samples):
    newborn = recording_files(samples, "newborn")
    assert guarded.ask("/api/measure", {}, newborn, **bearer(), Host="evil.example").status == 421
    assert guarded.ask("/", Host="evil.example").status == 421
    assert guarded.ask("/api/measure", {}, newborn, **bearer(), Origin="https://evil.example").status == 403
    assert guarded.ask("/api/measure", {}, newborn, **bearer(), Sec_Fetch_Site="cross-site").status == 403
    for malformed in ("http://[", "null", "file://"):
        answer = guarded.ask("/api/measure", {}, newborn, **bearer(), Origin=malformed)
        assert answer.status == 403
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Traceback" not in guarded.log
    own = f"http://127.0.0.1:{guarded.port}"
    assert guarded.ask("/api/measure", {}, newborn, **bearer(), Origin=own).status == 200


def test_too_much_is_refused_whether_it_says_so_or_not(guarded):
    body, kind = form({}, [("file", "large.xml", bytes(9 * 2**20))])
    answer = guarded.ask("/api/measure", {}, [("file", "large.xml", bytes(9 * 2**20))], **bearer())
    assert answer.status == 413
    head = (
        f"POST /api/measure HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(OSError):  # it may hang up while more comes
            for first in range(0, len(body), 2**16):
                part = body[first : first + 2**16]
                connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b" 413 " in connection.recv(4096)
    assert guarded.ask("/health").status == 200


def left_of(guarded) -> list[Path]:
    """What is still there of uploads."""
    (home,) = guarded.uploads.iterdir()
    return [path for path in home.iterdir() if path.name != "lock"]


def begun_upload(guarded, samples) -> socket.socket:
    """A connection on which half of an upload was sent."""
    body, kind = form({}, [*recording_files(samples, "newborn"), ("file", "more", bytes(2**20))])
    head = (
        f"POST /api/measure HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", guarded.port), timeout=20)
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def test_an_upload_that_stands_still_is_given_up(guarded, samples):
    with begun_upload(guarded, samples) as connection:
        assert b" 408 " in connection.recv(4096)
    assert left_of(guarded) == []


def test_a_browser_that_goes_away_in_mid_upload_leaves_nothing(guarded, samples):
    begun_upload(guarded, samples).close()
    end = time.monotonic() + 10
    while " 499 " not in guarded.log and time.monotonic() < end:
        time.sleep(0.05)
    assert " 499 " in guarded.log
    assert "Traceback" not in guarded.log
    assert left_of(guarded) == []
    assert guarded.ask("/api/measure", {}, recording_files(samples, "newborn"), **bearer()).status == 200


def test_more_than_can_wait_is_told_so_before_it_is_taken(tmp_path, samples):
    with service(tmp_path / "log", *PLAIN, "--waiting", 2) as found, contextlib.ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(begun_upload(found, samples))
        time.sleep(0.5)
        answer = found.ask("/api/measure", {}, recording_files(samples, "newborn"))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert found.ask("/health").status == 200


def test_who_reads_an_answer_slowly_or_says_a_token_keeps_nobody_out(tmp_path, samples):
    newborn = recording_files(samples, "newborn")
    options = ("--workers", 1, "--weights", "none", "--waiting", 1, "--jobs", tmp_path / "jobs")
    environment = {"AURICLE_TOKEN": TOKEN}
    with service(tmp_path / "log", *options, environment=environment) as found, contextlib.ExitStack() as open_ones:
        job = found.ask("/api/jobs", {}, newborn, **bearer()).json["id"]
        for request in (
            f"GET /api/jobs/{job}/results HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
            "POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx",
        ):
            connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", found.port), timeout=20))
            connection.sendall(request.encode())
        time.sleep(0.3)
        assert found.ask("/api/measure", {}, newborn, **bearer()).status == 200


def test_a_home_that_was_cleaned_away_is_made_again_and_the_audit_log_takes_nobodys_word(tmp_path, samples):
    newborn = recording_files(samples, "newborn")
    options = (*PLAIN, "--audit", tmp_path / "audit")
    with service(tmp_path / "log", *options, environment={"TMPDIR": str(tmp_path)}) as found:
        (home,) = tmp_path.glob("auricle-uploads-*")
        (home / "lock").unlink()
        home.rmdir()
        assert found.ask("/api/measure", {}, newborn, X_Forwarded_For="Jane Doe").status == 200
        assert found.ask("/api/measure", {"language": "xx"}, newborn).status == 422
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text(encoding="utf-8").splitlines()]
    assert [line["client"] for line in lines] == ["127.0.0.1", "127.0.0.1"]
    assert [line["status"] for line in lines] == [200, 422]


def test_odd_names_are_no_fault(guarded):
    for name in ("\u5fc3" * 120 + ".xml", "/".join(["folder"] * 900) + "/a.xml", "a" * 500):
        answer = guarded.ask("/api/measure", {}, [("file", name, b"<x/>")], **bearer())
        assert answer.status in (400, 422), (name, answer.content)
    two = [("file", "a", b"x"), ("file", "a/b", b"x")]
    assert guarded.ask("/api/measure", {}, two, **bearer()).status == 422
    assert guarded.ask("/api/measure", {}, two[::-1], **bearer()).status == 422


def test_what_takes_too_long_is_given_up_and_others_are_answered(guarded, samples):
    answer = guarded.ask("/api/measure", {}, [long_recording(60)], **bearer())
    assert answer.status == 422
    assert "more than 3 s" in answer.json["error"]
    assert guarded.ask("/api/measure", {}, recording_files(samples, "newborn"), **bearer()).status == 200
    assert left_of(guarded) == []


def test_what_needs_too_much_memory_is_one_line(guarded, samples):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in (("rate_hz", np.array(500)), ("leads", np.array(STANDARD)), ("signal", np.zeros((12, 2)))):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if name == "signal":  # a gigabyte and more of nothing, in a file of a few megabytes
                    header = {"descr": "<f4", "fortran_order": False, "shape": (12, 30_000_000)}
                    np.lib.format.write_array_header_1_0(file, header)
                    for _ in range(12 * 30):
                        file.write(bytes(4_000_000))
                else:
                    np.lib.format.write_array(file, value)
    answer = guarded.ask("/api/measure", {}, [("file", "large.npz", content.getvalue())], **bearer())
    assert answer.status == 422
    assert answer.json["error"]
    assert guarded.ask("/api/measure", {}, recording_files(samples, "newborn"), **bearer()).status == 200


def test_a_process_that_dies_costs_its_own_recording_only(guarded, samples):
    with ThreadPoolExecutor(1) as beside:
        slow = beside.submit(guarded.ask, "/api/measure", {}, [long_recording(60)], **bearer())
        time.sleep(0.7)
        guarded.end_readers()
        answer = slow.result()
    assert answer.status == 422
    assert "ended" in answer.json["error"]
    assert guarded.ask("/api/measure", {}, recording_files(samples, "newborn"), **bearer()).status == 200
    ended = next(
        line for line in guarded.ask("/metrics").content.decode().splitlines() if line.startswith("auricle_proc")
    )
    assert float(ended.split()[1]) >= 1


def test_processes_that_end_while_none_reads_are_begun_anew(tmp_path, samples):
    workers, newborn = 2, recording_files(samples, "newborn")
    options = ("--weights", "none", "--workers", workers, "--jobs", tmp_path / "jobs")
    with service(tmp_path / "log", *options) as found:
        assert found.ask("/api/measure", {}, newborn).status == 200
        assert found.end_readers() == workers
        assert found.ask("/api/measure", {}, newborn).status == 200  # at once, before anybody has seen it
        assert found.end_readers() == workers
        found.until("/health", lambda answer: answer.status == 503, 10)  # nobody asks, and it sees it
        found.until("/health", lambda answer: answer.status == 200)
        # Jobs go on as well, and no recording of theirs is done with an error.
        found.end_readers()
        files = [("file", f"{number}/{file}", content) for number in range(5) for _, file, content in newborn]
        job = found.ask("/api/jobs", {}, files).json["id"]
        found.until(f"/api/jobs/{job}", lambda answer: answer.json["finished"])
        lines = [json.loads(line) for line in found.ask(f"/api/jobs/{job}/results").content.splitlines()]
        assert len(lines) == 5
        assert not any("error" in line for line in lines)
        assert "Traceback" not in found.log


def test_a_pool_that_breaks_while_it_is_asked_whether_it_can_answer_is_begun_anew(monkeypatch):
    """pebble leaves what was asked without an answer then, and on a service that nobody asks nobody else looks."""

    class Pool:
        def __init__(self, answers):
            self.active, self.answers = answers, answers

        def schedule(self, *_, **__):
            future = Future()
            if self.answers:
                future.set_result("")
            return future

        def stop(self):
            pass

        def join(self):
            pass

    pools = [Pool(False), Pool(True)]
    monkeypatch.setattr(Workers, "_new", lambda workers: pools.pop(0))
    workers = Workers(Settings(weights=None, workers=1))
    begun = time.monotonic()
    assert asyncio.run(workers.failure()) == ""
    assert workers.is_ready
    assert workers.died == 1
    assert time.monotonic() - begun < 20


def test_a_process_that_ends_while_it_begins_is_begun_anew(tmp_path, samples):
    with service(tmp_path / "log", *PLAIN, ready=False) as found:
        end = time.monotonic() + 20
        while not found.end_readers():
            assert time.monotonic() < end
        found.until("/health", lambda answer: answer.status == 200)
        assert found.ask("/api/measure", {}, recording_files(samples, "newborn")).status == 200


def test_jobs_survive_a_kill_and_none_is_done_twice(tmp_path, samples):
    names = [f"{number:03d}" for number in range(25)]
    files = [
        ("file", f"{name}/{file}", content)
        for name in names
        for _, file, content in recording_files(samples, "newborn")
    ]
    options = (*PLAIN, "--jobs", tmp_path / "jobs")
    with service(tmp_path / "log", *options) as first:
        job = first.ask("/api/jobs", {}, files).json["id"]
        first.until(f"/api/jobs/{job}", lambda answer: answer.json["done"] >= 5)
        children = first.children()
        first.kill()
    assert children
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as data:
        before = dict(data.execute("SELECT file, answer FROM recordings WHERE state = 'done'"))
    assert 5 <= len(before) < len(names)
    with service(tmp_path / "log", *options) as again:
        again.until(f"/api/jobs/{job}", lambda answer: answer.json["finished"])
        lines = [json.loads(line) for line in again.ask(f"/api/jobs/{job}/results").content.splitlines()]
    assert [line["file"] for line in lines] == [f"{name}/newborn.hea" for name in names]
    assert not any("error" in line for line in lines)
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as data:
        after = dict(data.execute("SELECT file, answer FROM recordings"))
        tries = [count for (count,) in data.execute("SELECT tries FROM recordings")]
    assert {file: after[file] for file in before} == before
    assert sorted(tries)[-2:] in ([1, 1], [1, 2])  # the one that was being read is read again
    for child in children:  # processes of a service that was killed end by themselves
        end = time.monotonic() + 20
        while Path(f"/proc/{child}").exists() and time.monotonic() < end:
            time.sleep(0.1)
        assert not Path(f"/proc/{child}").exists()


def test_one_folder_of_jobs_has_one_service(tmp_path):
    with service(tmp_path / "log", *PLAIN, "--jobs", tmp_path / "jobs", ready=False):
        refused(auricle("serve", *PLAIN, "--port", 0, "--jobs", tmp_path / "jobs"), "another service")


def test_what_it_is_started_with_is_checked_first(tmp_path, monkeypatch):
    monkeypatch.delenv("AURICLE_TOKEN", raising=False)
    refused(auricle("serve", "--host", "0.0.0.0"), "token")
    refused(auricle("serve", "--host", "192.0.2.1"), "token")
    refused(auricle("serve", "--watch", tmp_path / "none"), "no such folder")
    refused(auricle("serve", "--certificate", tmp_path / "none.pem"), "--key")
    refused(auricle("serve", "--token-file", tmp_path / "none"), "--token-file")
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o644)
    refused(auricle("serve", "--token-file", token), "chmod 600")
    token.write_text("short", encoding="utf-8")
    token.chmod(0o600)
    refused(auricle("serve", "--token-file", token), "16")
    token.write_text("ein Schlüssel, den niemand errät", encoding="utf-8")
    refused(auricle("serve", "--token-file", token), "ASCII")
    refused(auricle("serve", "--audit", tmp_path / "none" / "audit"), "--audit")
    (tmp_path / "file").touch()
    refused(auricle("serve", *PLAIN, "--jobs", tmp_path / "file" / "jobs"), "--jobs")
    (tmp_path / "open").mkdir(mode=0o755)
    refused(auricle("serve", *PLAIN, "--jobs", tmp_path / "open"), "chmod 700")
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "other" / "jobs.sqlite").write_bytes(b"something else" * 100)
    refused(auricle("serve", *PLAIN, "--jobs", tmp_path / "other"), "jobs.sqlite")


def test_weights_that_are_not_there_end_it(tmp_path):
    refused(auricle("serve", "--port", 0, "--workers", 1, "--weights", tmp_path / "none"), "none")


def test_folders_of_killed_services_are_removed(tmp_path):
    from auricle.serve import uploads

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(tmp_path))
        home = uploads.Home()
        made = uploads.new_folder(home.folder)
        assert made.stat().st_mode & 0o077 == home.folder.stat().st_mode & 0o077 == 0
        left = home.folder.with_name(home.folder.name + "x")
        left.mkdir()
        foreign = left.with_name(left.name + "y")
        foreign.mkdir()
        (left / "lock").touch()  # nobody holds it
        assert uploads.remove_left_behind() == 1
        assert made.exists()
        assert foreign.exists()
        assert not left.exists()
        home.close()
        assert not made.exists()


def test_a_killed_service_leaves_its_uploads_to_the_next(tmp_path):
    environment = {"TMPDIR": str(tmp_path)}
    with service(tmp_path / "log", *PLAIN, environment=environment) as first:
        first.kill()
    (left,) = tmp_path.glob("auricle-uploads-*")
    with service(tmp_path / "log", *PLAIN, environment=environment):
        assert not left.exists()
    assert list(tmp_path.glob("*uploads*")) == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.hea", ("a.hea",)),
        ("../../a", ("a",)),
        ("C:\\ward\\a.dat", ("C:", "ward", "a.dat")),
        ("/x/./a\n", ("x", "a")),
        ("\u5fc3" * 120 + ".hea", ("\u5fc3" * 83 + ".hea",)),
    ],
)
def test_names_do_not_lead_out_of_their_folder(name, parts):
    from auricle.serve.uploads import safe_parts

    assert safe_parts(name) == parts
