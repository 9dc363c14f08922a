"""Puts questions to a running instance through the public API, several conversations at a time."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
import unicodedata
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bot.evaluation.samples import EvaluationError

CONCURRENCY = 4
TIMEOUT = 30.0  # seconds; a turn is answered or handed over after 8
PATIENCE = 300.0  # seconds one request waits out 429 before its row counts as failed
MAX_CHARACTERS = 2000  # contract: 413 over it

Sleep = Callable[[float], Awaitable[None]]


class InstanceNotReady(EvaluationError):
    """No instance answers at the address, or it is not ready."""


@dataclass(frozen=True)
class Outcome:
    """What came back for one message: `replies` as the contract gives them, or why there are none."""

    replies: tuple[dict[str, Any], ...] = ()
    problem: str = ""
    refused: bool = False  # refused as the contract wants: nothing left of it (422), or too long (413)
    debug: Any = None

    @property
    def answers(self) -> list[dict[str, Any]]:
        """The `answer` objects in the order of the replies."""
        return [reply["answer"] for reply in self.replies if isinstance(reply.get("answer"), dict)]

    @property
    def kind(self) -> str:
        """Kind of the first reply that has an `answer`; a refusal is a fallback; empty: none."""
        if self.refused:
            return "fallback"
        return str(self.answers[0].get("kind") or "") if self.answers else ""

    @property
    def measures(self) -> frozenset[int]:
        """Every measure the citizen was answered with. What is only asked back is in `offered`."""
        return frozenset().union(*(_numbers(a) for a in self.answers if a.get("kind") != "clarify"))

    @property
    def offered(self) -> list[frozenset[int]]:
        """The measures of each option of a `clarify` answer; options without a measure are left out."""
        asked = [a.get("options") for a in self.answers if a.get("kind") == "clarify"]
        options = [option for some in asked if isinstance(some, list) for option in some]
        return [numbers for numbers in map(_numbers, options) if numbers]

    @property
    def unspecified(self) -> bool:
        """A policy answer says that the notice does not give what was asked."""
        return any(a.get("kind") == "policy" and a.get("specified") is False for a in self.answers)

    @property
    def text(self) -> str:
        """The words of all replies."""
        return "\n".join(str(reply.get("text") or "") for reply in self.replies)


class Caller:
    """Holds conversations with one instance. `sleep` can be replaced so that tests do not wait."""

    def __init__(self, client: httpx.AsyncClient, sleep: Sleep = asyncio.sleep) -> None:
        self.client = client
        self.sleep = sleep
        self.waited = 0.0  # seconds spent on 429

    async def check_ready(self) -> None:
        """Raise `InstanceNotReady` unless `/readyz` answers 200."""
        try:
            response = await self.client.get("/readyz")
        except httpx.HTTPError as error:
            detail = str(error) or type(error).__name__
            raise InstanceNotReady(f"No instance answers at {self.client.base_url} ({detail}).") from error
        if response.status_code != 200:
            state = f"/readyz says {response.status_code} {response.text[:200]}"
            raise InstanceNotReady(f"The instance at {self.client.base_url} is not ready: {state}")

    async def hold(self, texts: Sequence[str]) -> list[Outcome]:
        """One conversation with these messages in order; never raises for what the instance does."""
        try:
            opened = await self._post("/api/v1/conversations", {"channel": "widget"})
            if opened.status_code != 201:
                return [Outcome(problem=f"conversation not opened: {_error(opened)}")] * len(texts)
            body = opened.json()
            path = f"/api/v1/conversations/{body['conversation_id']}/messages"
            token = str(body["token"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return [Outcome(problem=f"conversation not opened: {error!r}")] * len(texts)
        return [await self._say(path, token, text) for text in texts]

    async def _say(self, path: str, token: str, text: str) -> Outcome:
        message = {"client_message_id": str(uuid.uuid4()), "text": text}
        try:
            response = await self._post(path, message, token)
            if response.status_code == 422 and is_empty(text):
                return Outcome(refused=True)
            if response.status_code == 413 and len(text) > MAX_CHARACTERS:
                return Outcome(refused=True)
            if response.status_code not in (200, 202):
                return Outcome(problem=_error(response))
            return _outcome(response.json())
        except (httpx.HTTPError, ValueError) as error:
            return Outcome(problem=f"no usable response: {error!r}")

    async def _post(self, path: str, body: dict[str, Any], token: str = "") -> httpx.Response:
        # Escaped as ASCII: a lone surrogate of an injection row cannot be written as UTF-8.
        content = json.dumps(body).encode("ascii")
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        patience = PATIENCE
        while True:
            response = await self.client.post(path, content=content, headers=headers)
            wait = retry_after(response)
            if response.status_code != 429 or wait > patience:
                return response
            patience -= wait
            self.waited += wait
            await self.sleep(wait)


def retry_after(response: httpx.Response) -> float:
    """Seconds to wait (at least 1) by `Retry-After`, which is seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return max(1.0, float(value))
    try:
        return max(1.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 1.0


def is_empty(text: str) -> bool:
    """Nothing is left after cleaning: only controls, format characters, separators, variation selectors."""
    return all(unicodedata.category(c)[0] in "CZ" or "\ufe00" <= c <= "\ufe0f" for c in text)


def _numbers(holder: Any) -> frozenset[int]:
    measures = holder.get("measures") if isinstance(holder, dict) else None
    return frozenset(m for m in measures if isinstance(m, int)) if isinstance(measures, list) else frozenset()


def _error(response: httpx.Response) -> str:
    try:
        code = response.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = response.text[:80]
    return f"HTTP {response.status_code} {code}".strip()


def _outcome(body: Any) -> Outcome:
    replies = body.get("replies") if isinstance(body, dict) else None
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        return Outcome(problem="the response has no list of replies")
    said = tuple(reply for reply in replies if reply.get("author", "bot") != "user")
    debug = body.get("debug") or next((reply["debug"] for reply in said if reply.get("debug")), None)
    if not said:
        return Outcome(problem="no reply", debug=debug)
    if not any(isinstance(reply.get("answer"), dict) for reply in said):
        return Outcome(said, problem="no reply carries an answer", debug=debug)
    return Outcome(said, debug=debug)


async def ask_all(
    threads: Sequence[Sequence[str]], caller: Caller, done: Callable[[], None] = lambda: None
) -> list[list[Outcome]]:
    """Hold every thread as its own conversation, `CONCURRENCY` at a time; outcomes in the threads' order."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(texts: Sequence[str]) -> list[Outcome]:
        async with gate:
            outcomes = await caller.hold(texts)
        done()
        return outcomes

    return list(await asyncio.gather(*(one(texts) for texts in threads)))
