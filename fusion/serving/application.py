"""The HTTP side of the service: its page, uploads and their limits, results, health and metrics."""

import asyncio
import contextlib
import errno
import logging
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from commands.running import first_line
from fusion.prediction.prediction import Json
from fusion.report.markup import render
from fusion.serving.access import Access
from fusion.serving.connections import BACKLOG, bounded_protocol
from fusion.serving.jobs import FullError, Job, Jobs
from fusion.serving.limits import Limits
from fusion.serving.worker import Worker

_log = logging.getLogger("uvicorn.error")
_FAILED = "The service failed."
FOLDER = Path(__file__).parent
# The seconds that running analyses get when the service ends, and the most bytes of a request's headers.
GRACE_SECONDS, MOST_OF_HEADERS = 2, 16_384
ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
# The page loads nothing from other sites, so browsers are told to refuse that.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "properties": {"video": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
ANSWERS: dict[int | str, Json] = {
    401: {"description": "The token is missing or wrong; only if the service has one"},
    429: {"description": "This client sent too many videos or wrong tokens; Retry-After says when to try again"},
    400: {"description": "The form has no file in the field video"},
    408: {"description": "The upload took too long"},
    413: {"description": "The upload is too large"},
    422: {"description": "The file can't be decoded as a video, or is too long"},
    503: {"description": "The queue is full, or the analysis was killed twice; Retry-After says when to try again"},
    504: {"description": "Analysing the video took too long"},
    507: {"description": "The disk of the service is full"},
}


