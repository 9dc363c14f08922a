"""The words of a receipt (回执) and of a case's state, as payloads for `compose`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.lookup import case_status_text
from bot.cases.models import Case, CaseType
from bot.cases.store import query_code_of


def receipt_payload(session: Session, lodged: Sequence[Case]) -> dict[str, Any]:
    """The receipt of the cases of one draft: number, SMS code, time, what it means, how to ask for the state."""
    lines, numbers, cards = [], [], []
    for case in lodged:
        said = case_status_text(session, case)
        at = said.registered_at
        code = f"{said.sms_code[:10]} {said.sms_code[10:]}"
        lines.append(
            f"{said.type.label}已登记。编号 {said.number}（短信查询码 {code}）。"
            f"登记时间 {at.month}月{at.day}日 {at:%H:%M}。{said.meaning}{''.join(said.deadlines)}"
        )
        if case.anonymous:
            lines.append(
                f"您是匿名登记，查询时请用编号和查询口令 {query_code_of(case)}，口令只显示这一次，请记好。"
            )
        numbers.append(said.number)
        cards.append(
            {
                "number": said.number,
                "type": said.type.label,
                "sms_code": said.sms_code,
                "registered_at": f"{at.month}月{at.day}日 {at:%H:%M}",
                "meaning": said.meaning,
                "deadlines": list(said.deadlines),
                "query_code": query_code_of(case) if case.anonymous else None,
            }
        )
    if not all(case.anonymous for case in lodged):
        lines.append("凭编号和登记的手机号随时可查进度。")
    first = case_status_text(session, lodged[0])
    return {
        "compose": "ready",
        "kind": "receipt",
        "text": "\n".join(lines),
        "sms": _short(session, lodged),
        "case": numbers[0],
        "card": {
            "receipt": {
                "numbers": numbers,
                "sms_code": first.sms_code,
                "deadlines": list(first.deadlines),
                "cases": cards,
            }
        },
    }


def _short(session: Session, lodged: Sequence[Case]) -> str:
    """The receipt in one SMS; an anonymous case has a query code in place of the phone."""
    found = []
    for case in lodged:
        code = case_status_text(session, case).sms_code
        proof = f"口令{query_code_of(case)}，凭码和口令可查" if case.anonymous else "凭码和登记的手机号可查"
        found.append(f"{CaseType(case.type).label}已登记（不表示已受理），查询码{code}，{proof}。")
    return "".join(found)


def receipt_of_message(session: Session, message_id: str) -> dict[str, Any] | None:
    """The receipt that this message earned, if it confirmed a case before its turn was finished."""
    lodged = list(
        session.scalars(select(Case).where(Case.confirmed_by_message == message_id).order_by(Case.part))
    )
    return receipt_payload(session, lodged) if lodged else None
