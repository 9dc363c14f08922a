"""News between processes: whoever waits for a conversation is woken when a message was committed anywhere.

Every change that somebody waits for stores a message (an answer, a staff member's words, "接入"), so messages are
the only news. PostgreSQL carries them by LISTEN / NOTIFY. SQLite has no such thing: its `data_version` tells
cheaply that another connection has committed, and then the new rows of `messages` say which conversations.
News may be lost (a connection breaks); the log is the truth and is looked at from time to time anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref

import psycopg
import structlog
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

logger = structlog.get_logger(__name__)

CHANNEL = "hotline_messages"
LOOK_SECONDS = 0.15  # How often SQLite is asked for its data version: a few microseconds each.
RETRY_SECONDS = 2.0
TIDY = 1000  # conversations nobody waits for any more that are kept at most, beside as many as are waited for

_NOTIFY = text("SELECT pg_notify(:channel, :id)")


def announce(session: Session, conversation_id: str) -> None:
    """Tell the other processes, when this transaction commits, that the conversation has news."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_NOTIFY, {"channel": CHANNEL, "id": conversation_id})


class News:
    """Events of this process: of a conversation, and of everything (the desk's queue); one for each who waits."""

    def __init__(self, readers: sessionmaker[Session]) -> None:
        self._readers = readers
        self._events: dict[str, weakref.WeakSet[asyncio.Event]] = {}
        self._tidy_at = TIDY
        self._everything: weakref.WeakSet[asyncio.Event] = weakref.WeakSet()

    def of(self, conversation_id: str) -> asyncio.Event:
        """An event of the caller's own for a conversation; whoever waits clears it before reading the log.

        One that several shared would be cleared by one of them while another reads.
        """
        if len(self._events) >= self._tidy_at:
            self._events = {id: waiting for id, waiting in self._events.items() if waiting}
            self._tidy_at = 2 * len(self._events) + TIDY
        event = asyncio.Event()
        self._events.setdefault(conversation_id, weakref.WeakSet()).add(event)
        return event

    def everything(self) -> asyncio.Event:
        """An event of the caller's own that is set with every news."""
        event = asyncio.Event()
        self._everything.add(event)
        return event

    def ring(self, conversation_id: str) -> None:
        """Wake who waits in this process."""
        for event in [*self._events.get(conversation_id, ()), *self._everything]:
            event.set()

    def _ring_all(self) -> None:
        for conversation_id in list(self._events):
            self.ring(conversation_id)
        for event in list(self._everything):
            event.set()

    async def watch(self) -> None:
        """Wake waiters for what other processes commit, until cancelled; survives a database that is down."""
        engine = self._readers.kw["bind"]
        while True:
            with contextlib.suppress(Exception):
                if engine.dialect.name == "postgresql":
                    await self._listen(engine)
                else:
                    await self._look(engine)
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, engine: Engine) -> None:
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            # What was committed while nobody listened is unknown: everybody looks once, now that somebody does.
            self._ring_all()
            async for notice in connection.notifies():
                self.ring(notice.payload)

    async def _look(self, engine: Engine) -> None:
        # One connection for good, in autocommit: an open transaction would see the old version for ever.
        connection = await asyncio.to_thread(engine.raw_connection)
        try:
            cursor = connection.cursor()
            version = cursor.execute("PRAGMA data_version").fetchone()[0]
            last = cursor.execute("SELECT coalesce(max(rowid), 0) FROM messages").fetchone()[0]
            self._ring_all()
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                now = cursor.execute("PRAGMA data_version").fetchone()[0]
                if now == version:
                    continue
                version = now
                rows = cursor.execute(
                    "SELECT rowid, conversation_id FROM messages WHERE rowid > ? ORDER BY rowid", (last,)
                ).fetchall()
                for rowid, conversation_id in rows:
                    last = rowid
                    self.ring(conversation_id)
        finally:
            connection.close()
