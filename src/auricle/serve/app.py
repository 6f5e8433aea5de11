"""The routes of the service. Each receives files, lets a process answer, and forgets both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from auricle import __version__
from auricle.atomic import is_full
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import AuricleError, DataError
from auricle.paediatrics.languages import languages, words
from auricle.serve import answers, typed, uploads
from auricle.serve.answers import FHIR_JSON, HTML, JSON, UNPROCESSABLE, Answer, Ask, refusal, to_json
from auricle.serve.audit import Audit
from auricle.serve.guard import BUSY, COOKIE, FAULT, App, Guard, SendingError, Sessions, is_token, where
from auricle.serve.jobs import Jobs
from auricle.serve.metrics import Metrics
from auricle.serve.settings import Settings
from auricle.serve.watch import Watched
from auricle.serve.workers import Reading, Workers

Serving = Callable[[], Awaitable[Response]]
Answering = Callable[[Request], Awaitable[Response]]
log = logging.getLogger("auricle.serve")

# What the page is made of, and nothing else that lies in its folder.
_PAGE: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    **{
        f"/{name}": (name, "text/javascript; charset=utf-8")
        for name in ("app.js", "paper.js", "calipers.js", "panels.js")
    },
}
_LINES, _COUNTS = "application/x-ndjson", "text/plain; version=0.0.4; charset=utf-8"
_MOST_FILES: Final = 10_000
_LONGEST_FIELD: Final = 1 << 16
# What is said of an upload in the description of the routes (OpenAPI).
_FIELDS: Final[Mapping[str, str]] = {
    "age": "3d, 6wk, 16mo, 2.4yr, 5y4m ...; empty for what the file says",
    "sex": "F or M",
    "gestation": "weeks+days at birth (30+2)",
    "language": "en, zh or de",
}
# Of the description: why there is no answer, and to which requests.
_REASONS: Final[Mapping[int, str]] = {
    400: "No form.", 401: "Without the token.", 403: "From another site's page.", 404: "Not here.",
    408: "Sent too slowly.", 413: "Too much was sent.", 421: "Called by another name.",
    422: "It cannot be done with what was sent; the line says why.", 503: "Busy: come again in a second.",
    507: "The disk is full.",
}  # fmt: skip
_OF_FORMS: Final = (400, 401, 403, 408, 413, 421, 422, 503, 507)


@dataclass(slots=True)
class Service:
    """What a running service consists of.

    Attributes:
        settings: how it was started.
        workers: processes that read.
        metrics: what is counted.
        audit: what is noted down.
        home: where uploads lie while they are answered; None before the service runs.
        sessions: browsers that have said the token.
        jobs: long work; None without a folder for it.
        watched: the folder that is looked at; None for none.
    """

    settings: Settings
    workers: Workers
    metrics: Metrics
    audit: Audit
    sessions: Sessions
    home: uploads.Home | None = None
    jobs: Jobs | None = None
    watched: Watched | None = None

    async def answer(self, request: Request, action: str, function: Reading, ask: Ask) -> Response:
        """What a process answers, noted down where that is wanted."""
        answer = await self.workers.ask(function, ask)
        self.note(request, action, answer.status, files=answer.files, previous=answer.previous)
        return _response(answer)

    def note(
        self, request: Request, action: str, status: int, *, job: str = "", files: Sequence[str] = (),
        previous: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Note down what was answered to a request."""
        self.audit.note(
            action, status, request=request.scope["auricle_id"], client=request.client.host if request.client else "",
            job=job, files=files, previous=previous, weights=self.weights,
        )  # fmt: skip

    def note_of_job(self, job: str, kind: str, answer: Answer) -> None:
        """Note down what a job answered to one of its recordings."""
        self.audit.note(kind, answer.status, job=job, files=answer.files, weights=self.weights)

    @property
    def weights(self) -> str:
        """Which weights answer; empty for none."""
        return str(self.settings.weights or "")


