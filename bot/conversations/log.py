"""The message log: accept once, in order, and read back. All functions work on an open session.

`seq` counts from 1 in each conversation without gaps, because it is drawn from the conversation's own row
in the transaction that stores the message.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Table, and_, bindparam, func, insert, literal_column, select, update
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from bot import request_ids
from bot.conversations import delivery, tokens
from bot.conversations.models import Conversation, HandOver, Message
from bot.conversations.news import announce
from bot.crypto import mask_text
from bot.errors import HotlineError, Problem
from bot.settings import settings

SHANGHAI = ZoneInfo("Asia/Shanghai")
PAGE = 500  # messages that one look at the log gives


@dataclass(frozen=True)
class Choice:
    """A button. `send` is what pressing it means: text, or measures picked from an ask-back."""

    id: str
    label: str
    send: str = ""
    picked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reply:
    """One message of the bot before it is stored. `answer` follows the contract's message format."""

    text: str
    answer: dict[str, Any]
    choices: tuple[Choice, ...] = ()
    sms: str = ""
    card: dict[str, Any] | None = None
    name: str = ""  # of the staff member who says it


@dataclass(frozen=True)
class InboundMessage:
    """A channel's verified payload."""

    conversation_id: str
    channel: str
    external_id: str
    text: str
    picked: tuple[int, ...] = field(default=())
    extra: dict[str, Any] = field(default_factory=dict)  # kept with the message, such as its attachments


def token_hash(secret: str) -> str:
    """What is stored of the secret in a conversation's token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def open_conversation(session: Session, channel: str, now: datetime) -> tuple[Conversation, str]:
    """A new conversation and its bearer token, which is shown once; what is stored is its secret's hash."""
    secret = tokens.new_secret()
    conversation = Conversation(
        id=str(uuid.uuid4()),
        channel=channel,
        token_hash=token_hash(secret),
        owner="bot",
        next_seq=1,
        state={},
        created_at=now,
        updated_at=now,
    )
    session.add(conversation)
    session.flush()
    return conversation, tokens.sign(conversation.id, secret, now, now)


# Statements of every turn are built once: SQLAlchemy takes longer to build one than SQLite to run it.
_CONVERSATION = select(Conversation).where(Conversation.id == bindparam("id"))
_HELD = _CONVERSATION.with_for_update()
_DELIVERED = select(Message).where(
    Message.channel == bindparam("channel"), Message.external_id == bindparam("external_id")
)
# As the partial index `ix_messages_unanswered` says it: with a parameter in the place of 'user' it is not used.
WAITS = and_(Message.author == literal_column("'user'"), Message.answered_at.is_(None))
# Nor is it used where another index has the order: that one reads the whole log.
_UNANSWERED = (
    select(Message).where(Message.conversation_id == bindparam("id"), WAITS).order_by(Message.seq + 0)
)
_REPLIES = select(Message).where(Message.reply_to == bindparam("id")).order_by(Message.seq)


def access_conversation(
    session: Session, conversation_id: str, token: str, now: datetime
) -> tuple[Conversation, str | None]:
    """The conversation, if `token` opens it, and the token's successor if it is time; raises `HotlineError`."""
    # PostgreSQL would not even look for a name with a NUL in it.
    printable = conversation_id.isprintable()
    conversation = session.scalar(_CONVERSATION, {"id": conversation_id}) if printable else None
    if conversation is None:
        raise HotlineError(Problem.UNKNOWN_CONVERSATION)
    secret, left = tokens.check(conversation_id, token, now)
    if not hmac.compare_digest(conversation.token_hash, token_hash(secret)):
        raise HotlineError(Problem.UNAUTHORIZED)
    return conversation, tokens.renewed(conversation.id, secret, left, conversation.created_at, now)


def hold(session: Session, conversation_id: str) -> Conversation:
    """The conversation as it is now, locked until the transaction ends."""
    return session.scalars(
        _HELD, {"id": conversation_id}, execution_options={"populate_existing": True}
    ).one()


