"""Bounds on a connection, which uvicorn has none of: a slow or greedy client holds nothing for long.

A request's head arrives within `HEAD_SECONDS` and is at most `HEAD_BYTES`; its body comes at `BODY_RATE` or faster;
whoever does not read an answer is cut off. One address holds a bounded number of connections. nginx does the same
in front of several gateways; here it holds without one, as `make run` starts it.
"""

from __future__ import annotations

import asyncio
import json
import resource
from asyncio.events import TimerHandle
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bot.channels.limits import address_key
from bot.errors import HotlineError, Problem

HEAD_SECONDS = 15.0  # from the connection, or a request's first byte, to the end of its headers
HEAD_BYTES = 16 * 1024
HEADERS = 64
BODY_SECONDS = 20.0  # plus a second for every `BODY_RATE` bytes that have come
BODY_RATE = 4096  # bytes a second: a picture over a bad mobile network passes
LINGER_SECONDS = 3.0  # a body that nobody wants any more is read on for so long, that the refusal arrives
WRITE_SECONDS = 30.0  # a full buffer that is not read from
MOST = 4000  # connections of one process
FILES = 65_536

_HEAD, _BODY, _WHOLE = "head", "body", "whole"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines. `bounded` makes one with the limits of a server."""

    per_address: int = 0  # connections; 0: no limit
    addresses: Counter[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._phase = _HEAD
        self._deadline = 0.0
        self._arrival: TimerHandle | None = None
        self._writing: TimerHandle | None = None
        self._head = 0
        self._cut = False
        self._counted = ""

    # -- the connection ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it at once: too many of this address, or of all."""
        super().connection_made(transport)
        address = address_key(self.client[0]) if self.client else ""
        self.addresses[address] += 1
        self._counted = address
        crowded = 0 < self.per_address < self.addresses[address]
        if crowded or len(self.connections) > MOST:
            self._cut = True
            transport.abort()
            return
        self._expect(_HEAD, HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._release()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is the websocket protocol's."""
        self._release()
        super().handle_websocket_upgrade()

    def _release(self) -> None:
        for timer in (self._arrival, self._writing):
            if timer is not None:
                timer.cancel()
        self._arrival = self._writing = None
        if self._counted:
            self.addresses[self._counted] -= 1
            if self.addresses[self._counted] <= 0:
                del self.addresses[self._counted]
            self._counted = ""

    # -- arriving -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Count the head while it comes: the parser itself keeps a header of any length."""
        if self._cut:
            return
        if self._phase == _WHOLE:
            # Also before the parser calls it a request: empty lines are skipped, and could be sent for ever.
            self._expect(_HEAD, HEAD_SECONDS)
        begun_in_head = self._phase == _HEAD
        super().data_received(data)
        if begun_in_head and self._phase == _HEAD and not self._cut:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(Problem.HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins, the first one or another on the same connection."""
        super().on_message_begin()
        if self._phase != _HEAD:
            self._expect(_HEAD, HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """The head is whole: refuse one that is too large, then wait for the body."""
        if self._cut:
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > HEADERS:
            return self._refuse(Problem.HEAD_TOO_LARGE)
        self._expect(_BODY, BODY_SECONDS)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Every piece earns time for the next, as long as somebody wants it."""
        if self._cut:
            return
        if not self.cycle.response_complete:
            self._deadline += len(body) / BODY_RATE
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; how long the answer takes is ours."""
        if self._cut:
            return
        self._phase = _WHOLE
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A body that is still coming was refused: leave a moment for the answer to be read."""
        if self._phase == _BODY:
            self._deadline = min(self._deadline, self.loop.time() + LINGER_SECONDS)
            self._watch()
        elif self._phase == _HEAD and not self._cut:
            # The next request had begun; while we did not read, its sender could not go on.
            self._deadline = self.loop.time() + HEAD_SECONDS
            self._watch()
        super().on_response_complete()

    def _expect(self, phase: str, seconds: float) -> None:
        self._phase = phase
        if phase == _HEAD:
            self._head = 0
        self._deadline = self.loop.time() + seconds
        self._watch()

    def _watch(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
        self._arrival = self.loop.call_at(self._deadline, self._late)

    def _late(self) -> None:
        self._arrival = None
        if self.transport.is_closing():
            return
        left = self._deadline - self.loop.time()
        answering = self.cycle is not None and not self.cycle.response_complete
        if left <= 0 and self.flow.read_paused and answering:
            # It is we who do not read: the request before is still being worked on.
            left, self._deadline = 1.0, self.loop.time() + 1.0
        if left > 0:  # Time was earned meanwhile.
            return self._watch()
        if self._phase == _HEAD and not answering and not self._cut:
            return self._refuse(Problem.TOO_SLOW)
        self._cut = True
        self.transport.abort()

    # -- leaving ------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets the error body of the contract, as everything else does."""
        if not self._cut:
            self._refuse(Problem.NOT_HTTP)

    def _refuse(self, problem: Problem) -> None:
        self._cut = True
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self.pipeline:
                # In the middle of another answer there is no place for this one.
                return self.transport.abort()
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = json.dumps(HotlineError(problem).body(), ensure_ascii=False).encode()
        head = (
            "content-type: application/json\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
            f"content-security-policy: default-src 'none'\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[problem.status] + head.encode() + body)
        # Closed at once, with bytes of the client's unread, the answer would be lost on the way.
        self.transport.write_eof()
        self._expect(_WHOLE, LINGER_SECONDS)


def bounded(per_address: int) -> type[BoundedProtocol]:
    """The protocol of one server; `per_address` connections of one address at most, 0 for any number."""
    return type("Bounded", (BoundedProtocol,), {"per_address": per_address, "addresses": Counter()})


def allow_files() -> None:
    """Let this process hold as many connections as it may: the usual soft limit of 1024 files is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
