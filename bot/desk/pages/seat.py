"""The desk behind the pages, and the seat (席位) of one staff member at one open page."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from nicegui import ui
from sqlalchemy.orm import Session, sessionmaker

from bot import audit
from bot.cases.drafts import CaseError
from bot.conversations.engine import Engine
from bot.conversations.news import News
from bot.errors import HotlineError, Problem
from bot.settings import Settings
from bot.staff import accounts
from bot.staff.models import Staff
from bot.staff.permissions import Permission, may
from bot.storage import StorageError

if TYPE_CHECKING:
    from bot.desk.pages.live import Board

logger = structlog.get_logger(__name__)
Result = TypeVar("Result")
ATTEND_SECONDS = 20.0
PRESENCE = timedelta(seconds=45)  # an open page uses its log-in this often; see bot.staff.presence


@dataclass
class Desk:
    """What all open pages share. Times come from `now`."""

    sessions: sessionmaker[Session]
    readers: sessionmaker[Session]
    now: Callable[[], datetime]
    engine: Engine
    config: Settings
    news: News
    board: Board | None = None
    _open: Counter[str] = field(default_factory=Counter)  # log-in -> open pages
    _hand: dict[str, datetime] = field(
        default_factory=dict
    )  # log-in -> when somebody last moved a hand there
    _noted: dict[str, datetime] = field(default_factory=dict)

    def sat_down(self, token: str) -> None:
        """A page was opened."""
        self._open[token] += 1
        self._hand[token] = self.now()

    def stood_up(self, token: str) -> None:
        """A page was closed."""
        self._open[token] -= 1
        if self._open[token] <= 0:
            for known in (self._open, self._hand, self._noted):
                known.pop(token, None)

    def hand(self, token: str) -> None:
        """Somebody typed or pointed."""
        self._hand[token] = self.now()

    async def attend(self) -> None:
        """Keep the log-ins of open pages in use, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.note_presence)
            except StorageError as error:
                logger.error("presence_not_noted", error=str(error))
            await asyncio.sleep(ATTEND_SECONDS)

    def note_presence(self) -> None:
        """Whoever sits before an open page is present, also while nothing happens; a page that nobody has touched for
        the idle time is logged out, as if it had been closed."""
        now = self.now()
        idle = timedelta(minutes=self.config.desk_session_idle_minutes)
        for token, hand in list(self._hand.items()):
            if now - hand >= idle:
                with self.sessions.begin() as session:
                    accounts.log_out(session, token, now=now)
                self._hand.pop(token, None)
            elif now - self._noted.get(token, now - PRESENCE) >= PRESENCE:
                with self.sessions.begin() as session:
                    accounts.touch(session, token, now=now)
                self._noted[token] = now


@dataclass
class Seat:
    """One staff member at one page. `staff` is as of the page's opening; each reading and each change looks anew whether
    the log-in lives and the role still may: a page can stay open longer than a role."""

    desk: Desk
    staff: Staff
    token: str
    main: ui.element
    permission: Permission | None = None  # what the page needs

    def may(self, permission: Permission) -> bool:
        """Whether to show something."""
        return may(self.staff, permission)

    @property
    def actor(self) -> str:
        """How the audit log and the cases' history name them."""
        return accounts.actor(self.staff)

    def _checked(self, session: Session, permission: Permission | None, now: datetime) -> Staff:
        staff = accounts.session_of(session, self.token, now=now, kind="page")
        if staff is None:
            raise HotlineError(Problem.LOG_IN_NEEDED)
        if permission is not None and not may(staff, permission):
            raise HotlineError(Problem.FORBIDDEN)
        return staff

    async def read(self, work: Callable[[Session, datetime], Result]) -> Result:
        """Look something up in a worker thread; raises LOG_IN_NEEDED or FORBIDDEN first."""

        def go() -> Result:
            with self.desk.readers() as session:
                now = self.desk.now()
                self._checked(session, self.permission, now)
                return work(session, now)

        return await asyncio.to_thread(go)

    async def write(
        self, permission: Permission | None, work: Callable[[Session, datetime, Staff], Result]
    ) -> Result:
        """Change something in one transaction; raises LOG_IN_NEEDED or FORBIDDEN first."""

        def go() -> Result:
            with self.desk.sessions.begin() as session:
                now = self.desk.now()
                return work(session, now, self._checked(session, permission, now))

        result = await asyncio.to_thread(go)
        if self.desk.board is not None:
            self.desk.board.poke()
        return result

    def record(self, session: Session, action: str, subject: str, now: datetime, **detail: Any) -> None:
        """An entry of the audit log."""
        audit.record(session, self.actor, action, subject, detail or None, now=now)


@contextmanager
def polite() -> Iterator[None]:
    """Show what could not be done as a message, and leave the page as it is."""
    try:
        yield
    except HotlineError as error:
        if error.problem is Problem.LOG_IN_NEEDED:
            ui.navigate.to("/login")
        else:
            say(error.message, "warning")
    except CaseError as error:
        say(str(error), "warning")
    except StorageError as error:
        logger.error("not_stored", error=str(error))
        say(Problem.NOT_STORED.message, "negative")


def say(text: str, kind: str = "positive") -> None:
    """A short message at the top of the page: `positive`, `warning` or `negative`."""
    # Quasar writes warnings dark on dark otherwise.
    ui.notify(
        text,
        type=kind,  # type: ignore[arg-type]
        position="top",
        timeout=4000 if kind == "positive" else 8000,
        textColor="white",
    )
