"""Supervision (督办): by hand, and by itself at 50, 80 and 100 % of a clock, counted in working days.

The thresholds are our own proposal (domain.md 4.4), no legal figure: 50 % is a line in the history, 80 % tells the
department, 100 % puts the case under 督办.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bot.cases import store
from bot.cases.calendar import Calendar, calendar, local_date
from bot.cases.dispatch import running
from bot.cases.models import Case, CaseClock, CaseEvent, Dispatch
from bot.cases.push import push
from bot.cases.workflow import AT_DEPARTMENT, Stage, Wrong, change, check, locked

LEVELS = (50, 80, 100)
_AHEAD = timedelta(days=45)  # no clock of ours reaches half its time earlier: 60 days are the longest


@dataclass(frozen=True)
class Term:
    """One running time limit of a case: a statutory clock or a dispatch's."""

    key: str
    name: str
    since: date
    due_on: date


def workdays(since: date, until: date, on: Calendar | None = None) -> int:
    """Working days after `since` up to and with `until`; 0 if there are none."""
    on = on or calendar()
    return sum(on.is_workday(since + timedelta(days=n)) for n in range(1, (until - since).days + 1))


def used(term: Term, today: date, on: Calendar | None = None) -> int:
    """Per cent of a limit's working days that are over at the end of `today`; over 100 once it is overdue.

    On its last day a limit is used up but not overdue: 100.
    """
    whole = max(workdays(term.since, term.due_on, on), 1)
    gone = workdays(term.since, today, on)
    if today > term.due_on:
        return max(101, 100 * gone // whole)
    return min(100, 100 * gone // whole)


def level(term: Term, today: date, on: Calendar | None = None) -> int:
    """The highest threshold that is reached, 0 for none; 100 only when it is overdue."""
    share = used(term, today, on)
    return max((level for level in LEVELS if share > 100 or level <= min(share, 99)), default=0)


def terms_of(clocks: Iterable[CaseClock], dispatches: Iterable[Dispatch]) -> list[Term]:
    """The running limits of one case."""
    found = [
        Term(clock.key, clock.name, clock.from_date, clock.due_on) for clock in clocks if clock.met_on is None
    ]
    found += [
        Term(
            f"dispatch:{dispatch.id}",
            f"{dispatch.department}办理时限",
            local_date(dispatch.at),
            dispatch.due_on,
        )
        for dispatch in dispatches
        if dispatch.due_on and dispatch.part == "lead" and dispatch.state in ("sent", "accepted")
    ]
    return found


def do_supervise(session: Session, number: str, *, opinion: str, actor: str, now: datetime) -> Case:
    """Put a case under 督办 and tell the department that has it. Again is a further reminder."""
    case = locked(session, number)
    check(case, "supervise")
    if not opinion.strip():
        raise Wrong("请填写督办意见。")
    _supervise(session, case, opinion, actor, now, {})
    return case


def do_release(session: Session, number: str, *, reason: str, actor: str, now: datetime) -> Case:
    """End the 督办 of a case."""
    case = locked(session, number)
    check(case, "supervise")
    if not case.supervised:
        raise Wrong("这个工单没有在督办。")
    if not reason.strip():
        raise Wrong("请写明解除督办的原因。")
    case.supervised = False
    change(session, case, "supervise", actor=actor, now=now, detail={"ended": True, "reason": reason})
    return case


def _supervise(
    session: Session, case: Case, opinion: str, actor: str, now: datetime, detail: dict[str, object]
) -> None:
    case.supervised = True
    _tell(session, case, opinion, now, now.isoformat())
    change(
        session,
        case,
        "supervise",
        actor=actor,
        now=now,
        detail={**detail, "opinion": opinion},
        audited=detail,
    )


def _tell(session: Session, case: Case, opinion: str, now: datetime, key: str) -> None:
    if Stage(case.stage) not in AT_DEPARTMENT:
        return
    for dispatch in running(session, case.number):
        if dispatch.part == "lead":
            push(session, case, dispatch, "supervise", now, key, opinion)


@dataclass(frozen=True)
class Reached:
    """A threshold that a case's time limit has reached and nobody has acted on."""

    number: str
    term: Term
    level: int


def reached(session: Session, now: datetime, limit: int = 200) -> list[Reached]:
    """Thresholds to act on, of open cases, nearest due date first: a read that takes no lock."""
    today, on = local_date(now), calendar()
    query = (
        select(Case.number)
        .where(Case.closed_at.is_(None), Case.due_on.is_not(None), Case.due_on <= today + _AHEAD)
        .order_by(Case.due_on)
    )
    found: list[Reached] = []
    numbers = list(session.scalars(query))
    for start in range(0, len(numbers), 500):
        some = numbers[start : start + 500]
        done = _done(session, some)
        for number, terms in _terms(session, some).items():
            for term in terms:
                share = level(term, today, on)
                if share and (number, term.key, share) not in done:
                    found.append(Reached(number, term, share))
        if len(found) >= limit:
            break
    return found[:limit]


def do_reached(session: Session, one: Reached, now: datetime) -> bool:
    """Act on a threshold; False if somebody did, or the case was closed, in the meantime."""
    case = locked(session, one.number)
    term = next((t for t in _terms(session, [one.number])[one.number] if t.key == one.term.key), None)
    acted_on = (one.number, one.term.key, one.level) in _done(session, [one.number])
    if case.closed_at is not None or term is None or acted_on:
        return False
    detail = {"key": term.key, "name": term.name, "due_on": term.due_on.isoformat(), "level": one.level}
    store.add_event(session, case, f"clock_{one.level}", actor="system", now=now, detail=detail)
    if one.level == 80:
        _tell(session, case, f"{term.name}已用八成以上，请抓紧办理。", now, f"{term.key}:80")
    if one.level == 100:
        _supervise(session, case, f"{term.name}已超期，请立即办理并说明原因。", "system", now, detail)
    return True


def keep_watch(
    sessions: sessionmaker[Session], readers: sessionmaker[Session], now: datetime, limit: int = 200
) -> int:
    """Look at the open cases and act on what they have reached, each in a transaction of its own. Returns how many.

    Called every few minutes by the process that keeps the timers; the long look holds no lock.
    """
    with readers() as session:
        found = reached(session, now, limit)
    acted = 0
    for one in found:
        with sessions.begin() as session:
            acted += do_reached(session, one, now)
    return acted


def _terms(session: Session, numbers: list[str]) -> dict[str, list[Term]]:
    found: dict[str, tuple[list[CaseClock], list[Dispatch]]] = {number: ([], []) for number in numbers}
    for clock in session.scalars(
        select(CaseClock).where(CaseClock.case_number.in_(numbers), CaseClock.met_on.is_(None))
    ):
        found[clock.case_number][0].append(clock)
    for dispatch in session.scalars(select(Dispatch).where(Dispatch.case_number.in_(numbers))):
        found[dispatch.case_number][1].append(dispatch)
    return {number: terms_of(*both) for number, both in found.items()}


def _done(session: Session, numbers: list[str]) -> set[tuple[str, str, int]]:
    kinds = [f"clock_{level}" for level in LEVELS]
    query = select(CaseEvent).where(CaseEvent.case_number.in_(numbers), CaseEvent.kind.in_(kinds))
    return {
        (event.case_number, str((event.detail or {}).get("key")), int(event.kind.removeprefix("clock_")))
        for event in session.scalars(query)
    }
