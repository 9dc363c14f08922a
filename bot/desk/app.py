"""The desk's application: guard, headers, errors, health; the staff API and the pages mount on it."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session, sessionmaker
from starlette.exceptions import HTTPException

from bot.channels.bodies import BodyLimit
from bot.channels.headers import surround
from bot.channels.limits import limiter_of
from bot.conversations import notices
from bot.conversations.engine import Engine
from bot.desk import login_pages
from bot.desk.auth import Guard, refusal
from bot.desk.headers import SecurityHeaders
from bot.errors import HotlineError, Problem
from bot.request_ids import RequestIds
from bot.settings import Settings
from bot.storage import StorageError, make_engine, make_sessions

logger = structlog.get_logger(__name__)

ROUTERS = ("conversations_api", "cases_api", "copilot_api", "admin_api")
LOG_INS_PER_MINUTE = 30  # of one address
HASHING_AT_ONCE = 2
MAX_BODY = 1024 * 1024


def utc_now() -> datetime:
    """The time; tests put another clock in its place."""
    return datetime.now(timezone.utc)


def create_desk_app(
    config: Settings,
    engine: Engine,
    *,
    sessions: sessionmaker[Session] | None = None,
    readers: sessionmaker[Session] | None = None,
    now: Callable[[], datetime] = utc_now,
    pages: bool = True,
) -> FastAPI:
    """The desk on a database and an engine. `app.state` holds config, engine, sessions, readers and now.

    `pages=False` leaves NiceGUI out: it can be mounted on one application of a process only.
    """
    sessions = sessions or make_sessions(make_engine(config.database))
    readers = readers or make_sessions(make_engine(config.database), read_only=True)
    app = FastAPI(title="吉林12315值班台", version="1", docs_url=None, redoc_url=None)
    app.state.config, app.state.engine, app.state.now = config, engine, now
    notices.listen()
    app.state.sessions, app.state.readers = sessions, readers
    app.state.log_ins = limiter_of(config, "log_ins", LOG_INS_PER_MINUTE)
    app.state.hashing = asyncio.Semaphore(HASHING_AT_ONCE)
    _handlers(app)

    @app.get("/healthz", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(login_pages.router)
    for name in ROUTERS:
        if importlib.util.find_spec(f"bot.desk.{name}"):
            app.include_router(importlib.import_module(f"bot.desk.{name}").router)
    if pages and importlib.util.find_spec("bot.desk.pages"):
        importlib.import_module("bot.desk.pages").mount(app)
    app.add_middleware(BodyLimit, most=lambda _: (MAX_BODY, Problem.TOO_LARGE), refuse=refusal)
    # The last one added is the outermost: whatever the pages add stands behind the guard.
    app.add_middleware(Guard, sessions=sessions, readers=readers, config=config, now=now)
    surround(app, partial(SecurityHeaders, https=config.desk_cookie_secure))
    surround(app, RequestIds)
    return app


def _handlers(app: FastAPI) -> None:
    @app.exception_handler(HotlineError)
    async def known(_: Request, error: HotlineError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, __: RequestValidationError) -> JSONResponse:
        return refusal(HotlineError(Problem.MALFORMED))

    @app.exception_handler(StorageError)
    async def not_stored(_: Request, error: StorageError) -> JSONResponse:
        logger.error("not_stored", error=str(error))
        return refusal(HotlineError(Problem.NOT_STORED, retry_after=5))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        problems = {404: Problem.NOT_FOUND, 405: Problem.METHOD, 413: Problem.TOO_LARGE}
        return refusal(HotlineError(problems.get(error.status_code, Problem.MALFORMED)))

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        logger.exception("internal", error=type(error).__name__)
        return refusal(HotlineError(Problem.INTERNAL))
