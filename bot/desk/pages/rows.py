"""A case as lists show it: no personal data, the clock in words and as a colour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from bot.cases.display import shown
from bot.cases.models import Case, CaseType
from bot.cases.workflow import Stage

SUBJECT = 60
SOON = 2  # days before the due date from which on a clock is yellow


@dataclass(frozen=True)
class Clock:
    """A due date in words (剩3天, 今天到期, 超期2天) and its state: late, soon, calm or none."""

    text: str
    state: str
    due_on: date | None = None


@dataclass(frozen=True)
class CaseRow:
    """One line of a list of cases."""

    number: str
    type: str
    type_label: str
    status: str
    stage: str
    department: str
    subject: str
    channel: str
    urgent: bool
    supervised: bool
    confidential: bool
    anonymous: bool
    created_at: datetime
    clock: Clock
    assignee_id: str | None
    closed: bool


def clock(due_on: date | None, today: date, *, met: bool = False) -> Clock:
    """How far away a due date is. Calendar days: whoever reads it plans with days."""
    if met:
        return Clock("已完成", "met", due_on)
    if due_on is None:
        return Clock("无时限", "none")
    left = (due_on - today).days
    if left < 0:
        return Clock(f"超期{-left}天", "late", due_on)
    if left == 0:
        return Clock("今天到期", "late", due_on)
    return Clock(f"剩{left}天", "soon" if left <= SOON else "calm", due_on)


def case_row(case: Case, today: date) -> CaseRow:
    """A case as a line."""
    facts = " ".join((shown(case, "facts", False) or shown(case, "request", False)).split())
    respondent = shown(case, "respondent", False)
    subject = f"{respondent}：{facts}" if respondent and facts else respondent or facts
    return CaseRow(
        number=case.number,
        type=case.type,
        type_label=CaseType(case.type).label,
        status=case.status,
        stage=Stage(case.stage).label,
        department=case.department,
        subject=subject[:SUBJECT] + ("…" if len(subject) > SUBJECT else ""),
        channel=case.channel,
        urgent=case.urgent,
        supervised=case.supervised,
        confidential=case.confidential,
        anonymous=case.anonymous,
        created_at=case.created_at,
        clock=clock(None if case.closed_at else case.due_on, today),
        assignee_id=case.assignee_id,
        closed=case.closed_at is not None,
    )