# On the tables themselves: what is known of a row is brought up to date here, so that the mapper need not look for it.
_CONVERSATIONS, _MESSAGES = cast(Table, Conversation.__table__), cast(Table, Message.__table__)
_DRAW = (
    update(_CONVERSATIONS)
    .where(_CONVERSATIONS.c.id == bindparam("of"))
    .values(next_seq=_CONVERSATIONS.c.next_seq + bindparam("count"), updated_at=bindparam("now"))
    .returning(_CONVERSATIONS.c.next_seq)
)
_DRAW_WITH_STATE = _DRAW.values(state=bindparam("new_state"))


def _draw_seqs(
    session: Session, conversation_id: str, now: datetime, count: int = 1, state: dict[str, Any] | None = None
) -> list[int]:
    """The next `count` numbers of the conversation, drawn together with a new `state` of it."""
    given: dict[str, Any] = {"of": conversation_id, "count": count, "now": now}
    changes: dict[str, Any] = {"updated_at": now}
    session.flush()  # The conversation itself may be new.
    if state is None:
        after = session.scalar(_DRAW, given)
    else:
        after = session.scalar(_DRAW_WITH_STATE, given | {"new_state": state})
        changes["state"] = state
    if after is None:
        raise HotlineError(Problem.UNKNOWN_CONVERSATION)
    known = session.identity_map.get(identity_key(Conversation, conversation_id))
    if known is not None:
        for name, value in (changes | {"next_seq": after}).items():
            set_committed_value(known, name, value)
    if count:
        announce(session, conversation_id)
    return list(range(after - count, after))


_COLUMNS = [column.key for column in Message.__mapper__.column_attrs]
_INSERT = insert(_MESSAGES)


def _insert(session: Session, messages: Sequence[Message]) -> None:
    """Store new messages at once. The unit of work would take three times as long to find out in which order."""
    rows = [{name: getattr(message, name) for name in _COLUMNS} for message in messages]
    if rows:
        session.execute(_INSERT, rows)
    for message, row in zip(messages, rows, strict=True):
        for name, value in row.items():
            set_committed_value(message, name, value)  # What was never set would be asked of the database.
        make_transient_to_detached(message)
        session.add(message)


def find(session: Session, channel: str, external_id: str) -> Message | None:
    """The message of an earlier delivery, if there was one."""
    return session.scalar(_DELIVERED, {"channel": channel, "external_id": external_id})


def delivered(session: Session, conversation_id: str, channel: str, external_id: str) -> Message | None:
    """The message of an earlier delivery, if there was one. The conversation stays locked until the transaction ends:
    the same delivery may be on its way through another process."""
    if session.get_bind().dialect.name != "sqlite":  # there the whole transaction has the lock
        # What was read of it before may have changed while the lock was waited for.
        session.scalar(_HELD, {"id": conversation_id}, execution_options={"populate_existing": True})
    return find(session, channel, external_id)


def keep(session: Session, inbound: InboundMessage, now: datetime) -> Message:
    """Store a citizen's message that is not `delivered` yet."""
    # Numbers of identity and bank cards are never stored as typed (个人信息保护法 Art 6, GB/T 47746—2026).
    body = mask_text(inbound.text, phones=False)
    extra: dict[str, Any] = {"picked": list(inbound.picked)} if inbound.picked else {}
    if body != inbound.text:
        extra["masked"] = True
    # Whoever answers it, and whenever: the citizen's complaint names the call that brought it.
    if request_id := request_ids.current():
        extra["request_id"] = request_id
    message = Message(
        id=str(uuid.uuid4()),
        conversation_id=inbound.conversation_id,
        seq=_draw_seqs(session, inbound.conversation_id, now)[0],
        author="user",
        channel=inbound.channel,
        external_id=inbound.external_id,
        body=body,
        extra=(extra | inbound.extra) or None,
        created_at=now,
    )
    _insert(session, [message])
    return message


