"""Who may come in: nothing of the desk answers without a log-in.

One ASGI layer stands before routes, mounts, static files and websockets alike, so that a page added later cannot
forget it. It lets three exact paths through (`OPEN`); for everything else it finds the staff member of the cookie
`hotline_desk` or of the bearer token, and puts them into `request.state.staff`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import structlog
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy.orm import Session, sessionmaker
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.errors import HotlineError, Problem
from bot.settings import Settings
from bot.staff import accounts
from bot.staff.models import Staff
from bot.staff.permissions import Permission, may
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

COOKIE = "hotline_desk"
OPEN = frozenset({"/login", "/login.css", "/healthz"})
# What somebody may reach who must first change a password or set up one-time codes.
HELD = frozenset(
    {"/account", "/account/password", "/account/totp", "/logout", "/api/v1/me", "/api/v1/me/password"}
)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
RECHECK = 10.0  # seconds after which an open websocket's log-in is looked at again
SMALL_BODY = 16 * 1024  # what may come from somebody who has not logged in


@dataclass(frozen=True)
class Caller:
    """Who calls, and how they showed it."""

    staff: Staff
    token: str
    by_cookie: bool


def current_staff(request: Request) -> Staff:
    """The staff member of this request; on a route that the guard does not cover nobody is anybody."""
    staff: Staff | None = getattr(request.state, "staff", None)
    if staff is None:
        raise HotlineError(Problem.LOG_IN_NEEDED)
    return staff


CurrentStaff = Annotated[Staff, Depends(current_staff)]


def requires(permission: Permission) -> Any:
    """A dependency that gives the staff member if their role allows it; raises FORBIDDEN (403)."""

    def check(staff: CurrentStaff) -> Staff:
        if not may(staff, permission):
            raise HotlineError(Problem.FORBIDDEN)
        return staff

    return Depends(check)


def refusal(error: HotlineError) -> JSONResponse:
    """The error body of the contract."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse(error.body(), status_code=error.problem.status, headers=headers)


def out_of_order(scope: Scope) -> Response:
    """What is answered while nobody's log-in can be looked up: the contract's error, or a page for a browser."""
    error = HotlineError(Problem.NOT_STORED, retry_after=5)
    if _for_programs(scope):
        return refusal(error)
    # It says what is the matter, keeps the address and tries again by itself.
    page = (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        "<title>吉林12315值班台</title></head><body><h1>值班台暂时连不上数据库</h1>"
        "<p>已经保存的内容都在，恢复后这个页面会自动打开，不用重新登录。请先用电话接待。</p></body></html>"
    )
    return HTMLResponse(page, 503, {"Retry-After": str(error.retry_after)})


def held(staff: Staff, config: Settings) -> Problem | None:
    """What somebody must do before they may work: replace the first password, set up one-time codes."""
    if staff.must_change_password:
        return Problem.PASSWORD_CHANGE
    if config.desk_totp == "required" and staff.totp_secret is None:
        return Problem.TOTP_NEEDED
    return None


def same_site(connection: HTTPConnection) -> bool:
    """Whether a browser says that the desk's own page sent this. A request that says nothing is refused:
    browsers send `Origin` with everything but plain reading, and programs use a bearer token."""
    if site := connection.headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = connection.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == connection.headers.get("host")


