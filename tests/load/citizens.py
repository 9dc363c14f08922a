"""A scripted citizen at the public API, who behaves as the chat widget does (bot/widget/src/hotline.ts).

What could not be delivered is sent again under the same id until it is accepted; the log is read after the last seq
that is known; a stream may follow it. Everything that was shown is remembered, and whatever two looks at one message
show differently is a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE = 30.0  # seconds for one request, as the widget's
KEEP = 60.0  # seconds that an idle connection is kept, as browsers do at least
GIVE_UP = 300.0  # seconds after which a message that nobody accepts is a failure of the service
LONGEST_PAUSE = 4.0  # seconds between two tries
AGAIN = frozenset({429, 500, 502, 503, 504})


class NotAccepted(Exception):
    """The service refused a request that it should take, or took none for `GIVE_UP` seconds."""


class Stopped(Exception):
    """The run is over: no new message is begun."""


@dataclass
class Sent:
    """One message of the citizen; `body` is the response that accepted it."""

    id: str
    text: str
    begun: float  # seconds since the epoch
    body: dict[str, Any] | None = None
    status: int = 0


@dataclass
class Tally:
    """What all citizens of a run have seen. `seconds`: whole turns, from the first try to the accepted answer."""

    seconds: list[tuple[float, float]] = field(default_factory=list)  # (when it began, how long it took)
    troubles: Counter[str] = field(default_factory=Counter)  # tries that failed, by what went wrong
    kinds: Counter[str] = field(default_factory=Counter)  # replies by kind
    faults: list[str] = field(default_factory=list)
    opened: int = 0

    @property
    def answered(self) -> int:
        """Replies so far that were more than the promise of a person."""
        return self.kinds.total() - self.kinds["handoff"]


@dataclass
class Conversation:
    """One conversation as its citizen knows it."""

    id: str
    token: str
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)  # what was said to each question of the intake
    # (confirming message's id, rows of the summary that it confirmed, what was told)
    confirmed: list[tuple[str, list[dict[str, Any]], dict[str, str]]] = field(default_factory=list)

    @property
    def cursor(self) -> int:
        """Everything up to this seq is known."""
        seq = 0
        while seq + 1 in self.messages:
            seq += 1
        return seq

    @property
    def log(self) -> list[dict[str, Any]]:
        """All that is known, in order."""
        return [self.messages[seq] for seq in sorted(self.messages)]

    def receipts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(number, message) of every receipt that was shown."""
        for message in self.log:
            if message.get("answer", {}).get("kind") == "receipt":
                for number in message["card"]["receipt"]["numbers"]:
                    yield number, message


