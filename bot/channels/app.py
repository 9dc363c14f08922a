"""The gateway: the public API, the chat page, health and metrics; errors as the contract wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.channels import attachments, doors, ratings, widget
from bot.channels.limits import limiter
from bot.channels.metrics import REFUSED
from bot.channels.notice_page import PAGE, notice_page
from bot.channels.promises import registry_of
from bot.conversations.engine import Engine
from bot.conversations.turns import Turns
from bot.errors import HotlineError, Problem
from bot.settings import Settings
from bot.storage import StorageError, make_engine, make_sessions

logger = structlog.get_logger(__name__)

WIDGET = Path(__file__).parent.parent / "widget" / "dist"
MAX_BODY = 64 * 1024
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class BodyLimit:
    """Refuses a body over `MAX_BODY` (of an attachment: `upload`) before it is read into memory, declared or not."""

    def __init__(self, app: ASGIApp, upload: int = MAX_BODY) -> None:
        self.app = app
        self.upload = upload

    def _most(self, scope: Scope) -> tuple[int, Problem]:
        if scope["method"] == "POST" and attachments.PATH.fullmatch(scope["path"]):
            return self.upload, Problem.FILE_TOO_LARGE
        return MAX_BODY, Problem.TOO_LARGE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        most, problem = self._most(scope)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            return await _refuse(HotlineError(problem))(scope, receive, send)
        size, begun = 0, False

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HotlineError(problem)
            return message

        async def guarded(message: Message) -> None:
            # What the routes make of a body that was cut off is not the answer.
            nonlocal begun
            if size <= most or begun:
                begun = True
                await send(message)

        with suppress(HotlineError):
            await self.app(scope, counted, guarded)
        if size > most and not begun:
            await _refuse(HotlineError(problem))(scope, receive, send)


def _refuse(error: HotlineError) -> JSONResponse:
    REFUSED.labels(error.problem.code).inc()
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse(error.body(), status_code=error.problem.status, headers=headers)


def _handlers(app: FastAPI) -> None:
    @app.exception_handler(HotlineError)
    async def known(_: Request, error: HotlineError) -> JSONResponse:
        return _refuse(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, __: RequestValidationError) -> JSONResponse:
        return _refuse(HotlineError(Problem.MALFORMED))

    @app.exception_handler(StorageError)
    async def not_stored(_: Request, error: StorageError) -> JSONResponse:
        logger.error("not_stored", error=str(error))
        return _refuse(HotlineError(Problem.NOT_STORED, retry_after=5))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        known = {404: Problem.NOT_FOUND, 405: Problem.METHOD, 413: Problem.TOO_LARGE}
        return _refuse(HotlineError(known.get(error.status_code, Problem.MALFORMED)))

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        logger.exception("internal", error=type(error).__name__)
        return _refuse(HotlineError(Problem.INTERNAL))


def create_app(config: Settings, engine: Engine, *, turns: Turns | None = None) -> FastAPI:
    """The gateway on an engine; `turns` can be given with another clock for tests."""
    sessions = turns.sessions if turns else make_sessions(make_engine(config.database))
    readers = turns.readers if turns else make_sessions(make_engine(config.database), read_only=True)
    turns = turns or Turns(sessions, readers, engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(turns.attend()), asyncio.create_task(turns.news.watch())]
        yield
        for task in tasks:
            task.cancel()

    app = FastAPI(title="吉林12315智能助手", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.sessions, app.state.readers, app.state.turns = sessions, readers, turns
    app.state.config = config
    unlimited = config.rate_limits == "off"
    app.state.sent = limiter(
        "sent", 10**9 if unlimited else config.messages_per_minute, None, config.redis_url
    )
    app.state.opened = limiter(
        "opened", 10**9 if unlimited else config.conversations_per_minute, None, config.redis_url
    )
    _handlers(app)
    app.add_middleware(BodyLimit, upload=config.attachment_bytes + attachments.OVERHEAD)

    @app.middleware("http")
    async def headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault(
            "Cache-Control", "no-store" if "/api/" in request.url.path else "no-cache"
        )
        return response

    if origins := [o.strip() for o in config.allowed_origins.split(",") if o.strip()]:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "last-event-id"],
        )
    for routes in (widget, attachments, ratings):
        app.include_router(routes.router)
    doors.include(app, config)

    @app.get("/healthz", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> JSONResponse:
        def ask() -> bool:
            try:
                with readers() as session:
                    session.execute(text("SELECT 1 FROM conversations LIMIT 1"))
                return True
            except (StorageError, SQLAlchemyError):
                return False

        checks = {"database": await asyncio.to_thread(ask), "engine": await engine.alive()}
        return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)

    promises = registry_of(readers, turns.now)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        now = generate_latest() + await asyncio.to_thread(generate_latest, promises)
        return PlainTextResponse(now, media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(notice_page())

    @app.get("/widget.js", include_in_schema=False)
    async def script(request: Request) -> FileResponse:
        """The chat for any page; `hotline up` and `make widget` build it (bot/widget_build.py)."""
        name, encoded = "widget.js", {"Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", "") and (WIDGET / "widget.js.gz").exists():
            name, encoded = "widget.js.gz", encoded | {"Content-Encoding": "gzip"}
        if not (WIDGET / name).exists():
            raise HotlineError(Problem.NOT_FOUND)
        return FileResponse(WIDGET / name, media_type="text/javascript; charset=utf-8", headers=encoded)

    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    return app
