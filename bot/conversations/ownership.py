"""Who speaks with the citizen: the bot, or a person (人工接管). One conditional UPDATE decides a race.

The bot stays silent while a person owns the conversation (promise 5); exactly one of many claims wins (promise 6).
Ownership is our own row, so it outlives every process and every session of the engine.
"""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot.conversations import log
from bot.conversations.models import Conversation, HandOver, Message
from bot.conversations.wording import phrases
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff

RECENT_CLAIMS = 20  # Waits of so many claims make the estimate of the next one.
RECENT = timedelta(hours=4)
ENOUGH_CLAIMS = 3  # Fewer tell nothing: no estimate is better than a guess.
TYPING = timedelta(seconds=6)


@dataclass(frozen=True)
class Waiting:
    """A citizen in the queue."""

    hand_over_id: str
    conversation_id: str
    channel: str
    reason: str
    urgent: bool
    since: datetime
    level: int


@dataclass(frozen=True)
class Place:
    """A place in the queue, 1 is next; `wait_minutes` is None while too few claims tell how long it takes."""

    place: int
    wait_minutes: int | None


def _system(session: Session, conversation: Conversation, text: str, now: datetime, **extra: Any) -> Message:
    session.refresh(conversation)
    return log.append(
        session, conversation, "system", log.Reply(text=text, answer={}, sms=text, **extra), now
    )


def _conversation(session: Session, conversation_id: str) -> Conversation:
    conversation = session.get(Conversation, conversation_id, with_for_update=True, populate_existing=True)
    if conversation is None:
        raise HotlineError(Problem.UNKNOWN_CONVERSATION)
    return conversation


def _owned(session: Session, conversation_id: str, staff: Staff) -> Conversation:
    conversation = _conversation(session, conversation_id)
    if conversation.owner != "person" or conversation.owner_id != staff.id:
        raise HotlineError(Problem.NOT_YOURS)
    return conversation


def claim(session: Session, conversation_id: str, staff: Staff, *, now: datetime) -> Conversation:
    """Take the conversation over. Raises TAKEN (409) if somebody else has it; claiming one's own again is harmless."""
    won = session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.owner == "bot")
        .values(
            owner="person",
            owner_id=staff.id,
            owner_name=staff.name,
            claimed_at=now,
            owner_active_at=now,
            closed_at=None,
        )
    )
    conversation = _conversation(session, conversation_id)
    if won.rowcount != 1:  # type: ignore[attr-defined]
        if conversation.owner_id == staff.id:
            return conversation
        raise HotlineError(Problem.TAKEN)
    session.execute(
        update(HandOver)
        .where(HandOver.conversation_id == conversation_id, HandOver.state == "waiting")
        .values(state="claimed", claimed_at=now, claimed_by=staff.id, climbs_at=None)
    )
    _system(session, conversation, phrases()["desk"]["joined"].format(name=staff.name), now)
    return conversation


def say(
    session: Session, conversation_id: str, staff: Staff, text: str, *, client_message_id: str, now: datetime
) -> Message:
    """A staff member's words to the citizen; the same `client_message_id` again returns the first message."""
    conversation = _owned(session, conversation_id, staff)
    external_id = f"staff:{staff.id}:{client_message_id}"
    if known := log.find(session, conversation.channel, external_id):
        return known
    conversation.owner_active_at = now
    reply = log.Reply(text=text, answer={}, sms=text, name=staff.name)
    return log.append(session, conversation, "staff", reply, now, external_id=external_id)


def typing(session: Session, conversation_id: str, staff: Staff, *, now: datetime) -> None:
    """The owner is writing: keeps the conversation and shows the citizen that somebody is there."""
    session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.owner_id == staff.id)
        .values(owner_active_at=now)
    )


def _let_go(conversation: Conversation) -> None:
    conversation.owner, conversation.owner_id, conversation.owner_name = "bot", None, None
    conversation.claimed_at = conversation.owner_active_at = None
    # The ladder of misses starts anew, and what the bot asked before the person came is stale.
    state = dict(conversation.state or {})
    conversation.state = {
        k: v for k, v in state.items() if k not in ("misses", "options", "walk", "call_back")
    }


def _end_hand_overs(session: Session, conversation_id: str) -> None:
    session.execute(
        update(HandOver)
        .where(HandOver.conversation_id == conversation_id, HandOver.state != "closed")
        .values(state="closed", climbs_at=None)
    )