def accept(session: Session, inbound: InboundMessage, now: datetime) -> tuple[Message, bool]:
    """Store a citizen's message; (message, False) when this delivery was stored before."""
    if known := delivered(session, inbound.conversation_id, inbound.channel, inbound.external_id):
        return known, False
    return keep(session, inbound, now), True


def _extra(reply: Reply, reply_to: Message | None) -> dict[str, Any] | None:
    extra: dict[str, Any] = {"answer": reply.answer} if reply.answer else {}
    if reply.choices:
        # Unique over the turns: a button pressed late must not mean what its place means by now.
        turn = reply_to.seq if reply_to else 0
        extra["choices"] = [
            {"id": f"{c.id}-{turn}", "label": c.label, "send": c.send, "picked": list(c.picked)}
            for c in reply.choices
        ]
    if reply.sms:
        extra["sms"] = reply.sms
    if reply.card:
        extra["card"] = reply.card
    if reply.name:
        extra["name"] = reply.name
    return extra or None


def append(
    session: Session,
    conversation: Conversation,
    author: str,
    reply: Reply,
    now: datetime,
    reply_to: Message | None = None,
    external_id: str | None = None,
) -> Message:
    """Store a message of the bot, the system or staff; `reply_to` is the citizen's message that it answers."""
    [seq] = _draw_seqs(session, conversation.id, now)
    return _add(session, conversation, author, [(seq, reply)], now, reply_to, external_id)[0]


def _add(
    session: Session,
    conversation: Conversation,
    author: str,
    numbered: Sequence[tuple[int, Reply]],
    now: datetime,
    reply_to: Message | None = None,
    external_id: str | None = None,
) -> list[Message]:
    messages = [
        Message(
            id=str(uuid.uuid4()),
            conversation_id=conversation.id,
            seq=seq,
            author=author,
            channel=conversation.channel,
            external_id=external_id,
            body=reply.text,
            extra=_extra(reply, reply_to),
            reply_to=reply_to.id if reply_to else None,
            created_at=now,
        )
        for seq, reply in numbered
    ]
    _insert(session, messages)
    for message in messages:
        # On a channel without a page the message is on its way when this transaction commits, or not at all.
        delivery.queue(session, conversation, message, now, reply_to)
    return messages


_ANSWERED = (
    update(_MESSAGES)
    .where(_MESSAGES.c.id == bindparam("of"), _MESSAGES.c.answered_at.is_(None))
    .values(answered_at=bindparam("now"))
)
_ANSWERED_WITH_READING = _ANSWERED.values(extra=bindparam("new_extra"))


def answer(
    session: Session,
    conversation: Conversation,
    message: Message,
    replies: Sequence[Reply],
    state: dict[str, Any],
    now: datetime,
    reading: dict[str, Any] | None = None,
) -> list[Message] | None:
    """Store the replies to a message together with the new state; None when it was answered meanwhile.

    `reading` is what the engine understood; it stays with the citizen's message for staff.
    """
    changes: dict[str, Any] = {"answered_at": now}
    given: dict[str, Any] = {"of": message.id, "now": now}
    if reading:
        changes["extra"] = (message.extra or {}) | {"reading": reading}
        won = session.execute(_ANSWERED_WITH_READING, given | {"new_extra": changes["extra"]})
    else:
        won = session.execute(_ANSWERED, given)
    if won.rowcount != 1:  # type: ignore[attr-defined]
        return None
    for name, value in changes.items():
        set_committed_value(message, name, value)
    seqs = _draw_seqs(session, conversation.id, now, len(replies), state=state)
    return _add(session, conversation, "bot", list(zip(seqs, replies)), now, message)


def unanswered(session: Session, conversation_id: str) -> list[Message]:
    """A conversation's messages that no turn has finished, in order."""
    return list(session.scalars(_UNANSWERED, {"id": conversation_id}))


