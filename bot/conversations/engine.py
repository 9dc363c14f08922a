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
    """The engine's channel `bot.engine.channel`."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        """`timeout`: seconds for a whole turn."""
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            base_url=url, headers={"X-Hotline-Token": token}, timeout=timeout, trust_env=False
        )

    async def turn(
        self, conversation_id: str, message_id: str, text: str, context: dict[str, Any]
    ) -> Decision:
        """One turn; never retried, since the caller decides what a failure means."""
        body = {
            "conversation_id": conversation_id,
            "message_id": message_id,
            "text": text,
            "context": context,
        }
        try:
            # httpx bounds each read; a slow trickle must not hold the citizen longer than the whole bound.
            async with asyncio.timeout(self._timeout):
                response = await self._client.post("/webhooks/turn/webhook", json=body)
            response.raise_for_status()
            data = response.json()
            return Decision(list(data["replies"]), dict(data["reading"]), list(data["entities"]))
        except (TimeoutError, httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EngineFailed(f"{type(error).__name__}: {error}") from error

    async def alive(self) -> bool:
        """Whether the channel's health answer comes."""
        try:
            return (await self._client.get("/webhooks/turn/", timeout=2.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
