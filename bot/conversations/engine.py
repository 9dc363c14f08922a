"""The way to the engine: one turn over loopback, with a time limit."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import structlog

from bot import request_ids

logger = structlog.get_logger(__name__)

LOOK = 2.0  # seconds that an engine has for saying that it lives
LOOK_AGAIN = 1.0  # seconds between two looks at an engine that hangs


class EngineFailed(Exception):
    """The engine did not answer, answered too late, or answered with an error."""


@dataclass(frozen=True)
class Decision:
    """What the engine made of a message."""

    payloads: list[dict[str, Any]]
    reading: dict[str, Any]
    entities: list[dict[str, Any]]


class Engine(Protocol):
    """Anything that can take a turn; tests use a scripted one."""

    async def turn(
        self, conversation_id: str, message_id: str, text: str, context: dict[str, Any]
    ) -> Decision:
        """Decide one message; raises `EngineFailed`."""
        ...

    async def alive(self) -> bool:
        """Whether the engine answers."""
        ...


@dataclass(frozen=True)
class _Doubt:
    """The looks at an engine that took too long: the first one, and all that follow until it answers."""

    first_look: asyncio.Task[bool]
    watch: asyncio.Task[None]


class HttpEngine:
    """The engine's channel `bot.engine.channel`, on one engine or several: they keep nothing, so turns go round.

    An engine that took too long is looked at, and left out until it answers a look: one that hangs costs one citizen
    the bound, not everybody. When all of them hang, a turn fails at once.
    """

    def __init__(self, url: str, token: str, timeout: float) -> None:
        """`url`: base URLs separated by commas. `timeout`: seconds for a whole turn."""
        self._timeout = timeout
        self._urls = [one.strip().rstrip("/") for one in url.split(",") if one.strip()]
        if not self._urls:
            raise ValueError("no engine: HOTLINE_ENGINE_URL is empty")
        self._next = 0
        self._doubts: dict[str, _Doubt] = {}
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def _request(
        self, method: str, url: str, body: dict[str, Any] | None = None, request_id: str | None = None
    ) -> tuple[int, bytes]:
        """Status and body of an answer. Raises `TimeoutError`, `aiohttp.ClientError`."""
        if self._session is None:
            # The engine ends idle connections after five seconds: none may be used in that moment.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0)
            timeout = aiohttp.ClientTimeout(total=self._timeout)
            headers = {"X-Hotline-Token": self._token}
            # The engine sets no cookies, and looking for some takes a fifth of the call.
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
            )
        own = {request_ids.HEADER: request_id} if request_id else None
        async with self._session.request(
            method, url, json=body, headers=own, allow_redirects=False
        ) as response:
            return response.status, await response.read()

    def _round(self) -> list[str]:
        self._next = (self._next + 1) % len(self._urls)
        return self._urls[self._next :] + self._urls[: self._next]

    async def _sound(self) -> list[str]:
        """The engines that a turn may go to, the next one first. Raises `EngineFailed` when all of them hang."""
        sound = [url for url in self._round() if url not in self._doubts]
        if not sound:
            # It may have been slow only once: its first look says so in a moment.
            looks = [doubt.first_look for doubt in self._doubts.values()]
            await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
            sound = [url for url in self._round() if url not in self._doubts]
        if not sound:
            raise EngineFailed("no engine answers")
        return sound

    async def turn(
        self, conversation_id: str, message_id: str, text: str, context: dict[str, Any]
    ) -> Decision:
        """One turn. An engine that cannot be reached, or dies in the middle, is passed over: the same turn may begin
        again on the next one, because what it changes is kept under its `message_id`. A turn that takes too long is
        not repeated: its caller has waited enough."""
        request_id = request_ids.current()
        body = {
            "conversation_id": conversation_id,
            "message_id": message_id,
            "text": text,
            # The engine hands the context on to the actions, which log under the same id.
            "context": context | ({"request_id": request_id} if request_id else {}),
        }
        try:
            status, data = await self._post(body)
            if status != 200:
                raise EngineFailed(f"HTTP {status}")
            if not data["reading"]:
                raise EngineFailed("no model")
            return Decision(list(data["replies"]), dict(data["reading"]), list(data["entities"]))
        except (TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
            raise EngineFailed(f"{type(error).__name__}: {error}") from error

    async def _post(self, body: dict[str, Any]) -> tuple[int, Any]:
        urls = await self._sound()
        request_id = request_ids.current()
        # The bound is for the whole turn, whichever engines it goes to.
        async with asyncio.timeout(self._timeout):
            for url in urls:
                try:
                    status, answer = await self._request(
                        "POST", f"{url}/webhooks/turn/webhook", body, request_id
                    )
                    data = json.loads(answer) if status == 200 else None
                    # One that has no model (Rasa then ignores what comes), or fails at this message: another one may do
                    # better.
                    ignored = isinstance(data, dict) and data.get("reading") == {}
                    if url == urls[-1] or (status < 500 and not ignored):
                        return status, data
                except (TimeoutError, asyncio.CancelledError):
                    # The second is what the bound of the whole turn looks like from here.
                    self._doubt(url)
                    raise
                except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                    if url == urls[-1]:
                        raise
        raise AssertionError("unreachable")

    def _doubt(self, url: str) -> None:
        if url not in self._doubts:
            first_look = asyncio.create_task(self._look(url))
            self._doubts[url] = _Doubt(first_look, asyncio.create_task(self._watch(url, first_look)))

    async def _look(self, url: str) -> bool:
        lives = await self._lives(url)
        if lives:
            self._doubts.pop(url, None)
        return lives

    async def _watch(self, url: str, first_look: asyncio.Task[bool]) -> None:
        if await first_look:
            return
        logger.error("engine_left_out", engine=url)
        while not await self._look(url):
            await asyncio.sleep(LOOK_AGAIN)
        logger.info("engine_taken_in", engine=url)

    async def _lives(self, url: str) -> bool:
        try:
            async with asyncio.timeout(LOOK):
                return (await self._request("GET", f"{url}/webhooks/turn/"))[0] == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def alive(self) -> bool:
        """Whether one of the engines answers."""
        for url in self._round():
            if await self._look(url):
                return True
        return False

    async def close(self) -> None:
        """Close the connections."""
        for doubt in self._doubts.values():
            doubt.first_look.cancel()
            doubt.watch.cancel()
        if self._session is not None:
            await self._session.close()
