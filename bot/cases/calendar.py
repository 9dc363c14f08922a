"""The Chinese working-day calendar (工作日), with makeup days (调休).

Statutory clocks count working days; a year the calendar does not cover is counted by weekends only and the
result is marked provisional. An intake never fails because a date cannot be computed.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from bot.settings import settings

PACKAGED = Path(__file__).with_name("calendar.json")
ADMIN_FILE = "calendar.json"
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has had one zone without summer time since 1991: no zone database is needed."""

log = logging.getLogger(__name__)


class CalendarError(Exception):
    """A calendar file is wrong; the message names file, year and day."""


@dataclass(frozen=True)
class Calendar:
    """Years covered by State Council notices, their days off and their worked weekend days."""

    years: frozenset[int]
    holidays: frozenset[date]
    makeup: frozenset[date]

    def is_workday(self, day: date) -> bool:
        """Whether `day` is worked; in an uncovered year, whether it is no Saturday or Sunday."""
        return day in self.makeup or (day.weekday() < 5 and day not in self.holidays)

    def add_workdays(self, day: date, count: int) -> tuple[date, bool]:
        """The `count`-th working day after `day` (not counted itself), and whether it is provisional.

        Provisional: a day was counted in a year without a notice. Raises `ValueError` if `count` < 0 and
        `TypeError` for a `datetime`, whose day depends on its zone: see `local_date`.
        """
        _check(day, count)
        provisional = False
        while count:
            day += timedelta(days=1)
            provisional = provisional or day.year not in self.years
            count -= self.is_workday(day)
        return day, provisional


def _check(day: date, count: int) -> None:
    if isinstance(day, datetime):
        raise TypeError("a date is needed, not a datetime")
    if count < 0:
        raise ValueError(f"cannot count {count} days")


def local_date(now: datetime) -> date:
    """The day in Asia/Shanghai of an aware time. Raises `ValueError` for a naive one."""
    if now.tzinfo is None:
        raise ValueError(f"{now!r} has no time zone")
    return now.astimezone(SHANGHAI).date()


def load_calendar(*files: Path) -> Calendar:
    """The calendar of `files` in turn; a year in a later file replaces the same year of an earlier one.

    Raises `CalendarError` if a file is missing or wrong.
    """
    years: dict[int, tuple[set[date], set[date]]] = {}
    for path in files:
        years.update(_read(path))
    holidays = frozenset[date]().union(*(off for off, _ in years.values()))
    return Calendar(frozenset(years), holidays, frozenset[date]().union(*(on for _, on in years.values())))


def _read(path: Path) -> dict[int, tuple[set[date], set[date]]]:
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        return {int(year): _year(int(year), entry) for year, entry in content.items() if year != "_format"}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise CalendarError(f"Calendar file {path} is wrong: {error!r}") from error


def _year(year: int, entry: dict[str, list[str]]) -> tuple[set[date], set[date]]:
    off = {date.fromisoformat(day) for day in entry["holidays"]}
    on = {date.fromisoformat(day) for day in entry["makeup"]}
    if not off:
        raise ValueError(f"{year} has no holidays")
    for day in sorted(off | on):
        if day.year != year:
            raise ValueError(f"{day} stands under {year}")
    for day in sorted(on):
        if day.weekday() < 5 or day in off:
            raise ValueError(f"{day} cannot be a makeup day")
    return off, on


def calendar() -> Calendar:
    """The calendar in force: the packaged one and, if it is there, the admin's file in HOTLINE_HOME.

    The admin's file is picked up when it changes. A wrong one is logged and left out.
    """
    admin = settings().home_dir / ADMIN_FILE
    try:
        stamp = admin.stat().st_mtime_ns
    except OSError:
        return _cached(None, 0)
    return _cached(admin, stamp)


@lru_cache(maxsize=4)
def _cached(admin: Path | None, _stamp: int) -> Calendar:
    if admin:
        try:
            return load_calendar(PACKAGED, admin)
        except CalendarError:
            log.exception("the admin's calendar is left out")
    return load_calendar(PACKAGED)


def add_workdays(day: date, count: int) -> tuple[date, bool]:
    """`Calendar.add_workdays` on the calendar in force."""
    return calendar().add_workdays(day, count)


def add_days(day: date, count: int) -> tuple[date, bool]:
    """`count` calendar days (日) after `day`, never provisional.

    That a last day on a holiday rolls on (民法典 Art 203) is unverified here; the earlier date is safe.
    """
    _check(day, count)
    return day + timedelta(days=count), False
