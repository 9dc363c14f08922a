"""What a department gets of a case (推送): the facts, and of the citizen only what handling needs.

| | 主办 | 协办 |
|---|---|---|
| 投诉, 诉求, 意见建议 with a name | facts and contact | facts, numbers masked |
| confidential (保密) | facts, numbers masked | the same |
| 举报, named or not | facts without anything that tells who reported, never the contact | the same |
| anonymous | as stored: no contact | the same |

举报人's data stays here (总局令第20号 Art 33; 第121号 Art 31): who needs it asks the desk, where each look is audited.
Twins are never named to a department: a 投诉 goes to the respondent's mediation, and must not tell that there is a 举报.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.fields import CONTACT, label, redacted
from bot.cases.models import Case, CaseClock, CaseType, Dispatch
from bot.cases.terms import whole_name
from bot.crypto import mask_text
from bot.outbox.models import Delivery
from bot.outbox.queue import enqueue

KIND = "department"
Notice = Literal["dispatch", "support", "supervise", "recall", "withdraw"]
NOTICES: dict[str, str] = {
    "dispatch": "派单",
    "support": "协办",
    "supervise": "督办",
    "recall": "撤回派单",
    "withdraw": "来件人撤回",
}
_FACTS = ("respondent", "respondent_address", "facts", "injury", "request", "evidence", "company")
_NAMES = {"T": "complaint", "J": "report", "S": "request", "Y": "suggestion"}
_GAP = r"[ \u3000\-－—·]?"


def tells_nobody(case: Case) -> bool:
    """True if nothing of this case may tell a department who came with it."""
    return case.type == CaseType.REPORT.value or case.anonymous or case.confidential


def facts_for_push(case: Case, lead: bool) -> dict[str, str]:
    """{label: text} of the facts, as far as the receiver may read them."""
    names = [name for name in _FACTS if name != "company" or not tells_nobody(case)]
    found = {name: str(case.fields[name]) for name in names if case.fields.get(name)}
    if tells_nobody(case) or not lead:
        found = {name: _without_person(text, case.fields) for name, text in found.items()}
    return {label(name, _NAMES[case.type]): text for name, text in found.items()}


def contact_for_push(case: Case, lead: bool) -> dict[str, str]:
    """{label: value} of the citizen's contact; empty for a 举报, an anonymous or confidential case, and for 协办."""
    if tells_nobody(case) or not lead:
        return {}
    type = _NAMES[case.type]
    return {label(name, type): str(case.fields[name]) for name in CONTACT if case.fields.get(name)}


def _without_person(text: str, fields: dict[str, Any]) -> str:
    # The value first, in any way of writing, then whatever looks like a mobile, ID or card number.
    phone = re.sub(r"\D", "", str(fields.get("phone") or ""))
    if len(phone) >= 7:
        text = re.sub(rf"(?<!\d){_GAP.join(phone)}(?!\d)", "〔电话不转〕", text)
    strings = {name: str(fields.get(name) or "") for name in CONTACT}
    company = str(fields.get("company") or "")
    if len(company) >= 2:
        text = text.replace(company, "〔单位不转〕")
    return mask_text(redacted(text, strings))


def is_reported_side(case: Case, department: str) -> bool:
    """Whether `department` is what the case is about: it must not be told of a 举报 against itself."""
    respondent, name = whole_name(str(case.fields.get("respondent") or "")), whole_name(department)
    return len(respondent) >= 2 and len(name) >= 2 and (respondent in name or name in respondent)


def payload(
    session: Session,
    case: Case,
    *,
    notice: Notice,
    department: str,
    lead: bool,
    opinion: str,
    due_on: date | None,
    now: datetime,
) -> dict[str, Any]:
    """The body of a push, JSON. Times are ISO 8601 with offset, dates in Asia/Shanghai."""
    if tells_nobody(case) or not lead:
        opinion = _without_person(opinion, case.fields)
    body: dict[str, Any] = {
        "notice": notice,
        "notice_label": NOTICES[notice],
        "number": case.number,
        "type": case.type,
        "type_label": CaseType(case.type).label,
        "department": department,
        "part": "主办" if lead else "协办",
        "opinion": opinion,
        "due_on": due_on.isoformat() if due_on else None,
        "registered_at": case.created_at.isoformat(),
        "pushed_at": now.isoformat(),
        "urgent": case.urgent,
        "supervised": case.supervised,
        "anonymous": case.anonymous,
        "confidential": tells_nobody(case),
    }
    if notice in ("dispatch", "support"):
        query = select(CaseClock).where(CaseClock.case_number == case.number, CaseClock.met_on.is_(None))
        body["clocks"] = [
            {
                "name": clock.name,
                "due_on": clock.due_on.isoformat(),
                "basis": clock.basis,
                "verified": clock.verified,
                "provisional": clock.provisional,
            }
            for clock in session.scalars(query.order_by(CaseClock.due_on))
        ]
        own = lead and not is_reported_side(case, department)
        body["facts"] = facts_for_push(case, own)
        body["contact"] = contact_for_push(case, own)
    return body


def push(
    session: Session,
    case: Case,
    dispatch: Dispatch,
    notice: Notice,
    now: datetime,
    key: str = "",
    opinion: str | None = None,
) -> Delivery:
    """Queue what `dispatch.department` is told, in the department's lane; committed with the caller's transaction.

    The same notice of the same dispatch is queued once; `key` tells repeated ones (督办) apart, `opinion` takes the place
    of the dispatch's.
    """
    body = payload(
        session,
        case,
        notice=notice,
        department=dispatch.department,
        lead=dispatch.part == "lead",
        opinion=dispatch.opinion if opinion is None else opinion,
        due_on=dispatch.due_on,
        now=now,
    )
    return enqueue(
        session,
        kind=KIND,
        lane=f"{KIND}:{dispatch.department}",
        dedupe_key=f"{notice}:{dispatch.id}{':' + key if key else ''}",
        target={"department": dispatch.department},
        payload=body,
        now=now,
        case_number=case.number,
    )
