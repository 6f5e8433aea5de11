"""auricle serve: the page and the answers over HTTP, on this machine alone unless a token is given."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.stop import keeps
from auricle.errors import CheckpointError, ConfigError, require
from auricle.pool import one_thread

_TOKEN_VARIABLE = "AURICLE_TOKEN"
# Connections beside those that wait for a recording: pages that look whether it lives, programs that count.
_OTHERS = 256
# Asked to stop, it gives what is being answered so many seconds.
_GRACE_S = 10


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve")(serve)


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes one that is free and says which.", min=0, max=65535)] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the token that is asked for (mode 600); or {_TOKEN_VARIABLE} has it."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Further name it may be called by, as that of a proxy. May be given again.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="lisa-nano, which come along, a run folder, a name on the hub, or none to measure only.")
    ] = "lisa-nano",
    workers: Annotated[int | None, typer.Option(help="Processes that read; else one for each core.", min=1)] = None,
    seconds: Annotated[float, typer.Option(help="A recording that takes longer to read is given up.", min=0.1)] = 60.0,
    most_mb: Annotated[float, typer.Option(help="Largest upload, in MB.", min=0.01)] = 64.0,
    upload_seconds: Annotated[float, typer.Option(help="Longest upload.", min=0.1)] = 120.0,
    memory_gb: Annotated[float, typer.Option(help="Memory of its own that each process may have.", min=1.0)] = 4.0,
    waiting: Annotated[
        int, typer.Option(help="Requests that may be here at once; further ones are told to come again.", min=1)
    ] = 256,
    watch: Annotated[Path | None, typer.Option(help="Folder whose recordings the page lists.")] = None,
    jobs: Annotated[
        Path | None, typer.Option(help="Folder for long work, which survives a kill. Without it nothing is kept.")
    ] = None,
    keep_hours: Annotated[float, typer.Option(help="How long finished long work is kept.", min=0.0)] = 24.0,
    audit: Annotated[Path | None, typer.Option(help="Add a line for every answer to this file.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Take the caller's address and https from a proxy on this machine.")
    ] = False,
    certificate: Annotated[Path | None, typer.Option(help="PEM certificate, for HTTPS without a proxy.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
) -> None:
    """Serve the page and the answers: http://127.0.0.1:8765. Research use, not a diagnosis."""
    uvicorn = require("uvicorn", "serve")
    for package in ("fastapi", "python_multipart", "prometheus_client", "pebble"):
        require(package, "serve")
    from auricle.serve.app import create_app
    from auricle.serve.connections import Hurried
    from auricle.serve.settings import Settings

    if (certificate is None) != (key is None):
        raise ConfigError("--certificate and --key belong together: give both")
    for option, path in (("--certificate", certificate), ("--key", key)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{option} {path}: no such file")
    settings = Settings(
        host=host,
        port=port,
        token=_token(token_file),
        allowed_hosts=tuple(allow_host or ()),
        weights=None if weights == "none" else weights,
        workers=workers or os.cpu_count() or 1,
        seconds=seconds,
        upload_seconds=upload_seconds,
        upload_bytes=round(most_mb * 2**20),
        memory_bytes=round(memory_gb * 2**30),
        waiting=waiting,
        watch=watch,
        jobs=jobs,
        keep_hours=keep_hours,
        audit=audit,
    )
    failures: list[str] = []

    def failed(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, failed), host=host, port=port, http=Hurried, log_config=None, access_log=False,
            proxy_headers=behind_proxy,
            server_header=False, date_header=False, timeout_keep_alive=15, timeout_graceful_shutdown=_GRACE_S,
            limit_concurrency=settings.waiting + _OTHERS,
            ssl_certfile=certificate, ssl_keyfile=key, lifespan="on",
        )
    )  # fmt: skip
    keeps("what was accepted as long work goes on when the service is started again")
    try:
        with one_thread():  # for the processes that read, each of which has a core
            server.run()
    except SystemExit:
        raise ConfigError(f"--host {host} --port {port}: cannot be listened on; another program may have it") from None
    if failures:
        raise CheckpointError(failures[0])


def _token(path: Path | None) -> str | None:
    """The token of a file, or of the environment.

    Raises:
        ConfigError: no such file, or others may read it.
    """
    if path is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    try:
        text, mode = path.read_text(encoding="utf-8").strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {path}: cannot be read ({error})") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"--token-file {path}: others on this machine can read it; chmod 600 it")
    return text
