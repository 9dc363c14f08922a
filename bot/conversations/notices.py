"""Notices about a case (回执、进度通知) on the channels that reach a citizen outside a page, and 退订.

A number that was only typed into a page is not known to be the citizen's: it is asked once a day at most, and gets
nothing more unless its owner says yes from that very number. Anonymous and confidential cases are never pushed.
Templates stand in `notices.yml`. All functions work on an open session; the caller commits.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.calendar import local_date
from bot.cases.models import REGISTERED, Case, CaseType
from bot.cases.store import STATUS_LISTENERS
from bot.conversations import addresses, log
from bot.conversations.compose import payload_of
from bot.conversations.delivery import NOTICE, lane_of
from bot.conversations.log import Choice, Reply
from bot.conversations.models import Address, Conversation, Message
from bot.outbox.models import Delivery
from bot.outbox.queue import cancel
from bot.settings import settings

_MOBILE = re.compile(r"1[3-9]\d{9}")


@lru_cache
def wording() -> dict[str, Any]:
    """`notices.yml`."""
    known: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "notices.yml").read_text("utf-8"))
    return known


def bare(text: str) -> str:
    """`text` as the words of `notices.yml` are compared: half width, upper case, without marks around it."""
    return re.sub(r"[\s。．.,，!！“”\"'【】\[\]]", "", unicodedata.normalize("NFKC", text)).upper()


def command(text: str) -> str:
    """`stop` for 退订, T, TD; `start` for the words that undo it; empty for anything else."""
    said = bare(text)
    return next((key for key, words in wording()["words"].items() if said in map(bare, words)), "")


def obey(session: Session, row: Address, word: str, now: datetime) -> str:
    """Carry out a command and give the words that confirm it. A notice that waits (quiet hours) is taken back."""
    row.opted_out_at = now if word == "stop" else None
    if word == "stop":
        notices = select(Delivery.id).where(
            Delivery.lane == lane_of(row), Delivery.state == "pending", Delivery.case_number.is_not(None)
        )
        for id in session.scalars(notices).all():
            cancel(session, id)
    return str(wording()["say"]["stopped" if word == "stop" else "started"])


def _notice(key: str, case: Case, *, asks: bool = False) -> Reply:
    variables = {"type": CaseType(case.type).label, "code": case.sms_code, "status": case.status}
    text = str(wording()["templates"][key]).format(**variables)
    card = {NOTICE: {"template": key, "variables": variables, "case": case.number, "asks": asks}}
    choices = tuple(
        Choice(f"{key}{i}", label, label) for i, label in enumerate(wording()["choices"].get(key, []))
    )
    return Reply(text, payload_of("status", case=case.number), choices, sms=text, card=card)


def _pushed(case: Case) -> bool:
    # A message on a phone may be read by others: who wanted no name on a case gets none.
    return not case.anonymous and not case.confidential and case.erased_at is None


def _phone(case: Case) -> str:
    phone = str((case.fields or {}).get("phone") or "")
    try:
        phone = addresses.normal("sms", phone)
    except ValueError:
        return ""
    return phone if _MOBILE.fullmatch(phone) else ""


def after_receipt(session: Session, message: Message, now: datetime) -> Message | None:
    """After the receipt of a case that was lodged elsewhere: its phone is told, or asked, by SMS.

    Gives the message that was queued; `None` when there is nobody to tell: no gateway, no mobile number, the
    receipt itself went to that phone, the owner refused (退订), or was asked today.
    """
    if not settings().sms_gateway:
        return None
    lodged = session.scalars(
        select(Case).where(Case.confirmed_by_message == message.id).order_by(Case.part)
    ).all()
    case = next((case for case in lodged if _pushed(case) and _phone(case)), None)
    if case is None:
        return None
    phone = _phone(case)
    own = session.get_one(Conversation, case.conversation_id)
    if own.channel == "sms" and own.token_hash == addresses.address_hash("sms", phone):
        return None
    row = addresses.open_address(session, "sms", phone, now=now)
    if row.last_inbound_at is None:
        row.opted_out_at = row.opted_out_at or now  # Nothing but the question, until the answer is yes.
        return _ask(session, row, case, now)
    if row.opted_out_at is not None:
        return None
    conversation = session.get_one(Conversation, row.conversation_id)
    return log.append(session, conversation, "system", _notice("registered", case), now)


def _ask(session: Session, row: Address, case: Case, now: datetime) -> Message | None:
    key = f"confirm:{row.address_hash[:32]}:{local_date(now)}"
    if log.find(session, "sms", key):
        return None
    conversation = session.get_one(Conversation, row.conversation_id)
    conversation.state = dict(conversation.state or {}) | {
        "status": {"proof": row.address, "number": case.number}
    }
    reply = _notice("confirm", case, asks=True)
    return log.append(session, conversation, "system", reply, now, external_id=key)


def notify_status(session: Session, case: Case, now: datetime) -> list[Message]:
    """Tell the citizen that the status of a case changed; call it in the transaction that changes it.

    Its own conversation is told, and the phone of the case by SMS if that number was confirmed. Nothing for 已登记
    (the receipt says it). 退订 and the quiet hours are kept by `bot.conversations.delivery`.
    """
    if case.status == REGISTERED or case.erased_at is not None:
        return []
    told: dict[str, Conversation] = {}
    own = session.get(Conversation, case.conversation_id)
    if own is not None and (own.channel == "widget" or _pushed(case)):
        told[own.id] = own
    phone = _phone(case) if _pushed(case) else ""
    row = addresses.find(session, "sms", addresses.address_hash("sms", phone)) if phone else None
    if row is not None and row.last_inbound_at is not None and row.opted_out_at is None:
        # The same phone may have begun a new conversation since: one SMS, not two.
        told = {k: c for k, c in told.items() if c.token_hash != row.address_hash}
        told[row.conversation_id] = session.get_one(Conversation, row.conversation_id)
    return [
        log.append(session, conversation, "system", _notice("status", case), now)
        for conversation in told.values()
    ]


def listen() -> None:
    """Have `notify_status` called with every change of a case's status in this process, whoever makes it."""
    if notify_status not in STATUS_LISTENERS:
        STATUS_LISTENERS.append(notify_status)
