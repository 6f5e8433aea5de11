"""What stands in front of every request: who may call, how much may be sent, what is counted and noted down.

Nothing here writes a name, an id, an address of a page or a query: a line of the log has the route, the status, the
time it took and the bytes.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from auricle.serve.answers import refusal
from auricle.serve.metrics import Metrics
from auricle.serve.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("auricle.serve")

FAULT: Final = "a fault of the program; its log has the place"
# As others call it: nobody is there to be answered.
GONE: Final = 499
# More is asked than can wait; who comes again in a second is answered.
BUSY: Final = 503
COOKIE: Final = "auricle_session"
_SESSION_S: Final = 12 * 3600.0
_MOST_SESSIONS: Final = 1000
# Of /api, what needs no token: to say it, and the words of the page. Outside are the page, which knows nothing, and
# whether the service lives and how much it does.
_LOGIN: Final = "/api/login"
_OPEN: Final = (_LOGIN, "/api/words/")
# Bytes and seconds of a form with a token.
_LOGIN_LIMITS: Final = (1 << 16, 10.0)
# Whoever reads nothing of an answer for so long has gone away.
_SEND_S: Final = 60.0
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Sessions:
    """Browsers that have said the token. Kept in memory only: after a restart it is said again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def begin(self) -> str:
        """A new session, as the value of its cookie."""
        now = time.monotonic()
        self._until = {name: end for name, end in self._until.items() if end > now}
        while len(self._until) >= _MOST_SESSIONS:
            del self._until[next(iter(self._until))]
        name = secrets.token_urlsafe(32)
        self._until[name] = now + _SESSION_S
        return name

    def knows(self, name: str) -> bool:
        """Whether a cookie is one of a session that goes on."""
        return self._until.get(name, 0.0) > time.monotonic()


class SendingError(Exception):
    """What was sent came too slowly, was too much, or ended before it was whole.

    Args:
        status: of HTTP.
        reason: in one line.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what answers.
        settings: limits and token.
        sessions: browsers that have said the token.
        metrics: where requests are counted.
    """

    def __init__(self, app: App, settings: Settings, sessions: Sessions, metrics: Metrics) -> None:
        self.app, self.settings, self.sessions, self.metrics = app, settings, sessions, metrics
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, sent = time.perf_counter(), _Sent(send)
        scope["auricle_id"] = secrets.token_hex(6)
        is_login = scope["path"] == _LOGIN
        limits = _LOGIN_LIMITS if is_login else (self.settings.upload_bytes, self.settings.upload_seconds)
        counts = scope["method"] == "POST" and not is_login
        self._inside += counts
        try:
            against = self._refusal(scope, counts)
            if against is not None:
                await sent.refuse(*against)
            else:
                await self.app(scope, _Limited(receive, *limits), sent)
        except Exception as error:
            # Its text may hold what the file held: the log has its kind and its place. Starlette has answered.
            log.error("%s %s", scope["auricle_id"], where(error))
            await sent.refuse(500, FAULT)
        finally:
            self._inside -= counts
            route = _route(scope)
            seconds = time.perf_counter() - began
            self.metrics.answered(route, sent.status, seconds)
            log.info(
                "%s %s %s %d %.0f ms %d bytes",
                scope["auricle_id"], scope["method"], route, sent.status, 1000 * seconds, sent.n_bytes,
            )  # fmt: skip

    def _refusal(self, scope: Scope, counts: bool) -> tuple[int, str] | None:
        """Status and reason where a request is not to be answered; `counts` says that it is one of those that wait."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if _name_of(headers.get("host", "")).casefold() not in self.settings.hosts:
            return 421, "called by a name that is not its own; start it with --allow-host NAME"
        if scope["method"] not in ("GET", "HEAD") and not _from_own_page(headers):
            return 403, "the request comes from another site's page"
        needs = scope["path"].startswith("/api/") and not scope["path"].startswith(_OPEN)
        if needs and self.settings.token is not None and not self._is_known(headers, self.settings.token):
            return 401, "say the token: `Authorization: Bearer TOKEN`, or on the page"
        # Before anything is taken: what is uploaded lies on the disk until it is answered.
        if counts and self._inside > self.settings.waiting:
            return BUSY, "the service is busy: come again in a second"
        return None

    def _is_known(self, headers: MutableMapping[str, str], token: str) -> bool:
        kind, _, said = headers.get("authorization", "").partition(" ")
        if kind.casefold() == "bearer" and is_token(said.strip(), token):
            return True
        cookies = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return any(name == COOKIE and self.sessions.knows(value) for name, _, value in cookies)


def is_token(said: str, token: str) -> bool:
    """Whether what was said is the token, in a time that does not tell how much of it was right."""
    return hmac.compare_digest(said.encode(), token.encode())


class _Limited:
    """What a request receives, as long as it is neither too much nor too slow."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._until, self._bytes, self._is_whole = time.monotonic() + seconds, 0, False

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._is_whole:  # the application waits for the other end to go away
            return await self._receive()
        message = await self._next()
        if self._bytes > self._most:
            # Whoever sends reads the answer when all is sent: the rest is taken and thrown away.
            while not self._is_whole:
                await self._next()
            raise SendingError(413, f"more than {self._most / 2**20:g} MB were sent; cut the recording")
        return message

    async def _next(self) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise SendingError(408, f"the upload took more than {self._seconds:g} s and was given up") from None
        if message["type"] == "http.disconnect":
            raise SendingError(GONE, "whoever asked has gone away")
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message


class _Sent:
    """What is sent back, with the headers that everything has."""

    def __init__(self, send: Send) -> None:
        self._send, self.status, self.n_bytes, self._began = send, 0, 0, False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._began, self.status = True, message["status"]
            own = [(name, value) for name, value in message.get("headers", []) if name.decode() not in _HEADERS]
            fixed = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*own, *fixed]}
        elif message["type"] == "http.response.body":
            self.n_bytes += len(message.get("body", b""))
        try:
            async with asyncio.timeout(_SEND_S):
                await self._send(message)
        except TimeoutError:
            raise SendingError(GONE, "whoever asked reads nothing of the answer") from None

    async def refuse(self, status: int, reason: str) -> None:
        """Say in one line why there is no answer, if nothing was said yet."""
        if self._began:
            return
        content = refusal(status, reason).content
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        if status == BUSY:
            headers.append((b"retry-after", b"1"))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": content})


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def _from_own_page(headers: MutableMapping[str, str]) -> bool:
    """Whether a request that changes something comes from this service's page, or from no page at all."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:  # no address at all
        return False


def _route(scope: Scope) -> str:
    """The route as it is written in the application, without what a request filled in."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))


def where(error: BaseException) -> str:
    """The kind of an error and where it was raised: its text may be about a patient."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place, trace = f"{code.co_filename.rpartition('auricle/')[2]}:{trace.tb_lineno}", trace.tb_next
    return f"{type(error).__name__} at {place}"
