"""Asking for a case: who may see it, and what is said about it."""

from __future__ import annotations

import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.calendar import SHANGHAI
from bot.cases.clocks import due_phrase
from bot.cases.models import REGISTERED, Case, CaseClock, CaseType
from bot.cases.receipts import parse_number
from bot.crypto import data_key

REGISTERED_MEANS = "已登记表示我们收到了，不表示已受理。"


@dataclass(frozen=True)
class CaseStatusText:
    """What a citizen may be told about a case. `deadlines` holds only what may be shown."""

    number: str
    sms_code: str
    type: CaseType
    status: str
    meaning: str
    registered_at: datetime
    deadlines: tuple[str, ...]
    twin_number: str | None

    @property
    def text(self) -> str:
        """All of it in one paragraph."""
        at = self.registered_at
        lines = [
            f"{self.type.label} {self.number}：{self.status}。登记时间 {at.month}月{at.day}日 {at:%H:%M}。",
            self.meaning,
            *self.deadlines,
        ]
        return "".join(line for line in lines if line)


def query_code_hash(number: str, code: str) -> str:
    """What is stored of an anonymous case's query code."""
    return data_key().keyed_hash("query-code-check", f"{number}:{code}")


def find_case(session: Session, number_or_code: str, phone: str) -> Case | None:
    """The case of a receipt number (any way of writing, or the twelve digits) **and** its proof.

    The proof `phone` is the phone number given at intake; for an anonymous case its six-digit query code.
    `None` for anything that does not fit, without saying which: a stranger learns nothing. Six digits can be
    guessed through, so callers limit the attempts.
    """
    parsed = parse_number(number_or_code)
    if parsed is None or not parsed.valid:
        return None
    case = session.scalar(select(Case).where(Case.sms_code == parsed.sms_code))
    if case is None or (parsed.type and parsed.type.value != case.type):
        return None
    try:
        if case.query_code_hash:
            code = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", phone))
            stored, given = case.query_code_hash, query_code_hash(case.number, code)
        else:
            stored, given = case.phone_hash or "", data_key().phone_hash(phone)
    except ValueError:
        return None
    return case if hmac.compare_digest(stored, given) else None


def case_status_text(session: Session, case: Case) -> CaseStatusText:
    """The state of `case` in the citizen's words: never 已受理 for what was only saved here."""
    query = select(CaseClock).where(CaseClock.case_number == case.number, CaseClock.met_on.is_(None))
    running = session.scalars(query.order_by(CaseClock.due_on)).all()
    deadlines = tuple(_deadline(clock) for clock in running if clock.showable)
    return CaseStatusText(
        number=case.number,
        sms_code=case.sms_code,
        type=CaseType(case.type),
        status=case.status,
        meaning=REGISTERED_MEANS if case.status == REGISTERED else "",
        registered_at=case.created_at.astimezone(SHANGHAI),
        deadlines=deadlines,
        twin_number=None if _hides_twin(session, case) else case.twin_number,
    )


def _hides_twin(session: Session, case: Case) -> bool:
    # Neither an anonymous report's query code nor the named twin's phone may lead to the other one.
    twin = session.get(Case, case.twin_number) if case.twin_number else None
    return case.anonymous or (twin is not None and twin.anonymous)


def _deadline(clock: CaseClock) -> str:
    if clock.key == "accept_complaint":
        who = "是否受理由有处理权限的部门在"
        return f"{who}{clock.days}个工作日内决定并告知您（{due_phrase(clock)}）。"
    unit = "个工作日" if clock.unit == "工作日" else "日"
    return f"{clock.name}：{clock.days}{unit}（{due_phrase(clock)}）。"
