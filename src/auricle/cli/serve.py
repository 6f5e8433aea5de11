"""auricle serve: the page and the answers over HTTP, on this machine alone unless a token is given."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.stop import keeps
from auricle.errors import ConfigError, require

_TOKEN_VARIABLE = "AURICLE_TOKEN"


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
    for package in ("uvicorn", "fastapi", "python_multipart", "prometheus_client", "pebble"):
        require(package, "serve")
    from auricle.serve.listen import listen
    from auricle.serve.settings import Settings

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
    keeps("what was accepted as long work goes on when the service is started again")
    listen(settings, behind_proxy=behind_proxy, certificate=certificate, key=key)


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
