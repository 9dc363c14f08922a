"""Security headers of every answer: of routes, files, refusals, preflights and crashes alike.

The layer stands outside of everything that an application has; `bot.desk.headers` says what the desk's are.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RENEWED = "renewed_token"  # in a scope's state: the session token that the caller should use from now on
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000"
EMBEDDED = "/widget.js"  # The one thing that pages of other sites load.


class GatewayHeaders:
    """The gateway's: nobody frames it, nothing but its own files runs in its page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path: str = scope["path"]
        state: dict[str, Any] = scope.setdefault("state", {})

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in EVERYWHERE.items():
                    headers[name] = value
                if path == EMBEDDED:
                    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
                headers.setdefault("Content-Security-Policy", CSP)
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Cache-Control", "no-store" if "/api/" in path else "no-cache")
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = HSTS
                if RENEWED in state:
                    headers["Hotline-Token"] = state[RENEWED]
            await send(message)

        await self.app(scope, receive, with_headers)


def surround(app: FastAPI, layer: Callable[[ASGIApp], ASGIApp]) -> None:
    """Put `layer` around all of `app`, the answer to an unexpected error included: `add_middleware` does not."""
    build = app.build_middleware_stack

    def built(_: FastAPI) -> ASGIApp:
        return layer(build())

    app.build_middleware_stack = types.MethodType(built, app)  # type: ignore[method-assign]
