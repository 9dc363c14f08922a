"""The public API of the contract: conversations of the chat widget.

Every call after the first carries the conversation's token as `Authorization: Bearer …`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from bot.channels.metrics import ANSWERS, DUPLICATES, MESSAGES, TURN_SECONDS
from bot.conversations import log, ownership
from bot.conversations.compose import greeting, simple
from bot.conversations.models import Conversation, Message
from bot.errors import HotlineError, Problem

MAX_CHARACTERS = 2000
# News may be lost, and a member of staff who types makes none: the log is looked at this often without any.
POLL_SECONDS = 10.0
PERSON_POLL_SECONDS = 2.0

router = APIRouter(prefix="/api/v1", tags=["conversations"])


class OpenRequest(BaseModel):
    """Body of a new conversation."""

    model_config = ConfigDict(extra="forbid")
    channel: str = Field("widget", pattern="^widget$")


class SendRequest(BaseModel):
    """Body of a message: text, or the id of a button that was offered."""

    model_config = ConfigDict(extra="forbid")
    client_message_id: str = Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    text: str | None = None
    choice: str | None = Field(None, max_length=64)


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HotlineError(Problem.UNAUTHORIZED)
    return token


def _open(request: Request, conversation_id: str, token: str) -> Conversation:
    with request.app.state.readers() as session:
        return log.access_conversation(session, conversation_id, token)


async def conversation(request: Request, conversation_id: str) -> Conversation:
    """The conversation of the path, if the request's token opens it."""
    return await asyncio.to_thread(_open, request, conversation_id, _token(request))


Access = Annotated[Conversation, Depends(conversation)]


@router.post("/conversations", status_code=201)
async def open_conversation(request: Request, body: OpenRequest) -> dict[str, Any]:
    """Open a conversation; answers its id, its token and the greeting."""
    state = request.app.state
    if wait := state.opened.take(request.client.host if request.client else "?"):
        raise HotlineError(Problem.TOO_MANY, retry_after=wait)

    def work() -> dict[str, Any]:
        now = state.turns.now()
        with state.sessions.begin() as session:
            opened, token = log.open_conversation(session, body.channel, now)
            said = [log.append(session, opened, "bot", greeting(), now)]
            switches = state.turns.switchboard.current()
            if switches.notice:
                said.append(log.append(session, opened, "bot", simple("chitchat", switches.notice), now))
                opened.state = {"notice_seen": switches.notice_id}
            return {"conversation_id": opened.id, "token": token, "messages": [log.as_json(m) for m in said]}

    return await asyncio.to_thread(work)


def _external_id(opened: Conversation, body: SendRequest) -> str:
    return f"{opened.id}:{body.client_message_id}"


def _inbound(request: Request, opened: Conversation, body: SendRequest) -> log.InboundMessage:
    picked: tuple[int, ...] = ()
    if body.choice is not None:
        with request.app.state.readers() as session:
            offered = log.last_choices(session, opened.id)
        chosen = next((c for c in offered if c["id"] == body.choice), None)
        if chosen is None:
            raise HotlineError(Problem.UNKNOWN_CHOICE)
        text, picked = chosen["send"] or chosen["label"], tuple(chosen["picked"])
    else:
        text = body.text or ""
    # NUL cannot be stored by PostgreSQL; a lone surrogate cannot be sent by anybody honest.
    text = text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8").strip()
    if not text:
        raise HotlineError(Problem.EMPTY)
    if len(text) > MAX_CHARACTERS:
        raise HotlineError(Problem.TOO_LONG)
    return log.InboundMessage(opened.id, opened.channel, _external_id(opened, body), text, picked)


@router.post("/conversations/{conversation_id}/messages")
async def send(request: Request, opened: Access, body: SendRequest) -> JSONResponse:
    """Store a message and answer it; the same `client_message_id` again gives the same body."""
    state = request.app.state
    if (body.text is None) == (body.choice is None):
        raise HotlineError(Problem.MALFORMED)
    begun = time.perf_counter()
    # First of all: a repeated delivery gets its answer even if its button is void by now.
    known = await asyncio.to_thread(_known, request, opened, body)
    if known is not None:
        message, new = known, False
    else:
        inbound = await asyncio.to_thread(_inbound, request, opened, body)
        if wait := state.sent.take(opened.id):
            raise HotlineError(Problem.TOO_MANY, retry_after=wait)
        message, new = await asyncio.to_thread(_accept, request, inbound)
    (MESSAGES if new else DUPLICATES).labels(opened.channel).inc()
    # A caller that hangs up must not cancel a turn whose message is stored.
    await asyncio.shield(asyncio.ensure_future(state.turns.run(opened.id)))
    replies = await asyncio.to_thread(_replies, request, message.id)
    if new:
        TURN_SECONDS.observe(time.perf_counter() - begun)
        for reply in replies:
            ANSWERS.labels(reply.get("answer", {}).get("kind", "none")).inc()
    body_out = {"message": log.as_json(message), "replies": replies}
    return JSONResponse(body_out, status_code=200 if replies else 202)


