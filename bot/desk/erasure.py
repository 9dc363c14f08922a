"""Taking personal data out of a case or a conversation, for good: numbers, dates, types and states stay.

个人信息保护法 Art 47: delete when the purpose is met or the period is over. What remains serves the figures and
proves that the matter existed; it names nobody. Functions flush, the caller commits; `files` are removed after that.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from bot.cases.models import Case, CaseDraft, Dispatch, FollowUp
from bot.cases.terms import unindex_case
from bot.conversations.models import Address, Attachment, CallBack, Conversation, Message, Rating
from bot.crypto import data_key
from bot.desk.models import CopilotOutcome, Note, Review
from bot.outbox.models import Delivery
from bot.settings import Settings

ERASED = "erased"  # `Conversation.token_hash` of an erased one: no token has it, and it can be searched for
# What the figures count by; everything else of an answer may repeat the citizen's words.
_COUNTED = ("kind", "measures", "facets", "specified")


def erase_cases(session: Session, cases: list[Case], *, now: datetime, config: Settings) -> list[Path]:
    """Take the persons out of closed cases; the files that may be removed after the commit."""
    numbers = [case.number for case in cases]
    if not numbers:
        return []
    for case in cases:
        unindex_case(session, case)
        case.fields = {}
        # A look-up needs a hash; this one belongs to no phone.
        case.phone_hash = data_key().keyed_hash("pseudonym", case.number)
        case.query_code_hash = None
        case.erased_at = now
    for dispatch in session.scalars(select(Dispatch).where(Dispatch.case_number.in_(numbers))):
        dispatch.opinion, dispatch.result = "", None
    for call in session.scalars(select(FollowUp).where(FollowUp.case_number.in_(numbers))):
        call.reason = None
    session.execute(delete(Note).where(Note.case_number.in_(numbers)))
    _blank_deliveries(session, Delivery.case_number.in_(numbers))
    files = _drop_attachments(session, Attachment.case_number.in_(numbers), config)
    session.flush()
    _blank_events(session, numbers)
    return files


def erase_conversation(
    session: Session, conversation: Conversation, *, now: datetime, config: Settings
) -> list[Path]:
    """Take the citizen out of a conversation; its log keeps order, times, authors and what was answered about."""
    own = conversation.id
    messages = session.scalars(select(Message).where(Message.conversation_id == own)).all()
    for message in messages:
        answer = (message.extra or {}).get("answer")
        counted = {k: answer[k] for k in _COUNTED if k in answer} if isinstance(answer, dict) else None
        message.body, message.external_id = "", None
        message.extra = {"answer": counted} if counted else None
    ids = select(Message.id).where(Message.conversation_id == own)
    for review in session.scalars(select(Review).where(Review.message_id.in_(ids))):
        review.text, review.reading = "", None
        review.state = "dismissed" if review.state == "open" else review.state
    for outcome in session.scalars(select(CopilotOutcome).where(CopilotOutcome.conversation_id == own)):
        outcome.suggestion = {}
    for call in session.scalars(select(CallBack).where(CallBack.conversation_id == own)):
        call.phone, call.note = "", None
    if rating := session.get(Rating, own):
        rating.comment = None
    session.execute(delete(Note).where(Note.conversation_id == own))
    # Who refused messages must stay known (退订): the address is all that is kept, for that alone.
    session.execute(delete(Address).where(Address.conversation_id == own, Address.opted_out_at.is_(None)))
    for draft in session.scalars(select(CaseDraft).where(CaseDraft.conversation_id == own)):
        erase_draft(draft, now=now)
    _blank_deliveries(session, Delivery.conversation_id == own)
    files = _drop_attachments(
        session, (Attachment.conversation_id == own) & Attachment.case_number.is_(None), config
    )
    conversation.state, conversation.owner_name, conversation.token_hash = {}, None, ERASED
    conversation.closed_at = conversation.closed_at or now
    session.flush()
    return files


def erase_draft(draft: CaseDraft, *, now: datetime) -> None:
    """Forget what an intake had learned; an open one is cancelled."""
    if draft.state == "open":
        draft.state, draft.updated_at = "cancelled", now
    draft.data, draft.asked = {}, None


def _blank_deliveries(session: Session, which: Any) -> None:
    for delivery in session.scalars(select(Delivery).where(which)):
        if delivery.state in ("pending", "leased"):
            delivery.state = "cancelled"
        delivery.target, delivery.payload, delivery.last_error = {}, {}, None


def _drop_attachments(session: Session, which: Any, config: Settings) -> list[Path]:
    found = session.scalars(select(Attachment).where(which)).all()
    for attachment in found:
        session.delete(attachment)
    return [config.home_dir / "attachments" / attachment.id for attachment in found]


def _blank_events(session: Session, numbers: list[str]) -> None:
    """Staff's words in the history go, the history itself stays: what happened, when, by whom, to which state.

    The table is append-only by its triggers. This alone lifts them, inside its transaction; the database user must
    own the table.
    """
    blank = text("UPDATE case_events SET detail = NULL WHERE case_number = :number")
    each = [{"number": number} for number in numbers]
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ALTER TABLE case_events DISABLE TRIGGER case_events_no_change"))
        session.execute(blank, each)
        session.execute(text("ALTER TABLE case_events ENABLE TRIGGER case_events_no_change"))
        return
    name = "case_events_no_update"
    made = session.scalar(
        text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name"), {"name": name}
    )
    session.execute(text(f"DROP TRIGGER {name}"))
    session.execute(blank, each)
    session.execute(text(str(made)))


__all__ = ["ERASED", "erase_cases", "erase_conversation", "erase_draft"]
