"""Connections on which nothing comes are closed: each takes a place, and the server in use waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Within so many seconds, and twice as many at the most, the head of a request has to be whole.
HEAD_S: Final = 15.0


class Hurried(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, without those who begin to ask and never end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look whether a head comes."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_S, self._look, None)

    def _look(self, before: Any) -> None:
        """Close where no head came, or no end of what nobody reads, since the last look.

        Args:
            before: what was being answered at that time.
        """
        if self.transport.is_closing():
            return
        # It was answered (refused), and the rest of what was announced is still to come.
        is_left = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        waits = self.conn.their_state is h11.IDLE or is_left
        if waits and self.cycle is before:
            self.transport.close()
            return
        self.loop.call_later(HEAD_S, self._look, self.cycle if waits else object())
