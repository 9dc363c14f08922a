"""Security headers of every answer of the desk, errors and redirects among them."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.channels.headers import EVERYWHERE, HSTS

# Pages are drawn by NiceGUI: its start script and Quasar's styles stand inline in the page, and Vue compiles
# components in the browser, which is `eval`. Everything comes from this server; data leaves to it alone.
PAGES = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; media-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# The log-in and account pages are plain: no script at all, where the password is typed.
PLAIN = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Not `no-referrer`: with it browsers send `Origin: null` with a form, which the guard refuses.
FIXED = EVERYWHERE | {"Referrer-Policy": "same-origin"}
LIBRARIES = "/_nicegui/"


class SecurityHeaders:
    """Adds the headers. Answers are kept by nobody, but NiceGUI's own libraries by the staff member's browser."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path: str = scope["path"]
        plain = path.startswith(("/login", "/account", "/logout", "/api/"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in FIXED.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", PLAIN if plain else PAGES)
                if self.https or scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = HSTS
                kept = headers.get("cache-control", "")
                if path.startswith(LIBRARIES) and "max-age" in kept:
                    headers["Cache-Control"] = kept.replace("public", "private")
                else:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, with_headers)