def _known(request: Request, opened: Conversation, body: SendRequest) -> Message | None:
    with request.app.state.readers() as session:
        return log.find(session, opened.channel, _external_id(opened, body))


def _accept(request: Request, inbound: log.InboundMessage) -> tuple[Message, bool]:
    state = request.app.state
    with state.sessions.begin() as session:
        return log.accept(session, inbound, state.turns.now())


def _replies(request: Request, message_id: str) -> list[dict[str, Any]]:
    with request.app.state.readers() as session:
        return [log.as_json(m) for m in log.replies_to(session, message_id)]


def _after(request: Request, conversation_id: str, seq: int) -> list[dict[str, Any]]:
    with request.app.state.readers() as session:
        return [log.as_json(m) for m in log.after(session, conversation_id, seq)]


@router.get("/conversations/{conversation_id}/messages")
async def read(
    request: Request, opened: Access, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0
) -> dict[str, Any]:
    """The ordered log after a seq, 500 messages at most; ask again from the last one for more."""
    return {"messages": await asyncio.to_thread(_after, request, opened.id, after)}


@router.get("/conversations/{conversation_id}/events")
async def events(
    request: Request, opened: Access, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0
) -> EventSourceResponse:
    """Server-sent events; `id` is the seq, `Last-Event-ID` resumes after it."""
    resume = request.headers.get("last-event-id", "")
    start = int(resume) if resume.isascii() and resume.isdigit() and len(resume) < 10 else after
    return EventSourceResponse(_stream(request, opened.id, start), ping=15)


@dataclass(frozen=True)
class _Look:
    messages: list[dict[str, Any]]
    owner: dict[str, Any]
    staff_types: bool


def _look(request: Request, conversation_id: str, seq: int) -> _Look:
    now = request.app.state.turns.now()
    with request.app.state.readers() as session:
        opened = session.get_one(Conversation, conversation_id)
        place = ownership.place(session, conversation_id, now=now) if opened.owner == "bot" else None
        queue = {"place": place.place, "wait_minutes": place.wait_minutes} if place else None
        return _Look(
            [log.as_json(m) for m in log.after(session, conversation_id, seq)],
            {"owner": opened.owner, "name": opened.owner_name, "queue": queue},
            ownership.is_typing(session, opened, now=now),
        )


async def _stream(request: Request, conversation_id: str, seq: int) -> AsyncIterator[ServerSentEvent]:
    turns = request.app.state.turns
    news = turns.news.of(conversation_id)
    owner: dict[str, Any] | None = None  # told first on every stream
    types = ""
    while not await request.is_disconnected():
        news.clear()
        look = await asyncio.to_thread(_look, request, conversation_id, seq)
        for message in look.messages:
            seq = message["seq"]
            if message.get("answer", {}).get("kind") == "receipt":
                # Before its message and without an id: whoever is cut off in between gets both again.
                yield ServerSentEvent(json.dumps({"case": message["answer"]["case"]}), event="receipt")
            yield ServerSentEvent(json.dumps(message, ensure_ascii=False), event="message", id=str(seq))
        if len(look.messages) == log.PAGE:
            continue  # There is more to read.
        if look.owner != owner:
            owner = look.owner
            yield ServerSentEvent(json.dumps(owner, ensure_ascii=False), event="owner")
        by = "staff" if look.staff_types else "bot" if turns.thinking(conversation_id) else ""
        if by and by != types:
            yield ServerSentEvent(json.dumps({"author": by}), event="typing")
        types = by
        try:
            wait = POLL_SECONDS if look.owner["owner"] == "bot" else PERSON_POLL_SECONDS
            await asyncio.wait_for(news.wait(), wait)
        except TimeoutError:
            continue
