"""The duty roster (值班表): who is on duty, that nobody is missing, and the hand-over between shifts (交接班).

Measure 15 promises a hotline manned 24 hours a day (24小时值班制度). A day has the periods 早, 中 and 夜, each with
主班, 副班 and 带班领导. What is handed over (domain.md 4.4): open items, emergencies, waiting hand-overs, faults of
the system; signed by both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import audit
from bot.cases.calendar import SHANGHAI
from bot.errors import HotlineError, Problem
from bot.settings import settings
from bot.staff.accounts import actor
from bot.staff.models import Shift, ShiftReport, Staff

PERIODS = ("早", "中", "夜")
POSTS = ("主班", "副班", "带班领导")
"""In the order in which an unanswered hand-over climbs."""


@dataclass(frozen=True)
class Gap:
    """A post nobody holds, or whose holder's account is closed."""

    day: date
    period: str
    post: str


def starts_of(day: date) -> list[tuple[datetime, str]]:
    """When each period of `day` begins, in order of time; settings name the hours."""
    hours = [time.fromisoformat(start) for start in settings().shift_starts.split(",")]
    return sorted((datetime.combine(day, hour, SHANGHAI), period) for hour, period in zip(hours, PERIODS))


def period_at(at: datetime) -> tuple[date, str]:
    """Day and period of the shift at a moment: the last one that has begun, perhaps on the day before."""
    day = at.astimezone(SHANGHAI).date()
    begun = [
        (start, begins, period)
        for begins in (day - timedelta(days=1), day)
        for start, period in starts_of(begins)
        if start <= at
    ]
    _, begins, period = max(begun)
    return begins, period


def ends_at(at: datetime) -> datetime:
    """When the shift at a moment is relieved."""
    day = at.astimezone(SHANGHAI).date()
    return min(start for d in (0, 1) for start, _ in starts_of(day + timedelta(days=d)) if start > at)


def on_duty(session: Session, at: datetime) -> dict[str, Staff | None]:
    """Post to its holder at a moment; None where nobody is entered or the account is closed."""
    day, period = period_at(at)
    held = dict(
        session.execute(
            select(Shift.post, Staff)
            .join(Staff, Staff.id == Shift.staff_id)
            .where(Shift.day == day, Shift.period == period, Staff.active.is_(True))
        ).all()
    )
    return {post: held.get(post) for post in POSTS}


def assign(
    session: Session, day: date, period: str, post: str, staff: Staff | None, *, by: Staff, now: datetime
) -> Shift | None:
    """Enter somebody for a post, or with None take the post off; raises MALFORMED, UNKNOWN_STAFF."""
    if period not in PERIODS or post not in POSTS:
        raise HotlineError(Problem.MALFORMED)
    if staff is not None and not staff.active:
        raise HotlineError(Problem.UNKNOWN_STAFF)
    shift = session.scalar(
        select(Shift).where(Shift.day == day, Shift.period == period, Shift.post == post).with_for_update()
    )
    if staff is None:
        if shift is not None:
            session.delete(shift)
            shift = None
    elif shift is None:
        shift = Shift(day=day, period=period, post=post, staff_id=staff.id)
        session.add(shift)
    else:
        shift.staff_id = staff.id
    session.flush()
    detail = {"staff": staff.username if staff else None}
    audit.record(session, actor(by), "roster.assign", f"shift:{day}:{period}:{post}", detail, now=now)
    return shift


def copy_week(session: Session, from_day: date, to_day: date, *, by: Staff, now: datetime) -> int:
    """Enter the seven days from `from_day` once more from `to_day` on, where nobody is entered yet; how many."""
    added, offset = 0, to_day - from_day
    for (day, period, post), staff in plan(session, from_day, 7).items():
        taken = select(Shift.id).where(Shift.day == day + offset, Shift.period == period, Shift.post == post)
        if staff and staff.active and session.scalar(taken) is None:
            assign(session, day + offset, period, post, staff, by=by, now=now)
            added += 1
    return added


def plan(session: Session, from_day: date, days: int) -> dict[tuple[date, str, str], Staff | None]:
    """(day, period, post) to who is entered, for every post of some days, in order of time."""
    until = from_day + timedelta(days=days)
    found = {
        (shift.day, shift.period, shift.post): staff
        for shift, staff in session.execute(
            select(Shift, Staff)
            .join(Staff, Staff.id == Shift.staff_id)
            .where(Shift.day >= from_day, Shift.day < until)
        )
    }
    return {
        (day, period, post): found.get((day, period, post))
        for day in (from_day + timedelta(days=n) for n in range(days))
        for _, period in starts_of(day)
        for post in POSTS
    }


def gaps(session: Session, from_day: date, days: int) -> list[Gap]:
    """The posts of some days that nobody holds: the check that the roster is never empty."""
    return [
        Gap(*place)
        for place, staff in plan(session, from_day, days).items()
        if staff is None or not staff.active
    ]


def write_report(
    session: Session, staff: Staff, items: dict[str, Any], remarks: str, *, now: datetime
) -> ShiftReport:
    """The outgoing shift's record; `items` are the open ones, gathered by `bot.desk.handover.open_items`."""
    day, period = period_at(now)
    report = ShiftReport(
        day=day,
        period=period,
        written_by=staff.id,
        written_at=now,
        content={"items": items, "remarks": remarks.strip()},
    )
    session.add(report)
    session.flush()
    audit.record(session, actor(staff), "shift.report", f"shift_report:{report.id}", now=now)
    return report


def take_over(session: Session, report_id: int, staff: Staff, *, now: datetime) -> ShiftReport:
    """The incoming shift's signature. Raises NOT_FOUND, SAME_PERSON, ALREADY_SIGNED."""
    report = session.get(ShiftReport, report_id, with_for_update=True)
    if report is None:
        raise HotlineError(Problem.NOT_FOUND)
    if report.written_by == staff.id:
        raise HotlineError(Problem.SAME_PERSON)
    if report.taken_at is not None:
        raise HotlineError(Problem.ALREADY_SIGNED)
    report.taken_by, report.taken_at = staff.id, now
    session.flush()
    audit.record(session, actor(staff), "shift.take_over", f"shift_report:{report.id}", now=now)
    return report


def reports(session: Session, limit: int = 30) -> list[ShiftReport]:
    """The newest reports first."""
    return list(session.scalars(select(ShiftReport).order_by(ShiftReport.id.desc()).limit(limit)))


def gap_json(gap: Gap) -> dict[str, str]:
    """A gap as JSON."""
    return {key: str(value) for key, value in asdict(gap).items()}
