"""Counts by hour (小时计数): what figures need of messages, whose answers lie encrypted.

`gather` (bot.desk.reviews) counts each message once, between two marks of time that it keeps in `Mark`; figures
then read a few rows for each hour in place of opening every message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from sqlalchemy import String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from bot.storage import Base, UtcDateTime


class Tally(Base):
    """How often something happened in the hour that begins at `hour`.

    `what`: `message` a citizen's message (key empty), `answer` a turn by its kind, `measure` a turn that rested on
    a measure (key its number), `person` a message of staff (key empty).
    """

    __tablename__ = "tallies"

    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    what: Mapped[str] = mapped_column(String(12), primary_key=True)
    key: Mapped[str] = mapped_column(String(16), primary_key=True)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    count: Mapped[int]


class Mark(Base):
    """How far something was gathered: everything before `at` is done."""

    __tablename__ = "marks"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Key(NamedTuple):
    """What is counted."""

    hour: datetime
    what: str
    key: str
    channel: str


def hour_of(at: datetime) -> datetime:
    """The beginning of the hour, UTC; Jilin's hours begin at the same minutes."""
    return at.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)


def add(session: Session, counts: Mapping[Key, int] | Counter[Key]) -> None:
    """Add to the counts."""
    if not counts:
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(Tally)
    rows = [{**key._asdict(), "count": number} for key, number in sorted(counts.items())]
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["hour", "what", "key", "channel"],
            set_={"count": Tally.count + statement.excluded.count},
        ),
        rows,
    )


def mark_of(session: Session, name: str, before: datetime) -> datetime:
    """How far `name` is, locked until the transaction ends; `before` when it is the first time."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.execute(insert(Mark).values(name=name, at=before).on_conflict_do_nothing())
    mark = session.get(Mark, name, with_for_update=True, populate_existing=True)
    assert mark is not None
    return mark.at


def move_mark(session: Session, name: str, at: datetime) -> None:
    """Everything before `at` is done."""
    session.get_one(Mark, name).at = at
