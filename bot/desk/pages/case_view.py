"""What the case page shows, read in one transaction: `bot.cases.display` and what belongs to the desk."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases import display
from bot.cases.models import Case
from bot.cases.receipts import parse_number
from bot.conversations.models import Attachment
from bot.crypto import mask_text
from bot.desk.models import Note
from bot.errors import HotlineError, Problem
from bot.outbox.models import Delivery
from bot.staff.models import Staff

DISPATCH_STATES = {
    "sent": "已派出",
    "accepted": "已签收",
    "returned": "已退回",
    "answered": "已反馈",
    "withdrawn": "已撤回",
}
PUSH_STATES = {
    "pending": "等待发送", "leased": "发送中", "sent": "已发送", "delivered": "已送达", "dead": "发送失败", "cancelled": "已取消",
}  # fmt: skip
DETAILS = {
    "lead": "主办", "support": "协办", "opinion": "意见", "due_on": "时限", "reason": "原因", "result": "结果", "department": "部门",
    "before": "原为", "after": "改为", "ground": "理由", "explanation": "说明", "into": "并入", "merged": "并入了", "twin": "关联",
    "satisfaction": "满意度", "platform_reg_no": "平台编号", "name": "时限", "caution": "注意", "also": "另见", "was_duplicate_of": "曾并入",
}  # fmt: skip
COLOURS = {"red": "late", "amber": "soon", "green": "calm", "none": "none", "done": "met"}


def read_case(session: Session, number: str, now: datetime, *, unmasked: bool) -> dict[str, Any]:
    """The case; raises UNKNOWN_CASE."""
    parsed = parse_number(number)
    case = session.get(Case, parsed.number) if parsed and parsed.number else None
    if case is None:
        raise HotlineError(Problem.UNKNOWN_CASE)
    staff = {one.id: one for one in session.scalars(select(Staff))}
    names = {one.id: one.name for one in staff.values()}
    by_username = {f"staff:{one.username}": one.name for one in staff.values()}
    shown = display.whole(session, case, now=now, unmasked=unmasked, staff=names)
    notes = select(Note).where(Note.case_number == case.number).order_by(Note.id)
    files = select(Attachment).where(Attachment.case_number == case.number).order_by(Attachment.created_at)
    pushes = select(Delivery).where(Delivery.case_number == case.number, Delivery.kind == "department")
    for clock in shown["clocks"]:
        clock["state"] = COLOURS[clock["colour"]]
    shown["clock"]["state"] = COLOURS[shown["clock"]["colour"]]
    for sent in shown["dispatches"]:
        sent["state_label"] = DISPATCH_STATES.get(sent["state"], sent["state"])
        sent["by"] = by_username.get(sent["by"], sent["by"])
    for event in shown["events"]:
        event["by"] = by_username.get(
            event["actor"],
            {"citizen": "市民", "system": "系统", "bot": "机器人"}.get(event["actor"], event["actor"]),
        )
        event["lines"] = _lines(event["detail"], names)
    return shown | {
        "case": case,
        "notes": [
            {"body": n.body if unmasked else mask_text(n.body), "by": names.get(n.staff_id, ""), "at": n.at}
            for n in session.scalars(notes)
        ],
        "files": [
            {
                "id": f.id,
                "name": f.name if unmasked else mask_text(f.name),
                "size": f"{max(1, f.size // 1024)} KB",
            }
            for f in session.scalars(files)
        ],
        "pushes": [
            {
                "department": d.target.get("department"),
                "notice": d.payload.get("notice_label"),
                "state": PUSH_STATES.get(d.state, d.state),
                "dead": d.state == "dead",
                "attempts": d.attempts,
                "error": d.last_error,
                "delivery_id": d.delivery_id,
                "at": d.sent_at or d.created_at,
            }
            for d in session.scalars(pushes.order_by(Delivery.id))
        ],
    }


def _lines(detail: Any, names: dict[str, str]) -> list[str]:
    """A detail of the history in words; what has no word is for programs."""
    if not isinstance(detail, dict):
        return []
    found = []
    for key, label in DETAILS.items():
        value = detail.get(key)
        if value in (None, "", [], {}):
            continue
        if isinstance(value, list):
            value = "、".join(map(str, value))
        if isinstance(value, dict):
            value = "；".join(f"{k} {v or '（空）'}" for k, v in value.items())
        found.append(f"{label}：{value}")
    if detail.get("staff_id"):
        found.append(f"经办人：{names.get(str(detail['staff_id']), '')}")
    return found