class Citizen:
    """One person with one browser; `talk` is the conversation that is open now, `past` the earlier ones."""

    def __init__(
        self,
        url: str,
        tally: Tally,
        *,
        chance: random.Random,
        think: tuple[float, float],
        follow: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        # A client and a loopback address each, as browsers are: nginx limits what one address may do.
        address = f"127.{chance.randint(1, 250)}.{chance.randint(0, 250)}.{chance.randint(1, 250)}"
        transport = transport or httpx.AsyncHTTPTransport(
            verify=False, local_address=address, limits=httpx.Limits(keepalive_expiry=KEEP)
        )
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE, transport=transport)
        self.tally = tally
        self.chance = chance
        self.think = think
        self.follow = follow
        self.over = asyncio.Event()  # no new matter is begun
        self.gone = asyncio.Event()  # no new message is begun
        self.talk: Conversation | None = None
        self.past: list[Conversation] = []
        self._stream: asyncio.Task[None] | None = None

    @property
    def conversations(self) -> list[Conversation]:
        """All of them, the open one last."""
        return [*self.past, *([self.talk] if self.talk else [])]

    # -- the widget's part ---------------------------------------------------------------------------

    async def _call(self, method: str, path: str, talk: Conversation | None, **more: Any) -> httpx.Response:
        """The first response that is neither a network's nor a server's failure."""
        headers = {"Authorization": f"Bearer {talk.token}"} if talk else {}
        begun, pause = time.monotonic(), 0.25
        while True:
            wait = 0.0
            try:
                response = await self.http.request(method, path, headers=headers, **more)
            except httpx.HTTPError as error:
                trouble = type(error).__name__
            else:
                if response.status_code < 300:
                    return response
                trouble = f"HTTP {response.status_code}"
                if response.status_code not in AGAIN:
                    raise NotAccepted(f"{method} {path}: {trouble} {response.text[:200]}")
                wait = float(response.headers.get("Retry-After", 0))
            self.tally.troubles[trouble] += 1
            if time.monotonic() - begun > GIVE_UP:
                raise NotAccepted(f"{method} {path}: not accepted for {GIVE_UP:.0f} s, at last {trouble}")
            # Half of the pause is drawn by lot, so that not everybody comes back at once.
            pause = min(LONGEST_PAUSE, pause * 2)
            await asyncio.sleep(min(wait, LONGEST_PAUSE) or pause * (0.5 + self.chance.random() / 2))

    async def open(self) -> Conversation:
        """Leave the conversation that is open and begin a new one."""
        await self.leave()
        body = (await self._call("POST", "/api/v1/conversations", None, json={"channel": "widget"})).json()
        self.talk = Conversation(body["conversation_id"], body["token"])
        self.tally.opened += 1
        self._take(self.talk, body["messages"])
        if self.follow:
            self._stream = asyncio.create_task(self._listen(self.talk))
        return self.talk

    async def leave(self) -> None:
        """Close the page."""
        if self._stream:
            self._stream.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._stream
            self._stream = None
        if self.talk:
            self.past.append(self.talk)
            self.talk = None

    def _take(self, talk: Conversation, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            known = talk.messages.setdefault(message["seq"], message)
            if known != message:
                self.tally.faults.append(
                    f"{talk.id} seq {message['seq']} was shown as {known} and as {message}"
                )

    async def pull(self, talk: Conversation) -> None:
        """Read the log after what is known, page by page."""
        while page := await self._read(talk, talk.cursor):
            before = talk.cursor
            self._take(talk, page)
            if talk.cursor == before:
                self.tally.faults.append(f"{talk.id}: the log after {before} begins with {page[0]['seq']}")
                return

    async def _read(self, talk: Conversation, after: int) -> list[dict[str, Any]]:
        path = f"/api/v1/conversations/{talk.id}/messages"
        found: list[dict[str, Any]] = (await self._call("GET", path, talk, params={"after": after})).json()[
            "messages"
        ]
        return found

    async def whole_log(self, talk: Conversation) -> list[dict[str, Any]]:
        """The server's log from its beginning."""
        found: list[dict[str, Any]] = []
        while page := await self._read(talk, found[-1]["seq"] if found else 0):
            found += page
        return found

    async def _listen(self, talk: Conversation) -> None:
        path = f"/api/v1/conversations/{talk.id}/events"
        while True:
            headers = {"Authorization": f"Bearer {talk.token}", "Last-Event-ID": str(talk.cursor)}
            with contextlib.suppress(httpx.HTTPError):
                async with self.http.stream("GET", path, headers=headers, timeout=45.0) as response:
                    event = ""
                    async for line in response.aiter_lines():
                        name, _, value = line.partition(": ")
                        if name == "event":
                            event = value
                        elif name == "data" and event == "message":
                            self._take(talk, [json.loads(value)])
            await asyncio.sleep(1.0 + self.chance.random())

    # -- the person's part ---------------------------------------------------------------------------

    async def pause(self) -> None:
        """Think; raises `Stopped` when nothing more is to be said."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), self.chance.uniform(*self.think))
        if self.gone.is_set():
            raise Stopped

    async def say(self, text: str) -> list[dict[str, Any]]:
        """Think, say something and see it answered: the replies, none while a person has the conversation."""
        await self.pause()
        return await self.send(text)

    async def send(self, text: str) -> list[dict[str, Any]]:
        """Deliver one message, however often it takes."""
        talk = self.talk or await self.open()
        sent = Sent(uuid.uuid4().hex, text, time.time())
        talk.sent.append(sent)
        begun = time.perf_counter()
        response = await self._call(
            "POST",
            f"/api/v1/conversations/{talk.id}/messages",
            talk,
            json={"client_message_id": sent.id, "text": text},
        )
        self.tally.seconds.append((sent.begun, time.perf_counter() - begun))
        sent.body, sent.status = response.json(), response.status_code
        replies: list[dict[str, Any]] = sent.body["replies"]
        self._take(talk, [sent.body["message"], *replies])
        self.tally.kinds.update(reply.get("answer", {}).get("kind", "none") for reply in replies)
        return replies

    async def close(self) -> None:
        """End the browser."""
        await self.leave()
        await self.http.aclose()
