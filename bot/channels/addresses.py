"""What an address (IP) may do at the gateway: so many requests a minute, and metrics only from inside."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.channels.limits import Limiter, address_key
from bot.errors import HotlineError, Problem

# A gateway of SMS or WeChat brings everybody's messages from one address; it proves itself, and each sender is counted.
PROVEN = "/channels/"


def client_of(connection: HTTPConnection) -> str:
    """What the caller's address is counted under."""
    return address_key(connection.client.host) if connection.client else "?"


def inside(connection: HTTPConnection) -> bool:
    """Whether the caller is on this machine or in a private network (RFC 1918, RFC 4193)."""
    try:
        address = ipaddress.ip_address(connection.client.host if connection.client else "")
    except ValueError:
        return False
    return address.is_loopback or address.is_private


class RequestLimit:
    """429 for an address that asks too often, whatever it asks for and whether or not it may."""

    def __init__(self, app: ASGIApp, *, limiter: Limiter, refuse: Callable[[HotlineError], Response]) -> None:
        self.app = app
        self.limiter = limiter
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        counted = scope["type"] == "http" and not scope["path"].startswith(PROVEN)
        if counted and (wait := self.limiter.take(client_of(HTTPConnection(scope)))):
            return await self.refuse(HotlineError(Problem.TOO_MANY, retry_after=wait))(scope, receive, send)
        await self.app(scope, receive, send)
