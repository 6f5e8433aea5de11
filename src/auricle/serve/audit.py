"""Who asked what of which file, one JSON object a line: files by the digest of their bytes, people not at all."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from auricle.errors import ConfigError


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

    def note(self, request: str, client: str, action: str, status: int, digest: str, weights: str) -> None:
        """Note down an answer; on the disk when this returns.

        Args:
            request: number of the request, as in the log.
            client: address it came from.
            action: `measure`, `predict`, `view` ...
            status: of HTTP.
            digest: SHA-256 of the files.
            weights: which weights answered.
        """
        if self._file < 0:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": request, "client": client, "action": action, "status": status, "sha256": digest,
            "weights": weights,
        }  # fmt: skip
        os.write(self._file, (json.dumps(line) + "\n").encode())
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
