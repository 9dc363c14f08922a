from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select

from bot.cases import dispatch, workflow
from bot.cases.calendar import SHANGHAI
from bot.cases.supervision import (
    Term,
    do_reached,
    do_release,
    do_supervise,
    keep_watch,
    level,
    reached,
    used,
    workdays,
)
from bot.cases.workflow import NotNow, Wrong
from bot.outbox.models import Delivery
from tests.cases.filing import COMPLAINT, REPORT, REQUEST, file
from tests.cases.filing import quick_sessions as sessions
from tests.cases.test_workflow import act, get

__all__ = ["sessions"]


def at(month, day, year=2026):
    return datetime(year, month, day, 9, 0, tzinfo=SHANGHAI)


def kinds(sessions, number):
    with sessions() as session:
        return [event.kind for event in workflow.history(session, number)]


def opinions(sessions):
    with sessions() as session:
        found = session.scalars(select(Delivery).order_by(Delivery.id))
        return [d.payload["opinion"] for d in found if d.payload["notice"] == "supervise"]


def run(sessions, now):
    return keep_watch(sessions, sessions, now)


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        (date(2026, 11, 22), date(2026, 12, 1), 7),
        (date(2026, 11, 20), date(2026, 11, 22), 0),
        (date(2026, 9, 30), date(2026, 10, 10), 3),  # 国庆, with the makeup day of October 10
        (date(2026, 12, 1), date(2026, 12, 1), 0),
        (date(2026, 12, 2), date(2026, 12, 1), 0),
    ],
)
def test_working_days_between(since, until, days):
    assert workdays(since, until) == days


@pytest.mark.parametrize(
    ("today", "share", "reached"),
    [
        (date(2026, 11, 22), 0, 0),
        (date(2026, 11, 25), 42, 0),
        (date(2026, 11, 26), 57, 50),
        (date(2026, 11, 29), 71, 50),
        (date(2026, 11, 30), 85, 80),
        (date(2026, 12, 1), 100, 80),  # the last day is not late
        (date(2026, 12, 2), 114, 100),
    ],
)
def test_how_much_of_a_clock_is_used_in_working_days(today, share, reached):
    term = Term("accept_complaint", "决定是否受理投诉并告知", date(2026, 11, 22), date(2026, 12, 1))
    assert (used(term, today), level(term, today)) == (share, reached)


def test_overdue_on_a_weekend_is_overdue():
    term = Term("x", "x", date(2026, 11, 20), date(2026, 11, 27))
    assert level(term, date(2026, 11, 28)) == 100


def test_each_threshold_acts_once(sessions, now):
    (number,) = file(sessions, now)
    act(sessions, dispatch.do_dispatch, number, lead="产品质量监督", opinion="请核实", now=now)
    seen = []
    for day in (23, 25, 26, 27, 30):
        run(sessions, at(11, day))
        run(sessions, at(11, day) + timedelta(hours=3))
        seen.append([kind for kind in kinds(sessions, number) if kind.startswith("clock")])
    assert seen == [[], [], ["clock_50"], ["clock_50"], ["clock_50", "clock_80"]]
    assert not get(sessions, number).supervised
    assert opinions(sessions) == ["决定是否受理投诉并告知已用八成以上，请抓紧办理。"]
    assert run(sessions, at(12, 2)) == 1
    assert run(sessions, at(12, 3)) == 0
    assert get(sessions, number).supervised
    assert kinds(sessions, number)[-2:] == ["clock_100", "supervise"]
    assert "已超期" in opinions(sessions)[-1]


def test_a_late_start_of_the_timer_acts_on_the_highest_threshold(sessions, now):
    (number,) = file(sessions, now)
    assert run(sessions, at(12, 2)) == 1
    assert kinds(sessions, number) == ["registered", "clock_100", "supervise"]
    assert opinions(sessions) == []  # no department has it


def test_a_clock_that_is_met_or_a_case_that_is_closed_is_left_alone(sessions, now):
    (met,) = file(sessions, now, COMPLAINT, conversation="1")
    (closed,) = file(sessions, now, REPORT, conversation="2")
    act(sessions, workflow.do_status, met, "不予受理", reason="三", now=now)
    act(sessions, dispatch.do_withdraw, closed, reason="和解", now=now)
    assert run(sessions, at(12, 30)) == 0


def test_a_dispatchs_own_time_limit_counts_too(sessions, now):
    (number,) = file(sessions, now, REQUEST)
    due = date(2026, 11, 27)
    act(sessions, dispatch.do_dispatch, number, lead="计量", opinion="请办", due_on=due, now=now)
    assert run(sessions, at(11, 28)) == 1
    with sessions() as session:
        event = next(e for e in workflow.history(session, number) if e.kind == "clock_100")
        assert event.detail["name"] == "计量办理时限"


def test_no_more_than_the_limit_at_once(sessions, now):
    for index in range(3):
        file(sessions, now, conversation=f"c{index}")
    assert keep_watch(sessions, sessions, at(12, 2), limit=2) == 2
    assert run(sessions, at(12, 2)) == 1


def test_by_hand_with_an_opinion_and_an_end_with_a_reason(sessions, now):
    (number,) = file(sessions, now)
    with pytest.raises(Wrong, match="督办意见"):
        act(sessions, do_supervise, number, opinion=" ", now=now)
    with pytest.raises(Wrong, match="没有在督办"):
        act(sessions, do_release, number, reason="x", now=now)
    act(sessions, dispatch.do_dispatch, number, lead="计量", opinion="请办", now=now)
    act(sessions, do_supervise, number, opinion="领导批示", now=now)
    act(sessions, do_supervise, number, opinion="再次催办", now=now + timedelta(hours=1))
    assert get(sessions, number).supervised
    assert opinions(sessions) == ["领导批示", "再次催办"]
    with pytest.raises(Wrong, match="原因"):
        act(sessions, do_release, number, reason="", now=now)
    act(sessions, do_release, number, reason="已办", now=now)
    assert not get(sessions, number).supervised
    act(sessions, dispatch.do_withdraw, number, reason="和解", now=now)
    with pytest.raises(NotNow):
        act(sessions, do_supervise, number, opinion="x", now=now)


def test_what_changed_between_looking_and_acting_is_left_alone(sessions, now):
    (number,) = file(sessions, now)
    late = at(12, 2)
    with sessions() as session:
        (found,) = reached(session, late)
    with sessions.begin() as session:
        assert do_reached(session, found, late)
        assert not do_reached(session, found, late)  # another process was quicker
    (other,) = file(sessions, now, conversation="c2")
    with sessions() as session:
        (found,) = reached(session, late)
    act(sessions, workflow.do_status, other, "已受理", now=late)
    with sessions.begin() as session:
        assert not do_reached(session, found, late)
    assert kinds(sessions, number)[-1] == "supervise" and "clock_100" not in kinds(sessions, other)
