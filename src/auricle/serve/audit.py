"""Who asked what of which file, one JSON object a line: files by the digest of their bytes, people not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from auricle.errors import ConfigError

# Letters of the id of a job that are noted down.
_JOB: Final = 8


class Audit:
    """An audit log that is only ever added to.

    Args:
        path: the file, made with mode 600; None for none.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = -1
        if path is not None:
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:
                raise ConfigError(f"--audit {path}: cannot be written ({error.strerror})") from None

    def note(
        self,
        action: str,
        status: int,
        *,
        request: str = "",
        client: str = "",
        job: str = "",
        files: Sequence[str] = (),
        previous: Sequence[str] = (),
        weights: str = "",
    ) -> None:
        """Note down an answer; on the disk when this returns.

        Args:
            action: `measure`, `predict`, `view`, `accept`, `fetch`, `delete` ...
            status: of HTTP.
            request: number of the request, as in the log.
            client: address it came from; empty for what a job does by itself.
            job: the beginning of the id of a job, which is not enough to ask for it.
            files: SHA-256 of each file of the recording.
            previous: those of the recording it was compared with.
            weights: which weights answered.
        """
        if self._file < 0:
            return
        told = {"request": request, "client": client, "job": job[:_JOB], "weights": weights}
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "action": action, "status": status,
            **{name: text for name, text in told.items() if text}, "sha256": list(files),
        }  # fmt: skip
        if previous:
            line["previous_sha256"] = list(previous)
        os.write(self._file, (json.dumps(line) + "\n").encode())
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
