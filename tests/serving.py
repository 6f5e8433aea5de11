"""A service that runs: in a process of its own, on a port of its own, ended with the test."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

_READY_S = 90.0
Files = Sequence[tuple[str, str, bytes]]


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Service:
    """A running `auricle serve`."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def folder(self) -> Path:
        """Where its log lies, and whatever it was told to write beside it."""
        return self.log_file.parent

    def ask(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        files: Files = (),
        method: str | None = None,
        **headers: str,
    ) -> Answer:
        """A request: a form with fields and files where there are any, else a GET."""
        body, kind = (b"", "") if fields is None and not files else form(fields or {}, files)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if kind:
            sent["Content-Type"] = kind
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method or ("POST" if kind else "GET"), path, body or None, sent)
            answer: HTTPResponse = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def children(self) -> list[int]:
        """Processes of this service, by what the system says."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(number) for task in tasks for number in (task / "children").read_text(encoding="utf-8").split()]

    def end_readers(self) -> int:
        """What a kernel does that needs memory, to the processes that read; how many there were."""
        ended = 0
        for child in self.children():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)
                    ended += 1
        return ended

    def kill(self) -> None:
        """What a kernel does that needs memory: no warning, and its processes are on their own."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)

    def until(self, path: str, wanted: Any, seconds: float = 60.0) -> Answer:
        """The first answer of a path of which something is true."""
        end = time.monotonic() + seconds
        while True:
            answer = self.ask(path)
            if wanted(answer):
                return answer
            assert time.monotonic() < end, answer.content[:500]
            time.sleep(0.1)


def form(fields: Mapping[str, str], files: Files) -> tuple[bytes, str]:
    """A multipart form as browsers send it, and its media type."""
    mark, out = uuid.uuid4().hex, io.BytesIO()
    for name, value in fields.items():
        out.write(f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, file, content in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{file}"'
        out.write(f"--{mark}\r\n{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n")
    out.write(f"--{mark}--\r\n".encode())
    return out.getvalue(), f"multipart/form-data; boundary={mark}"


def files_of(*paths: Path, field: str = "file") -> Files:
    """Files as a form has them."""
    return [(field, path.name, path.read_bytes()) for path in paths]


def recording_files(folder: Path, name: str, field: str = "file") -> Files:
    """The header and signals of a record."""
    return files_of(folder / f"{name}.hea", folder / f"{name}.dat", field=field)


@contextlib.contextmanager
def service(
    log: Path, *options: object, ready: bool = True, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """`auricle serve` with options, from when it answers until the block ends."""
    command = [sys.executable, "-m", "auricle", "serve", "--port", "0", *map(str, options)]
    with log.open("ab") as out:
        began = out.tell()
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(environment or {})})
    try:
        found = Service(process, _port(process, log, began), log)
        if ready:
            found.until("/health", lambda answer: answer.status == 200, _READY_S)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path, began: int) -> int:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end:
        found = re.search(rb"running on https?://[^ ]*:(\d+)", log.read_bytes()[began:])
        if found:
            return int(found[1])
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))
