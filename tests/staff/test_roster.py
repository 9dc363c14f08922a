"""The duty roster: which shift it is, who holds it, what is missing, and the report between shifts."""

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select

from bot import audit
from bot.cases.calendar import SHANGHAI
from bot.errors import HotlineError, Problem
from bot.settings import settings
from bot.staff import accounts, roster
from bot.staff.roster import PERIODS, POSTS, Gap

DAY = date(2026, 11, 22)


def at(hour, minute=0, day=DAY):
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("moment", "shift"),
    [
        (at(0), (DAY, "夜")),
        (at(7, 59), (DAY, "夜")),
        (at(8), (DAY, "早")),
        (at(15, 59), (DAY, "早")),
        (at(16), (DAY, "中")),
        (at(23, 59), (DAY, "中")),
        (at(23, 59).astimezone(), (DAY, "中")),
    ],
)
def test_the_shift_of_a_moment(moment, shift):
    assert roster.period_at(moment) == shift


@pytest.mark.parametrize(
    ("moment", "shift"),
    [
        (at(21, 59), (DAY, "中")),
        (at(22), (DAY, "夜")),
        (at(5, 59, DAY + timedelta(1)), (DAY, "夜")),
        (at(6, 0, DAY + timedelta(1)), (DAY + timedelta(1), "早")),
    ],
)
def test_a_night_that_begins_before_midnight_belongs_to_the_day_it_begins_on(monkeypatch, moment, shift):
    monkeypatch.setenv("HOTLINE_SHIFT_STARTS", "06:00,14:00,22:00")
    settings.cache_clear()
    assert roster.period_at(moment) == shift


def test_shifts_follow_each_other_without_a_hole():
    moment = at(0)
    for _ in range(12):
        following = roster.ends_at(moment)
        assert roster.period_at(following - timedelta(seconds=1)) == roster.period_at(moment)
        assert roster.period_at(following) != roster.period_at(moment)
        moment = following
    assert moment == at(0, 0, DAY + timedelta(4))


@pytest.fixture
def put(sqlite, people, now):
    def enter(username, post="主班", period="早", day=DAY):
        with sqlite.begin() as session:
            staff = people[username] if username else None
            return roster.assign(session, day, period, post, staff, by=people["zhao"], now=now)

    return enter


def test_who_is_on_duty_now(sqlite, people, put):
    put("wang")
    put("li", "副班")
    put("zhao", "带班领导", "中")
    with sqlite() as session:
        assert {p: s and s.username for p, s in roster.on_duty(session, at(9)).items()} == {
            "主班": "wang", "副班": "li", "带班领导": None,
        }  # fmt: skip
        assert roster.on_duty(session, at(16))["带班领导"].username == "zhao"


def test_a_post_is_replaced_and_taken_off_and_the_log_knows(sqlite, people, put):
    put("wang")
    put("li")
    with sqlite() as session:
        assert roster.on_duty(session, at(9))["主班"].username == "li"
    assert put(None) is None
    assert put(None) is None
    with sqlite() as session:
        assert roster.on_duty(session, at(9))["主班"] is None
        told = session.scalars(select(audit.AuditEntry).where(audit.AuditEntry.action == "roster.assign"))
        assert [(e.actor, e.detail["staff"]) for e in told] == [
            ("staff:zhao", "wang"), ("staff:zhao", "li"), ("staff:zhao", None), ("staff:zhao", None),
        ]  # fmt: skip


@pytest.mark.parametrize(("period", "post"), [("晚", "主班"), ("早", "替班"), ("", "")])
def test_no_such_shift(sqlite, people, now, period, post):
    with pytest.raises(HotlineError) as caught, sqlite.begin() as session:
        roster.assign(session, DAY, period, post, people["wang"], by=people["zhao"], now=now)
    assert caught.value.problem is Problem.MALFORMED


def test_nobody_is_entered_whose_account_is_closed(sqlite, people, now):
    with pytest.raises(HotlineError) as caught, sqlite.begin() as session:
        accounts.set_active(session, people["li"], False, now=now)
        closed = accounts.find_staff(session, "li")
        roster.assign(session, DAY, "早", "主班", closed, by=people["zhao"], now=now)
    assert caught.value.problem is Problem.UNKNOWN_STAFF


def test_every_empty_post_is_a_gap_until_the_week_is_full(sqlite, people, put, now):
    with sqlite() as session:
        assert len(roster.gaps(session, DAY, 7)) == 7 * 3 * 3
    for period in PERIODS:
        for post in POSTS:
            put("wang", post, period)
    put("li", "副班", "夜")
    with sqlite() as session:
        assert roster.gaps(session, DAY, 1) == []
        assert len(roster.gaps(session, DAY, 2)) == 9
    with sqlite.begin() as session:
        accounts.set_active(session, people["li"], False, now=now)
    with sqlite() as session:
        assert roster.gaps(session, DAY, 1) == [Gap(DAY, "夜", "副班")]
        assert roster.on_duty(session, at(3))["副班"] is None


def test_a_week_is_copied_where_nobody_is_entered_yet(sqlite, people, put, now):
    for offset in range(7):
        put("wang", day=DAY + timedelta(offset))
    put("li", day=DAY + timedelta(9))
    with sqlite.begin() as session:
        assert roster.copy_week(session, DAY, DAY + timedelta(7), by=people["zhao"], now=now) == 6
        assert roster.copy_week(session, DAY, DAY + timedelta(7), by=people["zhao"], now=now) == 0
        plan = roster.plan(session, DAY + timedelta(7), 7)
    assert [plan[DAY + timedelta(n), "早", "主班"].username for n in (7, 8, 9, 10)] == [
        "wang", "wang", "li", "wang",
    ]  # fmt: skip


def test_a_report_is_signed_by_two_people_once(sqlite, people, now):
    with sqlite.begin() as session:
        report = roster.write_report(session, people["wang"], {"waiting": {"count": 0}}, " 平稳 ", now=now)
    assert (report.day, report.period, report.content["remarks"]) == (DAY, "早", "平稳")
    later = now + timedelta(minutes=5)

    def sign(staff):
        with sqlite.begin() as session:
            return roster.take_over(session, report.id, staff, now=later)

    with pytest.raises(HotlineError) as caught:
        sign(people["wang"])
    assert caught.value.problem is Problem.SAME_PERSON
    signed = sign(people["li"])
    assert (signed.taken_by, signed.taken_at) == (people["li"].id, later)
    with pytest.raises(HotlineError) as caught:
        sign(people["zhao"])
    assert caught.value.problem is Problem.ALREADY_SIGNED
    with pytest.raises(HotlineError) as caught, sqlite.begin() as session:
        roster.take_over(session, 99, people["li"], now=later)
    assert caught.value.problem is Problem.NOT_FOUND
    with sqlite() as session:
        assert [r.id for r in roster.reports(session)] == [report.id]
