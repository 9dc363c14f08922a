"""From the log to the outbox: what is said on a channel without a page is queued in the transaction that stores it.

`log.append` calls `queue` for every message of bot, staff and system, whichever process writes it. The row names
the message only; the channel's adapter writes it out when it is sent (bot/channels/sms_text.py, wechat_text.py).
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.calendar import SHANGHAI
from bot.cases.drafts import current_draft
from bot.conversations.models import Address, Conversation, Message
from bot.outbox.models import Delivery
from bot.outbox.queue import enqueue
from bot.settings import settings

DOORS = ("sms", "wechat")
"""Channels whose citizens are reached through the outbox only."""
PASSIVE = timedelta(seconds=5)
"""WeChat takes the answer to a message in the response to it, within five seconds (被动回复)."""
NOTICE = "notice"
"""Key in a message's card: a notice (通知) nobody asked for, with its template and variables."""


def quiet_until(now: datetime, hours: str | None = None) -> datetime:
    """`now`, or the end of the quiet hours (免打扰, `HOTLINE_QUIET_HOURS`, as 21:00-08:00) that it falls into."""
    begin, _, end = (settings().quiet_hours if hours is None else hours).partition("-")
    if not end:
        return now
    first, last = time.fromisoformat(begin), time.fromisoformat(end)
    local = now.astimezone(SHANGHAI)
    at = local.time()
    quiet = first <= at or at < last if first > last else first <= at < last
    if not quiet:
        return now
    over = local.replace(hour=last.hour, minute=last.minute, second=0, microsecond=0)
    return over if over > local else over + timedelta(days=1)


def address_of(session: Session, conversation: Conversation) -> Address | None:
    """Where the citizen of this conversation is reached; `None` for the widget, and after erasure."""
    # See bot.conversations.addresses: on these channels the token's place holds the address' hash.
    return session.scalar(
        select(Address).where(
            Address.channel == conversation.channel, Address.address_hash == conversation.token_hash
        )
    )


def lane_of(address: Address) -> str:
    """What is said to one address goes out in order."""
    return f"{address.channel}:{address.address_hash}"


def _hidden(session: Session, conversation: Conversation) -> list[str]:
    """The citizen's own particulars of the record being taken: they never stand in an SMS."""
    draft = current_draft(session, conversation.id)
    known = ((draft.data if draft else None) or {}).get("fields") or {}
    return [str(known[name]) for name in ("name", "phone", "address") if known.get(name)]


def queue(
    session: Session, conversation: Conversation, message: Message, now: datetime, reply_to: Message | None
) -> Delivery | None:
    """Queue a message of the log for its channel's adapter; `None` if it needs none.

    A notice waits for the end of the quiet hours and is dropped for who refused notices (退订); whatever else is
    said is an answer and goes at once. Nothing is queued twice for one message.
    """
    if conversation.channel not in DOORS:
        return None
    address = address_of(session, conversation)
    if address is None:
        return None
    card = (message.extra or {}).get("card") or {}
    notice = NOTICE in card
    # The question whether notices are wanted goes to whom it was not asked yet; see bot.conversations.notices.
    if notice and address.opted_out_at and not card[NOTICE].get("asks"):
        return None
    not_before = quiet_until(now) if notice else None
    if conversation.channel == "wechat" and reply_to is not None:
        not_before = reply_to.created_at + PASSIVE
    return enqueue(
        session,
        kind=conversation.channel,
        lane=lane_of(address),
        dedupe_key=f"reply:{message.id}",
        target={"address": address.id},
        payload={"message": message.id, "hidden": _hidden(session, conversation)},
        now=now,
        not_before=not_before,
        conversation_id=conversation.id,
        case_number=card[NOTICE].get("case") if notice else None,
    )