def create_app(settings: Settings, on_failure: Callable[[str], None] = lambda text: None) -> App:
    """The service as an ASGI application.

    Args:
        settings: how it runs.
        on_failure: called with the reason where it can never answer: the weights cannot be loaded.

    Raises:
        ConfigError: a folder or file of the settings cannot be used.
    """
    metrics, sessions = Metrics(), Sessions()
    service = Service(settings, Workers(settings), metrics, Audit(settings.audit), sessions)
    if settings.jobs is not None:
        # One process is left for people, where there are several.
        at_once = max(1, settings.workers - 1)
        service.jobs = Jobs(settings.jobs, service.workers, at_once, settings.keep_hours, service.note_of_job)
    if settings.watch is not None:
        service.watched = Watched(settings.watch, service.workers)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        uploads.remove_left_behind()
        service.home = uploads.Home()
        starting = asyncio.create_task(_start(service, on_failure))
        yield
        starting.cancel()
        for part in (service.jobs, service.watched):
            if part is not None:
                await part.stop()
        await service.workers.stop()
        service.home.close()
        service.audit.close()

    app = FastAPI(
        title="auricle", version=__version__, description=RESEARCH_USE, lifespan=running,
        docs_url=None, redoc_url=None, openapi_url="/api/openapi.json",
    )  # fmt: skip

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        answered = _refused(error.status_code, str(error.detail))
        answered.headers.update(error.headers or {})
        return answered

    @app.exception_handler(SendingError)
    async def not_whole(_: Request, error: SendingError) -> Response:
        answered = _refused(error.status, str(error))
        # What was not read of the request is not the next one.
        answered.headers["connection"] = "close"
        return answered

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        # The guard notes down its kind and place.
        return _refused(507, "the disk of the service is full") if is_full(error) else _refused(500, FAULT)

    _add_page(app, service)
    _add_answers(app, service)
    _add_jobs(app, service)
    _add_operation(app, service)
    return Guard(app, settings, sessions, metrics)


async def _start(service: Service, on_failure: Callable[[str], None]) -> None:
    """Wait for the first process, then begin what needs one; whatever goes wrong with that ends the service."""
    try:
        failure = await service.workers.failure()
        if not failure:
            log.info("ready")
            for part in (service.workers, service.jobs, service.watched):
                if part is not None:
                    part.begin()
    except Exception as error:
        log.error("%s", where(error))
        failure = f"it cannot begin ({type(error).__name__}); its log has the place"
    if failure:
        on_failure(failure)


def _add_page(app: FastAPI, service: Service) -> None:
    """The page, what it is made of, its words, and saying the token."""

    def serving(name: str, kind: str) -> Serving:
        content = files("auricle.serve").joinpath("page", name).read_bytes()

        async def page() -> Response:
            return Response(content, media_type=kind)

        return page

    for address, (name, kind) in _PAGE.items():
        app.get(address, include_in_schema=False)(serving(name, kind))

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)

    @app.get("/api/words/{language}", response_class=Response, responses=_answers([JSON], 404, 421, 422))
    async def words_of_page(language: str) -> Response:
        """The words of the page in a language, and what the service can do."""
        if language not in languages():
            return _refused(404, f"no words in {language!r}: {', '.join(languages())}")
        said = words(language)
        able = {
            "predicts": service.settings.weights is not None, "watches": service.watched is not None,
            "jobs": service.jobs is not None, "token": service.settings.token is not None,
            "most_mb": service.settings.upload_bytes / 2**20, "version": __version__,
        }  # fmt: skip
        book = {key: said[key] for key in ("service", "table", "prediction", "joint", "colon", "research", "weak")}
        return Response(to_json({**book, "languages": languages(), "able": able}), media_type=JSON)

    async def log_in(request: Request) -> Response:
        """Say the token once; a cookie that scripts cannot read keeps it until the browser is closed."""
        async with request.form(max_files=0, max_fields=4) as form:
            said = typed.text_of(form, "token")
        if service.settings.token is not None and not is_token(said, service.settings.token):
            return _refused(401, "another token")
        answered = Response(status_code=204)
        secure = request.url.scheme == "https"
        answered.set_cookie(COOKIE, service.sessions.begin(), httponly=True, samesite="strict", secure=secure)
        return answered

    _post(app, "/api/login", log_in, {"token": "that of --token-file"}, _answers([], *_OF_FORMS, status=204))


