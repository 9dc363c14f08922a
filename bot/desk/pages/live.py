"""The board (公告板): one picture of queue, cases and duty for all open pages, read when something happened.

Twenty agents look at the same queue; it is read once. Messages wake the board at once (`News.everything`), what makes
no message (dispatch, switches, shifts) is seen by a slow poll or by `poke` from a page of this process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.cases import search
from bot.cases.calendar import local_date
from bot.conversations import ownership, switches
from bot.conversations.models import CallBack, Conversation, HandOver, Message
from bot.conversations.ownership import Waiting
from bot.conversations.switches import Switches
from bot.crypto import mask_phone, mask_text
from bot.desk.models import Page
from bot.desk.pages.rows import CaseRow, case_row
from bot.staff import roster

if TYPE_CHECKING:
    from bot.desk.pages.seat import Desk

logger = structlog.get_logger(__name__)
POLL_SECONDS = 4.0
CASES_SECONDS = 3.0  # counts of cases are not read more often than this
SHORTEST = 0.2  # between two readings: a burst of messages is one reading
RESTS_AFTER = 15.0  # seconds without a page that looks
PREVIEW = 80
LOOKED_AT = 3  # newest words of a conversation that a preview is made from
BARE = 4  # characters that say nothing by themselves


@dataclass(frozen=True)
class Line:
    """The last words of a conversation, masked."""

    author: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Held:
    """A conversation that somebody owns. `unanswered` is when the citizen's open words came, if there are any."""

    conversation_id: str
    channel: str
    owner_id: str
    owner_name: str
    claimed_at: datetime | None
    last: Line | None

    @property
    def unanswered(self) -> datetime | None:
        """Since when the citizen waits for an answer."""
        return self.last.at if self.last and self.last.author == "user" else None


@dataclass(frozen=True)
class Call:
    """A promised call-back, the number masked."""

    id: str
    conversation_id: str
    phone: str
    due_at: datetime


@dataclass(frozen=True)
class Ring:
    """A call (呼叫) that nobody has acknowledged; to everyone without `staff_id`."""

    page_id: int
    staff_id: str | None
    at: datetime


@dataclass(frozen=True)
class Picture:
    """What the board shows. Lists hold at most 100 entries; counts of cases end at 10,000."""

    waiting: tuple[Waiting, ...] = ()
    last: dict[str, Line] = field(default_factory=dict)
    held: tuple[Held, ...] = ()
    calls: tuple[Call, ...] = ()
    rings: tuple[Ring, ...] = ()
    duty: dict[str, str] = field(default_factory=dict)  # post -> name, only posts that are filled
    period: str = ""
    switches: Switches = field(default_factory=Switches)
    counts: search.Counts = field(default_factory=lambda: search.Counts(0, 0, 0, 0))
    urgent: tuple[CaseRow, ...] = ()
    due: tuple[CaseRow, ...] = ()

    def mine(self, staff_id: str) -> list[Held]:
        """The conversations of one staff member."""
        return [one for one in self.held if one.owner_id == staff_id]

    def rings_for(self, staff_id: str) -> bool:
        """Whether a call rings for somebody."""
        return any(ring.staff_id in (None, staff_id) for ring in self.rings)


def last_lines(session: Session, conversation_ids: list[str]) -> dict[str, Line]:
    """The last words of citizen or staff in each conversation; 人工 alone says less than what came before it."""
    if not conversation_ids:
        return {}
    place = func.row_number().over(partition_by=Message.conversation_id, order_by=Message.seq.desc())
    newest = (
        select(Message.id, place.label("place"))
        .where(Message.conversation_id.in_(conversation_ids), Message.author.in_(("user", "staff")))
        .subquery()
    )
    rows = session.scalars(
        select(Message)
        .join(newest, Message.id == newest.c.id)
        .where(newest.c.place <= LOOKED_AT)
        .order_by(Message.conversation_id, Message.seq.desc())
    )
    found: dict[str, Line] = {}
    for m in rows:
        words = mask_text(" ".join(m.body.split()))[:PREVIEW]
        last = found.get(m.conversation_id)
        if last is None:
            found[m.conversation_id] = Line(m.author, words, m.created_at)
        elif last.author == m.author == "user" and len(last.text) <= BARE < len(words):
            found[m.conversation_id] = replace(last, text=f"{words}　{last.text}")
    return found


