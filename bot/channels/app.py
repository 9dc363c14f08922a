"""The gateway: the public API, the chat page, health and metrics; errors as the contract wants them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from bot.channels import attachments, doors, ratings, widget
from bot.channels.addresses import RequestLimit, inside
from bot.channels.bodies import BodyLimit
from bot.channels.headers import GatewayHeaders, surround
from bot.channels.limits import limiter_of
from bot.channels.metrics import REFUSED
from bot.channels.notice_page import PAGE, notice_page
from bot.channels.origins import allowed
from bot.channels.promises import registry_of
from bot.conversations.engine import Engine
from bot.conversations.turns import Turns
from bot.errors import HotlineError, Problem
from bot.request_ids import RequestIds
from bot.settings import Settings
from bot.storage import StorageError, make_engine, make_sessions

logger = structlog.get_logger(__name__)

WIDGET = Path(__file__).parent.parent / "widget" / "dist"
MAX_BODY = 64 * 1024


def _most(config: Settings) -> Callable[[Scope], tuple[int, Problem]]:
    """How large a body may be, and what a larger one is refused with."""
    upload = config.attachment_bytes + attachments.OVERHEAD

    def most(scope: Scope) -> tuple[int, Problem]:
        if scope["method"] == "POST" and attachments.PATH.fullmatch(scope["path"]):
            return upload, Problem.FILE_TOO_LARGE
        return MAX_BODY, Problem.TOO_LARGE

    return most


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

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        # Nobody is left to hear it: the body was not sent to its end, or too slowly.
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
    app.state.streams = Counter()  # open event streams by conversation
    app.state.sent = limiter_of(config, "sent", config.messages_per_minute)
    app.state.opened = limiter_of(config, "opened", config.conversations_per_minute)
    _handlers(app)
    app.add_middleware(BodyLimit, most=_most(config), refuse=_refuse)
    # Of this process alone: a call of Redis for each request would cost more than a coarse limit is worth.
    own = limiter_of(config.model_copy(update={"redis_url": ""}), "requests", config.requests_per_minute)
    app.add_middleware(RequestLimit, limiter=own, refuse=_refuse)
    if origins := allowed(config.allowed_origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "last-event-id"],
            expose_headers=["hotline-token", "retry-after", "x-request-id"],
        )
    surround(app, GatewayHeaders)
    surround(app, RequestIds)
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

    promises = registry_of(readers, turns.now, config.home_dir)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        if not inside(request):
            raise HotlineError(Problem.NOT_FOUND)
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
