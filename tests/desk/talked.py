"""Conversations as they lie in the log, for the tests of reviews and figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bot.conversations import log
from bot.conversations.compose import payload_of
from bot.conversations.models import Conversation, Message


def open_one(session: Session, at: datetime, channel: str = "widget") -> Conversation:
    """A conversation with its greeting."""
    opened, _ = log.open_conversation(session, channel, at)
    log.append(session, opened, "bot", log.Reply("您好", payload_of("chitchat")), at)
    return opened


def say(
    session: Session,
    conversation: Conversation,
    text: str,
    at: datetime,
    kind: str = "policy",
    reading: dict[str, Any] | None = None,
    **answer: Any,
) -> Message:
    """A citizen's message and its reply of `kind`; without a kind it stays unanswered."""
    inbound = log.InboundMessage(
        conversation.id, conversation.channel, f"x:{conversation.id}:{at}:{text}", text
    )
    message, _ = log.accept(session, inbound, at)
    if kind:
        reply = log.Reply(f"答：{kind}", payload_of(kind, **answer))
        read = {"intent": "oos", "text": text, "scores": {"9": 0.3, "4": 0.1}} | (reading or {})
        assert log.answer(session, conversation, message, [reply], {}, at, read)
    return message
