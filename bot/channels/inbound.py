"""What the channels without a page share: a verified message becomes one line of the log, then the turn runs.

Whatever the channel acknowledges was committed before. The same delivery again finds its message and changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.orm import Session

from bot.channels import menu
from bot.channels.metrics import DUPLICATES, MESSAGES
from bot.conversations import addresses, emergency, log, notices
from bot.conversations.compose import simple
from bot.conversations.models import Address, Conversation, Message

logger = structlog.get_logger(__name__)

MAX_CHARACTERS = 2000  # What is longer is cut: nobody can be told to send again in parts.


@dataclass(frozen=True)
class Incoming:
    """A channel's verified message. `unread`: what came is no text (voice, image, other)."""

    channel: str
    address: str
    external_id: str
    text: str
    unread: str = ""


def _clean(text: str) -> str:
    # NUL cannot be stored by PostgreSQL; a lone surrogate comes from a broken gateway.
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8").strip()[:MAX_CHARACTERS]


def store(app: FastAPI, incoming: Incoming) -> Message | None:
    """Commit the message; the stored one, also when it was stored before. `None` if there is nothing in it.

    Raises `StorageError`: nothing is stored, and the channel must not acknowledge. Raises `ValueError` for an
    address that is none.
    """
    incoming = replace(incoming, text=_clean(incoming.text))
    if not incoming.text:
        return None
    with app.state.sessions.begin() as session:
        # First of all: after 24 hours a repeated delivery would open a new conversation.
        if known := log.find(session, incoming.channel, incoming.external_id):
            DUPLICATES.labels(incoming.channel).inc()
            return known
        message = _take(app, session, incoming)
    MESSAGES.labels(incoming.channel).inc()
    return message


def _take(app: FastAPI, session: Session, incoming: Incoming) -> Message:
    now = app.state.turns.now()
    row, conversation = addresses.conversation_of(session, incoming.channel, incoming.address, now=now)
    phone = row.address if row.channel == "sms" else ""
    text, picked = menu.pressed(session, conversation.id, incoming.text, phone)
    inbound = log.InboundMessage(conversation.id, incoming.channel, incoming.external_id, text, picked)
    message, _ = log.accept(session, inbound, now)
    answer = _own_answer(app, session, row, conversation, incoming, text)
    if answer is not None:
        said = [simple("chitchat", answer)] if answer else []
        log.answer(session, conversation, message, said, dict(conversation.state or {}), now)
    return message


def _own_answer(
    app: FastAPI, session: Session, row: Address, conversation: Conversation, incoming: Incoming, text: str
) -> str | None:
    """The words that the channel itself answers with, empty for silence; `None` when the turn has to answer."""
    say: dict[str, Any] = notices.wording()["say"]
    if word := notices.command(text):
        return notices.obey(session, row, word, app.state.turns.now())
    if incoming.unread:
        return "" if conversation.owner == "person" else str(say[incoming.unread])
    if conversation.owner == "person" or emergency.check(text) is not None:
        return None  # Neither is what the limit is there for: two machines that answer each other.
    if not app.state.senders.take(row.address_hash):
        return None
    # Told once, then silence until the number is slower: an answer to each would feed what floods us.
    return "" if app.state.warned.take(row.address_hash) else str(say["slow"])


def answer_later(app: FastAPI, conversation_id: str) -> asyncio.Task[None]:
    """Run the turn behind the acknowledgement. What dies here is found by `Turns.attend`."""

    async def work() -> None:
        try:
            await app.state.turns.run(conversation_id)
        except Exception as error:
            logger.exception("turn_failed", conversation=conversation_id, error=type(error).__name__)

    task = asyncio.ensure_future(work())
    app.state.running.add(task)
    task.add_done_callback(app.state.running.discard)
    return task