def create_application(
    workers: Sequence[Worker], limits: Limits, folder: Path, hosts: Sequence[str], access: Access
) -> FastAPI:
    """Returns the service. `folder` is for uploads while they are needed; `hosts` are the names that it answers to.

    Without hosts it answers to any name, which is allowed only with a token.
    """

    @contextlib.asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        application.state.folder = folder
        application.state.jobs = Jobs(workers, limits)
        working = asyncio.create_task(application.state.jobs.work())
        yield
        working.cancel()
        for worker in workers:
            worker.stop()

    # FastAPI's own documentation pages are off, because they load scripts from other sites. /openapi.json is there.
    application = FastAPI(title="Two streams", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    application.add_middleware(Guard, hosts=hosts, access=access)
    _add_pages(application, limits)
    _add_predictions(application, limits)
    return application


def configuration(
    application: FastAPI,
    limits: Limits,
    *,
    proxies: Sequence[str] = (),
    certificate: Path | None = None,
    key: Path | None = None,
) -> uvicorn.Config:
    """Returns the settings of the web server: limits of connections, and no waiting for clients at the end.

    Only `proxies` are trusted to name the clients behind them (`X-Forwarded-For` and `-Proto`).
    """
    return uvicorn.Config(
        application,
        http=bounded_protocol(limits.queue),
        ws="none",
        backlog=BACKLOG,
        log_level="warning",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=MOST_OF_HEADERS,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


class Guard:
    """Answers only allowed requests for this host, adds headers to all answers, and logs each in one line."""

    def __init__(self, application: ASGIApp, hosts: Sequence[str], access: Access) -> None:
        self._application, self._access = application, access
        names = "|".join(map(re.escape, hosts)) or r"[^\s/:@]+|\[[0-9a-f:.]+\]"
        self._host = re.compile(rf"({names})(:[0-9]{{1,5}})?", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        status, said = self._refusal(scope)
        try:
            if not status:
                await self._application(scope, receive, send_with_headers)
        except ClientDisconnect:
            _log.warning("A client disconnected before it had sent its video.")
            return
        except asyncio.CancelledError:
            status, said = 503, "The service has been stopped."
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            status, said = (507, "The disk of the service is full.") if full else (500, _FAILED)
            _log.warning("A request failed: %s", error)
        except Exception as error:
            status, said = 500, _FAILED
            _log.warning("A request failed: %s: %s", type(error).__name__, first_line(error))
        if said and not begun:
            more = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}.get(status)
            await JSONResponse({"detail": said}, status, more)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str]:
        """Returns the status and the message of a refusal, or status 0 if the request may go on."""
        headers = Headers(scope=scope)
        if not self._is_own(headers):
            return 403, "This service only answers its own page."
        client = str((scope.get("client") or ("",))[0])
        return self._access.refusal(client, scope["method"], scope["path"], headers.get("authorization", ""))

    def _is_own(self, headers: Headers) -> bool:
        """Tells whether a request is for this host and does not come from another site's page."""
        named, origins = headers.getlist("host"), headers.getlist("origin")
        if len(named) != 1 or not self._host.fullmatch(named[0]):
            return False
        return all(origin in (f"http://{named[0]}", f"https://{named[0]}") for origin in origins)


def _add_pages(application: FastAPI, limits: Limits) -> None:
    def add(path: str, contents: str, kind: str) -> None:
        application.get(path, include_in_schema=False)(lambda: Response(contents, media_type=kind))

    add("/", render("page.html", folder=FOLDER, limits=limits), "text/html")
    for name, kind in ASSETS.items():
        add(f"/{name}", (FOLDER / name).read_text(encoding="utf-8"), kind)

    @application.get("/health", summary="Tells whether the service can analyse videos")
    async def health(request: Request) -> JSONResponse:
        jobs: Jobs = request.app.state.jobs
        alive = sum(worker.is_alive for worker in jobs.workers)
        state = {"status": "ok" if alive else "restarting", "workers": alive, "active": jobs.active}
        return JSONResponse(state, 200 if alive else 503)

    @application.get("/model", summary="Returns the models, their classes, and the results of their evaluation")
    async def model(request: Request) -> JSONResponse:
        jobs: Jobs = request.app.state.jobs
        return JSONResponse(jobs.workers[0].described)

    @application.get(
        "/metrics", summary="Returns counters in the text format of Prometheus", response_class=PlainTextResponse
    )
    async def metrics(request: Request) -> str:
        jobs: Jobs = request.app.state.jobs
        return jobs.as_metrics()


def _add_predictions(application: FastAPI, limits: Limits) -> None:
    @application.post("/predict", summary="Recognises the action in a video", openapi_extra=UPLOAD, responses=ANSWERS)
    async def predict(request: Request, wait: bool = True) -> JSONResponse:
        """Send a video as the form field `video`. With `wait=false` the answer is an id for `/jobs/{id}`."""
        jobs: Jobs = request.app.state.jobs
        try:
            async with jobs.place("") as job:
                video = await _receive(request, job, limits)
                jobs.enqueue(job, video)
        except FullError:
            await _drain(request, limits)
            later = str(jobs.seconds_until_free)
            raise HTTPException(503, f"The queue is full. Try again in {later} s.", {"Retry-After": later}) from None
        if not wait:
            return JSONResponse({"id": job.identifier}, 202)
        await job.finished.wait()
        if job.error:
            raise HTTPException(job.status, job.error, {"Retry-After": "5"} if job.status == 503 else None)
        return JSONResponse(job.result)

    @application.get("/jobs/{identifier}", summary="Returns the progress and the result of a video")
    async def follow(request: Request, identifier: str) -> JSONResponse:
        job = request.app.state.jobs.find(identifier)
        if job is None:
            raise HTTPException(404, "There is no such job, or its result is no longer kept.")
        return JSONResponse(job.as_dictionary())


async def _receive(request: Request, job: Job, limits: Limits) -> Path:
    """Writes the uploaded file under a name of our own. The client's name for it is only displayed."""
    _bound_body(request, limits)
    try:
        async with asyncio.timeout(limits.upload_seconds), request.form(max_files=1, max_fields=4) as form:
            upload = form.get("video")
            if not isinstance(upload, UploadFile):
                raise HTTPException(400, "Send the file in the form field video.")
            job.name = _plain_name(upload.filename)
            path: Path = request.app.state.folder / job.identifier
            try:
                with path.open("xb") as file:
                    while part := await upload.read(1 << 20):
                        file.write(part)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except TimeoutError:
        raise HTTPException(408, f"The upload took longer than {limits.upload_seconds:g} seconds.") from None
    return path


def _bound_body(request: Request, limits: Limits) -> None:
    """Stops an upload at the size limit, whatever size its header claims."""
    most, received, receive = int(limits.megabytes * 1e6) + 10_000, 0, request._receive
    too_large = HTTPException(413, f"An upload may have at most {limits.megabytes:g} MB.")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most:
        raise too_large

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise too_large
        return message

    request._receive = bounded


async def _drain(request: Request, limits: Limits) -> None:
    """Reads the rest of a refused upload: many clients read the answer only after they have sent everything."""
    with contextlib.suppress(TimeoutError, HTTPException, ClientDisconnect):
        _bound_body(request, limits)
        async with asyncio.timeout(min(5.0, limits.upload_seconds)):
            async for _ in request.stream():
                pass


def _plain_name(name: str | None) -> str:
    """Returns a file's name without folders and unprintable characters, for messages and the page."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:120] or "video"