def talks(session: Session, now: datetime, before: Picture) -> Picture:
    """`before` with conversations, call-backs, duty and switches as they are now."""
    waiting = tuple(ownership.waiting(session))
    owned = list(
        session.scalars(
            select(Conversation)
            .where(Conversation.owner == "person", Conversation.owner_id.is_not(None))
            .order_by(Conversation.claimed_at)
            .limit(200)
        )
    )
    last = last_lines(session, [w.conversation_id for w in waiting] + [c.id for c in owned])
    held = tuple(
        Held(c.id, c.channel, c.owner_id or "", c.owner_name or "", c.claimed_at, last.get(c.id))
        for c in owned
    )
    open_calls = select(CallBack).where(CallBack.state == "open").order_by(CallBack.due_at).limit(100)
    calls = tuple(
        Call(row.id, row.conversation_id, mask_phone(row.phone), row.due_at)
        for row in session.scalars(open_calls)
    )
    rings = session.execute(
        select(Page.id, Page.staff_id, Page.created_at)
        .join(HandOver, HandOver.id == Page.hand_over_id)
        .where(HandOver.state == "waiting", Page.acknowledged_at.is_(None))
        .order_by(Page.id)
    )
    duty = {post: who.name for post, who in roster.on_duty(session, now).items() if who}
    return replace(
        before,
        waiting=waiting,
        last=last,
        held=held,
        calls=calls,
        rings=tuple(Ring(*row) for row in rings),
        duty=duty,
        period=roster.period_at(now)[1],
        switches=switches.snapshot(session),
    )


def cases(session: Session, now: datetime, before: Picture) -> Picture:
    """`before` with the open cases as they are now."""
    today = local_date(now)
    some = search.Filters(open=True)
    return replace(
        before,
        counts=search.counts(session, today),
        urgent=tuple(
            case_row(c, today)
            for c in search.cases(session, some, today=today, order="urgent", limit=30).cases
        ),
        due=tuple(
            case_row(c, today) for c in search.cases(session, some, today=today, order="due", limit=30).cases
        ),
    )


class Board:
    """Holds the picture and tells pages when it is another one."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.picture = Picture()
        self.version = 0  # grows with every other picture
        self._news = desk.news.everything()
        self._cases_at = float("-inf")
        self._watched_at = float("-inf")
        self._wanted = asyncio.Event()
        self._fresh = False

    def watch(self) -> bool:
        """A page looks: the picture is kept fresh for it. False until it is, when nobody had looked for a while."""
        self._watched_at = asyncio.get_running_loop().time()
        self._wanted.set()
        return self._fresh

    def poke(self) -> None:
        """Something of this process changed: look at once, at the cases too."""
        self._cases_at = float("-inf")
        self._news.set()

    async def run(self) -> None:
        """Keep the picture fresh until cancelled; an unreachable database leaves the last one."""
        while True:
            if asyncio.get_running_loop().time() - self._watched_at > RESTS_AFTER:
                # A desk that nobody has open leaves the processors to the citizens.
                self._fresh = False
                self._wanted.clear()
                await self._wanted.wait()
            self._news.clear()
            try:
                await self.look()
            except Exception as error:  # the queue must come back whatever broke one look
                logger.exception("board_not_read", error=type(error).__name__)
            self._fresh = (
                True  # As fresh as it can be: pages show the last picture while the database is away.
            )
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(SHORTEST)

    async def look(self) -> None:
        """Read the picture now."""
        time = asyncio.get_running_loop().time()
        with_cases = time - self._cases_at >= CASES_SECONDS
        if with_cases:
            self._cases_at = time

        def read() -> Picture:
            now = self.desk.now()
            with self.desk.readers() as session:
                picture = talks(session, now, self.picture)
                return cases(session, now, picture) if with_cases else picture

        picture = await asyncio.to_thread(read)
        if picture != self.picture:
            self.picture = picture
            self.version += 1