def _add_answers(app: FastAPI, service: Service) -> None:
    """Answers for one recording."""

    def answering(action: str, function: Reading, fields: Sequence[str]) -> Answering:
        async def answer(request: Request) -> Response:
            async with request.form(max_files=_MOST_FILES, max_part_size=_LONGEST_FIELD) as form:
                try:
                    typed.check_fields(form, [*request.query_params], fields)
                    async with _asked(form, service) as ask:
                        return await service.answer(request, action, function, ask)
                except AuricleError as error:
                    service.note(request, action, UNPROCESSABLE)
                    return _refused(UNPROCESSABLE, str(error))

        answer.__doc__ = function.__doc__
        return answer

    for action, function in (
        ("measure", answers.measured), ("predict", answers.predicted), ("view", answers.viewed),
        ("report", answers.reported), ("changes", answers.changed),
    ):  # fmt: skip
        further = {"fhir": "1 for a FHIR R4B Bundle"} if action in ("measure", "predict") else {}
        further |= {"start_s": "from which second on the trace is sent"} if action == "view" else {}
        sent = ["file", "watched"]
        if action == "changes":
            of_person = {name: text for name, text in _FIELDS.items() if name != "language"}
            further = {f"previous_{name}": f"of the earlier recording: {text}" for name, text in of_person.items()}
            sent += [f"previous_{name}" for name in sent]
        kinds = [HTML] if action == "report" else [JSON, FHIR_JSON] if "fhir" in further else [JSON]
        said = _answers(kinds, *_OF_FORMS)
        fields = {**_FIELDS, **further}
        _post(app, f"/api/{action}", answering(action, function, [*sent, *fields]), fields, said, is_upload=True)

    @app.get("/api/watched", response_class=Response, responses=_answers([JSON], 401, 404, 421))
    async def watched() -> Response:
        """The recordings of the watched folder, newest first."""
        if service.watched is None:
            return _refused(404, "no folder is watched: start the service with --watch FOLDER")
        return Response(to_json({"recordings": service.watched.listed()}), media_type=JSON)


def _add_jobs(app: FastAPI, service: Service) -> None:
    """Long work."""
    none = "no long work here: start the service with --jobs FOLDER"
    fields = {"kind": "measure or predict", **_FIELDS}

    async def accept(request: Request) -> Response:
        """Take many recordings; answered when they are safe on the disk, with the id of the job."""
        if service.jobs is None:
            return _refused(404, none)
        async with request.form(max_files=_MOST_FILES, max_part_size=_LONGEST_FIELD) as form:
            folder = uploads.new_folder(service.jobs.folder)
            try:
                typed.check_fields(form, [*request.query_params], ["file", *fields])
                asked = {**typed.told(form), "language": typed.language(form)}
                await uploads.write_files(form.getlist("file"), folder)
                name, n = await service.jobs.accept(folder, typed.text_of(form, "kind") or "measure", asked)
            except AuricleError as error:
                return _refused(UNPROCESSABLE, str(error))
            finally:
                uploads.remove(folder)
        service.note(request, "accept", 202, job=name)
        return Response(to_json({"id": name, "n": n}), status_code=202, media_type=JSON)

    _post(app, "/api/jobs", accept, fields, _answers([JSON], 404, *_OF_FORMS, status=202), is_upload=True)
    of_job = (401, 403, 404, 421, 422)

    @app.get("/api/jobs/{job}", response_class=Response, responses=_answers([JSON], *of_job))
    async def about(job: str) -> Response:
        """How far a job is."""
        found = service.jobs.about(job) if service.jobs else None
        if found is None:
            return _refused(404, "no such job" if service.jobs else none)
        return Response(to_json(found), media_type=JSON)

    @app.get("/api/jobs/{job}/results", response_class=Response, responses=_answers([_LINES], *of_job))
    async def results(job: str, request: Request) -> Response:
        """The answers so far, a JSON object a line."""
        if service.jobs is None or service.jobs.about(job) is None:
            return _refused(404, "no such job" if service.jobs else none)
        service.note(request, "fetch", 200, job=job)
        return StreamingResponse(service.jobs.lines(job), media_type=_LINES)

    @app.delete(
        "/api/jobs/{job}", response_class=Response, status_code=204, responses=_answers([], *of_job, status=204)
    )
    async def forget(job: str, request: Request) -> Response:
        """Remove a job with its files and answers."""
        if service.jobs is None or not service.jobs.forget(job):
            return _refused(404, "no such job" if service.jobs else none)
        service.note(request, "delete", 204, job=job)
        return Response(status_code=204)


