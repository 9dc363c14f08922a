"""A case as staff see it, JSON: one line of a list, or all of it. Personal data is masked unless asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases import dispatch, follow_ups, linking, routing, workflow
from bot.cases.calendar import SHANGHAI, local_date
from bot.cases.fields import CONTACT, label, redacted
from bot.cases.models import Case, CaseClock, CaseType
from bot.cases.push import tells_nobody
from bot.cases.workflow import Stage, fields_for, masked
from bot.crypto import mask_text

EXCERPT = 48  # characters of the facts in a list
_NAMES = {"T": "complaint", "J": "report", "S": "request", "Y": "suggestion"}


def moment(at: datetime | None) -> str | None:
    """ISO 8601 in Jilin's time."""
    return at.astimezone(SHANGHAI).isoformat(timespec="seconds") if at else None


def shown(case: Case, field: str, unmasked: bool) -> str:
    """One field's value. Masked facts also hide the name, phone and address that stand in them."""
    value = str(case.fields.get(field) or "")
    if unmasked or not value:
        return value
    if field in CONTACT:
        return masked(field, value)
    if field == "company" and tells_nobody(case):
        return f"{value[:2]}***"
    contact = {name: str(case.fields.get(name) or "") for name in CONTACT}
    return mask_text(redacted(value, contact))


def clock_colour(due_on: date | None, today: date) -> tuple[str, str]:
    """(colour, words) of a due date: colour is never the only sign (GB/T 37668)."""
    if due_on is None:
        return "none", "无时限"
    left = (due_on - today).days
    if left < 0:
        return "red", f"超期{-left}天"
    if left <= 2:
        return "amber", "今天到期" if left == 0 else f"剩{left}天"
    return "green", f"剩{left}天"


def line(case: Case, today: date, staff: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One line of a list; never unmasked. `staff` maps ids to names."""
    colour, words = clock_colour(case.due_on, today)
    facts = shown(case, "facts", False).replace("\n", " ")
    return {
        "number": case.number,
        "type": case.type,
        "type_label": CaseType(case.type).label,
        "status": case.status,
        "stage": case.stage,
        "stage_label": Stage(case.stage).label,
        "urgent": case.urgent,
        "supervised": case.supervised,
        "overdue": bool(case.due_on and case.due_on < today and case.closed_at is None),
        "department": case.department,
        "assignee_id": case.assignee_id,
        "assignee": (staff or {}).get(case.assignee_id or ""),
        "channel": case.channel,
        "anonymous": case.anonymous,
        "respondent": shown(case, "respondent", False),
        "excerpt": facts[:EXCERPT] + ("…" if len(facts) > EXCERPT else ""),
        "due_on": case.due_on.isoformat() if case.due_on else None,
        "clock": {"colour": colour, "text": words},
        "created_at": moment(case.created_at),
        "updated_at": moment(case.updated_at),
        "closed_at": moment(case.closed_at),
        "erased": case.erased_at is not None,
    }


def whole(
    session: Session,
    case: Case,
    *,
    now: datetime,
    unmasked: bool = False,
    staff: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All of a case: fields, clocks with their legal basis, proposal, dispatches, calls, history, what can be done."""
    today, type = local_date(now), _NAMES[case.type]

    def safe(text: str | None) -> str | None:
        if text is None or unmasked:
            return text
        contact = {name: str(case.fields.get(name) or "") for name in CONTACT}
        return mask_text(redacted(text, contact))

    def safely(value: Any) -> Any:
        if isinstance(value, str):
            return safe(value)
        if isinstance(value, dict):
            return {key: safely(item) for key, item in value.items()}
        return [safely(item) for item in value] if isinstance(value, list) else value

    query = select(CaseClock).where(CaseClock.case_number == case.number).order_by(CaseClock.due_on)
    facts = "\n".join(str(v) for k, v in case.fields.items() if k not in CONTACT)
    route = routing.propose(CaseType(case.type), facts)
    return line(case, today, staff) | {
        "masked": not unmasked,
        "sms_code": case.sms_code,
        "confidential": case.confidential,
        "platform_reg_no": case.platform_reg_no,
        "duplicate_of": case.duplicate_of,
        "duplicates": [other.number for other in linking.duplicates(session, case.number)],
        "twin_number": case.twin_number,
        "conversation_id": case.conversation_id,
        "fields": [
            {"field": field, "label": label(field, type), "value": value}
            for field in fields_for(case)
            if (value := shown(case, field, unmasked))
        ],
        "proposal": {
            "department": route.department,
            "reason": route.reason,
            "also": list(route.also),
            "caution": route.caution,
            "expected_type": route.expected_type.label if route.expected_type else None,
            "names_verified": route.verified,
        },
        "clocks": [
            {
                "key": clock.key,
                "name": clock.name,
                "from": clock.from_date.isoformat(),
                "due_on": clock.due_on.isoformat(),
                "days": clock.days,
                "unit": clock.unit,
                "basis": clock.basis,
                "mark": clock.mark,
                "verified": clock.verified,
                "provisional": clock.provisional,
                "met_on": clock.met_on.isoformat() if clock.met_on else None,
                "colour": "done" if clock.met_on else clock_colour(clock.due_on, today)[0],
                "text": f"{clock.met_on}已完成" if clock.met_on else clock_colour(clock.due_on, today)[1],
            }
            for clock in session.scalars(query)
        ],
        "dispatches": [
            {
                "id": sent.id,
                "part": "主办" if sent.part == "lead" else "协办",
                "department": sent.department,
                "opinion": safe(sent.opinion),
                "due_on": sent.due_on.isoformat() if sent.due_on else None,
                "state": sent.state,
                "by": sent.by,
                "at": moment(sent.at),
                "returned_reason": sent.returned_reason,
                "result": safe(sent.result),
                "changed_at": moment(sent.changed_at),
            }
            for sent in dispatch.dispatches(session, case.number)
        ],
        "follow_ups": [
            {
                "reached": call.reached,
                "solved": call.solved,
                "satisfaction": call.satisfaction,
                "reason": safe(call.reason),
                "by": call.by,
                "at": moment(call.at),
            }
            for call in follow_ups.follow_ups(session, case.number)
        ],
        "events": [
            {
                "id": event.id,
                "at": moment(event.at),
                "actor": event.actor,
                "kind": event.kind,
                "label": _event_label(event.kind),
                "status": event.status,
                "detail": safely(event.detail),
            }
            for event in workflow.history(session, case.number)
        ],
        "actions": workflow.actions(case),
        "next_statuses": list(workflow.next_statuses(case)),
    }


def _event_label(kind: str) -> str:
    if action := workflow.ACTIONS.get(kind):
        return action.label
    if kind.startswith("clock_"):
        return f"时限用到{kind.removeprefix('clock_')}%"
    return {"registered": "登记"}.get(kind, kind)
