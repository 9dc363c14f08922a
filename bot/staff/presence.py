"""Whether anybody is at the desk: a log-in that was used within the last minutes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.staff.models import Staff, StaffSession

# An open page of the desk uses its session at least once a minute.
PRESENT = timedelta(minutes=3)


def present(session: Session, now: datetime) -> int:
    """How many people are logged in at the desk and there."""
    count = session.scalar(
        select(func.count(func.distinct(StaffSession.staff_id)))
        .join(Staff, Staff.id == StaffSession.staff_id)
        .where(
            Staff.active,
            StaffSession.kind == "page",
            StaffSession.ended_at.is_(None),
            StaffSession.expires_at > now,
            StaffSession.last_used_at >= now - PRESENT,
        )
    )
    return count or 0
