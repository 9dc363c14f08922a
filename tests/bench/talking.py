"""Talking to the two bots in the same words: open a conversation, say something, parse."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

import aiohttp

from tests.bench.instances import OurReading, Ours, Stock
from tests.bench.plan import BenchError

TIMEOUT = 60.0  # seconds: the stock bot is slow late in a conversation, not dead


class Talk(Protocol):
    """One bot, as the measurements see it. Every call raises `BenchError` unless the answer is usable."""

    name: str

    async def open(self) -> Any:
        """A new conversation."""
        ...

    async def say(self, conversation: Any, text: str) -> bool:
        """One turn; whether a measure was named in the answer."""
        ...

    async def parse(self, text: str) -> None:
        """Understand one sentence, no conversation."""
        ...

    async def decide(self, text: str) -> None:
        """Understand one sentence and decide what to say to it."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Client:
    """Requests to one server. aiohttp, because it shares the cores with what is measured and takes the least of them."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.url = url
        self.session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        )

    async def post(
        self, path: str, body: dict[str, Any], wanted: int = 200, headers: dict[str, str] | None = None
    ) -> Any:
        """The answer's JSON; raises `BenchError` for any status but the `wanted` one."""
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            if response.status != wanted:
                raise BenchError(f"{path} answered {response.status}: {(await response.text())[:300]}")
            return await response.json()

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()


class TalkToOurs:
    """The public API; for parsing alone a second engine with Rasa's API, for deciding the engine's only route."""

    name = "ours"

    def __init__(self, instance: Ours, reading: OurReading | None = None) -> None:
        self.reading = Client(reading.url) if reading else None
        self.public = Client(instance.url)
        self.engine = Client(instance.engine_url, {"X-Hotline-Token": instance.engine_token()})

    async def open(self) -> tuple[str, dict[str, str]]:
        """Path of the messages and the headers that open it."""
        body = await self.public.post("/api/v1/conversations", {"channel": "widget"}, wanted=201)
        path = f"/api/v1/conversations/{body['conversation_id']}/messages"
        return path, {"Authorization": f"Bearer {body['token']}"}

    async def say(self, conversation: tuple[str, dict[str, str]], text: str) -> bool:
        """Stored, understood, composed, stored again: the whole turn."""
        path, headers = conversation
        message = {"client_message_id": str(uuid.uuid4()), "text": text}
        replies = (await self.public.post(path, message, headers=headers))["replies"]
        if not replies:
            raise BenchError(f"No reply to “{text}”.")
        return any((reply.get("answer") or {}).get("kind") == "policy" for reply in replies)

    async def parse(self, text: str) -> None:
        """Understanding alone, by Rasa's own route."""
        assert self.reading is not None
        if not (await self.reading.post("/model/parse", {"text": text})).get("reading"):
            raise BenchError(f"No reading of “{text}”.")

    async def decide(self, text: str) -> None:
        """The engine's turn route."""
        turn = {"conversation_id": str(uuid.uuid4()), "message_id": str(uuid.uuid4()), "text": text}
        body = await self.engine.post("/webhooks/turn/webhook", turn)
        if not body.get("reading"):
            raise BenchError(f"No reading of “{text}”.")

    async def close(self) -> None:
        """Close the connections."""
        for client in (self.public, self.engine, self.reading):
            if client:
                await client.close()


class TalkToStock:
    """Rasa's `rest` channel and `POST /model/parse`."""

    name = "stock"

    def __init__(self, instance: Stock, clauses: frozenset[str]) -> None:
        self.client = Client(instance.url)
        self.clauses = clauses

    async def open(self) -> str:
        """A sender nobody has used."""
        return str(uuid.uuid4())

    async def say(self, conversation: str, text: str) -> bool:
        """One turn through the `rest` channel."""
        message = {"sender": conversation, "message": text}
        replies = await self.client.post("/webhooks/rest/webhook", message)
        if not replies:
            raise BenchError(f"No reply to “{text}”.")
        return any(reply.get("text") in self.clauses for reply in replies)

    async def parse(self, text: str) -> None:
        """Understanding alone."""
        if "intent" not in await self.client.post("/model/parse", {"text": text}):
            raise BenchError(f"No reading of “{text}”.")

    async def decide(self, text: str) -> None:
        """The first turn of a new conversation: `rest` is the only route that decides."""
        await self.say(await self.open(), text)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()
