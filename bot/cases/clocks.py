"""Statutory clocks (时限) of a case, computed from the figures in `legal.yml`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.cases.calendar import Calendar, add_days, calendar
from bot.cases.models import STATUSES, CaseType

LEGAL = Path(__file__).with_name("legal.yml")

Event = Literal["receipt", "acceptance", "termination", "decision", "staff", "reference"]
EVENT_OF_STATUS: dict[str, Event] = {
    "已受理": "acceptance",
    "终止调解": "termination",
    "立案": "decision",
    "不予立案": "decision",
}
"""Which event a status word means for the clocks."""


class LegalError(Exception):
    """`legal.yml` is wrong; the message names the entry."""


class Figure(BaseModel):
    """One legal figure with its basis and how far it was verified."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    name: str
    types: tuple[CaseType, ...] = Field(min_length=1)
    event: Event
    days: int | None = Field(gt=0)
    unit: Literal["工作日", "日"] | None
    basis: str = Field(min_length=4)
    mark: Literal["A", "B", "B+", "C", "M"]
    note: str | None
    ended_by: tuple[str, ...] = ()
    real_name_only: bool = False
    verified_by: str | None
    verified_on: date | None

    @model_validator(mode="after")
    def _consistent(self) -> Figure:
        if (self.days is None) != (self.unit is None):
            raise ValueError("days and unit go together")
        if self.days is None and self.event != "reference":
            raise ValueError("a clock needs days")
        if (self.verified_by is None) != (self.verified_on is None):
            raise ValueError("verified_by and verified_on go together")
        words = {word for type in self.types for word in STATUSES[type]}
        if unknown := set(self.ended_by) - words:
            raise ValueError(f"unknown status {sorted(unknown)}")
        return self

    @property
    def showable(self) -> bool:
        """Whether a citizen may see it: read in an official text, or checked by staff."""
        return self.mark in ("A", "B") or self.verified_by is not None


@dataclass(frozen=True)
class Clock:
    """A clock that started on `from_date` (not counted) and is due at the end of `due_on`."""

    key: str
    name: str
    from_date: date
    due_on: date
    days: int
    unit: str
    basis: str
    mark: str
    verified: bool
    provisional: bool
    showable: bool


class Due(Protocol):
    """What the wording needs: a `Clock` or a stored `CaseClock`."""

    @property
    def from_date(self) -> date: ...
    @property
    def due_on(self) -> date: ...
    @property
    def provisional(self) -> bool: ...
    @property
    def showable(self) -> bool: ...


def load_figures(path: Path = LEGAL) -> tuple[Figure, ...]:
    """The figures of `path`. Raises `LegalError` with the entry's key if one is wrong or stands twice."""
    entries = yaml.safe_load(path.read_text("utf-8"))["figures"]
    figures: dict[str, Figure] = {}
    for entry in entries:
        try:
            figure = Figure.model_validate(entry)
        except ValidationError as error:
            raise LegalError(f"{path.name}, figure {entry.get('key')}: {error}") from error
        if figure.key in figures:
            raise LegalError(f"{path.name}: figure {figure.key} stands twice")
        figures[figure.key] = figure
    return tuple(figures.values())


@lru_cache
def figures() -> tuple[Figure, ...]:
    """The figures in force."""
    return load_figures()


def start_clocks(
    event: Event,
    type: CaseType,
    day: date,
    *,
    real_name: bool = True,
    known: Iterable[Figure] | None = None,
    on: Calendar | None = None,
) -> list[Clock]:
    """The clocks that `event` on `day` (Asia/Shanghai) starts for a case of `type`.

    `real_name` is false for an anonymous informant, who is told nothing (总局令第121号 Art 31(2)).
    """
    return [
        _clock(figure, day, on or calendar())
        for figure in (figures() if known is None else known)
        if figure.event == event and type in figure.types and (real_name or not figure.real_name_only)
    ]


def start_clock(key: str, day: date, *, on: Calendar | None = None) -> Clock:
    """One clock that staff start by hand, such as `competence_dispute`. Raises `KeyError` for others."""
    for figure in figures():
        if figure.key == key and figure.event == "staff":
            return _clock(figure, day, on or calendar())
    raise KeyError(key)


def _clock(figure: Figure, day: date, on: Calendar) -> Clock:
    assert figure.days is not None and figure.unit is not None
    count = on.add_workdays if figure.unit == "工作日" else add_days
    due, provisional = count(day, figure.days)
    return Clock(
        key=figure.key,
        name=figure.name,
        from_date=day,
        due_on=due,
        days=figure.days,
        unit=figure.unit,
        basis=figure.basis,
        mark=figure.mark,
        verified=figure.verified_by is not None,
        provisional=provisional,
        showable=figure.showable,
    )


def met_by(status: str) -> set[str]:
    """Keys of the clocks that a status word meets."""
    return {figure.key for figure in figures() if status in figure.ended_by}


def due_phrase(clock: Due) -> str | None:
    """「最晚12月1日」 for the citizen, `None` for a figure that must not be shown."""
    if not clock.showable:
        return None
    due = clock.due_on
    year = "" if due.year == clock.from_date.year else f"{due.year}年"
    return f"最晚{year}{due.month}月{due.day}日" + ("，暂按周末推算" if clock.provisional else "")
