"""Switches (开关) that staff turn while the hotline runs; every process follows within seconds, without a restart.

The newest row of a key is in force, the older ones are the record of who changed what and why.

key             value
`notice`        text of an emergency notice shown on every channel; empty: none
`people_first`  true: a person is called for every new conversation before the bot answers
`bot_off`       true: the bot answers nothing but emergencies; everybody waits for a person
`withdrawn:9`   true: the answers of measure 9 are not given
`validity:9`    `unknown`, `lapsed` or `in_force` for measure 9; `validity`: for the whole notice; empty: as the pack says
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from bot.conversations.models import Switch
from bot.errors import HotlineError, Problem
from bot.storage import StorageError

FRESH_SECONDS = 2.0
NOTICE_CHARACTERS = 300
VALIDITY = ("unknown", "lapsed", "in_force", "")


@dataclass(frozen=True)
class Switches:
    """What is in force. `notice_id` is new for every new notice; measures are numbers."""

    notice: str = ""
    notice_id: int = 0
    people_first: bool = False
    bot_off: bool = False
    withdrawn: dict[int, str] = field(default_factory=dict)  # measure -> reason
    validity: dict[int, str] = field(default_factory=dict)  # measure, or 0 for the whole notice -> state


def check_switch(key: str, value: Any) -> None:
    """Raise `HotlineError` if `key` is no switch or `value` none of its values."""
    name, _, number = key.partition(":")
    measure = number.isascii() and number.isdigit() and 1 <= int(number) <= 99
    good = {
        "notice": not number and isinstance(value, str) and len(value) <= NOTICE_CHARACTERS,
        "people_first": not number and isinstance(value, bool),
        "bot_off": not number and isinstance(value, bool),
        "withdrawn": measure and isinstance(value, bool),
        "validity": (measure or not number) and value in VALIDITY,
    }.get(name, False)
    if not good or not re.fullmatch(r"[a-z_]+(:\d+)?", key):
        raise HotlineError(Problem.MALFORMED)


def set_switch(session: Session, key: str, value: Any, *, reason: str, by: str, now: datetime) -> Switch:
    """Put a value in force. A reason is needed: what citizens are told must be accounted for."""
    check_switch(key, value)
    if not reason.strip():
        raise HotlineError(Problem.REASON_NEEDED)
    switch = Switch(key=key, value=value, reason=reason.strip()[:255], set_by=by, set_at=now)
    session.add(switch)
    session.flush()
    return switch


def in_force(session: Session) -> list[Switch]:
    """The newest row of every key."""
    newest = select(func.max(Switch.id)).group_by(Switch.key)
    return list(session.scalars(select(Switch).where(Switch.id.in_(newest)).order_by(Switch.key)))


def history(session: Session, limit: int = 100) -> list[Switch]:
    """Changes, newest first."""
    return list(session.scalars(select(Switch).order_by(Switch.id.desc()).limit(limit)))


def snapshot(session: Session) -> Switches:
    """All switches as one value."""
    rows = {row.key: row for row in in_force(session)}

    def numbered(prefix: str) -> dict[int, Switch]:
        return {int(k.split(":")[1]): row for k, row in rows.items() if k.startswith(prefix + ":")}

    notice = rows.get("notice")
    validity = {n: str(row.value) for n, row in numbered("validity").items() if row.value}
    if (whole := rows.get("validity")) is not None and whole.value:
        validity[0] = str(whole.value)
    return Switches(
        notice=str(notice.value) if notice else "",
        notice_id=notice.id if notice and notice.value else 0,
        people_first=bool((row := rows.get("people_first")) and row.value),
        bot_off=bool((row := rows.get("bot_off")) and row.value),
        withdrawn={n: row.reason for n, row in numbered("withdrawn").items() if row.value},
        validity=validity,
    )


class Switchboard:
    """The switches as a process sees them, at most `FRESH_SECONDS` old; the last known ones if the database is down."""

    def __init__(
        self, readers: sessionmaker[Session], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._readers = readers
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._known = Switches()

    def _is_fresh(self) -> bool:
        return self._monotonic() - self._read_at < FRESH_SECONDS

    async def read(self) -> Switches:
        """`current`, with its look at the database in a thread."""
        return self._known if self._is_fresh() else await asyncio.to_thread(self.current)

    def current(self) -> Switches:
        """What is in force."""
        if not self._is_fresh():
            try:
                with self._readers() as session:
                    self._known = snapshot(session)
                self._read_at = self._monotonic()
            except StorageError:
                pass
        return self._known
