"""Who takes a connection and asks nothing is hung up on; who sends slowly what was announced is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

import uvicorn

from auricle.serve import connections

HEAD_S = 0.2


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Says how much was sent."""
    n_bytes, is_more = 0, True
    while is_more:
        message = await receive()
        n_bytes, is_more = n_bytes + len(message.get("body", b"")), message.get("more_body", False)
    content = str(n_bytes).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def with_server(monkeypatch, ask, answer=answering) -> Any:
    """What comes of asking a server that waits a fifth of a second for a head."""
    monkeypatch.setattr(connections, "HEAD_S", HEAD_S)

    async def run() -> Any:
        config = uvicorn.Config(answer, port=0, http=connections.Hurried, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        try:
            return await asyncio.wait_for(ask(reader, writer), 10)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(run())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_who_never_ends_to_ask_is_hung_up_on(monkeypatch, begun):
    async def ask(reader, writer):
        writer.write(begun)
        return await reader.read()

    assert with_server(monkeypatch, ask) == b""


def test_who_sends_slowly_is_waited_for(monkeypatch):
    async def ask(reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(HEAD_S / 2)
            writer.write(b"x")
        return await reader.read()

    assert with_server(monkeypatch, ask).endswith(b"\r\n6")


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Answers without having read anything."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


def test_who_was_refused_and_never_ends_to_send_is_hung_up_on(monkeypatch):
    async def ask(reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        said = await reader.readuntil(b"no")
        writer.write(b"x")
        return said, await reader.read()

    said, rest = with_server(monkeypatch, ask, refusing)
    assert b" 401 " in said
    assert rest == b""


def test_a_connection_that_goes_on_asking_is_kept(monkeypatch):
    async def ask(reader, writer):
        answers = 0
        for _ in range(8):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answers += (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(HEAD_S / 2)
        return answers

    assert with_server(monkeypatch, ask) == 8
