"""The desk's pages: NiceGUI on the application of `bot.desk.app`. `mount` is all that the application knows of them.

Pages call the same services as the API, in worker threads, and show what comes back. Who may do what is decided by
`bot.staff.permissions` in each service call (`Seat.write`); the menu only spares people the refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from nicegui import ui
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.conversations.news import News
from bot.desk.pages.live import Board
from bot.desk.pages.seat import Desk

ASSETS = Path(__file__).parent / "assets"
PAGES = (
    "queue",
    "conversations",
    "conversation",
    "cases",
    "case",
    "phone",
    "roster",
    "reviews",
    "figures",
    "switches",
    "audit_log",
    "accounts",
    "dead_letters",
    "retention",
)
FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b5cab"/>'
    '<circle cx="16" cy="16" r="8" fill="none" stroke="white" stroke-width="3"/></svg>'
)


class Carry:
    """Puts the desk into each request's state: NiceGUI's own application does not know ours."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self.app, self.desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] in ("http", "websocket"):
            scope.setdefault("state", {})["desk"] = self.desk
        await self.app(scope, receive, send)


def mount(app: FastAPI) -> None:
    """Put the pages onto the desk's application; `app.state` must hold sessions, readers, now, engine and config."""
    news = News(app.state.readers)
    desk = Desk(
        app.state.sessions, app.state.readers, app.state.now, app.state.engine, app.state.config, news
    )
    desk.board = Board(desk)
    app.state.desk, app.state.news = desk, news
    for name in PAGES:
        importlib.import_module(f"bot.desk.pages.{name}")

    @app.get("/desk-assets/{name}", include_in_schema=False)
    async def asset(name: str) -> FileResponse:
        known = {path.name for path in ASSETS.iterdir()}
        return FileResponse(
            ASSETS / (name if name in known else "desk.css"), status_code=200 if name in known else 404
        )

    app.add_middleware(Carry, desk=desk)
    ui.run_with(
        app,
        title="吉林12315值班台",
        favicon=FAVICON,
        language="zh-CN",
        dark=False,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10.0,
        binding_refresh_interval=None,  # nothing is bound: pages say what changes
    )
    _watch(app, desk)


def _watch(app: FastAPI, desk: Desk) -> None:
    """Let the news, the board and the attendance run as long as the application does."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[object]:
        async with inner(running) as state:
            assert desk.board is not None
            work = (desk.news.watch(), desk.board.run(), desk.attend())
            tasks = [asyncio.create_task(one) for one in work]
            try:
                yield state
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    app.router.lifespan_context = lifespan  # type: ignore[assignment]
