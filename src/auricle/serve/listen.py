"""Listening: the service on an address until it is asked to stop."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import uvicorn

from auricle.errors import CheckpointError, ConfigError
from auricle.pool import one_thread
from auricle.serve.app import create_app
from auricle.serve.connections import Hurried
from auricle.serve.settings import Settings

# Connections beside those that wait for a recording: pages that look whether it lives, programs that count.
_OTHERS: Final = 256
# Asked to stop, it gives what is being answered so many seconds.
_GRACE_S: Final = 10
# A connection that says nothing is kept so many seconds.
_IDLE_S: Final = 15


def listen(
    settings: Settings, *, behind_proxy: bool = False, certificate: Path | None = None, key: Path | None = None
) -> None:
    """Serve until a signal asks to stop.

    Args:
        settings: of the service.
        behind_proxy: take the caller's address and https from a proxy on this machine.
        certificate, key: PEM files, for HTTPS without a proxy; both or neither.

    Raises:
        ConfigError: one of certificate and key without the other or without its file, or an address that cannot be
            listened on.
        CheckpointError: the weights cannot be loaded.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("--certificate and --key belong together: give both")
    for option, path in (("--certificate", certificate), ("--key", key)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{option} {path}: no such file")
    failures: list[str] = []

    def failed(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, failed), host=settings.host, port=settings.port, http=Hurried, log_config=None,
            access_log=False, proxy_headers=behind_proxy, server_header=False, date_header=False,
            timeout_keep_alive=_IDLE_S, timeout_graceful_shutdown=_GRACE_S,
            limit_concurrency=settings.waiting + _OTHERS, ssl_certfile=certificate, ssl_keyfile=key, lifespan="on",
        )
    )  # fmt: skip
    try:
        with one_thread():  # for the processes that read, each of which has a core
            server.run()
    except SystemExit:
        raise ConfigError(
            f"--host {settings.host} --port {settings.port}: cannot be listened on; another program may have it"
        ) from None
    if failures:
        raise CheckpointError(failures[0])
