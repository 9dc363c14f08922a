"""A call-back (回电) for a citizen whom nobody can take now: offer, phone number, a time that is kept.

GB/T 47746—2026 wants no dead end when no person is free; GB/T 33358 names three minutes for an answer by a person
on a medium like this one. The promise is a row that the desk shows until it is kept.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import phonenumbers
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.calendar import SHANGHAI
from bot.conversations import log
from bot.conversations.log import Choice, Reply
from bot.conversations.models import CallBack, HandOver
from bot.conversations.wording import phrases
from bot.crypto import mask_phone
from bot.settings import settings

LATE = timedelta(minutes=3)
_NO = re.compile(r"^(不用|不要|不需要|算了|取消|不登记|别打)")
_YES = re.compile(r"^(是|对|行|好|嗯|可以|没错)")


@dataclass(frozen=True)
class Heard:
    """What the conversation about a call-back came to. `phone`: register a call-back there."""

    text: str
    choices: tuple[Choice, ...]
    step: str  # what is asked now: "confirm", "ask", "again" or empty
    phone: str = ""


def phone_in(text: str) -> str:
    """The first valid phone number of the mainland in `text`, as digits; empty if there is none."""
    for match in phonenumbers.PhoneNumberMatcher(text, "CN"):
        if phonenumbers.is_valid_number(match.number):
            national = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.NATIONAL)
            return re.sub(r"\D", "", national)
    return ""


def offer() -> tuple[Choice, ...]:
    """The two ways of somebody who waits."""
    words = phrases()["call_back"]
    return (
        Choice("callback", words["button"], words["button"]),
        Choice("wait", words["wait"], words["wait"]),
    )


def hear(text: str, step: str, known: str) -> Heard | None:
    """A message that belongs to a call-back, or None. `known` is the phone number we have of the citizen."""
    words = phrases()["call_back"]
    text = text.strip()
    if text == words["wait"]:
        return Heard(words["waiting"], (), "")
    if text.startswith(words["button"]) or (
        step == "" and re.fullmatch(r"(我要|请|给我|帮我)?(登记)?回(个)?电话?(吧|。)?", text)
    ):
        if phone := phone_in(text):
            return Heard("", (), "", phone)
        if known:
            yes = Choice("callyes", words["same"], words["same"])
            return Heard(words["known"].format(phone=mask_phone(known)), (yes,), "confirm")
        return Heard(words["ask"], (), "ask")
    if not step:
        return None
    if _NO.search(text):
        return Heard(words["cancelled"], (), "")
    if phone := phone_in(text):
        return Heard("", (), "", phone)
    if step == "confirm" and (text == words["same"] or _YES.search(text)):
        return Heard("", (), "", known)
    # Digits that are no number are asked for once more; other words are another matter and go their way.
    if re.search(r"\d{5,}", text) and step != "again":
        return Heard(words["again"], (), "again")
    return None


def register(session: Session, conversation_id: str, phone: str, now: datetime) -> CallBack:
    """Promise a call-back; an open one of the conversation takes the new number and keeps its time."""
    known = session.scalar(
        select(CallBack).where(CallBack.conversation_id == conversation_id, CallBack.state == "open")
    )
    if known is not None:
        known.phone = phone
        return known
    row = CallBack(
        id=str(uuid.uuid4()),
        conversation_id=conversation_id,
        phone=phone,
        state="open",
        created_at=now,
        due_at=now + timedelta(minutes=settings().call_back_minutes),
    )
    session.add(row)
    session.flush()
    return row


def promise(row: CallBack, now: datetime) -> str:
    """What is said about a registered call-back."""
    due, today = row.due_at.astimezone(SHANGHAI), now.astimezone(SHANGHAI).date()
    day = "今天" if due.date() == today else f"{due.month}月{due.day}日"
    return str(phrases()["call_back"]["done"]).format(due=f"{day}{due:%H:%M}", phone=mask_phone(row.phone))


def done(
    session: Session, call_back_id: str, *, by: str, note: str, given_up: bool, now: datetime
) -> CallBack:
    """Note that somebody has called (or could not reach the citizen)."""
    row = session.get_one(CallBack, call_back_id, with_for_update=True)
    row.state, row.done_by, row.done_at, row.note = "given_up" if given_up else "done", by, now, note
    return row


def offer_late(session: Session, now: datetime) -> list[str]:
    """Tell everybody who has waited for `LATE` unclaimed how it stands, once; the conversations that were told."""
    late = session.scalars(
        select(HandOver)
        .where(HandOver.state == "waiting", HandOver.created_at <= now - LATE)
        .order_by(HandOver.created_at)
        .limit(50)
    ).all()
    told = []
    for hand_over in late:
        # Whoever claims it, answers it or tells it in another process does so before this or sees this.
        conversation = log.hold(session, hand_over.conversation_id)
        session.refresh(hand_over)
        state: dict[str, Any] = dict(conversation.state or {})
        known = state.get("call_back_offered") == hand_over.id
        if known or conversation.owner == "person" or hand_over.state != "waiting":
            continue
        before = log.waiting_before(session, hand_over)
        words = phrases()["handoff"]
        place = words["first"] if before == 0 else words["place"].format(count=before)
        text = words["slow"].format(place=place)
        conversation.state = state | {"call_back_offered": hand_over.id}
        answer = {"kind": "handoff", "measures": [], "facets": [], "specified": True, "citations": []}
        answer |= {"validity": None, "case": None, "options": []}
        log.append(session, conversation, "bot", Reply(text, answer, offer(), sms=text), now)
        told.append(conversation.id)
    return told