def _add_operation(app: FastAPI, service: Service) -> None:
    """What those ask who run it."""

    @app.get("/health", response_class=Response, responses=_answers([JSON], 421, 503))
    async def health() -> Response:
        """Whether it can answer: 200, or 503 while its processes load the weights, at the start or anew."""
        is_ready = service.workers.is_ready
        told = {"status": "ok" if is_ready else "starting", "version": __version__}
        return Response(to_json(told), status_code=200 if is_ready else 503, media_type=JSON)

    @app.get("/metrics", response_class=Response, responses=_answers([_COUNTS], 421))
    async def metrics() -> Response:
        """Counters in the format of Prometheus, without a word about patients."""
        counts = service.jobs.counts() if service.jobs else {}
        text = service.metrics.text(service.workers.waiting, service.workers.died, counts)
        return Response(text, media_type=_COUNTS)


def _answers(kinds: Sequence[str], *refusals: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What a route may answer, for the description of the routes.

    Args:
        kinds: media types of an answer; none for an empty one.
        refusals: statuses of refusals, each of which is a line of JSON.
        status: of an answer.
    """
    line = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    said: dict[int | str, dict[str, Any]] = {status: {"description": "Answered."}}
    if kinds:
        said[status]["content"] = {kind.partition(";")[0]: {"schema": {}} for kind in kinds}
    for one in refusals:
        said[one] = {"description": _REASONS[one], "content": {JSON: {"schema": line}}}
    return said


def _post(
    app: FastAPI, path: str, function: Answering, fields: Mapping[str, str], said: dict[int | str, dict[str, Any]], *,
    is_upload: bool = False,
) -> None:  # fmt: skip
    """A route that takes a form, which it reads itself: files are written where only a process reads them."""
    properties: dict[str, Any] = {name: {"type": "string", "description": text} for name, text in fields.items()}
    if is_upload:
        file = {"type": "array", "items": {"type": "string", "format": "binary"}}
        properties["file"] = {**file, "description": "a recording, or a WFDB header with its signal files"}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    described = {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}
    status = min(int(one) for one in said)
    app.post(path, openapi_extra=described, response_class=Response, responses=said, status_code=status)(function)


@asynccontextmanager
async def _asked(form: FormData, service: Service) -> AsyncIterator[Ask]:
    """The question of a form; its files lie in folders of their own as long as it is answered.

    Raises:
        DataError: what was sent cannot be used.
    """
    folders: list[Path] = []

    async def one(prefix: str) -> Ask:
        said = typed.told(form, prefix)
        number = typed.text_of(form, f"{prefix}watched")
        if number:
            path = service.watched.path(number) if service.watched else None
            if path is None:
                raise DataError("that recording is no longer in the watched folder")
        else:
            if service.home is None:
                raise DataError("the service is not running")
            path = service.home.new_folder()
            folders.append(path)
            await uploads.write_files(form.getlist(f"{prefix}file"), path)
        return Ask(path, said["age"], said["sex"], said["gestation"], typed.language(form))

    try:
        ask = await one("")
        ask = replace(ask, start_s=typed.seconds(form), fhir=typed.is_fhir(form))
        if form.getlist("previous_file") or typed.text_of(form, "previous_watched"):
            ask = replace(ask, previous=await one("previous_"))
        yield ask
    finally:
        for folder in folders:
            uploads.remove(folder)


def _response(answer: Answer) -> Response:
    headers = {"retry-after": "1"} if answer.status == BUSY else {}
    return Response(answer.content, status_code=answer.status, media_type=answer.kind, headers=headers)


def _refused(status: int, reason: str) -> Response:
    return _response(refusal(status, reason))
