"""What a turn has to know before it begins: who speaks, what was said before, the open draft, the phone number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import Session

from bot.cases.models import Case, CaseDraft
from bot.conversations import log
from bot.conversations.models import Address, Conversation, Message
from bot.conversations.receipt import receipt_of_message

# All in one look: conversation, draft, address, whether the message lodged a case, and how many messages wait.
_FACTS = (
    select(
        Conversation,
        CaseDraft,
        Address,
        exists().where(Case.confirmed_by_message == bindparam("message")),
        select(func.count())
        .where(Message.conversation_id == bindparam("conversation"), log.WAITS)
        .scalar_subquery(),
    )
    .outerjoin(CaseDraft, (CaseDraft.conversation_id == Conversation.id) & (CaseDraft.state == "open"))
    .outerjoin(Address, Address.conversation_id == Conversation.id)
    .where(Conversation.id == bindparam("conversation"))
    .limit(1)
)


@dataclass(frozen=True)
class Facts:
    """A conversation as a message finds it. `owner` is `bot` or `person`; `intake` the type of the open draft and
    `asked` its open question, both empty without one; `phone` is empty as long as nobody gave it."""

    owner: str
    state: dict[str, Any]
    intake: str
    asked: str
    phone: str
    receipt: dict[str, Any] | None  # of the case that this very message lodged
    alone: bool  # no other message waits for an answer


@dataclass(frozen=True)
class Arrived:
    """A message that was just stored, and what was known in the same transaction."""

    message: Message
    facts: Facts


def look(session: Session, message: Message) -> Facts:
    """What is known to the turn that answers `message`."""
    conversation, draft, address, lodged, waiting = session.execute(
        _FACTS, {"conversation": message.conversation_id, "message": message.id}
    ).one()
    phone = str(((draft.data if draft else {}) or {}).get("fields", {}).get("phone") or "")
    if not phone and address is not None and address.channel == "sms":
        phone = address.address
    return Facts(
        owner=conversation.owner,
        state=dict(conversation.state or {}),
        intake=(draft.type or "T") if draft else "",
        asked=(draft.asked or "") if draft else "",
        phone=phone,
        receipt=receipt_of_message(session, message.id) if lodged else None,
        alone=waiting <= 1,
    )
