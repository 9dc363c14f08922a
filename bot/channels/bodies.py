"""How large a request's body may be: refused before it is read into memory, whatever length was declared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.errors import HotlineError, Problem


class BodyLimit:
    """Refuses a body over what `most` allows for its scope: (bytes, what it is refused with)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        most: Callable[[Scope], tuple[int, Problem]],
        refuse: Callable[[HotlineError], Response],
    ) -> None:
        self.app = app
        self.most = most
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        most, problem = self.most(scope)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            return await self.refuse(HotlineError(problem))(scope, receive, send)
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
            await self.refuse(HotlineError(problem))(scope, receive, send)
