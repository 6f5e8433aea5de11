"""What a service is told when it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from auricle.errors import ConfigError

# Shorter ones are guessed.
_SHORTEST_TOKEN: Final = 16
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service runs.

    Attributes:
        host: address it listens on; anything but loopback needs a token.
        port: 0 for any that is free.
        token: what programs send as `Authorization: Bearer TOKEN` and people type once; None asks for none.
        allowed_hosts: further names by which browsers may call it, such as that of a proxy in front of it.
        weights: as `Predictor.from_pretrained` takes them; None measures only.
        workers: processes that read and answer.
        seconds: how long one recording may take before its process is ended.
        upload_seconds: how long an upload may take.
        upload_bytes: how large one may be.
        memory_bytes: how much memory of its own each process may have.
        waiting: requests with a recording that may be here at once, received, waiting or read, and so the most uploads
            on the disk; further ones are told to come again.
        watch: folder whose recordings the page lists; None for none.
        jobs: folder of long work, which survives a kill; None for none, so that nothing is kept.
        keep_hours: how long finished jobs are kept.
        audit: file to which each answer is noted down; None for none.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    weights: Path | str | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    seconds: float = 60.0
    upload_seconds: float = 120.0
    upload_bytes: int = 64 * 2**20
    memory_bytes: int = 4 * 2**30
    waiting: int = 256
    watch: Path | None = None
    jobs: Path | None = None
    keep_hours: float = 24.0
    audit: Path | None = None

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise ConfigError(f"the token has {len(self.token)} characters: give one of {_SHORTEST_TOKEN} at least")
        if self.token is not None and not self.token.isascii():
            raise ConfigError("the token has letters that browsers and programs send differently: give one in ASCII")
        if self.token is None and not self.is_loopback:
            raise ConfigError(
                f"--host {self.host}: others than this machine could reach it: give a token (--token-file), or leave "
                "--host away"
            )
        if self.watch is not None and not self.watch.is_dir():
            raise ConfigError(f"--watch {self.watch}: no such folder")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> tuple[str, ...]:
        """By what names it may be called; a browser that was led here by another name (DNS rebinding) is refused."""
        own = self.host if ":" not in self.host else f"[{self.host}]"
        return tuple(dict.fromkeys(name.casefold() for name in (*_LOOPBACK_NAMES, own, *self.allowed_hosts)))
