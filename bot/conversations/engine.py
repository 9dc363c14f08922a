"""The way to the engine: one turn over loopback, with a time limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import httpx


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


class HttpEngine:
    """The engine's channel `bot.engine.channel`, on one engine or several: they keep nothing, so turns go round."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        """`url`: base URLs separated by commas. `timeout`: seconds for a whole turn."""
        self._timeout = timeout
        self._urls = [one.strip().rstrip("/") for one in url.split(",") if one.strip()]
        if not self._urls:
            raise ValueError("no engine: HOTLINE_ENGINE_URL is empty")
        self._next = 0
        self._client = httpx.AsyncClient(headers={"X-Hotline-Token": token}, timeout=timeout, trust_env=False)

    def _round(self) -> list[str]:
        self._next = (self._next + 1) % len(self._urls)
        return self._urls[self._next :] + self._urls[: self._next]

    async def turn(
        self, conversation_id: str, message_id: str, text: str, context: dict[str, Any]
    ) -> Decision:
        """One turn. An engine that cannot be reached, or dies in the middle, is passed over: the same turn may begin
        again on the next one, because what it changes is kept under its `message_id`. A turn that takes too long is
        not repeated: its caller has waited enough."""
        body = {
            "conversation_id": conversation_id,
            "message_id": message_id,
            "text": text,
            "context": context,
        }
        try:
            # httpx bounds each read; a slow trickle must not hold the citizen longer than the whole bound.
            async with asyncio.timeout(self._timeout):
                response = await self._post(body)
            response.raise_for_status()
            data = response.json()
            return Decision(list(data["replies"]), dict(data["reading"]), list(data["entities"]))
        except (TimeoutError, httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EngineFailed(f"{type(error).__name__}: {error}") from error

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        urls = self._round()
        for url in urls:
            try:
                return await self._client.post(f"{url}/webhooks/turn/webhook", json=body)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if url == urls[-1]:
                    raise
        raise AssertionError("unreachable")

    async def alive(self) -> bool:
        """Whether one of the engines answers."""
        for url in self._round():
            try:
                if (await self._client.get(f"{url}/webhooks/turn/", timeout=2.0)).status_code == 200:
                    return True
            except httpx.HTTPError:
                continue
        return False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