class Guard:
    """The ASGI layer. 401 for `/api/`, 303 to `/login` for pages, a closed door for websockets."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: sessionmaker[Session],
        readers: sessionmaker[Session],
        config: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.app = app
        self.sessions, self.readers, self.config, self.now = sessions, readers, config, now
        self._touched: dict[str, datetime] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
        if scope["type"] != "http":
            return None
        connection = HTTPConnection(scope)
        if scope["path"] in OPEN:
            if not _small(scope):
                return await refusal(HotlineError(Problem.TOO_LARGE))(scope, receive, send)
            return await self.app(scope, receive, send)
        try:
            caller = await self._caller(connection)
        except StorageError as error:
            logger.error("not_stored", error=str(error))
            return await out_of_order(scope)(scope, receive, send)
        if caller is None:
            return await self._turn_away(scope, receive, send)
        problem = held(caller.staff, self.config)
        if caller.by_cookie and scope["method"] not in SAFE and not same_site(connection):
            return await refusal(HotlineError(Problem.CROSS_SITE))(scope, receive, send)
        if problem and scope["path"] not in HELD:
            if _for_programs(scope):
                return await refusal(HotlineError(problem))(scope, receive, send)
            return await RedirectResponse("/account", 303)(scope, receive, send)
        # Socket.IO's polling transport asks by itself; only what a person does keeps the log-in alive.
        if not scope["path"].startswith("/_nicegui"):
            await self._touch(caller)
        self._present(scope, caller)
        await self.app(scope, receive, send)

    async def _caller(self, connection: HTTPConnection) -> Caller | None:
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        by_cookie = scheme.lower() != "bearer"
        token = connection.cookies.get(COOKIE, "") if by_cookie else bearer.strip()
        if not token or len(token) > 128:
            return None
        staff = await asyncio.to_thread(self._staff, token, by_cookie)
        return Caller(staff, token, by_cookie) if staff else None

    def _staff(self, token: str, by_cookie: bool) -> Staff | None:
        with self.readers() as session:
            return accounts.session_of(session, token, now=self.now(), kind="page" if by_cookie else None)

    async def _touch(self, caller: Caller) -> None:
        now = self.now()
        if (last := self._touched.get(caller.token)) and now - last < accounts.TOUCH:
            return
        self._touched = {t: at for t, at in self._touched.items() if now - at < accounts.TOUCH}
        self._touched[caller.token] = now

        def write() -> None:
            with self.sessions.begin() as session:
                accounts.touch(session, caller.token, now=now)

        try:
            await asyncio.to_thread(write)
        except StorageError as error:
            # Who only reads must not be refused because it cannot be noted that they were here.
            self._touched.pop(caller.token, None)
            logger.warning("not_noted", error=str(error))

    async def _turn_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _for_programs(scope):
            return await refusal(HotlineError(Problem.LOG_IN_NEEDED))(scope, receive, send)
        back = f"?next={quote(scope['path'], safe='/')}" if scope["path"] != "/" else ""
        await RedirectResponse(f"/login{back}", 303)(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        caller: Caller | None = None
        # While the database is away the page asks for its websocket again by itself.
        with contextlib.suppress(StorageError):
            caller = await self._caller(connection)
        if (
            caller is None
            or (caller.by_cookie and not same_site(connection))
            or held(caller.staff, self.config)
        ):
            # Closed before it was accepted: the server answers the handshake with 403.
            await receive()
            return await send({"type": "websocket.close", "code": 4401})
        self._present(scope, caller)
        loop = asyncio.get_running_loop()
        looked = loop.time()

        async def watched() -> Message:
            """What the browser sends, as long as the log-in lives; afterwards the line is cut."""
            nonlocal looked
            while True:
                waiting = asyncio.ensure_future(receive())
                while not (await asyncio.wait({waiting}, timeout=RECHECK))[0]:
                    if not await alive():
                        waiting.cancel()
                        return {"type": "websocket.disconnect", "code": 4401}
                message = waiting.result()
                if message["type"] == "websocket.receive":
                    if loop.time() - looked >= RECHECK and not await alive():
                        return {"type": "websocket.disconnect", "code": 4401}
                    if _by_hand(message):
                        await self._touch(caller)
                return message

        async def alive() -> bool:
            nonlocal looked
            looked = loop.time()
            try:
                if await asyncio.to_thread(self._staff, caller.token, caller.by_cookie):
                    return True
            except StorageError:
                return True  # Nobody is logged out because the database is away for a moment.
            await send({"type": "websocket.close", "code": 4401})
            return False

        await self.app(scope, watched, send)

    @staticmethod
    def _present(scope: Scope, caller: Caller) -> None:
        scope.setdefault("state", {})
        scope["state"]["staff"], scope["state"]["token"] = caller.staff, caller.token


def _for_programs(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith("/api/") or path == "/openapi.json"


def _small(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return False
    declared = headers.get(b"content-length", b"0")
    return declared.isdigit() and int(declared) <= SMALL_BODY


def _by_hand(message: Message) -> bool:
    """Whether a Socket.IO frame is an event of the person: not a ping, nor the page's receipt of an update."""
    text = message.get("text") or ""
    return text.startswith("42") and '"ack"' not in text[:12]