def is_finished(session: Session, conversation_id: str, message_id: str) -> bool:
    """Whether the message was answered already. The conversation stays locked until the transaction ends, so that it
    cannot be answered meanwhile either."""
    session.execute(_HELD.with_only_columns(Conversation.id), {"id": conversation_id})
    answered = select(Message.answered_at).where(Message.id == message_id)
    return session.scalar(answered) is not None


def conversations_to_resume(session: Session, before: datetime) -> list[str]:
    """Conversations with a message stored before `before` and never answered (a process died), oldest first."""
    return list(
        session.scalars(
            select(Message.conversation_id)
            .where(WAITS, Message.created_at <= before)
            .group_by(Message.conversation_id)
            .order_by(func.min(Message.created_at))
        )
    )


def replies_to(session: Session, message_id: str) -> list[Message]:
    """The stored replies of one turn."""
    return list(session.scalars(_REPLIES, {"id": message_id}))


def after(session: Session, conversation_id: str, seq: int, limit: int = PAGE) -> list[Message]:
    """The log after `seq`, in order."""
    return list(
        session.scalars(
            select(Message)
            .where(Message.conversation_id == conversation_id, Message.seq > seq)
            .order_by(Message.seq)
            .limit(limit)
        )
    )


def last_choices(session: Session, conversation_id: str) -> list[dict[str, Any]]:
    """The buttons of the last turn that had any; those of earlier turns are void."""
    rows = session.scalars(
        select(Message)
        .where(Message.conversation_id == conversation_id, Message.author == "bot")
        .order_by(Message.seq.desc())
        .limit(12)
    )
    found: list[dict[str, Any]] = []
    turn: str | None = None
    for message in rows:
        offered = (message.extra or {}).get("choices", [])
        if found and message.reply_to != turn:
            break
        if offered:
            turn = message.reply_to
            found += offered
    return found


def queue_hand_over(
    session: Session, conversation_id: str, reason: str, *, urgent: bool, now: datetime
) -> int:
    """Put the conversation into the queue for a person (once) and return how many wait before it."""
    waiting = session.scalar(
        select(HandOver).where(HandOver.conversation_id == conversation_id, HandOver.state == "waiting")
    )
    if waiting is None:
        waiting = HandOver(
            id=str(uuid.uuid4()),
            conversation_id=conversation_id,
            reason=reason,
            urgent=urgent,
            state="waiting",
            created_at=now,
        )
        session.add(waiting)
        session.flush()
    elif urgent and not waiting.urgent:
        waiting.urgent = True
        waiting.reason = reason
    return waiting_before(session, waiting)


def waiting_before(session: Session, own: HandOver) -> int:
    """How many of the queue come before `own`: emergencies first, then who waits longer."""
    before = select(func.count()).where(HandOver.state == "waiting", HandOver.id != own.id)
    if own.urgent:
        before = before.where(HandOver.urgent.is_(True), HandOver.created_at <= own.created_at)
    else:
        before = before.where(HandOver.urgent.is_(True) | (HandOver.created_at <= own.created_at))
    return session.scalar(before) or 0


def as_json(message: Message) -> dict[str, Any]:
    """A message in the contract's format."""
    extra = message.extra or {}
    shown: dict[str, Any] = {
        "seq": message.seq,
        "author": message.author,
        "text": message.body,
        "created_at": message.created_at.astimezone(SHANGHAI).isoformat(timespec="seconds"),
        "choices": [{"id": c["id"], "label": c["label"]} for c in extra.get("choices", [])],
    }
    if "answer" in extra:
        shown["answer"] = extra["answer"]
    for key in ("card", "name", "attachments"):
        if key in extra:
            shown[key] = extra[key]
    if message.author == "user" and message.channel == "widget" and message.external_id:
        shown["client_message_id"] = message.external_id.partition(":")[2]
    if "reading" in extra and settings().debug:
        shown["debug"] = extra["reading"]
    return shown
