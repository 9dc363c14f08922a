"""The words of a receipt (回执) and of a case's state, as payloads for `compose`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.cases.lookup import case_status_text
from bot.cases.models import Case
from bot.cases.store import query_code_of


def receipt_payload(session: Session, lodged: Sequence[Case]) -> dict[str, Any]:
    """The receipt of the cases of one draft: number, SMS code, time, what it means, how to ask for the state."""
    lines, numbers = [], []
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
    if not all(case.anonymous for case in lodged):
        lines.append("凭编号和登记的手机号随时可查进度。")
    first = case_status_text(session, lodged[0])
    return {
        "compose": "ready",
        "kind": "receipt",
        "text": "\n".join(lines),
        "sms": f"已登记（不表示已受理）。查询码{'、'.join(case_status_text(session, c).sms_code for c in lodged)}，凭此码和手机号可查。",
        "case": numbers[0],
        "card": {
            "receipt": {"numbers": numbers, "sms_code": first.sms_code, "deadlines": list(first.deadlines)}
        },
    }


def receipt_of_message(session: Session, message_id: str) -> dict[str, Any] | None:
    """The receipt that this message earned, if it confirmed a case before its turn was finished."""
    lodged = list(
        session.scalars(select(Case).where(Case.confirmed_by_message == message_id).order_by(Case.part))
    )
    return receipt_payload(session, lodged) if lodged else None
