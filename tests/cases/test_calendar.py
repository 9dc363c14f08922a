import json
from datetime import date, datetime, timedelta, timezone

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cases.calendar import (
    PACKAGED,
    Calendar,
    CalendarError,
    add_days,
    add_workdays,
    calendar,
    load_calendar,
    local_date,
)

PACK = load_calendar(PACKAGED)
DAYS = [date(2025, 1, 1) + timedelta(days=n) for n in range(730)]


def test_every_day_of_both_years_agrees_with_chinese_calendar():
    wrong = [str(day) for day in DAYS if PACK.is_workday(day) != chinese_calendar.is_workday(day)]
    assert wrong == []
    assert PACK.years == {2025, 2026}


@pytest.mark.parametrize(
    ("start", "count", "due"),
    [
        ("2026-02-13", 7, "2026-03-02"),
        ("2026-04-30", 7, "2026-05-13"),
        ("2026-06-18", 7, "2026-06-30"),
        ("2026-09-24", 7, "2026-10-12"),
        ("2026-09-24", 15, "2026-10-22"),
        ("2026-09-30", 7, "2026-10-15"),
        ("2026-11-20", 7, "2026-12-01"),
        ("2026-11-22", 7, "2026-12-01"),
        ("2026-11-20", 5, "2026-11-27"),
        ("2026-11-22", 5, "2026-11-27"),
        ("2026-11-20", 15, "2026-12-11"),
        ("2026-11-22", 15, "2026-12-11"),
        ("2026-12-22", 7, "2026-12-31"),
    ],
)
def test_vectors_of_the_domain_research(start, count, due):
    assert add_workdays(date.fromisoformat(start), count) == (date.fromisoformat(due), False)


def test_sixty_days_are_calendar_days():
    assert add_days(date(2026, 9, 24), 60) == (date(2026, 11, 23), False)
    assert add_days(date(2026, 11, 22), 60) == (date(2027, 1, 21), False)


def test_an_uncovered_year_counts_weekends_only_and_is_provisional():
    due, provisional = add_workdays(date(2026, 12, 21), 15)
    assert provisional
    # 8 working days are left in 2026, seven Mondays to Fridays follow from 1 January on.
    assert due == date(2027, 1, 11)
    assert add_workdays(date(2031, 3, 7), 1) == (date(2031, 3, 10), True)
    assert add_workdays(date(2031, 3, 7), 0) == (date(2031, 3, 7), False)


@given(st.dates(date(2020, 1, 1), date(2035, 12, 31)), st.integers(0, 80))
def test_the_days_between_hold_exactly_that_many_working_days(day, count):
    due, provisional = PACK.add_workdays(day, count)
    passed = [day + timedelta(days=n) for n in range(1, (due - day).days + 1)]
    assert sum(map(PACK.is_workday, passed)) == count
    assert count == 0 or PACK.is_workday(due)
    assert provisional == any(step.year not in (2025, 2026) for step in passed)


@given(st.sampled_from(DAYS), st.integers(0, 40), st.integers(0, 40))
def test_counting_in_two_steps_gives_the_same_day(day, first, second):
    middle, _ = PACK.add_workdays(day, first)
    assert PACK.add_workdays(middle, second)[0] == PACK.add_workdays(day, first + second)[0]


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="-1"):
        add_workdays(date(2026, 1, 1), -1)
    with pytest.raises(ValueError, match="-1"):
        add_days(date(2026, 1, 1), -1)
    with pytest.raises(TypeError, match="datetime"):
        add_workdays(datetime(2026, 1, 1), 1)


def test_the_day_is_the_one_in_jilin():
    assert local_date(datetime(2026, 11, 22, 16, 30, tzinfo=timezone.utc)) == date(2026, 11, 23)
    with pytest.raises(ValueError, match="no time zone"):
        local_date(datetime(2026, 11, 22))


def year(**changes):
    return {"source": "test", "holidays": ["2027-01-01"], "makeup": ["2027-01-09"], **changes}


def write(deployment, content):
    deployment.mkdir(exist_ok=True)
    path = deployment / "calendar.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_an_admin_adds_a_year(deployment):
    assert add_workdays(date(2026, 12, 31), 1) == (date(2027, 1, 1), True)
    write(deployment, {"2027": year()})
    assert add_workdays(date(2026, 12, 31), 1) == (date(2027, 1, 4), False)
    assert add_workdays(date(2027, 1, 8), 1) == (date(2027, 1, 9), False)
    assert add_workdays(date(2026, 9, 24), 7)[0] == date(2026, 10, 12)


def test_an_admins_year_replaces_the_packaged_one(deployment):
    write(deployment, {"2026": year(holidays=["2026-11-23"], makeup=[])})
    assert add_workdays(date(2026, 11, 22), 1) == (date(2026, 11, 24), False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "calendar.json"),
        ("[]", "calendar.json"),
        ({"2027": {"holidays": ["2027-01-01"]}}, "makeup"),
        ({"2027": year(holidays=[])}, "2027 has no holidays"),
        ({"2027": year(holidays=["2026-01-01"])}, "2026-01-01 stands under 2027"),
        ({"2027": year(makeup=["2027-01-11"])}, "2027-01-11 cannot be a makeup day"),
        ({"2027": year(holidays=["2027-01-09"])}, "2027-01-09 cannot be a makeup day"),
        ({"2027": year(holidays=["2027-02-30"])}, "calendar.json"),
        ({"next": year()}, "next"),
    ],
)
def test_a_wrong_admin_file_is_named_and_stops_no_intake(deployment, content, message, caplog):
    path = write(deployment, content)
    with pytest.raises(CalendarError, match=message):
        load_calendar(PACKAGED, path)
    assert calendar() == PACK
    assert "the admin's calendar is left out" in caplog.text
    assert add_workdays(date(2026, 12, 21), 15)[1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CalendarError, match=r"none\.json"):
        load_calendar(tmp_path / "none.json")


def test_an_empty_calendar_knows_weekends():
    empty = Calendar(frozenset(), frozenset(), frozenset())
    assert empty.add_workdays(date(2026, 10, 2), 1) == (date(2026, 10, 5), True)
