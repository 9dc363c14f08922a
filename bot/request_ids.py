"""The request id: one value in every log line of one call, whichever process wrote it.

The gateway makes it (or takes a caller's, if it is a UUID), answers it in `X-Request-ID` and in every error, keeps it
with the citizen's message and its deliveries, and hands it to the engine, which hands it to the action webhook. So one
`grep` finds a complaint's way through all logs, also when another process took the turn up after a crash.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.crypto import mask_text

logger = structlog.get_logger(__name__)

HEADER = "X-Request-ID"
_SHAPE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_ABOUT = re.compile(r"/conversations/([0-9a-f-]{36})(?:/|$)")
# Asked every few seconds by machines; nobody complains about them.
QUIET = ("/healthz", "/readyz", "/metrics", "/api/v1/metrics", "/static/", "/_nicegui", "/assets/")
LONGEST = 200  # characters of a path that are logged


def new() -> str:
    """An id of our own: 32 hexadecimal digits in which nobody can read a phone number."""
    while True:
        made = uuid.uuid4().hex
        if mask_text(made) == made:
            return made


def accept(given: str | None) -> str:
    """A caller's id, if it is a UUID and holds nothing that looks like a personal number; else a new one."""
    if given and _SHAPE.fullmatch(given) and mask_text(given) == given:
        return given.lower()
    return new()


def current() -> str | None:
    """The id of the call that is being worked on, or None."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return str(found) if found else None


@contextmanager
def within(request_id: str | None = None, **ids: str | None) -> Iterator[str]:
    """The block's log lines carry these ids; without a `request_id` the present one goes on, or a new one begins."""
    chosen = request_id or current() or new()
    known = {name: value for name, value in ids.items() if value}
    with structlog.contextvars.bound_contextvars(request_id=chosen, **known):
        yield chosen


class RequestIds:
    """The outermost layer of gateway and desk: gives each call its id, and its line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        path: str = scope["path"]
        about = _ABOUT.search(path)
        status, begun = 0, time.perf_counter()

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        given = accept(Headers(scope=scope).get(HEADER))
        with within(given, conversation=about and about[1]) as request_id:
            try:
                await self.app(scope, receive, marked)
            finally:
                if scope["type"] == "http" and not path.startswith(QUIET):
                    logger.info(
                        "request",
                        method=scope["method"],
                        path=path[:LONGEST],
                        status=status,
                        ms=round((time.perf_counter() - begun) * 1000),
                    )
