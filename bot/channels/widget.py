"""The public API of the contract: conversations of the chat widget.

Every call after the first carries the conversation's token as `Authorization: Bearer …`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse, ServerSentEvent

from bot.channels.addresses import client_of
from bot.channels.headers import RENEWED
from bot.channels.metrics import ANSWERS, DUPLICATES, MESSAGES, TURN_SECONDS
from bot.conversations import log, ownership, tokens
from bot.conversations.compose import greeting, simple
from bot.conversations.facts import Arrived, Facts, look
from bot.conversations.models import Conversation, Message
from bot.errors import HotlineError, Problem

MAX_CHARACTERS = 2000
# News may be lost, and a member of staff who types makes none: the log is looked at this often without any.
POLL_SECONDS = 10.0
PERSON_POLL_SECONDS = 2.0
STREAM_SECONDS = 1800.0  # Then the client comes again, with a token that is still good or gets a new one.
STREAMS = 10  # of one conversation at once: pages that are open on it

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


async def _token(request: Request) -> str:  # async: FastAPI would run anything else in a thread
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HotlineError(Problem.UNAUTHORIZED)
    return token


def _open(request: Request, conversation_id: str, token: str) -> tuple[Conversation, str | None]:
    with request.app.state.readers() as session:
        return log.access_conversation(session, conversation_id, token, request.app.state.turns.now())


async def conversation(request: Request, conversation_id: str) -> Conversation:
    """The conversation of the path, if the request's token opens it; the answer carries the next token in time."""
    opened, renewed = await asyncio.to_thread(_open, request, conversation_id, await _token(request))
    if renewed:
        request.scope["state"][RENEWED] = renewed
    return opened


Access = Annotated[Conversation, Depends(conversation)]


@router.post("/conversations", status_code=201)
async def open_conversation(request: Request, body: OpenRequest) -> dict[str, Any]:
    """Open a conversation; answers its id, its token and the greeting."""
    state = request.app.state
    if wait := state.opened.take(client_of(request)):
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


def _inbound(session: Session, opened: Conversation, body: SendRequest) -> log.InboundMessage:
    picked: tuple[int, ...] = ()
    if body.choice is not None:
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
async def send(
    request: Request, conversation_id: str, token: Annotated[str, Depends(_token)], body: SendRequest
) -> JSONResponse:
    """Store a message and answer it; the same `client_message_id` again gives the same body."""
    state = request.app.state
    begun = time.perf_counter()
    message, facts = await asyncio.to_thread(_arrive, request, conversation_id, token, body)
    new = facts is not None
    (MESSAGES if new else DUPLICATES).labels(message.channel).inc()
    arrived = Arrived(message, facts) if facts else None
    # A caller that hangs up must not cancel a turn whose message is stored.
    stored = await asyncio.shield(asyncio.ensure_future(state.turns.run(conversation_id, arrived)))
    if message.id in stored:
        replies = [log.as_json(m) for m in stored[message.id]]
    else:
        replies = await asyncio.to_thread(_replies, request, message.id)
    if new:
        TURN_SECONDS.observe(time.perf_counter() - begun)
        for reply in replies:
            ANSWERS.labels(reply.get("answer", {}).get("kind", "none")).inc()
    body_out = {"message": log.as_json(message), "replies": replies}
    return JSONResponse(body_out, status_code=200 if replies else 202)


def _arrive(
    request: Request, conversation_id: str, token: str, body: SendRequest
) -> tuple[Message, Facts | None]:
    """Store the message; what is known about its conversation, or None when this delivery was stored before."""
    state = request.app.state
    now = state.turns.now()
    try:
        tokens.check(conversation_id, token, now)
    except HotlineError:
        # Whoever forges one must not stand in the writers' queue to hear what is wrong.
        _open(request, conversation_id, token)
        raise
    with state.sessions.begin() as session:
        opened, renewed = log.access_conversation(session, conversation_id, token, now)
        if renewed:
            request.scope["state"][RENEWED] = renewed
        if (body.text is None) == (body.choice is None):
            raise HotlineError(Problem.MALFORMED)
        # First of all: a repeated delivery gets its answer even if its button is void by now.
        if known := log.delivered(session, opened.id, opened.channel, _external_id(opened, body)):
            return known, None
        inbound = _inbound(session, opened, body)
        if wait := state.sent.take(opened.id):
            raise HotlineError(Problem.TOO_MANY, retry_after=wait)
        message = log.keep(session, inbound, now)
        return message, look(session, message)


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
    if request.app.state.streams[opened.id] >= STREAMS:
        raise HotlineError(Problem.TOO_MANY, retry_after=5)
    start = int(resume) if resume.isascii() and resume.isdigit() and len(resume) < 10 else after
    return EventSourceResponse(_stream(request, opened.id, start), ping=15)


