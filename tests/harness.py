"""A gateway on a scripted engine and a database file, as the tests of conversations and channels use it."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import uvicorn

from bot.cases.calendar import SHANGHAI
from bot.channels.app import create_app
from bot.conversations.engine import Decision
from bot.conversations.turns import Turns
from bot.settings import Settings
from bot.storage import make_engine, make_sessions

Payloads = list[dict[str, Any]]
Step = Payloads | Decision | BaseException | Callable[["Call"], Awaitable[Payloads | Decision]]


# A message or receipt of an event stream, in the order in which sse-starlette writes its lines.
_MESSAGE = re.compile(rb"^event: (?:message|receipt)\r?\ndata: (.+?)\r?$", re.M)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2026, 11, 22, 15, 4, tzinfo=SHANGHAI)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True)
class Call:
    """What the engine was asked."""

    conversation_id: str
    message_id: str
    text: str
    context: dict[str, Any]


def ready(text: str, kind: str = "chitchat", **known: Any) -> dict[str, Any]:
    """A payload whose words are made already."""
    return {"compose": "ready", "kind": kind, "text": text, **known}


@dataclass
class ScriptedEngine:
    """Implements `bot.conversations.engine.Engine`: looks the text up in `script`, otherwise echoes it.

    A step is a list of payloads, a whole decision, an exception to raise, or a coroutine function.
    """

    script: dict[str, Step] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    up: bool = True

    async def turn(
        self, conversation_id: str, message_id: str, text: str, context: dict[str, Any]
    ) -> Decision:
        call = Call(conversation_id, message_id, text, context)
        self.calls.append(call)
        step = self.script.get(text, [ready(f"收到：{text}")])
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            step = await step(call)
        return step if isinstance(step, Decision) else Decision(step, {"text": text}, [])

    async def alive(self) -> bool:
        return self.up

    @property
    def texts(self) -> list[str]:
        """The texts of all turns, in order."""
        return [call.text for call in self.calls]


def policy(*measures: int, facet: str = "what", specified: bool = True, text: str = "") -> Decision:
    """A decision to answer about measures."""
    reading = {"measures": list(measures), "facet": facet, "specified": specified, "text": text}
    return Decision([{"compose": "policy"}], reading, [])


class Talk:
    """One citizen's conversation through the public API."""

    def __init__(self, http: httpx.AsyncClient, opened: dict[str, Any]) -> None:
        self.http = http
        self.id: str = opened["conversation_id"]
        self.token: str = opened["token"]
        self.greeting: dict[str, Any] = opened["messages"][0]

    @property
    def path(self) -> str:
        return f"/api/v1/conversations/{self.id}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def send(
        self, text: str | None = None, message_id: str | None = None, **body: Any
    ) -> httpx.Response:
        """The response to a message; a choice by `choice=`."""
        body |= {"client_message_id": message_id or uuid.uuid4().hex}
        if text is not None:
            body["text"] = text
        return await self.http.post(f"{self.path}/messages", json=body, headers=self.headers)

    async def say(self, text: str) -> list[dict[str, Any]]:
        """The replies to a text that must be answered."""
        response = await self.send(text)
        assert response.status_code == 200, response.text
        replies: list[dict[str, Any]] = response.json()["replies"]
        assert replies and all(r["text"] for r in replies)
        return replies

    async def log(self, after: int = 0) -> list[dict[str, Any]]:
        """The server's log after a seq."""
        response = await self.http.get(f"{self.path}/messages", params={"after": after}, headers=self.headers)
        assert response.status_code == 200, response.text
        messages: list[dict[str, Any]] = response.json()["messages"]
        return messages

    async def events(
        self, last: int | None, count: int, kinds: tuple[str, ...] = ("message", "receipt")
    ) -> list[dict[str, Any]]:
        """`count` messages or receipts after seq `last`, then a disconnect: `{"event", "id", "data"}` each."""
        headers = self.headers | ({} if last is None else {"Last-Event-ID": str(last)})
        found: list[dict[str, Any]] = []
        if count <= 0:
            return found
        async with self.http.stream("GET", f"{self.path}/events", headers=headers) as response:
            assert response.status_code == 200
            event: dict[str, Any] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if not line and "data" in event:
                    if event["event"] in kinds:
                        found.append(event)
                    event = {}
                    if len(found) == count:
                        break
                elif name == "data":
                    event["data"] = json.loads(value)
                elif name in ("event", "id"):
                    event[name] = value
        return found


class Hotline:
    """The gateway in this process. `restart` is what a new process on the same database would be."""

    def __init__(self, config: Settings, clock: Clock, *, busy_timeout: float = 5.0) -> None:
        self.config = config
        self.clock = clock
        self.busy_timeout = busy_timeout
        self.engine = ScriptedEngine()
        self._open()

    def _open(self) -> None:
        self._databases = [
            make_engine(self.config.database, busy_timeout=self.busy_timeout) for _ in range(2)
        ]
        self.sessions = make_sessions(self._databases[0])
        self.readers = make_sessions(self._databases[1], read_only=True)
        self.turns = Turns(self.sessions, self.readers, self.engine, now=self.clock)
        self.app = create_app(self.config, self.engine, turns=self.turns)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://hotline.test")

    def restart(self) -> None:
        """Forget everything that is not in the database."""
        self.close()
        self._open()

    def close(self) -> None:
        for database in self._databases:
            database.dispose()

    async def open(self) -> Talk:
        """A new conversation."""
        response = await self.http.post("/api/v1/conversations", json={"channel": "widget"})
        assert response.status_code == 201, response.text
        return Talk(self.http, response.json())

    async def reopened(self, talk: Talk) -> Talk:
        """The same conversation through the present process."""
        again = Talk.__new__(Talk)
        again.__dict__ |= talk.__dict__ | {"http": self.http}
        return again

    async def streamed(self, talk: Talk, last: int, count: int) -> list[dict[str, Any]]:
        """`count` events of a stream after seq `last` and then a broken connection, without a socket."""
        gone = asyncio.Event()
        raw = b""
        if count == 0:
            gone.set()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal raw
            raw += message.get("body", b"")
            if len(_MESSAGE.findall(raw)) >= count:
                gone.set()

        headers = [
            (b"authorization", f"Bearer {talk.token}".encode()),
            (b"last-event-id", str(last).encode()),
        ]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": f"{talk.path}/events", "raw_path": f"{talk.path}/events".encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": ("test", 1), "server": ("hotline.test", 80),
        }  # fmt: skip
        await asyncio.wait_for(self.app(scope, receive, send), 10)
        return [json.loads(data) for data in _MESSAGE.findall(raw)[:count]]

    @asynccontextmanager
    async def served(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the app on a real socket: for streams, and for bodies as they come from the network."""
        server = uvicorn.Server(
            uvicorn.Config(self.app, port=0, log_config=None, timeout_graceful_shutdown=1)
        )
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20
        ) as client:
            yield client
        server.should_exit = True
        await task
