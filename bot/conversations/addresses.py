"""Which conversation a message from a phone number or a WeChat openid belongs to.

On a channel without tokens the address is what opens a conversation: its keyed hash stands where the widget's
token hash stands, so that every conversation, also an old one, leads back to its address. A phone number's hash is
the one that cases are looked up by (`Case.phone_hash`).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bot.cases.drafts import cancel_draft, current_draft
from bot.conversations import log
from bot.conversations.models import Address, Conversation, HandOver
from bot.crypto import data_key, normal_phone

STAYS = timedelta(hours=24)
"""A message after a longer silence begins a new conversation …"""
STAYS_WITH_DRAFT = timedelta(days=7)
"""… unless a record is being taken. Not for ever: a phone number may belong to somebody else by then."""


def normal(channel: str, address: str) -> str:
    """The one way of writing an address. Raises `ValueError` for a phone number without digits, or nothing."""
    kept = normal_phone(address) if channel == "sms" else address.strip()
    if not kept:
        raise ValueError("an empty address")
    return kept


def address_hash(channel: str, address: str) -> str:
    """What an address is looked up by, 64 hexadecimal characters."""
    key = data_key()
    kept = normal(channel, address)
    return key.phone_hash(kept) if channel == "sms" else key.keyed_hash(f"address-{channel}", kept)


def find(session: Session, channel: str, hashed: str) -> Address | None:
    """The address of a hash."""
    return session.scalar(
        select(Address).where(Address.channel == channel, Address.address_hash == hashed).with_for_update()
    )


def _open(session: Session, channel: str, address: str, hashed: str, now: datetime) -> Conversation:
    conversation, _ = log.open_conversation(session, channel, now)
    conversation.token_hash = hashed
    if channel == "sms":
        # Who asks for a case by SMS proves the phone number by having sent it.
        conversation.state = {"status": {"proof": address}}
    session.flush()
    return conversation


def open_address(session: Session, channel: str, address: str, *, now: datetime) -> Address:
    """The address, made with a first conversation if it is new. It counts as unconfirmed until it writes."""
    kept, hashed = normal(channel, address), address_hash(channel, address)
    if known := find(session, channel, hashed):
        return known
    try:
        with session.begin_nested():
            row = Address(
                id=str(uuid.uuid4()),
                channel=channel,
                address_hash=hashed,
                address=kept,
                conversation_id=_open(session, channel, kept, hashed, now).id,
            )
            session.add(row)
    except IntegrityError:
        # Its first two messages came at once, through two processes.
        known = find(session, channel, hashed)
        if known is None:
            raise
        return known
    return row


def _goes_on(session: Session, row: Address, conversation: Conversation, now: datetime) -> bool:
    if row.last_inbound_at is None or now - row.last_inbound_at <= STAYS:
        return True
    if conversation.owner == "person":
        return True
    waiting = select(HandOver.id).where(
        HandOver.conversation_id == conversation.id, HandOver.state == "waiting"
    )
    if session.scalar(waiting.limit(1)) is not None:
        return True
    draft = current_draft(session, conversation.id)
    if draft is not None and now - row.last_inbound_at > STAYS_WITH_DRAFT:
        cancel_draft(session, draft, now=now)
        return False
    return draft is not None


def conversation_of(
    session: Session, channel: str, address: str, *, now: datetime
) -> tuple[Address, Conversation]:
    """The conversation that a message arriving now belongs to: the last one within 24 hours, or a new one.

    An open record keeps it for seven days, a person or the queue as long as they need. Raises `ValueError` for an
    address that is none.
    """
    row = open_address(session, channel, address, now=now)
    conversation = session.get_one(Conversation, row.conversation_id)
    if not _goes_on(session, row, conversation, now):
        conversation = _open(session, channel, row.address, row.address_hash, now)
        row.conversation_id = conversation.id
    row.last_inbound_at = now
    session.flush()
    return row, conversation