@dataclass(frozen=True)
class _Look:
    """What is new; `owner` and `staff_types` are None where they stay as they were told."""

    messages: list[dict[str, Any]]
    owner: dict[str, Any] | None = None
    staff_types: bool | None = None


# Few columns: most looks find nothing new, and the state need not be opened for that.
_NEXT_SEQ = select(Conversation.next_seq).where(Conversation.id == bindparam("id"))


def _look(request: Request, conversation_id: str, seq: int, *, whole: bool) -> _Look | None:
    """What a stream tells after `seq`, or None if nothing was said since.

    Unless the look is to be `whole`, owner and place are asked for only when somebody else than the citizen has said
    something: whoever takes or leaves a conversation says so in it.
    """
    now = request.app.state.turns.now()
    with request.app.state.readers() as session:
        if not whole and session.scalar(_NEXT_SEQ, {"id": conversation_id}) == seq + 1:
            return None
        messages = log.after(session, conversation_id, seq)
        shown = [log.as_json(message) for message in messages]
        if not whole and all(message.author == "user" for message in messages):
            return _Look(shown)
        opened = session.get_one(Conversation, conversation_id)
        place = ownership.place(session, conversation_id, now=now) if opened.owner == "bot" else None
        queue = {"place": place.place, "wait_minutes": place.wait_minutes} if place else None
        return _Look(
            shown,
            {"owner": opened.owner, "name": opened.owner_name, "queue": queue},
            ownership.is_typing(session, opened, now=now),
        )


async def _stream(request: Request, conversation_id: str, seq: int) -> AsyncIterator[ServerSentEvent]:
    streams: Counter[str] = request.app.state.streams
    streams[conversation_id] += 1
    try:
        async for event in _events(request, conversation_id, seq):
            yield event
    finally:
        streams[conversation_id] -= 1
        if not streams[conversation_id]:
            del streams[conversation_id]


async def _events(request: Request, conversation_id: str, seq: int) -> AsyncIterator[ServerSentEvent]:
    turns = request.app.state.turns
    ends = time.monotonic() + STREAM_SECONDS
    news = turns.news.of(conversation_id)
    owner: dict[str, Any] | None = None  # told first on every stream
    types, staff_types, whole = "", False, True
    while time.monotonic() < ends and not await request.is_disconnected():
        news.clear()
        look = await asyncio.to_thread(_look, request, conversation_id, seq, whole=whole)
        if look is not None:
            for message in look.messages:
                seq = message["seq"]
                if message.get("answer", {}).get("kind") == "receipt":
                    # Before its message and without an id: whoever is cut off in between gets both again.
                    yield ServerSentEvent(json.dumps({"case": message["answer"]["case"]}), event="receipt")
                yield ServerSentEvent(json.dumps(message, ensure_ascii=False), event="message", id=str(seq))
            if len(look.messages) == log.PAGE:
                continue  # There is more to read.
            if look.owner is not None and look.owner != owner:
                owner = look.owner
                yield ServerSentEvent(json.dumps(owner, ensure_ascii=False), event="owner")
            if look.staff_types is not None:
                staff_types = look.staff_types
        by = "staff" if staff_types else "bot" if turns.thinking(conversation_id) else ""
        if by and by != types:
            yield ServerSentEvent(json.dumps({"author": by}), event="typing")
        types = by
        person = owner is not None and owner["owner"] == "person"
        try:
            await asyncio.wait_for(news.wait(), PERSON_POLL_SECONDS if person else POLL_SECONDS)
            whole = False
        except TimeoutError:
            # A place in the queue moves, and staff type, without a word in this conversation.
            whole = person or (owner is not None and owner["queue"] is not None)
