"""What one shift leaves to the next (交接班), gathered from the tables; no personal data, only numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.cases.calendar import local_date
from bot.cases.models import Case, CaseClock
from bot.conversations.models import CallBack, Conversation, HandOver
from bot.outbox.models import Delivery

SHOWN = 50  # of each kind; the counts are of all
DUE_WITHIN = timedelta(days=1)


def open_items(session: Session, now: datetime) -> dict[str, Any]:
    """Waiting hand-overs, conversations in hand, open urgent cases, clocks due, call-backs, dead letters.

    Each is `{"count": …, "shown": […]}`; times are ISO 8601, cases are named by number, conversations by id.
    """
    last_day = local_date(now) + DUE_WITHIN
    waiting = select(HandOver).where(HandOver.state == "waiting")
    held = select(Conversation).where(Conversation.owner == "person", Conversation.closed_at.is_(None))
    urgent = select(Case).where(Case.urgent.is_(True), Case.closed_at.is_(None))
    due = (
        select(CaseClock)
        .join(Case, Case.number == CaseClock.case_number)
        .where(CaseClock.met_on.is_(None), CaseClock.due_on <= last_day, Case.closed_at.is_(None))
    )
    calls = select(CallBack).where(CallBack.state == "open", CallBack.due_at <= now + timedelta(hours=8))
    dead = select(Delivery).where(Delivery.state == "dead")
    return {
        "waiting": _items(
            session, waiting.order_by(HandOver.urgent.desc(), HandOver.created_at),
            lambda h: {
                "conversation": h.conversation_id, "reason": h.reason, "urgent": h.urgent,
                "since": h.created_at.isoformat(),
            },
        ),
        "in_hand": _items(
            session, held.order_by(Conversation.claimed_at),
            lambda c: {"conversation": c.id, "with": c.owner_name},
        ),
        "urgent_cases": _items(
            session, urgent.order_by(Case.created_at),
            lambda c: {"case": c.number, "status": c.status, "department": c.department},
        ),
        "clocks_due": _items(
            session, due.order_by(CaseClock.due_on, CaseClock.id),
            lambda k: {"case": k.case_number, "clock": k.name, "due_on": k.due_on.isoformat()},
        ),
        "call_backs": _items(
            session, calls.order_by(CallBack.due_at),
            lambda c: {
                "call_back": c.id, "conversation": c.conversation_id, "due_at": c.due_at.isoformat(),
                "overdue": c.due_at <= now,
            },
        ),
        "dead_letters": _items(
            session, dead.order_by(Delivery.id),
            lambda d: {"delivery": d.delivery_id, "kind": d.kind, "case": d.case_number},
        ),
    }  # fmt: skip


def overdue_call_backs(session: Session, now: datetime, limit: int = 100) -> list[CallBack]:
    """Promised calls (回电) whose time has passed, the oldest promise first."""
    return list(
        session.scalars(
            select(CallBack)
            .where(CallBack.state == "open", CallBack.due_at <= now)
            .order_by(CallBack.due_at)
            .limit(limit)
        )
    )


def _items(session: Session, query: Any, shown: Any) -> dict[str, Any]:
    count = session.scalar(select(func.count()).select_from(query.order_by(None).subquery()))
    return {"count": count, "shown": [shown(row) for row in session.scalars(query.limit(SHOWN))]}