def release(
    session: Session, conversation_id: str, staff: Staff, *, now: datetime, to: str = "bot"
) -> Conversation:
    """Give the conversation back to the bot, or (`to="queue"`) to the next colleague. Raises NOT_YOURS (409)."""
    conversation = _owned(session, conversation_id, staff)
    if to == "queue":
        return requeue(session, conversation_id, "值班员退回队列", now=now)
    _let_go(conversation)
    _end_hand_overs(session, conversation_id)
    session.flush()
    _system(session, conversation, phrases()["desk"]["left"], now)
    return conversation


def requeue(session: Session, conversation_id: str, reason: str, *, now: datetime) -> Conversation:
    """Back to the queue, in front of those who came later: the wait counts from the first hand-over."""
    conversation = _conversation(session, conversation_id)
    _let_go(conversation)
    first = session.scalar(
        select(HandOver)
        .where(HandOver.conversation_id == conversation_id, HandOver.state == "claimed")
        .order_by(HandOver.created_at.desc())
        .limit(1)
    )
    if first is not None:
        first.state, first.reason, first.level = "waiting", reason, 0
        first.claimed_at = first.claimed_by = first.climbs_at = None
    session.flush()
    if first is None:
        log.queue_hand_over(session, conversation_id, reason, urgent=False, now=now)
    _system(session, conversation, phrases()["desk"]["requeued"], now)
    return conversation


def transfer(
    session: Session, conversation_id: str, staff: Staff, to: Staff, *, now: datetime
) -> Conversation:
    """Hand the conversation to a colleague, who owns it at once."""
    conversation = _owned(session, conversation_id, staff)
    if not to.active:
        raise HotlineError(Problem.UNKNOWN_STAFF)
    conversation.owner_id, conversation.owner_name = to.id, to.name
    conversation.claimed_at = conversation.owner_active_at = now
    session.flush()
    _system(session, conversation, phrases()["desk"]["transferred"].format(name=to.name), now)
    return conversation


def close(session: Session, conversation_id: str, staff: Staff, *, now: datetime) -> Conversation:
    """End the service; the citizen is asked how satisfied they are, and may go on with the bot at any time."""
    conversation = _owned(session, conversation_id, staff)
    _let_go(conversation)
    _end_hand_overs(session, conversation_id)
    conversation.closed_at = now
    session.flush()
    _system(session, conversation, phrases()["desk"]["closed"], now, card={"rating": True})
    return conversation


def waiting(session: Session, limit: int = 100) -> list[Waiting]:
    """The queue: emergencies first, then who waits longest."""
    rows = session.execute(
        select(HandOver, Conversation.channel)
        .join(Conversation, Conversation.id == HandOver.conversation_id)
        .where(HandOver.state == "waiting")
        .order_by(HandOver.urgent.desc(), HandOver.created_at)
        .limit(limit)
    )
    return [
        Waiting(h.id, h.conversation_id, channel, h.reason, h.urgent, h.created_at, h.level)
        for h, channel in rows
    ]


def mine(session: Session, staff: Staff) -> list[Conversation]:
    """The conversations that a staff member owns, the oldest claim first."""
    query = select(Conversation).where(Conversation.owner_id == staff.id, Conversation.owner == "person")
    return list(session.scalars(query.order_by(Conversation.claimed_at)))


def place(session: Session, conversation_id: str, *, now: datetime) -> Place | None:
    """The citizen's place in the queue and an honest wait; None when nobody is waited for."""
    own = session.scalar(
        select(HandOver).where(HandOver.conversation_id == conversation_id, HandOver.state == "waiting")
    )
    if own is None:
        return None
    number = log.waiting_before(session, own) + 1
    return Place(number, _minutes(session, number, now))


def _minutes(session: Session, number: int, now: datetime) -> int | None:
    rows: Sequence[Any] = session.execute(
        select(HandOver.created_at, HandOver.claimed_at)
        .where(HandOver.claimed_at.is_not(None), HandOver.claimed_at >= now - RECENT)
        .order_by(HandOver.claimed_at.desc())
        .limit(RECENT_CLAIMS)
    ).all()
    if len(rows) < ENOUGH_CLAIMS:
        return None
    wait = statistics.median((claimed - created).total_seconds() for created, claimed in rows)
    return max(1, round(wait * number / 60))


def is_typing(session: Session, conversation: Conversation, *, now: datetime) -> bool:
    """Whether the owner wrote within the last seconds without having sent it yet."""
    active = conversation.owner_active_at
    if (
        conversation.owner != "person"
        or active is None
        or now - active > TYPING
        or active == conversation.claimed_at
    ):
        return False
    last = session.scalar(
        select(func.max(Message.created_at)).where(
            Message.conversation_id == conversation.id, Message.author == "staff"
        )
    )
    return last is None or active > last


def new_id() -> str:
    """An id for a message that a page sends."""
    return str(uuid.uuid4())
